"""The layouts of label sets by name: the one file that knows which there are."""

from __future__ import annotations

import inspect

from pipeline.errors import ConfigError
from pipeline.plugins import load_plugin
from stages.media.label_sets.coco import Coco, YoutubeVis
from stages.media.label_sets.set_layouts import Cityscapes, Davis, Layout, Voc
from stages.media.label_sets.webdataset import Shards

ENTRY_POINTS = "steadymask.label_layouts"
LAYOUTS: dict[str, type[Layout]] = {
    layout.name: layout for layout in (Voc, Cityscapes, Davis, Coco, YoutubeVis, Shards)
}


def layout_type(name: str) -> type[Layout]:
    """Return the class of a layout: one of `LAYOUTS`, ``module:Class``, or an entry point.

    Raises
    ------
    ConfigError
        If there is none of this name, with all there are, or it is no `Layout`.
    """
    if name in LAYOUTS:
        return LAYOUTS[name]
    kind = load_plugin(name, setting="--layout", group=ENTRY_POINTS, known=LAYOUTS)
    if not (inspect.isclass(kind) and issubclass(kind, Layout)):
        raise ConfigError(f"--layout = {name!r}: expected a class of Layout, got {kind!r}")
    return kind
