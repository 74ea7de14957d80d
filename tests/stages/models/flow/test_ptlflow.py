"""Networks of ptlflow with random weights: plumbing, not accuracy."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.errors import ConfigError, InputError
from stages.models.flow.ptlflow import apply_training_facts, load_flow_network, weights_digest
from stages.models.torch_models import repeatable
from tests.support.model_samples import pair


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gma", "raft", "raft_small", "sea_raft_s"])
def test_a_network_runs_and_repeats_itself(name):
    model = load_flow_network(name, "random")
    first, second = pair(size=(60, 90))
    flow = model(first, second)
    assert flow.shape == (2, 60, 90)
    assert flow.dtype == np.float32
    assert np.isfinite(flow).all()
    assert not np.array_equal(flow, model(second, first))
    np.testing.assert_array_equal(flow, model(first, second))
    np.testing.assert_array_equal(flow, load_flow_network(name, "random")(first, second))


@pytest.fixture(scope="module")
def raft_small():
    return load_flow_network("raft_small", "random")


@pytest.mark.parametrize("size", [(1, 1), (200, 1), (30, 40), (131, 203)])
def test_any_size_will_do(raft_small, size):
    flow = raft_small(*pair(size=size))
    assert flow.shape == (2, *size)
    assert np.isfinite(flow).all()


def test_the_number_of_threads_does_not_change_a_bit(raft_small):
    import torch

    before = torch.get_num_threads()
    first, second = pair(size=(180, 300))
    flows = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            flows.append(raft_small(first, second))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*flows)


def test_pictures_reach_the_network_as_ptlflow_itself_would_bring_them(raft_small):
    import torch

    first, second = pair(size=(131, 203))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ptlflow
        from ptlflow.utils.io_adapter import IOAdapter

        torch.manual_seed(0)
        model = ptlflow.get_model("raft_small").eval()
        adapter = IOAdapter(model.output_stride, first.shape[:2])
        with repeatable():
            bgr = [np.ascontiguousarray(image[..., ::-1]) for image in (first, second)]
            answer = adapter.unscale(model(adapter.prepare_inputs(bgr)))
    theirs = answer["flows"][0, 0].numpy()
    np.testing.assert_allclose(raft_small(first, second), theirs, atol=1e-2)
    assert np.abs(raft_small(first[..., ::-1], second[..., ::-1]) - theirs).max() > 1


def test_an_unknown_network_is_refused_with_the_nearest_names():
    with pytest.raises(ConfigError, match=r"flow\.method = 'rafts': .*did you mean raft"):
        load_flow_network("rafts", "random")
    with pytest.raises(ConfigError, match=r"flow\.method = 'rafts'"):
        weights_digest("rafts", "random")


def test_an_unknown_device_is_refused():
    with pytest.raises(ConfigError, match=r"flow\.device = 'abacus': expected a device of this"):
        load_flow_network("raft_small", "random", "abacus")


def test_missing_weights_say_what_to_get_and_where_to_put_it(monkeypatch, tmp_path):
    import torch

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refused(url, path, **how):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    with pytest.raises(InputError) as caught:
        load_flow_network("raft", "sintel")
    message = str(caught.value)
    assert "no route to host" in message
    assert "get https://github.com/hmorimitsu/ptlflow/" in message
    assert f"put it at {tmp_path / 'hub' / 'checkpoints' / 'raft-sintel'}" in message
    assert "--set flow.weights=PATH" in message


@pytest.mark.parametrize("weights", ["mars", "", "nowhere/raft.ckpt"])
def test_weights_that_are_nowhere_are_refused_with_those_there_are(weights):
    with pytest.raises(ConfigError, match=rf"flow\.weights = '{weights}': .* chairs, things"):
        load_flow_network("raft", weights)


@pytest.fixture(scope="module")
def other_weights():
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ptlflow

        torch.manual_seed(1)
        return ptlflow.get_model("raft_small").state_dict()


@pytest.mark.parametrize("kind", ["lightning", "data parallel", "safetensors"])
def test_weights_of_a_path_are_loaded(tmp_path, raft_small, other_weights, kind):
    import torch
    from safetensors.torch import save_file

    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.ckpt")
    if kind == "lightning":
        facts = {"train_size": [368, 768], "extra_params": {"mean": 0.5}}
        torch.save({"state_dict": other_weights, "hyper_parameters": facts}, path)
    elif kind == "data parallel":
        torch.save({f"module.{name}": value for name, value in other_weights.items()}, path)
    else:
        save_file(other_weights, path)
    first, second = pair(size=(60, 90))
    model = load_flow_network("raft_small", str(path))
    assert not np.array_equal(model(first, second), raft_small(first, second))
    assert weights_digest("raft_small", str(path)) != weights_digest("raft_small", "random")


def test_a_model_is_told_what_its_checkpoint_says_of_its_training():
    model = SimpleNamespace(train_size=None, add_extra_param=lambda *pair: told.append(pair))
    told = []
    apply_training_facts(model, {"train_size": [368, 768], "extra_params": {"mean": 0.5}})
    assert model.train_size == [368, 768]
    assert told == [("mean", 0.5)]


def test_weights_of_another_network_are_refused(tmp_path, other_weights):
    import torch

    torch.save(other_weights, tmp_path / "w.ckpt")
    with pytest.raises(InputError, match=r"w\.ckpt: not weights of raft: .*Missing key"):
        load_flow_network("raft", str(tmp_path / "w.ckpt"))


def test_threads_that_load_at_once_get_the_same_random_weights():
    with ThreadPoolExecutor(3) as pool:
        models = list(pool.map(lambda _: load_flow_network("raft_small", "random"), range(3)))
    states = [model.model.state_dict() for model in models]
    for name, values in states[0].items():
        assert all(values.equal(other[name]) for other in states[1:]), name
