"""Settings of learned flow that are more than a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.errors import ConfigError

Precision = Literal["fp32", "bf16"]

FAMILY = ("raft", "raft_small", "gma")
"""ptlflow's models that `stages.models.flow.raft.family` runs. sea_raft's context network looks at
both pictures of a pair at once: nothing of it can be shared, and it keeps its own forward."""


@dataclass(frozen=True)
class NetworkSettings:
    """How a network of the RAFT family is run.

    Attributes
    ----------
    iterations : int, >= 0
        Of the update; 0: as many as the network takes by itself.
    far_iterations : int, >= 0
        Of flow to frames beyond the next, which then starts from the composed flows between;
        0: it starts from nothing, as flow to the next frame does.
    precision : {"fp32", "bf16"}
        Of the update; correlation and its look-up are always fp32.
    recorded : bool
        Whether a GPU is given iterations as a CUDA graph; else one kernel after the other.
    """

    iterations: int = 0
    far_iterations: int = 0
    precision: Precision = "fp32"
    recorded: bool = True

    def check(self, method: str) -> None:
        """Refuse settings that `method` does not know.

        Raises
        ------
        ConfigError
            If it is not of the RAFT family and one of them is not the default.
        """
        if method in FAMILY:
            return
        for name, default in NetworkSettings().__dict__.items():
            if (value := getattr(self, name)) != default:
                raise ConfigError(
                    f"flow.{name} = {value!r}: expected {default!r} with flow.method = "
                    f"{method!r}; only {', '.join(FAMILY)} take it"
                )
