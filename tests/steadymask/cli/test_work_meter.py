"""Share of the work and time left: a run that is simulated, with a clock of its own."""

import pytest

from pipeline.events import ClipFinished, TaskCached, TaskDone, TasksCounted, TaskStarted
from pipeline.plan import Node
from stages.catalogue import step_types
from steadymask.cli.work_meter import USUAL_S, WorkMeter

FRAMES, CHUNK = 60, 20
STAGES = [name for name in USUAL_S if name != "probe"]


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def simulate(seconds_a_frame, clips=3, workers=1):
    """Run clips task by task; yield the meter and the time gone after each task."""
    clock = Clock()
    meter, began = WorkMeter(clips, workers, clock), clock.now
    for k in range(clips):
        name = f"clip{k}"
        left = dict.fromkeys(STAGES, FRAMES)
        meter.record_event(TasksCounted(name, 5, FRAMES, left))
        for start in range(0, FRAMES, CHUNK):
            for stage in STAGES:
                node = Node(name, stage, start, start + CHUNK)
                meter.record_event(TaskStarted(name, node))
                clock.now += CHUNK * seconds_a_frame[stage]
                spent = CHUNK * seconds_a_frame[stage]
                meter.record_event(TaskDone(name, node, seconds=spent))
                yield meter, clock.now - began
        meter.record_event(ClipFinished(name))
    yield meter, clock.now - began


@pytest.mark.parametrize("slow", ["flow", "export", "smooth", ""])
def test_time_left_is_right_within_a_factor_of_two_after_the_first_quarter(slow):
    costs = {name: USUAL_S[name] * (6 if name == slow else 2) for name in STAGES}
    *_, (_, total) = simulate(costs)
    checked = 0
    for meter, gone in simulate(costs):
        if total / 4 <= gone < 0.98 * total:
            left = meter.estimate().seconds_left
            assert (total - gone) / 2 < left < (total - gone) * 2
            assert meter.estimate().share == pytest.approx(gone / total, abs=0.15)
            checked += 1
    assert checked > 20


def test_at_the_end_all_is_done():
    *_, (meter, _) = simulate(USUAL_S)
    estimate = meter.estimate()
    assert (estimate.share, estimate.seconds_left, estimate.frames) == (1, 0, 3 * FRAMES)
    assert meter.running() == {}


def test_what_was_cached_counts_as_done_and_says_nothing_of_the_speed():
    clock = Clock()
    meter = WorkMeter(1, 1, clock)
    meter.record_event(TasksCounted("a", 2, 10, {"flow": 10, "smooth": 10}))
    meter.record_event(TaskCached("a", Node("a", "flow", 0, 10), seconds=500.0))
    usual = USUAL_S["flow"] / (USUAL_S["flow"] + USUAL_S["smooth"])
    assert meter.estimate().share == pytest.approx(usual)
    assert meter.estimate().seconds_left is None


def test_tasks_that_wait_at_a_worker_are_not_said_to_run():
    meter = WorkMeter(1, 2, Clock())
    for start in (0, 10, 20):
        meter.record_event(
            TaskStarted("a", Node("a", "flow" if start < 20 else "smooth", start, start + 10))
        )
    assert meter.running() == {"a": ["flow"]}


def test_before_any_length_is_known_nothing_is_said():
    estimate = WorkMeter(5, 2, Clock()).estimate()
    assert (estimate.share, estimate.frames, estimate.seconds_left) == (0, 0, None)


def test_a_task_that_was_stopped_for_an_hour_does_not_make_its_stage_slow():
    clock = Clock()
    meter, node = WorkMeter(1, 1, clock), Node("a", "flow", 0, CHUNK)
    meter.record_event(TasksCounted("a", 5, FRAMES, {"flow": FRAMES}))
    meter.record_event(TaskStarted("a", node))
    clock.now += 2.0  # it ran for two seconds, by a clock that stands still with it
    meter.record_event(TaskDone("a", node, seconds=3602.0))
    assert meter.estimate().seconds_left < 20


def test_the_usual_seconds_are_those_of_the_stages_of_the_catalogue():
    before_the_plan = {"probe", "classes"}
    assert set(USUAL_S) == before_the_plan | set(step_types(segmenter=False))
