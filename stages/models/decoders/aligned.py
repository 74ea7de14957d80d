"""The aligned decoder: small, for any classes, looks at neighbours carried to the frame itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from stages.models.torch_models import repeatable
from stages.ops.decoder_inputs import DecoderInputs
from stages.ops.residual import LEAST

WIDTHS = (24, 40, 64, 96)  # channels at a half, a quarter, an eighth, a sixteenth of the size
PLANES = 6  # at full size: R, G, B, own mask, voted mask, evidence of colour
OWN, VOTED = slice(3, 4), slice(4, 5)


class AlignedDecoder(nn.Module):
    """Residual of one frame's mask, one class against the rest.

    A U-Net on half the size. What comes at full size is folded into channels, 2 x 2 pixels at a
    time, and so is what it gives: edges keep their place to the pixel. Of three values a pixel one
    is added to the log odds, one says how far to go back from the voted mask to the frame's own,
    and one whether that can be trusted as it is: what was good is to be left alone. The last layer
    starts at zero: an untrained decoder changes nothing and trusts nothing.

    After the multi-input residual decoder of Azulay et al., "Temporally stable video segmentation
    without video annotations", sec. 5.1; alignment, evidence of colour and the network are this
    project's own.

    Parameters
    ----------
    window : {1, 3, 5, 7}
        Frames it looks at.
    widths : sequence of int
        Channels of each level.
    """

    def __init__(self, window: int = 7, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.window, self.widths = window, tuple(widths)
        input_planes = 4 * PLANES + 2 * (window - 1)
        self.stem = nn.Conv2d(input_planes, widths[0], 3, padding=1)
        sizes = list(zip((widths[0], *widths), widths, strict=False))
        self.down = nn.ModuleList(_ResidualBlock(before, after) for before, after in sizes)
        self.up = nn.ModuleList(_ResidualBlock(low + high, high) for high, low in sizes[1:])
        self.head = nn.Conv2d(widths[0], 3 * 4, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        if self.head.bias is not None:
            nn.init.zeros_(self.head.bias)

    @property
    def settings(self) -> dict[str, Any]:
        """What to call the class with to build the same network."""
        return {"window": self.window, "widths": list(self.widths)}

    def forward(self, planes: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
        """Return the residual of the voted mask's log odds; `decode` without the trust."""
        return self.decode(planes, near)[0]

    def decode(self, planes: torch.Tensor, near: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the residual of the voted mask's log odds, and how far to trust the own mask.

        Parameters
        ----------
        planes : tensor, shape (B, 6, H, W), in [0, 1]
        near : tensor, shape (B, 2 (window - 1), ceil(H/2), ceil(W/2)), in [0, 1]
            See `stages.ops.decoder_inputs.DecoderInputs`.

        Returns
        -------
        (residual, trust) : tensors, shape (B, 1, H, W)
            Both log odds; of `trust`, that the frame's own mask is right here and around.
        """
        rows, columns = planes.shape[-2:]
        step = 2 ** len(self.widths)
        x = F.pad(2 * planes - 1, (0, -columns % step, 0, -rows % step), mode="replicate")
        x = F.pixel_unshuffle(x, 2)
        below, right = (x.shape[k] - near.shape[k] for k in (-2, -1))
        x = F.relu(self.stem(torch.cat([x, F.pad(near, (0, right, 0, below))], 1)), inplace=True)
        levels = []
        for k, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if k else x)
            levels.append(x)
        for k in reversed(range(len(self.up))):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = self.up[k](torch.cat([x, levels[k]], 1))
        out: torch.Tensor = F.pixel_shuffle(self.head(x), 2)[..., :rows, :columns]
        to_own = log_odds(planes[:, OWN]) - log_odds(planes[:, VOTED])
        return out[:, :1] + torch.tanh(out[:, 1:2]) * to_own, out[:, 2:]

    def refine(self, inputs: DecoderInputs) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the residual of one frame's classes, each decoded by itself.

        Parameters
        ----------
        inputs : DecoderInputs
            From `stages.ops.decoder_inputs.decoder_inputs`.

        Returns
        -------
        (residual, trust) : ndarrays, shape (H, W, C), float32
            Residual log odds, see `stages.ops.residual.add_residual`, and the probability that the
            frame's own mask is right here and around.
        """
        classes, _, rows, columns = inputs.masks.shape
        residual, trust = np.zeros((2, rows, columns, classes), np.float32)
        device = self.stem.weight.device
        with repeatable():
            for c in range(classes):
                planes = torch.from_numpy(inputs.planes(c)[None]).to(device)
                around = torch.from_numpy(inputs.near[c : c + 1]).to(device)
                added, trusted = self.decode(_channels_last(planes), _channels_last(around))
                residual[..., c] = added[0, 0].cpu().numpy()
                trust[..., c] = torch.sigmoid(trusted[0, 0]).cpu().numpy()
        return residual, trust


def log_odds(mask: torch.Tensor) -> torch.Tensor:
    """Return the log odds of probabilities, held within 1/255 and 254/255."""
    bounded = mask.clamp(float(LEAST), 1 - float(LEAST))
    return torch.log(bounded / (1 - bounded))


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    """Lay channels out last: three times as fast on a CPU."""
    return x.contiguous(memory_format=torch.channels_last)


class _ResidualBlock(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        added = self.second(F.relu(self.first(x), inplace=True))
        return F.relu(added.add_(self.skip(x)), inplace=True)
