"""Changes to a batch of examples that leave its truth true."""

from __future__ import annotations

from collections.abc import Callable

import torch

RGB, OWN, COLOUR = slice(0, 3), slice(3, 4), slice(5, 6)  # among the planes

Batch = dict[str, torch.Tensor]
Chance = Callable[[float], bool]


def augmented_batch(batch: Batch, generator: torch.Generator) -> Batch:
    """Return the batch turned, lit otherwise, inside out, or with less to go by.

    Parameters
    ----------
    batch : dict
        `planes` (B, 6, H, W), `near` (B, 2 (window - 1), h, w) and `truth` (B, 1, H, W) in [0, 1];
        see `AlignedDecoder.forward`.
    generator : torch.Generator
    """

    def chance(share: float) -> bool:
        return bool(torch.rand((), generator=generator) < share)

    out = {name: values.clone() for name, values in batch.items()}
    for axis in (-1, -2):
        if chance(0.5):
            out = {name: values.flip(axis) for name, values in out.items()}
    if chance(0.5):
        out = {name: values.transpose(-1, -2) for name, values in out.items()}
    if chance(0.3):
        _turn_inside_out(out)
    _relight_frames(out["planes"], generator, chance)
    _mislead_decoder(out, generator, chance)
    return out


def _turn_inside_out(batch: Batch) -> None:
    """Ask for what is not the object: one class against the rest works for either."""
    batch["planes"][:, 3:] = 1 - batch["planes"][:, 3:]
    batch["near"][:, 0::2] = 1 - batch["near"][:, 0::2]
    batch["truth"] = 1 - batch["truth"]


def _relight_frames(planes: torch.Tensor, generator: torch.Generator, chance: Chance) -> None:
    count = len(planes)
    if chance(0.5):
        gain = 0.75 + 0.5 * torch.rand(count, 3, 1, 1, generator=generator)
        shift = 0.2 * (torch.rand(count, 1, 1, 1, generator=generator) - 0.5)
        planes[:, RGB] = (planes[:, RGB] * gain + shift).clamp(0, 1)
    if chance(0.2):
        planes[:, RGB] = planes[:, torch.randperm(3, generator=generator)]


def _mislead_decoder(batch: Batch, generator: torch.Generator, chance: Chance) -> None:
    """Weaken the evidence of colour or mix in that of another scene; drop neighbours."""
    count = len(batch["truth"])
    colour = batch["planes"][:, COLOUR] - 0.5
    if chance(0.5):
        colour = colour * torch.rand(count, 1, 1, 1, generator=generator)
    if chance(0.5):
        share = torch.rand(count, 1, 1, 1, generator=generator)
        colour = colour + share * colour.roll(1, 0)
    batch["planes"][:, COLOUR] = (colour + 0.5).clamp(0, 1)
    for k in range(batch["near"].shape[1] // 2):
        if chance(0.1):
            batch["near"][:, 2 * k : 2 * k + 2] = 0
