"""The errors that the engine raises on purpose, and the exit status of each.

`StageError`, of a stage that failed in some way of its own, is in `pipeline.task_runner`, and
`WriteError`, of a result that cannot be read again, in `stages.media.results.result`; with either
the clip fails (exit 1).

PipelineError
├── ConfigError      a preset, an override or a field is wrong      (exit 2)
│   └── NowhereError tasks cannot be run here, or never would be    (exit 2: the run stops)
├── GraphError       stages do not fit together                     (exit 2)
├── InputError       a file or an array is not what a stage needs   (exit 1: the clip fails)
│   └── ShapeError
├── CacheError       the store cannot be read or written            (exit 1: the clip fails)
│   ├── DamageError  an artifact is not what was stored             (it is made again)
│   └── FullError    no room is left                                (exit 1: the run stops)
└── LostError        a worker, its machine or its GPU died under a task (it is done again)
"""

from __future__ import annotations

from pipeline.exit_status import ExitStatus

NO_ROOM = "no room left on the disk: free some and give the same command again"


class PipelineError(Exception):
    """Base of all expected failures; its text is shown to the user without a traceback."""

    exit_code = ExitStatus.FAILED


class ConfigError(PipelineError):
    exit_code = ExitStatus.REFUSED


class NowhereError(ConfigError):
    pass


class GraphError(PipelineError):
    exit_code = ExitStatus.REFUSED


class InputError(PipelineError):
    pass


class ShapeError(InputError):
    pass


class CacheError(PipelineError):
    pass


class DamageError(CacheError):
    def __init__(self, text: str, key: str) -> None:
        super().__init__(text, key)

    def __str__(self) -> str:
        return str(self.args[0])

    @property
    def key(self) -> str:
        """Of the artifact."""
        return str(self.args[1])


class FullError(CacheError):
    pass


class LostError(PipelineError):
    pass
