"""How large a clip may be: bounds on what strangers' files can make a machine do."""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import InputError

GIB = 2**30


class Limits(BaseModel):
    """What a clip may announce at most; checked before anything of that size is allocated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: int = Field(16384, ge=1, le=32766, description="rows or columns of a frame")
    pixels: int = Field(2**26, ge=1, le=2**30, description="of a frame; 8K has 2**25")
    frames: int = Field(5_000_000, ge=1, description="of a clip")
    duration_s: float = Field(172_800, gt=0, description="of a clip, seconds")
    decoded_bytes: int = Field(2**44, ge=1, description="of all frames of a clip, 3 a pixel")
    file_bytes: int = Field(2**40, ge=1, description="of a clip's files together")

    @classmethod
    def like(cls, frames: int, size: tuple[int, int]) -> Limits:
        """Return bounds for masks of a clip that was let in; they may not be in its way."""
        usual = USUAL
        return cls(
            side=max(usual.side, *size),
            pixels=max(usual.pixels, size[0] * size[1]),
            frames=max(usual.frames, frames),
            duration_s=math.inf,
            decoded_bytes=max(usual.decoded_bytes, 3 * frames * size[0] * size[1]),
        )

    def check_size(self, where: Path, size: tuple[int, int]) -> None:
        """Refuse frames (rows, columns) that are too large, or have no extent.

        Raises
        ------
        InputError
        """
        rows, columns = size
        if min(size) < 1:
            raise InputError(
                f"{where}: expected frames of at least 1x1, got {columns}x{rows}: it announces no "
                "size, or one that no decoder takes"
            )
        got = f"got {columns}x{rows}"
        if max(size) > self.side:
            raise self._limit_error(where, "side", f"at most {self.side} pixels a side, {got}")
        if rows * columns > self.pixels:
            raise self._limit_error(where, "pixels", f"at most {self.pixels} pixels a frame, {got}")

    def check_length(
        self, where: Path, frames: int, size: tuple[int, int], duration_s: float = 0.0
    ) -> None:
        """Refuse a clip that is too long.

        Raises
        ------
        InputError
        """
        if frames > self.frames:
            raise self._limit_error(where, "frames", f"at most {self.frames} frames, got more")
        if not abs(duration_s) <= self.duration_s:
            most = f"at most {self.duration_s:g} s, got {duration_s:.4g} s"
            raise self._limit_error(where, "duration_s", most)
        decoded = 3 * frames * size[0] * size[1]
        if decoded > self.decoded_bytes:
            most = f"at most {self.decoded_bytes} bytes when decoded, got {decoded}"
            raise self._limit_error(where, "decoded_bytes", most)

    @staticmethod
    def _limit_error(where: Path, field: str, expected: str) -> InputError:
        return InputError(
            f"{where}: expected {expected}: if you trust it, raise {field} in ingest.limits"
        )


def decoder_bytes(pixels: int) -> int:
    """Return the memory a decoder of frames of so many pixels may take.

    A codec keeps up to 17 pictures of at most 8 bytes a pixel, usually of 1.5; the filters a few.
    """
    return 4 * GIB + 64 * pixels


USUAL = Limits()
