"""How the output of an ONNX model becomes probabilities, found from what it gives for pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError

Activation = Literal["auto", "softmax", "sigmoid", "none", "grey", "labels"]
Background = Literal["auto", "first", "none"]

SUM_SLACK = 2e-2  # of probabilities that exclude one another, as half floats have it
SLACK = 1e-3  # probabilities may leave [0, 1] by so much, as half floats do
NOTHING_SHARE = 0.25  # of pixels without any positive logit, from which classes may be independent
WHITE = 255.0
Planes = Sequence[NDArray[Any]]


@dataclass(frozen=True)
class OutputRoles:
    """How a model's outputs are read, as settings: `segment.output`, `activation`, `background`."""

    output: str
    activation: Activation
    background: Background

    @classmethod
    def from_json(cls, values: Mapping[str, Any] | None) -> OutputRoles | None:
        """Return them from plain values; None from None."""
        return None if values is None else cls(**values)

    def to_json(self) -> dict[str, str]:
        """Return them as plain values, by the names of the settings."""
        return asdict(self)


def settle_reading(
    path: Path,
    every: Planes,
    of_clip: Planes,
    *,
    activation: Activation,
    background: Background,
) -> tuple[Activation, bool]:
    """Return the activation that an output needs, and whether its first channel is background.

    What has to hold for all pictures, such as values in [0, 1], is looked for in `every`; what some
    picture may show, in the frames of the clip alone.

    Parameters
    ----------
    path : Path
        Of the model, for messages.
    every : sequence of ndarray, shape (C, h, w), float
        What the output gives for each picture.
    of_clip : sequence of ndarray, shape (C, h, w), float
        Those of them that are frames of the clip; none where there is no clip.
    activation, background : str
        The user's settings; "auto": found.

    Raises
    ------
    ConfigError
        If a setting does not fit the output, or two readings are possible.
    """
    channels = len(every[0])
    for setting, value, wrong in (
        ("activation", activation, "softmax"),
        ("background", background, "first"),
    ):
        if channels == 1 and value == wrong:
            expected = "sigmoid or none" if setting == "activation" else "none"
            raise ConfigError(
                f"segment.{setting} = {value!r}: expected {expected}, because the output of {path} "
                "has one channel"
            )
    if activation == "labels" and channels > 1:
        raise ConfigError(
            f"segment.activation = 'labels': expected one channel, got {channels} of {path}"
        )
    low, high = _value_range(every)
    ready = bool(low >= -SLACK and high <= 1 + SLACK)
    if channels == 1:
        return (activation if activation != "auto" else _of_one(path, every, ready)), False
    if activation == "auto" and not ready and background == "auto":
        _check_exclusion(path, of_clip)
    if activation == "auto":
        activation = "none" if ready else ("sigmoid" if background == "none" else "softmax")
    if background == "auto":
        sums = all(bool((np.abs(_sum(planes) - 1) <= SUM_SLACK).all()) for planes in every)
        exclude = activation == "softmax" or sums
        background = "first" if exclude and activation != "sigmoid" else "none"
    return activation, background == "first"


def activated_output(out: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """Return probabilities (C, h, w), background included where there are several channels."""
    if activation == "sigmoid":
        return np.asarray(0.5 + 0.5 * np.tanh(out / 2), np.float32)  # exp would overflow
    if activation == "softmax":
        with np.errstate(invalid="ignore"):  # infinite logits: NaN, which is refused
            powers = np.exp(out - out.max(axis=0))
        return np.asarray(powers / powers.sum(axis=0), np.float32)
    return np.asarray(out / WHITE, np.float32) if activation == "grey" else out


def _of_one(path: Path, every: Planes, ready: bool) -> Activation:
    """Return the activation of an output of one channel: logits have values below 0."""
    if ready:
        return "none"
    low, high = _value_range(every)
    if not (low >= -SLACK and high > 1):  # NaN too: refused where it occurs
        return "sigmoid"
    values = np.unique(np.concatenate([np.unique(planes) for planes in every]))
    if set(values.tolist()) <= {0, WHITE}:
        return "grey"
    readings = {
        "labels": "labels (segment.activation=labels, and segment.classes)",
        "grey": "a mask in 255ths (segment.activation=grey)",
        "sigmoid": "logits, which then are foreground everywhere (segment.activation=sigmoid)",
    }
    whole = bool((values == np.round(values)).all())
    possible = [*(["labels"] if whole else []), *(["grey"] if high <= WHITE else []), "sigmoid"]
    raise ConfigError(
        f"{path}: its output has {'whole numbers' if whole else 'values'} from {low:g} to "
        f"{high:g}, so it is no probability; it may be "
        f"{', or '.join(readings[name] for name in possible)}: set segment.activation"
    )


def _check_exclusion(path: Path, of_clip: Planes) -> None:
    """Refuse logits of several classes that are all below 0 in much of the frames.

    Networks whose classes exclude one another are trained through a softmax, which leaves the
    class of a pixel above 0; a pixel of which none is above 0 shows nothing to independent ones.
    """
    if not of_clip:
        return
    share = float(np.mean([(planes.max(axis=0) < 0).mean() for planes in of_clip]))
    if share > NOTHING_SHARE:
        raise ConfigError(
            f"{path}: in {share:.0%} of the first frames' pixels the logits of all "
            f"{len(of_clip[0])} channels are below 0: independent classes of which none is there "
            "(segment.activation=sigmoid), or classes that exclude one another, the first of them "
            "background (segment.activation=softmax)? set segment.activation"
        )


def _sum(planes: NDArray[Any]) -> NDArray[np.float32]:
    total: NDArray[np.float32] = planes.astype(np.float32).sum(axis=0)
    return total


def _value_range(every: Planes) -> tuple[float, float]:
    return min(float(p.min()) for p in every), max(float(p.max()) for p in every)
