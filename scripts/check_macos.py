#!/usr/bin/env python3
"""Check on Linux what a Mac's build depends on, as far as that goes without a Mac.

usage: python scripts/check_macos.py [--work FOLDER]

The parts that build_ffi makes on macOS are cross-compiled with Zig's clang, over the libmlx of PyPI's mlx-metal and
Zig's own headers of macOS; the linker finds every symbol. In the files made, architecture, least macOS, names, rpaths
are compared with what they must be, and each library that they name is looked for where an installed wheel has it. The
declarations for cffi must be those of Linux, and the Metal text of the losses runs as C++ (scripts/gpu/metal.py). A
line for each, and a verdict. Nothing is loaded or run of what was compiled.

Needs ziglang, macholib, cffi and setuptools from PyPI, and g++ for the Metal text. --work keeps what was built.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from macholib.mach_o import LC_BUILD_VERSION, LC_ID_DYLIB, LC_LOAD_DYLIB, LC_RPATH
from macholib.MachO import MachO
from setuptools import Distribution, Extension
from setuptools.command.build_ext import new_compiler

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import build_ffi  # noqa: E402

MLX = "0.32.4"
LEAST_MACOS = "14.0"
ARM64 = 0x0100000C
TARGET = ["-target", f"aarch64-macos.{LEAST_MACOS}"]
ZIG = [sys.executable, "-m", "ziglang"]
MODULES = ("_dynamic", "_mlxc", "_graph", "_native")
SYSTEM = ("/usr/lib/", "/System/Library/")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = (options.work or Path(folder)).resolve()
        problems = [*check_declarations(), *check_files(work), *check_metal()]
    for problem in problems:
        print(f"problem: {problem}")
    print(f"macOS arm64, from Linux: {len(problems)} problems")
    return 1 if problems else 0


def check_declarations() -> Iterator[str]:
    """Compare what the preprocessor leaves for both systems."""
    here = tokens(build_ffi.abi_cdef())
    build_ffi.CC = [*ZIG, "cc", *TARGET]
    there = tokens(build_ffi.abi_cdef())
    print(f"declarations: {there.count(';')} for macOS")
    if here != there:
        yield "the declarations for cffi differ from those on Linux"


def tokens(declarations: str) -> list[str]:
    return re.findall(r"\w+|[^\s\w]", declarations)


def check_metal() -> Iterator[str]:
    """Run the Metal text as C++."""
    print("Metal text, as C++:", flush=True)
    if subprocess.run([sys.executable, str(ROOT / "scripts/gpu/metal.py")], check=False).returncode:
        yield "the Metal text's rows are wrong"


# --- what is built ---


def check_files(work: Path) -> Iterator[str]:
    """Build what a wheel has, and look into each file."""
    site = work / "site"
    fetch_backend(site)
    build(work, site)
    for name in ("lib/libmlxc.dylib", *(f"{module}.abi3.so" for module in MODULES)):
        yield from check_file(site / "mlxffi" / name, site)


def fetch_backend(site: Path) -> None:
    """Unpack the wheel with libmlx.dylib, as pip on a Mac would."""
    if not (site / "mlx/lib/libmlx.dylib").exists():
        platform = f"macosx_{LEAST_MACOS.replace('.', '_')}_arm64"
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:", "--platform", platform]
        subprocess.run([*pip, "--target", str(site), f"mlx-metal=={MLX}"], check=True)


def build(work: Path, site: Path) -> None:
    """Let build_ffi build as on a Mac, with the compiler of Zig."""
    build_ffi.MACOS, build_ffi.SUFFIX = True, "dylib"
    build_ffi.CXX, build_ffi.CC = [*ZIG, "c++", *TARGET], [*ZIG, "cc", *TARGET]
    build_ffi.mlx_folder = lambda: site / "mlx"
    modules = [Extension(f"mlxffi.{name}", [], py_limited_api=True) for name in MODULES]
    command = build_ffi.BuildExt(Distribution({"name": "mlxffi", "ext_modules": modules}))
    command.build_lib = str(site)
    command.ensure_finalized()
    command.target, command.scratch, command.build_temp = site / "mlxffi", work / "build", str(work / "build")
    command.build_libraries(command.target / "lib")
    command.compiler = compiler(work)
    for module in modules:
        command.build_extension(module)


def compiler(work: Path) -> Any:
    """The compiler of the modules; what Python's headers say of this machine does for those of a Mac."""
    headers = work / "python"
    shutil.copytree(sysconfig.get_path("include"), headers, dirs_exist_ok=True)
    shutil.copy(sysconfig.get_config_h_filename(), headers / "pyconfig.h")
    made = new_compiler(compiler="unix")
    command = shlex.join([*ZIG, "cc", *TARGET])
    made.set_executables(compiler_so=command, linker_so=f"{command} -dynamiclib -Wl,-undefined,dynamic_lookup")
    made.add_include_dir(str(headers))
    return made


# --- what was built ---


def check_file(path: Path, site: Path) -> Iterator[str]:
    """Compare what a file says about itself with what it must, and follow the names of the libraries that it needs."""
    header = MachO(str(path)).headers[0]
    kinds = (LC_ID_DYLIB, LC_LOAD_DYLIB, LC_RPATH)
    names = {kind: [text(data) for load, _, data in header.commands if load.cmd == kind] for kind in kinds}
    versions = [version(command.minos) for load, command, _ in header.commands if load.cmd == LC_BUILD_VERSION]
    name, rpath, needed = path.name, "@loader_path/lib", "@rpath/libmlxc.dylib"
    if name == "libmlxc.dylib":
        rpath, needed = "@loader_path/../../mlx/lib", "@rpath/libmlx.dylib"
        yield from differ(name, "its name", names[LC_ID_DYLIB], ["@rpath/libmlxc.dylib"])
    yield from differ(name, "the architecture", header.header.cputype, ARM64)
    yield from differ(name, "the least macOS", versions, [f"{LEAST_MACOS}.0"])
    yield from differ(name, "the rpath", names[LC_RPATH], [rpath])
    others = [library for library in names[LC_LOAD_DYLIB] if not library.startswith(SYSTEM)]
    yield from differ(name, "the libraries", others, [needed])
    folder = Path(rpath.replace("@loader_path", str(path.parent)))
    if not (folder / Path(needed).name).exists():
        yield f"{name}: no {needed} in {rpath}"
    found = [f"arm64, macOS {', '.join(versions)}", f"rpath {', '.join(names[LC_RPATH])}", *others]
    print(f"{path.relative_to(site)}: {'; '.join(found)}")


def differ(name: str, what: str, found: object, expected: object) -> Iterator[str]:
    if found != expected:
        yield f"{name}: {what}: expected {expected}, got {found}"


def version(number: int) -> str:
    """A version as the file has it: 16 bits, then twice 8."""
    return f"{number >> 16}.{number >> 8 & 255}.{number & 255}"


def text(data: bytes) -> str:
    return data.rstrip(b"\0").decode()


if __name__ == "__main__":
    sys.exit(main())
