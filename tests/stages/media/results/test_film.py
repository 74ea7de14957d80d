"""Films for a browser: their times, their colours, whole or absent."""

import av
import numpy as np
import pytest

from stages.media.results.film import Film

SIZE = (32, 48)


@pytest.mark.parametrize("rate", [24.0, 24000 / 1001, 12.345678, 3.0])
def test_frame_k_is_at_k_by_the_rate_also_far_on(tmp_path, rate):
    with Film(tmp_path / "film.mp4", rate) as film:
        for k in range(400):
            film.write(np.full((*SIZE, 3), k % 200, np.uint8))
    with av.open(str(tmp_path / "film.mp4")) as container:
        actual = [frame.time for frame in container.decode(video=0)]
    assert len(actual) == 400
    shown_at_the_middle = np.searchsorted(actual, (np.arange(400) + 0.5) / rate, side="right") - 1
    np.testing.assert_array_equal(shown_at_the_middle, np.arange(400))


def test_colours_come_back_as_a_player_reads_them(tmp_path):
    colours = [(128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (200, 30, 90), (255, 255, 255)]
    with Film(tmp_path / "film.mp4", 24) as film:
        for colour in colours:
            film.write(np.broadcast_to(np.uint8(colour), (*SIZE, 3)).copy())
    with av.open(str(tmp_path / "film.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (int(context.colorspace), int(context.color_range)) == (6, 1)
        for frame, colour in zip(container.decode(video=0), colours, strict=True):
            mean = frame.to_ndarray(format="rgb24").mean(axis=(0, 1))
            np.testing.assert_allclose(mean, colour, atol=6)


def test_a_film_that_was_broken_off_leaves_nothing(tmp_path):
    def broken_off():
        with Film(tmp_path / "film.mp4", 24) as film:
            film.write(np.zeros((*SIZE, 3), np.uint8))
            raise KeyError("broken")

    with pytest.raises(KeyError):
        broken_off()
    assert list(tmp_path.iterdir()) == []
