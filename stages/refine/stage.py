"""Refine: every frame's mask agrees with what its neighbours saw."""

from __future__ import annotations

from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, computed_field, field_validator

from pipeline.stage import ArrayHandle, Arrays, Facts, Input, Stage, Window
from stages.arrays import REFINED_LABELS, REFINED_MASKS, SETTLED
from stages.refine.method import RefineChoice
from stages.refine.methods import find_method
from stages.shared_settings import (
    DEFAULT_APPEARANCE,
    DEFAULT_RADIUS,
    DEFAULT_REFINE_METHOD,
    Appearance,
    Radius,
    RefineMethod,
)


class Refine(Stage):
    """Repair of what is wrong; or voting, a learned decoder after it, or the paper's decoder.

    See `stages.ops.voting.vote` and `stages.models.decoders.load`.
    """

    name: ClassVar[str] = "refine"
    version: ClassVar[int] = 9
    writes: ClassVar[tuple[ArrayHandle, ...]] = (REFINED_MASKS, REFINED_LABELS, SETTLED)
    uses: ClassVar[tuple[str, ...]] = ("sparse",)
    outside_key: ClassVar[tuple[str, ...]] = ("weights", "device", "modules")
    unkeyed_defaults: ClassVar[tuple[str, ...]] = ("options",)

    method: RefineMethod = Field(
        DEFAULT_REFINE_METHOD,
        description="trust: repair what is wrong and leave the rest as it is; or all masks: vote, "
        "aligned (vote and decode), deeplab (decode), none, or module:function",
    )
    reach: int = Field(8, ge=1, le=30, description="frames to either side that repair a mask")
    radius: Radius = DEFAULT_RADIUS
    passes: int = Field(2, ge=0, le=10, description="each widens the reach by `radius` frames")
    appearance: Appearance = DEFAULT_APPEARANCE
    window: Literal[1, 3, 5, 7] = Field(7, description="frames that the aligned decoder looks at")
    weights: str = Field("", description="of a decoder: path; aligned comes with its own")
    decode: bool = Field(
        True, description="trust: also decode coarse masks with the aligned decoder after voting"
    )
    device: str = Field("cpu", description="of voting and of a decoder: cpu or cuda")

    options: dict[str, Any] = Field(
        default_factory=dict, description="of a method of your own: its keyword arguments"
    )
    modules: str = Field("", description="folder of a method of your own; empty: this one")

    @field_validator("method")
    @classmethod
    def _check_method(cls, method: str) -> str:
        find_method(method)
        return method

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def weights_digest(self) -> str:
        """Digest of a decoder's weights, or of the code of a user's method, for keys."""
        return find_method(self.method).digest(self._choice)

    def resolve(self) -> Self:
        """Return the step with the folder of the user's method, and its digest known."""
        folder = self.modules or (str(Path.cwd()) if ":" in self.method else "")
        step = self.model_copy(update={"modules": folder})
        step.weights_digest  # noqa: B018 - looked up now: errors come before the run
        return step

    @property
    def _choice(self) -> RefineChoice:
        return RefineChoice(
            **{part.name: getattr(self, part.name) for part in fields(RefineChoice)}
        )

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read what the method reads."""
        return find_method(self.method).inputs(self._choice, facts)

    def run(self, window: Window) -> Arrays:
        """Return the soft masks, refined, and what needs no smoothing any more."""
        return find_method(self.method).run(self._choice, window)
