"""Video networks with random weights, and label sets to train them on."""

import cv2
import lightning
import numpy as np

from stages.media.label_sets.read import read_label_set
from stages.media.label_sets.registry import layout_type
from stages.media.label_sets.set_layouts import Sample
from stages.media.masks.palette import write_indexed_png
from stages.models.segmenters.context_blending.network import VideoNetwork, save_network
from stages.models.segmenters.context_blending.settings import NetworkSettings
from tests.support.small_library import SIZE, scene


def write_network(path, *, model="tcb", class_ids=(3, 7), sharp=20.0, **settings):
    """Write a network with random weights whose masks are all but hard; return it."""
    lightning.seed_everything(0, verbose=False)
    if model == "per_frame":
        settings = {"context": (), "dilations": ()} | settings
    network = VideoNetwork(NetworkSettings(model, class_ids, **settings)).eval()
    network.head[-1].weight.data *= sharp
    save_network(path, network)
    return network


def write_label_set(root, clips=("a", "b"), frames=8, held_out=(), size=SIZE):
    """Write a set of layout davis: a disc (3) and a bar (7) before photographs."""
    for name in clips:
        pictures, labels = (root / kind / "480p" / name for kind in ("JPEGImages", "Annotations"))
        pictures.mkdir(parents=True)
        labels.mkdir(parents=True)
        for t in range(frames):
            frame, truth = scene(t, size, "astronaut" if name == "a" else "coffee")
            cv2.imwrite(str(pictures / f"{t:05d}.png"), frame[..., ::-1])
            write_indexed_png(labels / f"{t:05d}.png", truth)
    lists = root / "ImageSets/2017"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("".join(f"{name}\n" for name in held_out))
    return root


def write_set_again(source, root, layout):
    """Write a set's clips in another layout, as the command `labels` does."""
    writer = layout_type(layout)(root, shard=100)
    for clip in read_label_set(source):
        folder = root.parent / f"{clip.name}-pseudo"
        for part in ("images", "labels", "confidence"):
            (folder / part).mkdir(parents=True)
        for number, path in clip.labels.items():
            stem, split = f"{number:05d}", "val" if clip.held_out else "train"
            (folder / "labels" / f"{stem}.png").symlink_to(path)
            (folder / "images" / f"{stem}.png").symlink_to(clip.pictures[number])
            size = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape[:2]
            cv2.imwrite(str(folder / "confidence" / f"{stem}.png"), np.zeros(size, np.uint8))
            writer.add(Sample(clip.name, stem, split, folder, size, {}))
    writer.finish()
    return root
