#!/usr/bin/env python3
"""Build the wheel, look into it, and try it in a fresh environment of every CPython that this machine has.

usage: python scripts/check_wheel.py [--wheel FILE] [--backend mlx-cuda-13]

With --backend, that wheel takes the place of mlx-cpu (without its dependencies, which are gigabytes): mlxffi must work
with it, or refuse in one sentence that says why.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MLX, TAG = "0.32.4", "cp310-abi3-linux_x86_64"
NEWEST = 20  # CPython 3.10 to 3.20
PYENV = Path("/root/.pyenv/versions")
SMOKE = Path(__file__).parent / "wheel"

# Beside the Python modules of the checkout:
WANTED = {
    "mlxffi/_build_info.py",
    "mlxffi/_graph.abi3.so",
    "mlxffi/_mlxc.abi3.so",
    "mlxffi/lib/libmlxc.so",
    "mlxffi/lib/libmlxffi_blas.so",
    "mlxffi/lib/cmake/mlxc/mlxcConfig.cmake",
    "mlxffi/lib/cmake/mlxc/mlxcConfigVersion.cmake",
    "mlxffi/lib/pkgconfig/mlxc.pc",
    "mlxffi/lib/pkgconfig/mlxffi_blas.pc",
    "mlxffi/py.typed",
}


class Failure(Exception):
    """What is wrong with the wheel, for the verdict line."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, help="check this one instead of building it")
    parser.add_argument("--backend", default="mlx-cpu", help="the backend's wheel (default: mlx-cpu)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            wheel = options.wheel or build(folder / "wheel")
            check_contents(wheel)
        except Failure as failure:
            print(f"wheel: FAILED, {failure}")
            return 1
        print(f"wheel: ok, {wheel.name} ({wheel.stat().st_size >> 20} MB)")
        return try_all(wheel.resolve(), options.backend, folder)
