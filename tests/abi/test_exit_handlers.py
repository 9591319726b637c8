"""Handlers of exit that a program registered before it opened libmlxc get an error where they would wait for ever."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="libmlxc.so")
def test_handlers_of_exit_get_an_error(tmp_path):
    source, program = Path(__file__).parent / "opened/exit_handlers.c", tmp_path / "program"
    command = ["cc", "-std=gnu11", source, f"-I{ROOT / 'include'}", "-ldl", "-o", program]
    subprocess.run(command, check=True)
    library = ROOT / "mlxffi/lib/libmlxc.so"
    result = subprocess.run([program, library], capture_output=True, text=True, timeout=60, check=False)
    value, *errors = result.stdout.splitlines()
    assert (result.returncode, value, result.stderr) == (7, "600", "")
    assert len(errors) == 3
    assert all(error.startswith("[exit] MLX cannot compute in handlers of exit") for error in errors)
