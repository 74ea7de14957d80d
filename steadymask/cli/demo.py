"""``--demo``: footage with known truth, made from the photographs that scikit-image carries."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from stages.media.masks.palette import read_labels, write_indexed_png
from stages.metrics.accuracy import boundary_f, jaccard
from stages.ops.corruption import corrupted_mask

SIZE = 360, 640
FRAMES = 40
SEED = 20260101


@dataclass(frozen=True)
class Scene:
    """A cut-out that moves over a panning picture."""

    name: str
    background: str
    foreground: str
    path: tuple[float, float]  # pixels a frame, down and across
    turn: float  # degrees a frame


SCENES = (
    Scene("cat-over-rocket", "rocket", "chelsea", (1.5, 6.0), 1.0),
    Scene("coffee-over-astronaut", "astronaut", "coffee", (-1.0, -5.0), -2.0),
)


def make_demo(out: Path) -> tuple[Path, Path]:
    """Write footage, true masks and flickering masks below `out`; return (footage, masks)."""
    base = out / "demo"
    if base.exists():
        shutil.rmtree(base)
    for scene in SCENES:
        rng = np.random.default_rng(SEED)
        folders = {name: base / name / scene.name for name in ("footage", "truth", "masks")}
        for folder in folders.values():
            folder.mkdir(parents=True)
        for t, (frame, truth) in enumerate(_scene_frames(scene, rng)):
            noisy = corrupted_mask(truth, rng, growth=3, displacement=6, blobs=0.3)
            cv2.imwrite(str(folders["footage"] / f"{t:05d}.jpg"), frame[..., ::-1])
            write_indexed_png(folders["truth"] / f"{t:05d}.png", truth.astype(np.uint8))
            write_indexed_png(folders["masks"] / f"{t:05d}.png", noisy.astype(np.uint8))
    return base / "footage", base / "masks"


def print_truth(out: Path) -> None:
    """Print how near the masks in and out are to the truth."""
    for scene in SCENES:
        truth = _read_masks(out / "demo" / "truth" / scene.name)
        for system, folder in (
            ("in ", out / "demo" / "masks" / scene.name),
            ("out", out / scene.name / "masks"),
        ):
            pairs = list(zip(_read_masks(folder), truth, strict=True))
            overlap = np.mean([jaccard(mask, true) for mask, true in pairs])
            edges = np.mean([boundary_f(mask, true, tolerance=2) for mask, true in pairs])
            print(f"{scene.name}: masks {system} against the truth: J {overlap:.3f}, F {edges:.3f}")
    print(f"look at {out / SCENES[0].name / 'overlay.mp4'} and at the masks beside it")


def _read_masks(folder: Path) -> list[NDArray[np.bool_]]:
    return [read_labels(path) > 0 for path in sorted(folder.glob("*.png"))]


def _scene_frames(
    scene: Scene, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Yield pictures and true masks."""
    rows, columns = SIZE
    scenery = cv2.resize(_read_photograph(scene.background), (columns + 2 * FRAMES, rows + FRAMES))
    picture = cv2.resize(_read_photograph(scene.foreground), (220, 220))
    yy, xx = np.mgrid[:220, :220] - 110.0
    outline = np.hypot(xx, yy) < 80 + 18 * np.cos(5 * np.arctan2(yy, xx))
    for t in range(FRAMES):
        middle = FRAMES / 2 - t
        centre = (
            columns / 2 - scene.path[1] * middle,
            rows / 2 - scene.path[0] * middle,
        )
        move = cv2.getRotationMatrix2D((110, 110), scene.turn * t, 1.0)
        move[:, 2] += np.subtract(centre, 110)
        frame = scenery[t // 2 : t // 2 + rows, t : t + columns].copy()
        moved = cv2.warpAffine(picture, move, (columns, rows), borderMode=cv2.BORDER_REFLECT)
        cover = cv2.warpAffine(outline.astype(np.float32), move, (columns, rows))
        mixed = frame * (1 - cover[..., None]) + moved * cover[..., None]
        noisy = mixed + rng.normal(0, 3, frame.shape)
        yield np.clip(noisy, 0, 255).astype(np.uint8), cover > 0.5


def _read_photograph(name: str) -> NDArray[np.uint8]:
    picture: NDArray[np.uint8] = getattr(skimage.data, name)()
    return picture
