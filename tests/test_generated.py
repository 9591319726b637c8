"""What is generated agrees with the table that it comes from."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("scripts", "include", "mlxffi", "tests/generator")


def run_generator(*arguments, root=ROOT):
    command = [sys.executable, root / "scripts/generate.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("options", [[], ["--golden"]], ids=["ours", "golden"])
def test_generated_files_are_up_to_date(options):
    result = run_generator("--check", *options)
    assert result.returncode == 0, result.stderr
    assert "generated" in result.stdout
    assert "by hand" in result.stdout


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the generator reads and writes."""
    for name in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__", "*.so*", "lib", "tuner")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "options"),
    [("include/mlx/c/version.h", []), ("tests/generator/golden/abi/ops.cpp", ["--golden"])],
    ids=["ours", "golden"],
)
def test_a_changed_file_is_noticed_and_put_right(checkout, changed, options):
    path, before = checkout / changed, (checkout / changed).read_text()
    path.write_text(before.replace("mlx_", "mxl_"))
    stray = path.with_name("stray.h")
    stray.touch()
    result = run_generator("--check", *options, root=checkout)
    assert result.returncode == 1
    assert changed in result.stderr
    assert "stray.h" in result.stderr
    assert run_generator(*options, root=checkout).returncode == 0
    assert path.read_text() == before
    assert not stray.exists()
