"""What doctor says of an installation with a broken part."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_a_torchvision_of_another_build_is_a_line_and_no_traceback(tmp_path):
    (tmp_path / "torchvision.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    (tmp_path / "onnxruntime.py").write_text("raise SystemError('broken')\n")
    done = subprocess.run(
        [sys.executable, ROOT / "run_pipeline.py", "doctor"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    assert any("failed  torchvision: it does not fit torch" in line for line in lines)
    assert "failed  onnxruntime: broken" in lines
    assert any(line.startswith("ok      torch: ") for line in lines)
