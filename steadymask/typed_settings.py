"""All settings of a run as one typed object, for programs; a preset in YAML says the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from pipeline.settings import Sections, merge_layers, read_preset
from stages.carry_masks import CarryMasks
from stages.catalogue import Engine
from stages.cover import Cover
from stages.export import Export
from stages.flow import Flow
from stages.import_masks import ImportMasks
from stages.ingest import Ingest
from stages.measure import Measure
from stages.pseudo_labels.stage import PseudoLabels
from stages.refine.stage import Refine
from stages.report.stage import Report
from stages.review import Review
from stages.scores import Scores
from stages.segment import Segment
from stages.smooth.stage import Smooth
from stages.trust.stage import Trust
from stages.visibility import Visibility
from steadymask.cli.options import find_preset


class Settings(BaseModel):
    """Settings by stage; what is not given has the stage's default.

    Examples
    --------
    >>> settings = Settings(flow=Flow(radius=2), smooth=Smooth(eps=1e-3))
    >>> settings.sections()
    {'flow': {'radius': 2}, 'smooth': {'eps': 0.001}}
    >>> Settings.from_preset("fast").flow.preset
    'fast'
    >>> Settings(flow={"raduis": 2})
    Traceback (most recent call last):
        ...
    pydantic_core._pydantic_core.ValidationError: ...
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ingest: Ingest | None = None
    segment: Segment | ImportMasks | None = None
    flow: Flow | None = None
    carry: CarryMasks | None = None
    visibility: Visibility | None = None
    trust: Trust | None = None
    refine: Refine | None = None
    smooth: Smooth | None = None
    cover: Cover | None = None
    measure: Measure | None = None
    export: Export | None = None
    pseudo_labels: PseudoLabels | None = None
    scores: Scores | None = None
    review: Review | None = None
    report: Report | None = None
    engine: Engine | None = None

    @classmethod
    def from_preset(cls, *presets: str | Path) -> Self:
        """Return the settings of presets by name or path; a later one beats an earlier one.

        Raises
        ------
        ConfigError
            If there is no such preset; names those there are.
        """
        return cls(**merge_layers(*(read_preset(find_preset(Path(preset))) for preset in presets)))

    def sections(self) -> Sections:
        """Return the settings that were given, by section and field, as in a preset."""
        chosen = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: step.model_dump(mode="json", include=step.model_fields_set)
            for name, step in chosen.items()
            if step is not None
        }


def read_sections(settings: Settings | Mapping[str, Mapping[str, Any]] | str | None) -> Sections:
    """Return the sections of settings, of plain sections, or of a preset by name or path."""
    if settings is None:
        return {}
    if isinstance(settings, str):
        return read_preset(find_preset(Path(settings)))
    if isinstance(settings, Settings):
        return settings.sections()
    return merge_layers(settings)
