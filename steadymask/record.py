"""The record of a run, ``OUT/run.json``, as a typed object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import ConfigError
from pipeline.whole_files import write_whole

FILE = "run.json"


class StageRecord(BaseModel):
    """What one stage of one clip came to."""

    model_config = ConfigDict(frozen=True, extra="allow")

    hits: int = 0
    computed: int = 0
    seconds: float = 0.0
    bytes: int = 0


class ClipRecord(BaseModel):
    """What one clip came to."""

    model_config = ConfigDict(frozen=True, extra="allow")

    done: bool = False
    stages: dict[str, StageRecord] = Field(default_factory=dict)


class RunProgress(BaseModel):
    """How far a run is: clips, share of the work, tasks at work by name with their start."""

    model_config = ConfigDict(frozen=True, extra="allow")

    clips: int
    finished: int
    failed: int
    share: float
    running: dict[str, float] = Field(default_factory=dict)
    marks: tuple[tuple[float, float], ...] = ()
    updated: float = 0.0


class RunRecord(BaseModel):
    """What a run did: settings, versions, clips, failures; fields of later versions are kept.

    Attributes
    ----------
    state : str
        ``running`` or ``done``.
    began, seconds : float
        When it began, seconds since 1970, and how long it took until now.
    settings : dict
        By section and field, all of them.
    failures : dict of str to str
        Reasons by clip.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    state: str = "done"
    began: float = 0.0
    seconds: float = 0.0
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    failures: dict[str, str] = Field(default_factory=dict)
    progress: RunProgress | None = None
    clips: dict[str, ClipRecord] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        if not {"settings", "clips"} & self.model_fields_set:
            raise ValueError("expected settings or clips, got neither")
        return self

    @property
    def finished(self) -> tuple[str, ...]:
        """The clips that are done, by name."""
        return tuple(sorted(name for name, clip in self.clips.items() if clip.done))

    @classmethod
    def load(cls, out: Path) -> Self:
        """Return the record of the run whose results are in `out`.

        Raises
        ------
        ConfigError
            If there is none, or it is not the record of a run.
        """
        path = out / FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ConfigError(f"{path}: expected the record of a run, found none") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "content"
            raise ConfigError(
                f"{path}: not the record of a run: {where}: {first['msg']}"
            ) from error
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error

    @classmethod
    def load_if_any(cls, out: Path) -> Self | None:
        """Return the record in `out`, or None where there is none that can be read."""
        try:
            return cls.load(out)
        except ConfigError:
            return None

    def save(self, out: Path) -> None:
        """Write it into `out`, whole or not at all."""
        path = out / FILE
        text = json.dumps(self.model_dump(mode="json", exclude_unset=True), indent=1)
        write_whole(path, f"{text}\n")
