import csv

import pytest
import torch
from torch.utils.data import Dataset

from steadymask.training.loop import Course, Epochs, Fitting, train


class Numbers(Dataset):
    def __init__(self, numbers):
        self.numbers = numbers

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        return {"number": torch.tensor(float(self.numbers[index]))}


class Watch(Fitting):
    """Learns nothing; takes down what it was shown."""

    def __init__(self, held_out=lambda epoch: 0.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.shown, self.held_out, self._value = [], [], held_out

    def losses(self, batch):
        where = self.shown if self.training else self.held_out
        where.append((self.current_epoch, batch["number"].tolist()))
        value = 1.0 if self.training else self._value(self.current_epoch)
        return {"total": (self.weight - 5).square() * 0 + value + self.weight * 1.0}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


def go(tmp_path, module, *, epochs, patience=4, task="x"):
    data = Epochs(Numbers, Numbers, samples=5, batch=5)
    messages = []
    course = Course("test", tmp_path, epochs, {"task": task}, messages.append, patience)
    train(module, data, course)
    return messages


def test_an_epoch_has_other_samples_and_the_same_are_held_out(tmp_path):
    module = Watch()
    go(tmp_path, module, epochs=3)
    assert module.shown == [(e, [5.0 * e + k for k in range(5)]) for e in range(3)]
    assert module.held_out == [(e, [0.0]) for e in range(3)]


def test_going_on_shows_the_samples_that_come_next(tmp_path):
    go(tmp_path, Watch(), epochs=2)
    module = Watch()
    output = go(tmp_path, module, epochs=4)
    assert "going on from" in output[0]
    assert [epoch for epoch, _ in module.shown] == [2, 3]
    assert module.shown[0][1] == [10.0, 11, 12, 13, 14]


def test_going_on_follows_the_last_epoch_and_keeps_the_best_one(tmp_path):
    go(tmp_path, Watch(lambda epoch: 10.0 * abs(epoch - 1)), epochs=3)
    module = Watch(lambda epoch: 10.0 * abs(epoch - 1))
    go(tmp_path, module, epochs=4)
    assert [epoch for epoch, _ in module.shown] == [3]
    assert module.weight.item() == -2  # as epoch 1 left it


def test_going_on_counts_the_epochs_without_a_better_one(tmp_path):
    go(tmp_path, Watch(lambda epoch: 10.0 * abs(epoch - 1)), epochs=3, patience=2)
    module = Watch(lambda epoch: 10.0 * abs(epoch - 1))
    go(tmp_path, module, epochs=50, patience=2)
    assert [epoch for epoch, _ in module.shown] == [3]


def test_it_stops_early_and_leaves_the_best_weights(tmp_path):
    module = Watch(lambda epoch: 10.0 * abs(epoch - 1))
    go(tmp_path, module, epochs=50, patience=2)
    assert [epoch for epoch, _ in module.shown] == [0, 1, 2, 3]
    assert module.weight.item() == -2  # after two steps, each by -1


def test_another_task_starts_afresh(tmp_path):
    go(tmp_path, Watch(), epochs=1)
    module = Watch()
    assert "starting afresh" in go(tmp_path, module, epochs=1, task="y")[0]
    assert len(module.shown) == 1


def on_the_board(folder, name):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_tensorboard_shows_what_the_table_holds_after_going_on_too(tmp_path):
    go(tmp_path, Watch(lambda epoch: 1.0 + epoch), epochs=2)
    go(tmp_path, Watch(lambda epoch: 1.0 + epoch), epochs=3)
    with (tmp_path / "losses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for which in ("train", "held_out"):
        wanted = [(int(row["epoch"]), float(row[f"{which}_total"])) for row in rows]
        assert on_the_board(tmp_path, f"total/{which}") == wanted


def test_tensorboard_shows_nothing_of_another_task_before(tmp_path):
    go(tmp_path, Watch(), epochs=3)
    go(tmp_path, Watch(), epochs=1, task="y")
    assert [step for step, _ in on_the_board(tmp_path, "total/train")] == [0]
