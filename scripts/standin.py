#!/usr/bin/env python3
"""Make a stand-in for an installed mlx-c: our headers and library in a prefix, everything named mlxffi_* left out.

usage: python scripts/standin.py [--prefix FOLDER] [--mlx-c] [--test]

With --mlx-c, functions that MLX has and mlx-c lacks are left out as well. With --test, mlxffi is built against it
(MLXFFI_MLXC_PREFIX) into a folder of its own, and the tests run on that build.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import build_ffi  # noqa: E402

# Of the flat layer's tests, that of how precise our kernels are.
NOT_FOR_MLXC = "tests/test_fused_kernels.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prefix", type=Path, help="where to put include/ and lib/ (default: a temporary folder)")
    parser.add_argument("--mlx-c", action="store_true", help="leave out what mlx-c lacks, too")
    parser.add_argument("--test", action="store_true", help="build mlxffi against it and run the tests")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        prefix = (options.prefix or Path(scratch) / "prefix").resolve()
        make(prefix, exports_of_mlxc(Path(scratch)) if options.mlx_c else "exports_plain.map")
        print(f"stand-in for mlx-c in {prefix}")
        return run_tests(prefix, Path(scratch) / "site") if options.test else 0


def exports_of_mlxc(scratch: Path) -> str:
    """The path of a map of what mlx-c exports."""
    table = json.loads((ROOT / "include/mlxffi/abi.json").read_text(encoding="utf-8"))
    names = "".join(f"{row['name']};\n" for row in table["functions"] if row["since"] == "mlx-c")
    path = scratch / "exports.map"
    path.write_text(f"{{ global:\n{names}local: *; }};\n", encoding="utf-8")
    return str(path)


def make(prefix: Path, exports: str = "exports_plain.map") -> None:
    """Fill a prefix with include/mlx/c and lib/libmlxc, without our additions."""
    shutil.copytree(ROOT / "include/mlx/c", prefix / "include/mlx/c", dirs_exist_ok=True)
    (prefix / "lib").mkdir(parents=True, exist_ok=True)
    library = prefix / "lib" / f"libmlxc.{build_ffi.SUFFIX}"
    build_ffi.build_libmlxc(library, ROOT / "build/native", inplace=True, exports=exports)


def run_tests(prefix: Path, site: Path) -> int:
    """Install mlxffi, built against the prefix, into `site` and run the tests there."""
    environment = {**os.environ, "MLXFFI_MLXC_PREFIX": str(prefix)}
    options = ["-q", "--no-deps", "--no-build-isolation", "--target", str(site)]
    install = [sys.executable, "-m", "pip", "install", *options, str(ROOT)]
    subprocess.run(install, env=environment, check=True)
    listed = ["bash", "-c", f"source {shlex.quote(str(ROOT))}/scripts/environment.sh && flat_tests"]
    flat = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
    tests = [str(ROOT / name) for name in flat if name != NOT_FOR_MLXC]
    command = [sys.executable, "-m", "pytest", "-n", "auto", "--dist", "worksteal", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, env={**environment, "PYTHONPATH": str(site)}, cwd=site, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
