"""Every error this project raises on purpose.

PipelineError
├── ConfigError      a preset, an override or a field is wrong      (exit 2)
├── GraphError       stages do not fit together                     (exit 2)
├── InputError       a file or an array is not what a stage needs   (exit 1: the clip fails)
│   └── ShapeError
└── CacheError       a stored artifact is damaged or unreadable     (exit 1: the clip fails)
"""

from __future__ import annotations


class PipelineError(Exception):
    """Base of all expected failures; its text is shown to the user without a traceback."""

    exit_code = 1


class ConfigError(PipelineError):
    exit_code = 2


class GraphError(PipelineError):
    exit_code = 2


class InputError(PipelineError):
    pass


class ShapeError(InputError):
    pass


class CacheError(PipelineError):
    pass
