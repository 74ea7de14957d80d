"""Write one small clip with real annotation tools, each into a folder of OUT.

    python -m venv tools && tools/bin/pip install supervision labelme datumaro label-studio-sdk \
        label-studio-converter fiftyone pycocotools
    tools/bin/python benchmarks/annotation_tools/write_exports.py OUT
    .venv/bin/python benchmarks/annotation_tools/read_exports.py OUT

The tools need an environment of their own; one that is not there is left out, and said. Beside what
a tool wrote lies `expected.npy`: the labels that the tool itself makes of it.
"""

import base64
import io
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Labels = NDArray[np.uint8]

FRAMES, ROWS, COLUMNS = 6, 48, 64
NAMES = ["cat", "dog"]


def make_clip(out: Path) -> Labels:
    """Write frames and return their labels: a disc and a square that move."""
    (out / "frames" / "clip").mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    labels = np.zeros((FRAMES, ROWS, COLUMNS), np.uint8)
    for t in range(FRAMES):
        labels[t][(y - 24) ** 2 + (x - 16 - 3 * t) ** 2 < 100] = 1
        labels[t][4:14, 40 - 2 * t : 56 - 2 * t] = 2
        picture = noise.integers(0, 255, (ROWS, COLUMNS, 3), np.uint8)
        Image.fromarray(picture).save(picture_of(out, t))
    return labels


def picture_of(out: Path, t: int) -> Path:
    """Return the path of a frame."""
    return out / "frames" / "clip" / f"{t:05}.jpg"


def masks_of(labels: Labels) -> NDArray[np.bool_]:
    """Return the masks of both classes."""
    return np.stack([labels == 1, labels == 2])


def folder(out: Path, name: str) -> Path:
    """Return a new folder of OUT."""
    path = out / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def flattened(dataset: Any) -> Labels:
    """Return the labels that supervision makes of a data set it has read."""
    every = []
    for path in sorted(dataset.annotations):
        objects, labels = dataset.annotations[path], np.zeros((ROWS, COLUMNS), np.uint8)
        for mask, number in zip(objects.mask, objects.class_id, strict=True):
            labels[mask] = number + 1
        every.append(labels)
    return np.stack(every)


def drawn_by_pycocotools(file: Path) -> Labels:
    """Return the labels of a COCO file, whose polygons FiftyOne draws by pycocotools too."""
    from pycocotools.coco import COCO

    content, every = COCO(str(file)), []
    for image in sorted(content.imgs):
        labels = np.zeros((ROWS, COLUMNS), np.uint8)
        for shape in content.imgToAnns[image]:
            labels[content.annToMask(shape) > 0] = shape["category_id"]
        every.append(labels)
    return np.stack(every)


def write_supervision(out: Path, labels: Labels) -> None:
    """Write COCO and YOLO."""
    import supervision as sv

    objects = {}
    for t in range(FRAMES):
        masks = masks_of(labels[t])
        objects[str(picture_of(out, t))] = sv.Detections(
            xyxy=sv.mask_to_xyxy(masks), mask=masks, class_id=np.array([0, 1])
        )
    dataset = sv.DetectionDataset(classes=NAMES, images=list(objects), annotations=objects)
    coco = folder(out, "supervision_coco")
    dataset.as_coco(annotations_path=str(coco / "clip.json"))
    again = sv.DetectionDataset.from_coco(
        str(out / "frames" / "clip"), str(coco / "clip.json"), force_masks=True
    )
    np.save(coco / "expected.npy", flattened(again))
    yolo = folder(out, "supervision_yolo")
    dataset.as_yolo(
        annotations_directory_path=str(folder(yolo, "clip")), data_yaml_path=str(yolo / "data.yaml")
    )
    again = sv.DetectionDataset.from_yolo(
        str(out / "frames" / "clip"), str(yolo / "clip"), str(yolo / "data.yaml"), force_masks=True
    )
    np.save(yolo / "expected.npy", flattened(again))


def write_labelme(out: Path, labels: Labels) -> None:
    """Write one JSON a frame: a painted mask, a polygon, a circle, a rectangle."""
    from labelme._label_file import LabelFile
    from labelme.utils.shape import shape_to_mask

    clip_folder, expected = folder(out, "labelme/clip"), []
    for t in range(FRAMES):
        disc = labels[t] == 1
        rows, columns = np.nonzero(disc)
        box = [[columns.min(), rows.min()], [columns.max(), rows.max()]]
        crop = disc[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        packed = io.BytesIO()
        Image.fromarray(crop).save(packed, "PNG")
        corners = [[40.3 - 2 * t, 4.2], [55.7 - 2 * t, 6.9], [50.1 - 2 * t, 14.4], [38.2 - t, 11.3]]
        drawn = [
            ("cat", "mask", np.array(box, float).tolist()),
            ("dog", "polygon", corners),
            ("dog", "circle", [[5.0, 40.0], [8.0, 42.0]]),
            ("cat", "rectangle", [[3.0, 3.0], [12.0, 9.0]]),
        ]
        shapes = [
            {
                "label": label, "points": points, "shape_type": kind, "flags": {},
                "description": "", "group_id": None,
                "mask": base64.b64encode(packed.getvalue()).decode() if kind == "mask" else None,
            }
            for label, kind, points in drawn
        ]  # fmt: skip
        LabelFile().save(
            filename=str(clip_folder / f"{t:05}.json"), shapes=shapes, image_path=f"{t:05}.jpg",
            image_height=ROWS, image_width=COLUMNS,
        )  # fmt: skip
        own = np.zeros((ROWS, COLUMNS), np.uint8)
        for label, kind, points in drawn:
            mask = disc if kind == "mask" else shape_to_mask((ROWS, COLUMNS), points, kind)
            own[mask] = 1 + NAMES.index(label)
        expected.append(own)
    np.save(clip_folder.parent / "expected.npy", np.stack(expected))


def write_label_studio(out: Path, labels: Labels) -> None:
    """Write tasks with brushes, encoded by its converter."""
    import json

    from label_studio_converter import brush

    tasks = []
    for t in range(FRAMES):
        results = [
            {
                "type": "brushlabels", "original_width": COLUMNS, "original_height": ROWS,
                "value": {
                    "format": "rle", "brushlabels": [name],
                    "rle": [int(v) for v in brush.mask2rle((mask * 255).astype(np.uint8))],
                },
            }
            for name, mask in zip(NAMES, masks_of(labels[t]), strict=True)
        ]  # fmt: skip
        annotation = {"result": results, "was_cancelled": False}
        picture = {"image": f"/data/upload/1/1a2b3c4d-{t:05}.jpg"}
        tasks.append({"id": t, "annotations": [annotation], "data": picture})
    (folder(out, "label_studio") / "clip.json").write_text(json.dumps(tasks))


def write_datumaro(out: Path, labels: Labels) -> None:
    """Write CVAT's XML and COCO, as CVAT's own exports are written by it."""
    import datumaro as dm

    items = [
        dm.DatasetItem(
            id=f"{t:05}", subset="default", attributes={"frame": t},
            media=dm.Image.from_numpy(data=np.asarray(Image.open(picture_of(out, t)))),
            annotations=[
                dm.Mask(mask, label=k, id=2 * t + k, group=2 * t + k + 1)
                for k, mask in enumerate(masks_of(labels[t]))
            ],
        )
        for t in range(FRAMES)
    ]  # fmt: skip
    dataset = dm.Dataset.from_iterable(items, categories=NAMES)
    for kind, file in (
        ("cvat", "default.xml"),
        ("coco_instances", "annotations/instances_default.json"),
    ):
        set_folder = folder(out, f"datumaro_{kind}")
        dataset.export(str(set_folder), kind, save_media=False)
        written = set_folder / file
        written.rename(set_folder / f"clip{written.suffix}")


def write_fiftyone(out: Path, labels: Labels) -> None:
    """Write COCO with its exporter alone: its data sets need a MongoDB."""
    import fiftyone as fo
    import fiftyone.utils.coco as coco

    file = folder(out, "fiftyone") / "clip.json"
    with coco.COCODetectionDatasetExporter(labels_path=str(file), classes=NAMES) as exporter:
        for t in range(FRAMES):
            objects = []
            for name, mask in zip(NAMES, masks_of(labels[t]), strict=True):
                rows, columns = np.nonzero(mask)
                (top, bottom), (left, right) = (
                    (side.min(), side.max() + 1) for side in (rows, columns)
                )
                size = (right - left) / COLUMNS, (bottom - top) / ROWS
                objects.append(
                    fo.Detection(
                        label=name, bounding_box=[left / COLUMNS, top / ROWS, *size],
                        mask=mask[top:bottom, left:right],
                    )
                )  # fmt: skip
            about = fo.ImageMetadata(width=COLUMNS, height=ROWS, num_channels=3)
            objects = fo.Detections(detections=objects)
            exporter.export_sample(str(picture_of(out, t)), objects, metadata=about)
    np.save(file.with_name("expected.npy"), drawn_by_pycocotools(file))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    truth = make_clip(target)
    np.save(target / "truth.npy", truth)
    for name, write in list(globals().items()):
        if name.startswith("write_"):
            try:
                write(target, truth)
                print(f"{name.removeprefix('write_')}: written")
            except ImportError as error:
                print(f"{name.removeprefix('write_')}: left out, it is not installed: {error}")
            except Exception:  # noqa: BLE001 - one tool that fails costs only itself
                traceback.print_exc(limit=-2)
