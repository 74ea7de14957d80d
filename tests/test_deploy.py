"""What `deploy/` and the Dockerfile say is what Ray and this project take."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from steadymask.cli.options import read_settings
from steadymask.cli.run import build_parser

ROOT = Path(__file__).parent.parent
VERSIONS = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
)


def test_ray_up_takes_its_example():
    from ray.autoscaler._private.util import prepare_config, validate_config

    example = yaml.safe_load((ROOT / "deploy" / "ray-up.yaml").read_text())
    validate_config(prepare_config(example))


@pytest.fixture
def job():
    return yaml.safe_load((ROOT / "deploy" / "rayjob.yaml").read_text())["spec"]


def test_the_job_s_command_is_one_of_ours(job):
    python, script, *arguments = shlex.split(job["entrypoint"])
    assert (python, Path(script).name) == ("python", "run_pipeline.py")
    options = build_parser().parse_args(arguments)
    read_settings(options)  # its preset is there
    assert options.address == "auto"


def test_the_job_has_the_image_s_version_of_ray_on_every_node(job):
    cluster = job["rayClusterSpec"]
    assert cluster["rayVersion"] == VERSIONS["ray"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [group["template"]["spec"]["containers"][0] for group in groups]
    assert {container["image"] for container in containers} == {"IMAGE"}
    mounts = [{mount["name"] for mount in container["volumeMounts"]} for container in containers]
    assert all({"shared", "shm"} <= names for names in mounts)


def test_the_image_copies_what_there_is_and_names_versions_that_are_pinned():
    lines = (ROOT / "Dockerfile").read_text()
    for copied in re.findall(r"^COPY (.+) \S+$", lines, re.MULTILINE):
        assert all((ROOT / name).exists() for name in copied.split())
    (script,) = re.findall(r"sed -n '([^']+)' constraints\.txt", lines)
    command = ["sed", "-n", script, ROOT / "constraints.txt"]
    builds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert builds == [f"{name}=={VERSIONS[name]}+cpu" for name in ("torch", "torchvision")]
    listed = subprocess.run(
        ["python3", ROOT / "scripts" / "requirements", ROOT / "setup.cfg"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert "rich" in listed
    assert not [line for line in listed if line.startswith(("#", " "))]
