import numpy as np

from stages.pseudo_labels.sampling import by_diversity, by_motion, colour_thumbnail


def slow_by_diversity(thumbs, count):
    chosen = [0]
    while len(chosen) < count:
        gaps = [min(sum((int(a) - int(b)) ** 2 for a, b in zip(thumb, thumbs[c], strict=True))
                    for c in chosen) for thumb in thumbs]  # fmt: skip
        if max(gaps) == 0:
            break
        chosen.append(gaps.index(max(gaps)))
    return sorted(chosen)


def test_frames_are_chosen_where_enough_has_moved_since():
    lengths = np.array([1, 1, 1, 5, 0, 0, 2, 9, 1, 1.0])
    assert by_motion(lengths, [(0, 10)], threshold=3) == [0, 3, 4, 8]


def test_each_shot_begins_anew():
    lengths = np.array([0, 100, 0, 0.0])
    assert by_motion(lengths, [(0, 2), (2, 4)], threshold=5) == [0, 2]


def test_a_clip_without_motion_gives_one_frame():
    assert by_motion(np.zeros(9), [(0, 9)], threshold=0.1) == [0]


def test_diversity_is_greedy_farthest_point():
    thumbs = np.random.default_rng(4).integers(0, 256, (25, 6)).astype(np.uint8)
    for count in (1, 2, 7, 25):
        assert by_diversity(thumbs, count=count) == slow_by_diversity(thumbs, count)


def test_equal_frames_are_chosen_once():
    thumbs = np.repeat(np.array([[0], [9], [200]], np.uint8), 4, axis=0)
    assert by_diversity(thumbs, count=12) == [0, 4, 8]


def test_no_frames_give_none():
    assert by_diversity(np.zeros((0, 3), np.uint8), count=4) == []


def test_a_thumbnail_averages_colours():
    frame = np.zeros((16, 32, 3), np.uint8)
    frame[:2, :4] = (255, 100, 0)
    assert colour_thumbnail(frame).reshape(8, 8, 3)[0, 0].tolist() == [255, 100, 0]
    frame[:2, 2:4] = 0
    assert abs(int(colour_thumbnail(frame)[0]) - 128) <= 1
