"""What a run of toy stages told, and what it left in its store."""

import json
from collections import Counter


def kinds(events):
    return Counter(event.kind for event in events)


def artifacts(tmp_path, stage):
    manifests = sorted((tmp_path / "store" / "objects").rglob("manifest.json"))
    return [
        path.parent
        for path in manifests
        if json.loads(path.read_text())["record"]["stage"] == stage
    ]
