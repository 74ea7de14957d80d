"""Examples for the aligned decoder: what it sees of a generated scene, and the true mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.models.flow.dis import DisFlow
from stages.ops.decoder_inputs import decoder_inputs, frame_view
from stages.ops.fixed_point import pack_flow, pack_mask, unpack_flow, unpack_mask
from stages.ops.soft_masks import softened_masks
from stages.ops.voting import appearance_table, vote
from stages.ops.warp import compose_flows, resize_flow
from steadymask.training.synthetic.flicker import Flicker
from steadymask.training.synthetic.materials import (
    Picture,
    picture_region,
    sample_photographs,
    steady_runs,
)
from steadymask.training.synthetic.scenes import random_scene

SIZE, FRAMES, RADIUS, WINDOW = 208, 13, 3, 7
SIGMA, APPEARANCE = 1.5, 12.0  # as by default in segment.softness and refine.appearance
EACH = 3  # examples from one clip
MIDDLE = FRAMES // 2

Example = dict[str, NDArray[np.uint8]]
"""`planes` (6, H, W), `near` (12, h, w) and `truth` (1, H, W), all in 255ths."""


class _SyntheticClip:
    """Frames with the flow between them, as the pipeline estimates it."""

    def __init__(self, frames: list[Picture]) -> None:
        self.frames = frames
        self._flows: dict[tuple[int, int], NDArray[np.float32]] = {}
        self._table = appearance_table(APPEARANCE)

    @cached_property
    def _flow_search(self) -> DisFlow:
        return DisFlow("medium")

    @cached_property
    def _small_flow(self) -> list[Picture]:
        half = SIZE // 2, SIZE // 2
        return [cv2.resize(f, half, interpolation=cv2.INTER_AREA) for f in self.frames]

    def flow(self, i: int, j: int) -> NDArray[np.float32]:
        """Return F[i→j] at half size: estimated between neighbours, else composed."""
        if (i, j) not in self._flows:
            step = 1 if j > i else -1
            if j == i + step:
                flow = self._flow_search(self._small_flow[i], self._small_flow[j])
            else:
                flow = compose_flows(self.flow(i, j - step), self.flow(j - step, j))
            self._flows[i, j] = unpack_flow(pack_flow(flow))
        return self._flows[i, j]

    def carried_from_the_middle(self, mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
        """Return a mask of the middle frame as all frames show it, by the flow."""
        out = []
        rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
        for t in range(FRAMES):
            if t == MIDDLE:
                out.append(mask)
                continue
            u, v = resize_flow(self.flow(t, MIDDLE), (SIZE, SIZE))
            moved = cv2.remap(
                mask.astype(np.float32), columns + u, rows + v, cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )  # fmt: skip
            out.append(moved > 0.5)
        return out

    def example(self, masks: list[NDArray[np.bool_]], truth: NDArray[np.bool_]) -> Example:
        """Return the decoder's inputs of the middle frame when a network gives these masks."""
        soft = [
            unpack_mask(pack_mask(softened_masks(mask.astype(np.uint16), (1,), sigma=SIGMA)))
            for mask in masks
        ]
        once = {t: self._vote_masks(dict(enumerate(soft)), t) for t in self._frames_around()}
        inputs = decoder_inputs(
            {t - MIDDLE: frame_view(self.frames[t], soft[t]) for t in self._frames_around()},
            self._vote_masks(once, MIDDLE),
            {t - MIDDLE: self.flow(MIDDLE, t) for t in self._frames_around() if t != MIDDLE},
            window=WINDOW,
            table=self._table,
        )
        return {
            "planes": pack_mask(inputs.planes(0)),
            "near": pack_mask(inputs.near[0]),
            "truth": truth[None].astype(np.uint8) * np.uint8(255),
        }

    @staticmethod
    def _frames_around() -> range:
        return range(MIDDLE - RADIUS, MIDDLE + RADIUS + 1)

    def _vote_masks(self, masks: dict[int, NDArray[np.float32]], t: int) -> NDArray[np.float32]:
        near = [j for j in range(t - RADIUS, t + RADIUS + 1) if j != t and j in masks]
        return vote(
            [masks[t], *(masks[j] for j in near)],
            [self.frames[t], *(self.frames[j] for j in near)],
            [self.flow(t, j) for j in near],
            table=self._table,
        )


def training_examples(videos: Sequence[Path], count: int, *, seed: int) -> Iterator[Example]:
    """Yield examples, by turns of layered scenes and of real video.

    Parameters
    ----------
    videos : sequence of Path
        Unlabelled; may be empty. Frames of them also serve as textures.
    count : int
    seed : int
    """
    rng = np.random.default_rng(seed)
    real = [
        run for video in videos for run in steady_runs(video, rng, frames=FRAMES, size=SIZE, each=2)
    ]
    cloths = [*sample_photographs(), *(run[0] for run in real)]
    for k in range(-(-count // EACH)):
        if real and rng.random() < 0.4:
            clip_examples = _from_video(rng, real[rng.integers(len(real))])
        else:
            clip_examples = _from_scene(rng, cloths)
        for number, example in enumerate(clip_examples):
            if k * EACH + number < count:
                yield example


def _from_scene(rng: np.random.Generator, cloths: Sequence[Picture]) -> Iterator[Example]:
    scene = random_scene(rng, cloths, size=SIZE, frames=FRAMES)
    frames, tops = scene.render_frames()
    clip = _SyntheticClip(frames)
    for _ in range(EACH):
        chosen = rng.integers(1, len(scene.layers))
        masks, others = tops == chosen, (tops != chosen) & (tops > 0)
        flicker = Flicker(rng, SIZE)
        flickering = [flicker(mask, other) for mask, other in zip(masks, others, strict=True)]
        yield clip.example(flickering, masks[MIDDLE])


def _from_video(rng: np.random.Generator, frames: list[Picture]) -> Iterator[Example]:
    """Take a region of the middle frame for an object: its outline follows real edges."""
    clip = _SyntheticClip(frames)
    for _ in range(EACH):
        mask, other = picture_region(frames[MIDDLE], rng), picture_region(frames[MIDDLE], rng)
        masks = clip.carried_from_the_middle(mask)
        others = clip.carried_from_the_middle(other & ~mask)
        flicker = Flicker(rng, SIZE)
        flickering = [flicker(m, o) for m, o in zip(masks, others, strict=True)]
        yield clip.example(flickering, mask)
