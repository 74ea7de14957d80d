"""Soft edges beside a known alpha: how much they flicker, and how far they are off.

    python -m benchmarks.results.alpha_edges --work /tmp/alpha

Objects of known alpha (a soft-focused disc, and one with hair) move over a photograph by whole
pixels. Their masks are cut at one half, and their outlines displaced anew in every frame, as by a
per-frame network. The pipeline runs with ``export.formats=[png,matte16]``. Flicker is the mean
absolute difference to the frame before, moved along the true motion, within 10 px of the true
outline; SAD the sum of absolute differences to the true alpha, per frame. The rival is the best
blur of all: the hard masks blurred by the radius that is best in hindsight.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = (240, 320)
STEP = (1, 3)  # rows and columns that the object moves in a frame
BAND = 10
SIGMAS = (0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6)

Stack = NDArray[np.float32]


def true_alpha(kind: str, t: int) -> NDArray[np.float32]:
    """Return the alpha (H, W) of an object in a frame."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    y, x = y - 90 - STEP[0] * t, x - 90 - STEP[1] * t
    away = np.hypot(y, x)
    if kind == "soft":
        return np.clip((56 - away) / 8, 0, 1).astype(np.float32)
    body = np.clip((48 - away) / 2, 0, 1)
    angle = np.arctan2(y, x)
    strands = np.clip(np.cos(38 * angle + 0.15 * away) - 0.3, 0, 1)  # hair that thins out
    hair = strands * np.clip((70 - away) / 22, 0, 1)
    return np.maximum(body, hair).astype(np.float32)


def displaced(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a mask whose outline is moved by up to some pixels, otherwise along it."""
    noise = cv2.resize(rng.normal(size=(8, 10)).astype(np.float32), SIZE[::-1], interpolation=3)
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(inside - outside + 1.5 * noise > 0)


def write_clip(kind: str, frames: int, folder: Path) -> tuple[Stack, Stack]:
    """Write frames and flickering masks; return true alpha and masks, (T, H, W) each."""
    import skimage.data

    back = cv2.resize(skimage.data.coffee(), SIZE[::-1], interpolation=cv2.INTER_AREA)
    front = cv2.resize(skimage.data.astronaut(), SIZE[::-1], interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(0)
    truth, masks = [], []
    for name in ("f", "m"):
        (folder / name / kind).mkdir(parents=True, exist_ok=True)
    for t in range(frames):
        alpha = true_alpha(kind, t)
        moved = np.roll(front, (STEP[0] * t, STEP[1] * t), axis=(0, 1))
        picture = alpha[..., None] * moved + (1 - alpha[..., None]) * back
        mask = displaced(alpha > 0.5, rng)
        Image.fromarray(picture.round().astype(np.uint8)).save(folder / f"f/{kind}/{t:05d}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"m/{kind}/{t:05d}.png")
        truth.append(alpha)
        masks.append(mask.astype(np.float32))
    return np.stack(truth), np.stack(masks)


def outline_band(alpha: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the pixels within `BAND` of where the true alpha is neither 0 nor 1."""
    between = ((alpha > 0) & (alpha < 1)).astype(np.uint8)
    away = cv2.distanceTransform(1 - between, cv2.DIST_L2, 5)
    return np.asarray(away <= BAND)


def flicker(alphas: Stack, truth: Stack) -> float:
    """Return the mean absolute difference to the frame before, along the motion, in the band."""
    total, count = 0.0, 0
    for t in range(1, len(alphas)):
        before = np.roll(alphas[t - 1], STEP, axis=(0, 1))
        band = outline_band(truth[t])
        total += float(np.abs(alphas[t] - before)[band].sum())
        count += int(band.sum())
    return total / count


def sad(alphas: Stack, truth: Stack) -> float:
    """Return the sum of absolute differences to the true alpha, per frame."""
    return float(np.abs(alphas - truth).sum() / len(truth))


def best_blur(masks: Stack, truth: Stack) -> tuple[float, float]:
    """Return the SAD of hard masks blurred by the best radius, and that radius (1 sigma)."""
    scores = {}
    for sigma in SIGMAS:
        blurred = [cv2.GaussianBlur(m, (0, 0), sigma) if sigma else m for m in masks]
        scores[sigma] = sad(np.stack(blurred), truth)
    best = min(scores, key=lambda sigma: scores[sigma])
    return scores[best], best


def read_stack(folder: Path, top: int) -> Stack:
    """Return the pictures of a folder (T, H, W) as shares of `top`."""
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".png")
    return np.stack([np.asarray(Image.open(path)).astype(np.float32) / top for path in paths])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], help="another setting of the run")
    options = parser.parse_args()
    kinds = ("soft", "hair")
    clips = {kind: write_clip(kind, options.frames, options.work) for kind in kinds}
    out = options.work / "out"
    command = [
        sys.executable, "run_pipeline.py", str(options.work / "f"), "--out", str(out),
        "--masks", str(options.work / "m"), "--executor", "inline",
        "--set", "export.formats=[png,matte16]", "--set", "report.enabled=false",
        *(word for text in options.set for word in ("--set", text)),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    print("| clip | what | flicker in the band | SAD a frame | best blur of the same, SAD |")
    print("|---|---|---|---|---|")
    for kind, (truth, masks) in clips.items():
        hard = read_stack(out / kind / "masks", 1)
        for name, stack in (("masks in", masks), ("labels out", hard)):
            blurred, sigma = best_blur(stack, truth)
            print(
                f"| {kind} | {name} | {flicker(stack, truth):.4f} | {sad(stack, truth):.0f} | "
                f"{blurred:.0f} (σ {sigma:g}) |"
            )
        alpha = read_stack(out / kind / "matte16", 65535)
        print(f"| {kind} | matte | {flicker(alpha, truth):.4f} | {sad(alpha, truth):.0f} | - |")


if __name__ == "__main__":
    main()
