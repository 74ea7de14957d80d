"""From settings to the steps of the plan: which stages there are, and in which order.

A stage that is added here is also named in the typed settings, the estimates of size and time and
the test of the law of chunks; tests fail until it is. See docs/how_to_extend.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import ConfigError
from pipeline.settings import Sections, build, check_names
from pipeline.stage import Resources, Step
from stages.shared_settings import shared_fields

ROOT = Path(__file__).parent.parent


class Engine(BaseModel):
    """How the work is cut up and spread; nothing here can change a pixel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chunk: int = Field(64, ge=1, description="frames of a chunk at most")
    recent_mb: float = Field(
        0.0, ge=0, description="of arrays that each worker keeps in memory for its next tasks"
    )
    task_limit_s: float = Field(
        3600.0, ge=0, description="seconds after which a task is stopped; on Ray; 0 is never"
    )
    worker_limit_s: float = Field(
        14400.0, ge=0, description="seconds after which workers are replaced; on Ray; 0 is never"
    )
    drop: tuple[str, ...] = Field(
        (), description="stages whose arrays are deleted after use, such as flow and visibility"
    )
    resources: dict[str, Resources] = Field(
        default_factory=dict, description="by stage: cpus, gpus, memory_bytes; on Ray"
    )


def step_types(*, segmenter: bool) -> dict[str, type[Step]]:
    """Return the steps by section name, in the order of the plan."""
    from stages.carry_masks import CarryMasks
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

    segment: type[Step] = Segment if segmenter else ImportMasks
    stages = (Ingest, segment, Flow, CarryMasks, Visibility, Trust, Refine, Smooth)
    steps = (*stages, Cover, Measure, Export, PseudoLabels, Scores, Review, Report)
    return {step.name: step for step in steps}


def build_steps(
    sections: Sections, source: str, *, key_frames: bool = False
) -> tuple[list[Step], Engine]:
    """Return the checked steps and the engine's settings.

    Masks are carried to frames without any only where clips may have such frames: with
    `key_frames`, or where ``segment.missing`` says so.

    Raises
    ------
    ConfigError
        Naming the first wrong section, field or value.
    """
    segmenter = bool(sections.get("segment", {}).get("segmenter"))
    types = step_types(segmenter=segmenter)
    check_names(sections, [*types, "engine"], source)
    engine = build(Engine, "engine", sections.get("engine", {}), source)
    for stage in (*engine.resources, *engine.drop):
        check_names({stage: None}, types, f"{source}: engine")
    filled = with_shared(sections, types)
    steps: list[Step] = [
        build(model, name, filled.get(name, {}), source).resolve() for name, model in types.items()
    ]
    # A report that is switched off clears its place; label sets of before are the user's to keep.
    steps = [step for step in steps if getattr(step, "enabled", True) or step.name == "report"]
    some_lack_masks = sections.get("segment", {}).get("missing") in ("carry", "empty")
    if not (key_frames or some_lack_masks):
        steps = [step for step in steps if step.name != "carry"]
    # Only redaction reads the cover.
    formats = next(getattr(step, "formats", ()) for step in steps if step.name == "export")
    steps = [step for step in steps if step.name != "cover" or "redacted" in formats]
    from stages.import_masks import MaskClasses
    from stages.ingest import Probe
    from stages.segment import Classes

    steps.insert(0, Probe(**_shared_values(filled.get("ingest", {}), Probe)))
    if segmenter:
        chosen = next(step for step in steps if step.name == "segment")
        steps.insert(2, Classes(settings=chosen.model_dump(mode="json")))
    else:
        classes = MaskClasses(**_shared_values(filled.get("segment", {}), MaskClasses))
        steps.insert(2, classes.resolve())
    return steps, engine


def _shared_values(fields: Mapping[str, Any], model: type[Step]) -> dict[str, Any]:
    """Return those of a section's fields that another step has too."""
    return {name: fields[name] for name in model.model_fields if name in fields}


def with_shared(sections: Sections, types: Mapping[str, type[Step]]) -> Sections:
    """Return the sections with the settings that stages share, given where they belong."""
    filled = {name: dict(fields) for name, fields in sections.items()}
    for section, model in types.items():
        for field, origin in shared_fields(section, model).items():
            from_section, from_field = origin.split(".")
            default: Any = types[from_section].model_fields[from_field].default
            value = sections.get(from_section, {}).get(from_field, default)
            if filled.setdefault(section, {}).setdefault(field, value) != value:
                raise ConfigError(
                    f"{section}.{field} = {filled[section][field]!r}: expected that of {origin}, "
                    f"{value!r}: set {origin} alone"
                )
    return filled
