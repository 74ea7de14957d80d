"""Settings that several stages have to agree on: each declared once, with its default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field


@dataclass(frozen=True)
class SharedWith:
    """Marks a setting whose value is that of another stage, `origin`, such as ``flow.radius``."""

    origin: str


Radius = Annotated[
    int,
    Field(ge=1, le=8, description="neighbour frames to either side; set flow.radius alone"),
    SharedWith("flow.radius"),
]
DEFAULT_RADIUS = 3

Appearance = Annotated[
    float,
    Field(
        gt=0,
        description="how unlike a neighbour may look, in grey levels (1 sigma); set "
        "refine.appearance alone",
    ),
    SharedWith("refine.appearance"),
]
DEFAULT_APPEARANCE = 12.0

RefineMethod = Annotated[
    str,
    Field(description="how masks are refined; set refine.method alone"),
    SharedWith("refine.method"),
]
DEFAULT_REFINE_METHOD = "trust"


def shared_fields(section: str, model: type[BaseModel]) -> dict[str, str]:
    """Return the origins of a stage's fields that take their value from another stage.

    Examples
    --------
    >>> class Demo(BaseModel):
    ...     radius: Radius = DEFAULT_RADIUS
    >>> shared_fields("demo", Demo), shared_fields("flow", Demo)
    ({'radius': 'flow.radius'}, {})
    """
    return {
        name: mark.origin
        for name, field in model.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, SharedWith) and mark.origin != f"{section}.{name}"
    }
