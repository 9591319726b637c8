"""Adapted layers of mlx.nn models over mlxffi.core. The checks are those of lora_modules_child.py."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import error_of

import mlxffi.tuner.lora  # noqa: F401

CHILD = Path(__file__).parent / "lora_modules_child.py"
CHECKS = re.findall(r"^def (check_\w+)", CHILD.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def outcomes():
    """What became of each check, in one process."""
    command = [sys.executable, "-m", "mlxffi", "run", str(CHILD)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("check", CHECKS)
def test_modules(outcomes, check):
    assert outcomes[check] is None, outcomes[check]


def test_modules_are_refused_beside_the_real_library():
    import mlx.core  # noqa: F401

    error = error_of(lambda: importlib.import_module("mlxffi.tuner.lora.modules"), ImportError)
    assert "call mlxffi.compat.install() before anything imports mlx" in str(error)
