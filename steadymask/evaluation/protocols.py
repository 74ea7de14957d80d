"""Which frames count, and how the scores of a set come from those of its clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigError
from steadymask.evaluation.labels import Task


@dataclass(frozen=True)
class Protocol:
    """The rules of a benchmark.

    Attributes
    ----------
    name : str
    summary : str
        In words, for tables.
    task : {"objects", "classes"}, optional
        What it scores; None where either will do.
    union : bool
        Takes all objects for one.
    inner_frames : bool
        Leaves out the first and the last frame of every clip.
    pooled : bool
        Scores a set over all objects, windows or pixels of its clips, not over the clips' means.
    """

    name: str
    summary: str
    task: Task | None = None
    union: bool = False
    inner_frames: bool = False
    pooled: bool = False


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("all", "every frame; sets are means over clips"),
        Protocol(
            "davis2016", "DAVIS 2016: one object, first and last frame left out; means over clips",
            task="objects", union=True, inner_frames=True,
        ),
        Protocol(
            "davis2017",
            "DAVIS 2017: first and last frame left out; means over all objects of all clips",
            task="objects", inner_frames=True, pooled=True,
        ),
        Protocol(
            "vspw", "VSPW's public programs: all clips' pixels, and all their windows, together",
            task="classes", pooled=True,
        ),
    )
}  # fmt: skip


def choose_protocol(
    name: str | None,
    task: Task | None,
    layouts: Sequence[str],
    *,
    union: bool = False,
    has_truth: bool = True,
) -> Protocol:
    """Return the protocol that was asked for, or VSPW's where the truth has that layout.

    Parameters
    ----------
    name : str, optional
    task : {"objects", "classes", "tracks"}, optional
        As asked for; None: what the protocol scores, else objects.
    layouts : sequence of str
        Those of frames and truth; see `steadymask.evaluation.layouts.name_layout`.
    union : bool
        Whether all objects were asked to be taken for one.
    has_truth : bool
        Whether there are true masks, without which only `all` can be asked for.

    Raises
    ------
    ConfigError
        If there is no such protocol, or it does not fit what is to be scored.

    Examples
    --------
    >>> choose_protocol(None, None, ["vspw"]).name, choose_protocol(None, None, ["folders"]).name
    ('vspw', 'all')
    """
    asked = name
    if name is None:
        fits = "vspw" in layouts and task in (None, "classes") and not union
        name = "vspw" if fits else "all"
    if name not in PROTOCOLS:
        raise ConfigError(f"--protocol {name!r}: expected one of {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    if asked not in (None, "all") and not has_truth:
        raise ConfigError(f"--protocol {name}: expected --gt, the truth, got none")
    if protocol.task is not None and task not in (None, protocol.task):
        raise ConfigError(
            f"--protocol {name}: scores {protocol.task}, expected --task {protocol.task}, "
            f"got {task}"
        )
    if union and protocol.task == "classes":
        raise ConfigError(f"--protocol {name}: scores classes, which --union would make one")
    if name.startswith("davis") and "cityscapes" in layouts:
        raise ConfigError(
            f"--protocol {name}: expected clips of objects in every frame, got the layout of "
            "Cityscapes, which labels single frames: leave the protocol out"
        )
    return protocol
