#!/usr/bin/env python3
"""Build the wheel, look into it, and try it in a fresh environment of every CPython that this machine has.

It is for all that have a GIL, or for one that has none.

usage: python scripts/check_wheel.py [--wheel FILE | --release] [--backend mlx-cuda-13] | --pythons

--release does what the workflow of a release does (.github/workflows/wheels.yml), with this machine's compiler: the
wheel is built from the sdist and made a manylinux wheel, without libmlx, by pyproject.toml's command (extra release).

With --backend, that wheel takes the place of mlx-cpu (without its dependencies, which are gigabytes): mlxffi must work
with it, or refuse in one sentence that says why and what to do.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
MLX = "0.32.4"
SYSTEM, _, MACHINE = sysconfig.get_platform().replace("-", "_").replace(".", "_").partition("_")
# A wheel that was just built, or one for every Linux from a version of glibc on. Without a GIL it is for one CPython.
TAG = rf"-(?:cp310-abi3|cp3(?P<minor>\d+)-cp\d+t)-(?:{SYSTEM}|manylinux_\d+_\d+)_{MACHINE}\.whl"
RELEASED = range(10, 15)  # CPython 3.10 to 3.14: those missing here are told; newer ones are tried where they are found

# What a wheel has beside the Python modules and headers of the checkout.
BUILT = """
_build_info.py _dynamic.SUFFIX _native.SUFFIX _graph.SUFFIX _mlxc.SUFFIX py.typed
lib/libmlxc.so lib/libmlxffi_blas.so lib/trace/libmlxc.so lib/pkgconfig/mlxc.pc lib/pkgconfig/mlxffi_blas.pc
lib/cmake/mlxc/mlxc-config.cmake lib/cmake/mlxc/mlxc-config-version.cmake
"""

IDENTITY = """
import platform, sys, sysconfig
free_threaded = sysconfig.get_config_var("Py_GIL_DISABLED")
print(platform.python_implementation() + ("t" if free_threaded else ""), sys.version_info[0], sys.version_info[1])
print(platform.python_version())
"""

SMOKE = """
from mlxffi import ffi, lib
device, text, value = ffi.new("mlx_device *"), ffi.new("mlx_string *"), ffi.new("float *")
stream, result = lib.mlx_default_cpu_stream_new(), ffi.new("mlx_array *")
assert lib.mlx_add(result, lib.mlx_array_new_float32(2), lib.mlx_array_new_float32(3), stream) == 0
assert lib.mlx_array_item_float32(value, result[0]) == 0
assert lib.mlx_get_default_device(device) == 0 and lib.mlx_device_tostring(text, device[0]) == 0
print(f"2 + 3 = {value[0]:g} on {ffi.string(lib.mlx_string_data(text[0])).decode()}")
"""

PROGRAM = """
#include <stdio.h>
#include "mlx/c/mlx.h"
int main(void) {
  mlx_array sum = mlx_array_new();
  float value = 0;
  mlx_add(&sum, mlx_array_new_float32(2), mlx_array_new_float32(3), mlx_default_cpu_stream_new());
  mlx_array_item_float32(&value, sum);
  printf("%g", value);
  return 0;
}
"""


class Failure(Exception):
    """What is wrong, for the verdict line."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, help="check this one instead of building it")
    parser.add_argument("--release", action="store_true", help="build it as a release is built")
    parser.add_argument("--backend", default="mlx-cpu", help="the backend's wheel (default: mlx-cpu)")
    parser.add_argument("--pythons", action="store_true", help="only tell which CPythons this machine has")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if options.pythons:
            for (major, minor), path in sorted(pythons(folder).items()):
                print(f"{major}.{minor} {path}")
            return 0
        try:
            made = build_release if options.release else build
            wheel = (options.wheel or made(folder / "wheel")).resolve()
            check_contents(wheel)
        except Failure as failure:
            print(f"wheel: FAILED, {failure}")
            return 1
        print(f"wheel: ok, {wheel.name}, {wheel.stat().st_size >> 10} KB")
        return try_all(wheel, options.backend, folder)


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would who has nothing of the checkout in the environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MLXFFI", "LD_"))}
    return subprocess.run([*map(str, command)], cwd=cwd, env=clean, capture_output=True, text=True, check=False)


def output(*command: object, cwd: Path) -> str:
    """What a command prints that must succeed."""
    result = run(*command, cwd=cwd)
    if result.returncode:
        last = (result.stderr.strip() or result.stdout.strip()).splitlines()[-3:]
        raise Failure(f"{shlex.join(map(str, command))[:200]} ended with {result.returncode}: {' | '.join(last)}")
    return result.stdout.strip()


# --- the wheel ---


def build(folder: Path, source: Path = ROOT) -> Path:
    """Build the wheel, from the checkout or from an sdist."""
    folder.mkdir()
    output(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source, cwd=folder)
    return only(folder, "*.whl")


def build_release(folder: Path) -> Path:
    """Build the sdist, the wheel from it, and of that the one for every Linux."""
    sdist, repaired = folder.with_name("sdist"), folder.with_name("repaired")
    output(sys.executable, "-m", "build", "-q", "--sdist", "-o", sdist, ROOT, cwd=folder.parent)
    wheel = build(folder, only(sdist, "*.tar.gz"))
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]
    command = settings["linux"]["repair-wheel-command"]
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    output("env", f"PATH={tools}", *shlex.split(command.format(dest_dir=repaired, wheel=wheel)), cwd=folder)
    return only(repaired, "*.whl")


def only(folder: Path, pattern: str) -> Path:
    """The one file of that name in a folder."""
    files = list(folder.glob(pattern))
    if len(files) != 1:
        raise Failure(f"expected one {pattern}, got {sorted(path.name for path in files)}")
    return files[0]


def without_gil(wheel: Path) -> int | None:
    """The minor version of the CPython without a GIL that a wheel is for; None where it is for those with one."""
    tag = re.search(f"{TAG}$", wheel.name)
    if not tag:
        raise Failure(f"expected a name that ends in {TAG}, got {wheel.name}")
    return int(tag["minor"]) if tag["minor"] else None


def expected_files(wheel: Path) -> set[str]:
    """What the wheel must have, apart from its dist-info: nothing more and nothing less."""
    minor = without_gil(wheel)
    multiarch = sysconfig.get_config_var("MULTIARCH") or "darwin"
    built = BUILT.replace("SUFFIX", "abi3.so" if minor is None else f"cpython-3{minor}t-{multiarch}.so")
    modules = {path.relative_to(ROOT) for pattern in ("*.py", "*.pyi") for path in (ROOT / "mlxffi").rglob(pattern)}
    headers = {Path("mlxffi") / path.relative_to(ROOT) for path in (ROOT / "include").rglob("*") if path.is_file()}
    return {path.as_posix() for path in modules | headers} | {f"mlxffi/{name}" for name in built.split()}


def check_contents(wheel: Path) -> None:
    """Compare a wheel's tag and files with what they must be."""
    expected = expected_files(wheel)
    with zipfile.ZipFile(wheel) as archive:
        # auditwheel writes the folders, too.
        files = {name for name in archive.namelist() if ".dist-info/" not in name and not name.endswith("/")}
        leaky = [name for name in files if str(ROOT).encode() in archive.read(name)]
    if files != expected:
        raise Failure(f"missing: {sorted(expected - files)}; too much: {sorted(files - expected)} (stale build/lib.*?)")
    if leaky:
        raise Failure(f"{sorted(leaky)} contain the path of the checkout that the wheel was built in")


# --- the environments ---


def try_all(wheel: Path, backend: str, folder: Path) -> int:
    """Try the wheel with each CPython and print a verdict for each."""
    free = without_gil(wheel)
    found = pythons(folder) if free is None else pythons(folder, "CPythont", (free,))
    failed = 0
    for version in sorted({(3, minor) for minor in RELEASED if free in (None, minor)} | set(found)):
        name = f"CPython {version[0]}.{version[1]}{'' if free is None else 't'}"
        if version not in found:
            print(f"{name}: skipped, this machine has none")
            continue
        try:
            verdict = f"ok, {try_one(found[version], wheel, backend, folder / f'env{version[1]}')}"
        except Failure as failure:
            verdict = f"FAILED, {failure}"
            failed += 1
        print(f"{name} ({found[version]}) with {backend}: {verdict}", flush=True)
    print(f"wheel: tried with {len(found)} CPythons, {failed} failed")
    return 1 if failed or not found else 0


def pythons(
    folder: Path, kind: str = "CPython", minors: Sequence[int] = range(RELEASED[0], 100)
) -> dict[tuple[int, int], Path]:
    """A CPython of each minor version; what does not run, as a shim without a version behind it, does not count."""
    found: dict[tuple[int, int], Path] = {}
    for path in candidates():
        result = run(path, "-c", IDENTITY, cwd=folder)
        words = result.stdout.split()
        if result.returncode == 0 and words[:2] == [kind, "3"] and int(words[2]) in minors:
            found.setdefault((3, int(words[2])), path)
    return found


def candidates() -> Iterator[Path]:
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from sorted(versions.glob("3.*/bin/python3"), reverse=True)
    minors = range(RELEASED[0], RELEASED[-1] + 10)
    names = ["python3", *(f"python3.{minor}{kind}" for minor in minors for kind in ("", "t"))]
    yield from (Path(path) for name in names if (path := shutil.which(name)))
    yield Path(sys.executable)


def try_one(python: Path, wheel: Path, backend: str, folder: Path) -> str:
    """Install into a fresh environment and use it there.

    Returns:
      What happened, for the verdict line.
    """
    output(python, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    inside = folder / "bin/python"
    install(inside, wheel, backend)
    smoke = run(inside, "-I", "-c", SMOKE, cwd=folder)
    refusal = smoke.stderr.strip().rpartition("\n")[2]
    if backend != "mlx-cpu" and refusal.startswith(f"ImportError: {backend} {MLX} ") and "pip install" in refusal:
        return f"refuses: {refusal.removeprefix('ImportError: ')}"
    if smoke.returncode or not smoke.stdout.startswith("2 + 3 = 5 on "):
        raise Failure(f"the smoke test ended with {smoke.returncode}: {smoke.stdout.strip()} {refusal}")
    return f"{smoke.stdout.strip()}; {try_program(inside, folder)}; {examine(inside, folder)}"


def install(inside: Path, wheel: Path, backend: str) -> None:
    """Install with this interpreter's pip, which need not be in the environment."""
    pip = [sys.executable, "-m", "pip", "--python", inside, "install", "-q"]
    extra = "[cpu]" if backend == "mlx-cpu" else ""
    output(*pip, f"{wheel}{extra}", cwd=wheel.parent)
    if backend != "mlx-cpu":
        output(*pip, "--no-deps", f"{backend}=={MLX}", "scipy-openblas32", cwd=wheel.parent)


def try_program(inside: Path, folder: Path) -> str:
    """Compile and run a C program with what `config` prints."""
    (folder / "program.c").write_text(PROGRAM)
    flags = shlex.split(output(inside, "-I", "-m", "mlxffi", "config", "--cflags", "--libs", cwd=folder))
    output("cc", "program.c", *flags, "-o", "program", cwd=folder)
    printed = output(folder / "program", cwd=folder)
    if printed != "5":
        raise Failure(f"the C program printed {printed!r}, expected '5'")
    return "a C program runs"


def examine(inside: Path, folder: Path) -> str:
    """The line about the BLAS in doctor's report, which must have no problem to tell."""
    report = output(inside, "-I", "-m", "mlxffi", "doctor", cwd=folder)
    return next(" ".join(line.split()) for line in report.splitlines() if line.startswith("BLAS"))


if __name__ == "__main__":
    sys.exit(main())
