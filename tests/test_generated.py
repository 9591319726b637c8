"""What is generated agrees with the table that it comes from."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run_generator(*arguments):
    command = [sys.executable, ROOT / "scripts/generate.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_generated_files_are_up_to_date():
    result = run_generator("--check")
    assert result.returncode == 0, result.stderr
    assert "generated" in result.stdout
    assert "by hand" in result.stdout


def test_check_notices_a_changed_file(tmp_path):
    path = ROOT / "include/mlx/c/version.h"
    before = path.read_text()
    try:
        path.write_text(before.replace("mlx_version", "mlx_versoin"))
        result = run_generator("--check")
    finally:
        path.write_text(before)
    assert result.returncode == 1
    assert "include/mlx/c/version.h" in result.stderr
