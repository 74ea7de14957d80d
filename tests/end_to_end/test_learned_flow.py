"""The preset of the paper's flow, as a user gives it, but on a CPU and without its weights."""

import json

import pytest

from tests.end_to_end.test_command import ROOT, give, masks
from tests.support.small_library import write_clip


@pytest.mark.slow
def test_the_gma_preset_runs_from_end_to_end(tmp_path):
    """With that of GPUs, told to stay on the CPU."""
    write_clip(tmp_path, "a", 4)
    here = [f"{stage}.device=cpu" for stage in ("flow", "visibility", "refine", "smooth")]
    chosen = [*here, "flow.weights=random", "flow.iterations=2"]
    done = give(
        tmp_path / "footage", "--masks", tmp_path / "masks", "--out", tmp_path / "out",
        "--executor", "inline", "--workers", 2, "--config", ROOT / "configs" / "gma.yaml",
        "--config", ROOT / "configs" / "gpu.yaml",
        *(word for setting in chosen for word in ("--set", setting)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(masks(tmp_path / "out" / "a")) == 4
    settings = json.loads((tmp_path / "out" / "run.json").read_text())["settings"]
    flow = settings["flow"]
    assert (flow["method"], flow["far"], flow["scale"]) == ("gma", "direct", 1.0)
    shares = {stage: needs["gpus"] for stage, needs in settings["engine"]["resources"].items()}
    assert shares == dict.fromkeys(("flow", "visibility", "refine", "smooth"), 0.5)
