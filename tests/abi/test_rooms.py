"""Arrows in native code go down: abi -> kernels -> blas."""

import re
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "mlxffi/native"
FLOORS = ["blas", "kernels", "abi"]
SOURCES = [path for room in FLOORS for path in sorted((NATIVE / room).rglob("*.[ch]*"))]
HEADERS = {path.name: path for path in SOURCES if path.suffix == ".h"}


def room_of(path):
    return path.relative_to(NATIVE).parts[0]


def includes_of(path):
    return re.findall(r'^\s*#include [<"]([^>"]+)[>"]', path.read_text(), flags=re.M)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(NATIVE)))
def test_includes_go_down(path):
    for name in includes_of(path):
        target = HEADERS.get(Path(name).name)
        if target:
            assert FLOORS.index(room_of(target)) <= FLOORS.index(room_of(path)), f"{path.name} includes {name}"


@pytest.mark.parametrize("path", [path for path in SOURCES if room_of(path) != "abi"], ids=lambda path: path.name)
def test_only_the_abi_speaks_c(path):
    """No kernel declares a function of the ABI, or sees its headers."""
    assert not [name for name in includes_of(path) if name.startswith(("mlx/c/", "mlxffi/"))]
    assert not re.search(r'extern "C" \w+ mlx', path.read_text())
