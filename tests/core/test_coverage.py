"""mlxffi.core has every name that the stubs of mlx.core have, with the same signatures."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
def add(a, b, *, stream=None): ...
def absent(): ...
def zeros(shape, dtype=float32, *, stream=None): ...
def ones(shape, dtype=float16, *, stream=None): ...
class array:
    def nothing(self): ...
    @property
    def sum(self): ...
"""


def coverage(*arguments):
    command = [sys.executable, str(ROOT / "scripts" / "coverage.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_nothing_is_missing_or_different():
    found = coverage()
    assert found.returncode == 0, found.stdout + found.stderr


def test_differences_are_found(tmp_path):
    (tmp_path / "__init__.pyi").write_text(PROBE)
    found = coverage("--stubs", str(tmp_path))
    assert found.returncode == 1
    for text in (
        "core.add: expected",
        "core.absent: missing",
        "core.ones: default of dtype: expected float16",
        "core.array.nothing: missing",
        "core.array.sum: expected a property",
    ):
        assert text in found.stdout
    assert "core.zeros" not in found.stdout


def test_mlx_itself_is_not_imported():
    code = "import sys, mlxffi.core; sys.exit(any(name.partition('.')[0] == 'mlx' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
