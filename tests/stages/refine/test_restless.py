"""When outlines count as restless."""

import pytest

from stages.refine.mending import is_restless
from stages.trust.outlines import OutlineCounts


@pytest.mark.parametrize(
    ("hits", "away", "stilled_hits", "restless"),
    [
        (30, 60, 40, True),  # masks displaced by 2 px
        (40, 60, 55, True),  # the same where edges are clear
        (40, 95, 55, False),  # nearly all away, though on edges: the flow is wrong
        (30, 95, 40, True),  # nearly all away, and beside the edges: jumps of many pixels
        (50, 60, 70, False),  # on the edges as true masks are
        (40, 40, 55, False),  # most of it stays
        (40, 60, 45, False),  # averaged it lies no better
    ],
)
def test_outlines_are_restless_that_jump_beside_edges(hits, away, stilled_hits, restless):
    counts = OutlineCounts(100, hits, 100, away, 100, stilled_hits)
    assert is_restless(counts) == restless


def test_outlines_that_no_neighbour_knows_are_not_restless():
    assert not is_restless(OutlineCounts(100, 30, 2, 2, 100, 60))
