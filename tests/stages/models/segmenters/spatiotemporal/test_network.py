import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.errors import InputError
from stages.models.segmenters.spatiotemporal.network import Discriminator, load_spatiotemporal
from tests.support.object_networks import random_network, write_object_network
from tests.support.video_samples import write_network

ALL = (("temporal", "attention"), ("temporal",), ("attention",), ())


def clips(rows=48, columns=72, count=2):
    return torch.rand(count, 5, 3, rows, columns, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("context", ALL)
@pytest.mark.parametrize("size", [(48, 72), (45, 67)])
def test_scores_have_the_size_of_the_picture(context, size):
    network = random_network(context=context)
    assert network(clips(*size)).shape == (2, 2, *size)


def test_scores_of_all_scales_come_from_coarse_to_fine():
    network = random_network()
    scores = network.segment(clips(), network.predict(clips()))
    assert [tuple(part.shape[-2:]) for part in scores] == [
        (6, 9), (6, 9), (12, 18), (24, 36), (24, 36),
    ]  # fmt: skip


def test_a_frame_is_predicted_from_the_frames_before_it_alone():
    network, seen = random_network(), clips()
    prediction = network.predict(seen).prediction
    assert prediction.shape == (2, 3, 48, 72)
    other = seen.clone()
    other[:, 0] = 0.5
    assert torch.equal(network.predict(other).prediction, prediction)
    other[:, 4] = 0.5
    assert not torch.equal(network.predict(other).prediction, prediction)


@pytest.mark.parametrize(("context", "counts"), [(("temporal",), True), (("attention",), False)])
def test_the_past_counts_where_there_is_a_temporal_branch(context, counts):
    network, seen = random_network(context=context), clips()
    other = seen.clone()
    other[:, 1:] = 0.5
    assert torch.equal(network(seen), network(other)) != counts


def test_attention_adds_features_where_the_coarser_mask_is():
    network = random_network(context=("attention",))
    module = network.spatial.attention[0]
    low, high = torch.rand(1, 32, 6, 9), torch.rand(1, 16, 6, 9)
    nowhere = torch.tensor([50.0, -50.0])[None, :, None, None].expand(1, 2, 6, 9)
    features = module.lateral(low) + high
    for coarse, factor in ((nowhere, 1), (-nowhere, 2)):
        expected = module.mix(features * factor)
        torch.testing.assert_close(module(low, high, None, coarse)[0], expected)


def test_the_discriminator_gives_one_answer_a_frame():
    assert Discriminator()(clips()[:, 0]).shape == (2,)


@pytest.mark.parametrize("context", ALL)
def test_a_network_is_read_as_it_was_written(tmp_path, context):
    network = write_object_network(tmp_path / "n.safetensors", context=context)
    again = load_spatiotemporal(tmp_path / "n.safetensors").eval()
    assert again.settings == network.settings
    assert torch.equal(again(clips()), network(clips()))


def test_another_network_is_refused(tmp_path):
    write_network(tmp_path / "tcb.safetensors")
    with pytest.raises(InputError, match="train stcnn writes, got 'steadymask video network'"):
        load_spatiotemporal(tmp_path / "tcb.safetensors")


def test_weights_of_other_parts_are_refused(tmp_path):
    path = tmp_path / "n.safetensors"
    write_object_network(path, context=("temporal",))
    state = load_file(path)
    about = write_object_network(path, context=()).settings.metadata()
    save_file(state, path, metadata=about)
    with pytest.raises(InputError, match="not weights of stcnn with neither temporal nor"):
        load_spatiotemporal(path)


def test_a_damaged_file_is_said_to_be_one(tmp_path):
    (tmp_path / "n.safetensors").write_bytes(b"\x10")
    with pytest.raises(InputError, match=r"as run_pipeline\.py train writes"):
        load_spatiotemporal(tmp_path / "n.safetensors")
