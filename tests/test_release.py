"""What a release is made of agrees with itself: versions, pins, and what the workflows run."""

import re
from pathlib import Path

import pytest

import mlxffi

ROOT = Path(__file__).resolve().parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text()
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
MLX = re.search(r'^MLX = "(.*)"', (ROOT / "scripts/generate.py").read_text(), re.M)[1]


def jobs(path):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return yaml.safe_load(path.read_text())["jobs"]


def test_the_package_has_the_version_of_the_project():
    assert re.search(r'^version = "(.*)"', PROJECT, re.M)[1] == mlxffi.__version__


def test_every_pin_of_mlx_is_for_the_version_of_the_table():
    places = ["pyproject.toml", "build_ffi.py", "scripts/check_pypy.sh", "scripts/test_flat.sh"]
    pins = {pin for name in places for pin in re.findall(r"\bmlx(?:-[a-z0-9-]+)?==([\d.]+)", (ROOT / name).read_text())}
    assert pins == {MLX}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_what_is_there(path):
    text = "\n".join(step.get("run", "") for job in jobs(path).values() for step in job["steps"])
    named = re.findall(r"(?:scripts|\.ci)/[\w./]+", text)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_only_the_job_that_publishes_may_sign_in_to_pypi():
    every = {name: job for path in WORKFLOWS for name, job in jobs(path).items()}
    assert [name for name, job in every.items() if "id-token" in str(job.get("permissions"))] == ["publish"]
    assert every["publish"]["if"] == "github.ref_type == 'tag'"
    assert set(every["publish"]["needs"]) == {"wheel", "sdist", "try"}
