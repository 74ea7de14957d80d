"""Scenes of moving layers, with exact masks, flow and visibility."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from steadymask.training.synthetic.materials import (
    Picture,
    picture_region,
    random_texture,
    shape,
    smooth_noise,
)

ROOM = 1.6  # a layer's size over the picture's, so that it can move
TURNS = 12  # of the fixed point that undoes a layer's bending; each leaves 0.3 of the error
FAST = 0.35  # share of scenes in which things move by many pixels a frame

Places = NDArray[np.float32]
"""(2, H, W): x, then y."""


@dataclass(frozen=True)
class Layer:
    """A texture cut out by a shape, and how it moves: an affine motion and a bending.

    ``u = A_t⁻¹(x) + bend(A_t⁻¹(x)) · sin(2πt/period + phase)`` is the place in the texture of what
    the picture shows at x; t counts from the middle frame.
    """

    texture: Picture
    alpha: NDArray[np.float32]
    velocity: NDArray[np.float64]
    acceleration: NDArray[np.float64]
    offset: NDArray[np.float64]
    turn: float
    growth: float
    bend: Places
    period: float
    phase: float

    def texture_places(self, places: Places, t: float) -> Places:
        """Return where in the texture lies what frame t shows at these places."""
        flat = self._undo_affine(places, t)
        return flat + self._bend_shape(flat) * self._swing_path(t)

    def picture_places(self, texture_places: Places, t: float) -> Places:
        """Return where frame t shows these places of the texture: the inverse."""
        flat = texture_places
        for _ in range(TURNS):
            flat = texture_places - self._bend_shape(flat) * self._swing_path(t)
        return self._affine_map(flat, t)

    def _swing_path(self, t: float) -> np.float32:
        return np.float32(np.sin(2 * np.pi * t / self.period + self.phase))

    def _bend_shape(self, places: Places) -> Places:
        planes = [
            cv2.remap(
                plane, places[0], places[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            for plane in self.bend
        ]
        return np.stack(planes)

    def _shift_shape(self, t: float) -> NDArray[np.float64]:
        big = self.texture.shape[0]
        middle = np.full(2, big / ROOM / 2)
        return middle + self.offset + self.velocity * t + self.acceleration * t * abs(t)

    def _affine_map(self, flat: Places, t: float) -> Places:
        x, y = flat - self.texture.shape[0] / 2
        cos, sin = (f(self.turn * t) * np.exp(self.growth * t) for f in (np.cos, np.sin))
        dx, dy = self._shift_shape(t)
        return np.stack([cos * x - sin * y + dx, sin * x + cos * y + dy]).astype(np.float32)

    def _undo_affine(self, places: Places, t: float) -> Places:
        dx, dy = self._shift_shape(t)
        x, y = places[0] - dx, places[1] - dy
        cos, sin = (f(self.turn * t) * np.exp(-self.growth * t) for f in (np.cos, np.sin))
        middle = self.texture.shape[0] / 2
        return np.stack([cos * x + sin * y + middle, cos * y - sin * x + middle]).astype(np.float32)


@dataclass(frozen=True)
class Scene:
    """Layers from back to front, lit and recorded.

    Attributes
    ----------
    layers : sequence of Layer
    size, frames : int
    light : float
        Growth of brightness a frame, as a power of e.
    blur, noise : float
        Of the camera, in pixels (sigma) and grey levels (sigma).
    seed : int
        Of the noise.
    """

    layers: Sequence[Layer]
    size: int
    frames: int
    light: float
    blur: float
    noise: float
    seed: int

    def frame_time(self, frame: int) -> int:
        """Return a frame's time, 0 for the middle one."""
        return frame - self.frames // 2

    def render_frames(self) -> tuple[list[Picture], NDArray[np.uint8]]:
        """Return the pictures, and for each which layer is on top: (T, H, W), 0 is the back."""
        rng = np.random.default_rng(self.seed)
        pictures, tops = [], []
        for frame in range(self.frames):
            picture, top = self._compose_scene(frame)
            picture = picture * np.exp(self.light * self.frame_time(frame))
            if self.blur:
                picture = cv2.GaussianBlur(picture, (0, 0), self.blur)
            picture = picture + rng.normal(0, self.noise, picture.shape)
            pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
            tops.append(top)
        return pictures, np.stack(tops)

    def _compose_scene(self, frame: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        picture = np.zeros((self.size, self.size, 3), np.float32)
        top = np.zeros((self.size, self.size), np.uint8)
        for k, layer in enumerate(self.layers):
            at = layer.texture_places(_pixel_grid(self.size), self.frame_time(frame))
            colour = cv2.remap(
                layer.texture, at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
            ).astype(np.float32)
            alpha = np.ones(top.shape, np.float32)
            if k:
                alpha = cv2.remap(layer.alpha, at[0], at[1], cv2.INTER_LINEAR)
            picture += (colour - picture) * alpha[..., None]
            top[alpha > 0.5] = k
        return picture, top

    def flow(self, tops: NDArray[np.uint8], i: int, j: int) -> Places:
        """Return the true flow from frame i to frame j, in pixels, within 0.01: (2, H, W)."""
        grid = _pixel_grid(self.size)
        out = np.zeros_like(grid)
        for k, layer in enumerate(self.layers):
            at = layer.texture_places(grid, self.frame_time(i))
            there = layer.picture_places(at, self.frame_time(j))
            out = np.where(tops[i] == k, there - grid, out)
        return out

    def visible(self, tops: NDArray[np.uint8], i: int, j: int) -> NDArray[np.bool_]:
        """Return which pixels of frame i frame j shows too: (H, W)."""
        x, y = np.rint(_pixel_grid(self.size) + self.flow(tops, i, j)).astype(int)
        inside = (x >= 0) & (y >= 0) & (x < self.size) & (y < self.size)
        there = tops[j][np.clip(y, 0, self.size - 1), np.clip(x, 0, self.size - 1)]
        return np.asarray(inside & (there == tops[i]))


def _pixel_grid(size: int) -> Places:
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    return np.stack([columns, rows])


def random_scene(
    rng: np.random.Generator, pictures: Sequence[Picture], *, size: int, frames: int
) -> Scene:
    """Return a scene of two to four layers out of `pictures`, all else drawn at random.

    In four of ten scenes all layers come from one picture, so that colour tells little.
    """
    big = round(size * ROOM)
    alike, fast = rng.random() < 0.4, rng.random() < FAST
    source = pictures[int(rng.integers(len(pictures)))]
    layers = []
    for k in range(int(rng.integers(2, 5))):
        if not alike:
            source = pictures[int(rng.integers(len(pictures)))]
        layers.append(_random_layer(rng, random_texture(source, rng, big), back=k == 0, fast=fast))
    return Scene(
        layers=layers,
        size=size,
        frames=frames,
        light=float(rng.normal(0, 0.01)),
        blur=float(rng.choice([0.0, 0.0, 0.6, 1.2])),
        noise=float(rng.uniform(0, 6)),
        seed=int(rng.integers(2**31)),
    )


def _random_layer(rng: np.random.Generator, cloth: Picture, *, back: bool, fast: bool) -> Layer:
    big = cloth.shape[0]
    cut = picture_region(cloth, rng) if rng.random() < 0.45 else shape(rng, big)
    if cut.mean() < 0.01:
        cut = shape(rng, big)
    # A bend of 0.3 a pixel at most can be undone by going round in circles.
    bend = np.stack([smooth_noise(rng, 5, big) for _ in range(2)]) * rng.uniform(
        0, 1 if back else 4
    )
    steep = max(float(np.abs(np.diff(bend, axis=axis)).max()) for axis in (1, 2))
    return Layer(
        texture=cloth,
        alpha=cv2.GaussianBlur(cut.astype(np.float32), (0, 0), 0.7),
        velocity=rng.normal(0, 10.0 if fast and not back else 1.8, 2),
        acceleration=rng.normal(0, 0.15, 2),
        offset=np.zeros(2) if back else rng.uniform(-0.3, 0.3, 2) * big / ROOM,
        turn=float(rng.normal(0, 0.012)),
        growth=float(rng.normal(0, 0.006)),
        bend=(bend * min(1.0, 0.15 / max(steep, 1e-6))).astype(np.float32),
        period=float(rng.uniform(8, 40)),
        phase=float(rng.uniform(0, 2 * np.pi)),
    )
