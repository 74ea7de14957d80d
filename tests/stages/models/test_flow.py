"""Flow estimators on pictures whose motion is known."""

import warnings

import cv2
import numpy as np
import pytest
import skimage.data

from pipeline.errors import ConfigError, InputError
from stages.models.dis import DisFlow
from stages.models.flow_networks import load_flow_network, weights_digest


def pair(shift=(5, 3), size=(120, 160)):
    picture = skimage.data.astronaut()
    rows, columns = size
    first = picture[100 : 100 + rows, 150 : 150 + columns]
    y, x = 100 - shift[1], 150 - shift[0]
    return first, picture[y : y + rows, x : x + columns]


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_dis_finds_a_shift_in_pixels_x_before_y(preset):
    flow = DisFlow(preset)(*pair((5, 3)))
    assert flow.shape == (2, 120, 160)
    np.testing.assert_allclose(np.median(flow, axis=(1, 2)), [5, 3], atol=0.2)


@pytest.mark.parametrize("size", [(9, 1), (1, 1), (31, 200), (30, 40)])
def test_dis_works_on_pictures_smaller_than_its_pyramid(size):
    blank = np.zeros((*size, 3), np.uint8)
    flow = DisFlow("medium")(blank, blank)
    assert flow.shape == (2, *size)
    assert np.isfinite(flow).all()


def test_dis_does_not_depend_on_threads_or_on_what_it_did_before():
    model, (first, second) = DisFlow("medium"), pair()
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        model(second, first)
        threaded = model(first, second)
        cv2.setNumThreads(1)
        np.testing.assert_array_equal(threaded, DisFlow("medium")(first, second))
    finally:
        cv2.setNumThreads(before)


def read_flo(path):
    with path.open("rb") as handle:
        assert np.fromfile(handle, np.float32, 1) == 202021.25
        columns, rows = np.fromfile(handle, np.int32, 2)
        return np.fromfile(handle, np.float32).reshape(rows, columns, 2).transpose(2, 0, 1)


@pytest.mark.parametrize("name", ["RubberWhale", "Dimetrodon", "Venus", "Hydrangea"])
def test_dis_is_near_the_true_flow_of_middlebury(data, name):
    folder = data / "flow" / name
    frames = [
        cv2.cvtColor(cv2.imread(str(folder / f"frame{k}.png")), cv2.COLOR_BGR2RGB) for k in (10, 11)
    ]
    truth = read_flo(folder / "flow10.flo")
    known = np.abs(truth).max(axis=0) < 1e9
    error = np.hypot(*(DisFlow("medium")(*frames) - truth))[known]
    assert error.mean() < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gma", "raft", "raft_small", "sea_raft_s"])
def test_a_network_of_ptlflow_runs_and_repeats_itself(name):
    model = load_flow_network(name, "random")
    first, second = pair(size=(60, 90))
    flow = model(first, second)
    assert flow.shape == (2, 60, 90)
    assert flow.dtype == np.float32
    assert np.isfinite(flow).all()
    np.testing.assert_array_equal(flow, load_flow_network(name, "random")(first, second))


def test_an_unknown_network_is_refused_with_the_nearest_names():
    with pytest.raises(ConfigError, match=r"flow\.method = 'rafts': .*did you mean raft"):
        load_flow_network("rafts", "random")


def test_missing_weights_say_what_to_get_and_where_to_put_it(monkeypatch, tmp_path):
    import torch

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refused(url, path, **how):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    with pytest.raises(InputError, match=r"no route to host.*raft-sintel.*checkpoints.*--set flow"):
        load_flow_network("raft", "sintel")
    with pytest.raises(ConfigError, match=r"flow.weights = 'mars': .* chairs, things"):
        load_flow_network("raft", "mars")


def test_weights_of_a_path_are_loaded_and_change_the_key(tmp_path):
    import torch

    path = tmp_path / "weights.ckpt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ptlflow

        torch.manual_seed(1)
        other = ptlflow.get_model("raft_small")
    torch.save({"state_dict": other.state_dict()}, path)
    first, second = pair(size=(60, 90))
    ours = load_flow_network("raft_small", str(path))(first, second)
    assert not np.array_equal(ours, load_flow_network("raft_small", "random")(first, second))
    assert weights_digest("raft_small", str(path)) != weights_digest("raft_small", "random")
    with pytest.raises(InputError, match="not weights of raft"):
        load_flow_network("raft", str(path))


def test_a_pickle_is_not_loaded_as_weights(tmp_path):
    import torch

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    path = tmp_path / "weights.ckpt"
    torch.save({"state_dict": Trap()}, path)
    with pytest.raises(InputError, match=r"weights\.ckpt: not readable as weights"):
        load_flow_network("raft_small", str(path))
    assert not (tmp_path / "sprung").exists()
