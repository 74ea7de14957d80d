"""What runs leave, made up: many clips at once, or one with a name of choice."""

import json

import cv2
import numpy as np

from steadymask.cli.pages import write_pages


def made_library(out, clips, name="clip {:03d}"):
    """Write what a run of many clips leaves, without the films, and the pages of it."""
    grey = cv2.imencode(".jpg", np.full((90, 160, 3), 90, np.uint8))[1].tobytes()
    spent = {"hits": 0, "computed": 1, "seconds": 1.5, "bytes": 0}
    curve = {"frame": list(range(300)), "value": [1.0] * 300}
    area = {"area": [900] * 300, "mean": 900.0, "jump": 0.1}
    names = [name.format(k) for k in range(clips)]
    for k, clip in enumerate(names):
        folder = out / clip / "report"
        folder.mkdir(parents=True)
        for picture in ("thumb", "strip-000007", "flow", "seen", "slice"):
            (folder / f"{picture}.jpg").write_bytes(grey)
        part = {"E_cons": 9.0, "E_smooth_mean": 0.1}
        scores = {
            "frames": 300, "input": part, "output": part | {"E_cons": k / 10},
            "iou_with_input": [0.9] * 300, "warnings": [], "notes": [], "holes": [],
            "changed_frames": [3],
        }  # fmt: skip
        (out / clip / "metrics.json").write_text(json.dumps(scores))
        text = {
            "clip": clip, "frames": 300, "rate": 24.0, "shots": [[0, 300]], "every": 1,
            "opens": 7, "changed": curve, "pane": [160, 90],
            "flicker": {"before": curve, "after": curve},
            "flows": [{"frame": 7, "flow": "flow.jpg", "seen": "seen.jpg", "strongest": 2.0}],
            "moments": [{"frame": 7, "strip": "strip-000007.jpg", "value": k / 10}],
            "slices": {
                "every": 1, "rows": [5], "before": ["slice.jpg"], "after": ["slice.jpg"],
                "aligned": {"before": ["slice.jpg"], "after": ["slice.jpg"]},
            },
            "classes": [{"label": 1, "colour": [128, 0, 0], "before": area, "after": area}],
        }  # fmt: skip
        (folder / "clip.json").write_text(json.dumps(text))
    done = {n: {"done": True, "stages": {"flow": spent, "report": spent}} for n in names}
    run = {"library": "made", "clips": done, "failures": {}, "seconds": 99.0}
    (out / "run.json").write_text(json.dumps(run))
    return write_pages(out)
