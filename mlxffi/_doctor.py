"""`python -m mlxffi doctor`: what is in use here, and every problem with it."""

from __future__ import annotations

import argparse
import ctypes
import importlib
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from types import ModuleType

from . import __version__, _backend, _loader
from ._errors import Error

SIZE, RUNS = 1024, 3


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `python -m mlxffi`."""
    about = "Print what is in use, and a sentence for every problem; with one, the exit status is 1."
    commands.add_parser("doctor", help="say what is in use and what is wrong", description=about).set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the report and then one sentence for each problem."""
    problems: list[str] = []
    for name, check in CHECKS.items():
        found, problem = _outcome(check)
        print(f"{name:<8}  {found}", flush=True)
        if problem and problem not in problems:
            problems.append(problem)
    for problem in problems:
        print(f"problem: {problem}")
    print(f"problems found: {len(problems)}")
    return 1 if problems else 0


def _outcome(check: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    """What a check found, and the problem with it or ""."""
    try:
        return check()
    except (ImportError, Error) as error:
        return "not available", str(error)


# --- the checks ---


def _mlxffi() -> tuple[str, str]:
    return f"{__version__} in {_loader.PACKAGE}", ""


def _mlx() -> tuple[str, str]:
    from ._ffi import mlx_version

    built_for, loaded, frontend = _loader.build_info().MLX_VERSION, mlx_version(), _version_of("mlx")
    found = f"{loaded}, built for {built_for or loaded}"
    if frontend and frontend != loaded:
        return found, f"mlx {frontend} does not fit MLX {loaded}, so mlx.core may fail; pip install mlx=={loaded}"
    return found, ""


def _python() -> tuple[str, str]:
    return f"{platform.python_implementation()} {platform.python_version()} in {sys.executable}", ""


def _cffi() -> tuple[str, str]:
    try:
        return importlib.import_module("_cffi_backend").__version__, ""
    except ImportError:
        return "not installed", _loader.NO_CFFI


def _the_backend() -> tuple[str, str]:
    info = _loader.build_info()
    if info.MLXC_PREFIX:
        return f"the mlx-c of {info.MLXC_PREFIX}", ""
    backend = _backend.find(info.MLX_VERSION)
    return f"{backend} in {backend.library}", ""


def _device() -> tuple[str, str]:
    device = _names().default_device()
    return f"Device({device.type}, {device.index})", ""


def _blas() -> tuple[str, str]:
    names = _names()  # without the library there are no calls to count
    calls = _bridge_calls()
    rate = f"{_product_rate(names):.0f} GFLOP/s (float32 matrix product {SIZE}x{SIZE} on the CPU)"
    if _bridge_calls() > calls:
        return f"OpenBLAS, {rate}", ""
    found = f"that of MLX, {rate}"
    if not _loader.bridge_wanted() or _loader.build_info().MLXC_PREFIX:
        return f"{found}: {_loader.blas_reason}", ""
    return found, f"matrix products on the CPU are slow: {_loader.blas_reason or _unused()}"


def _compiler() -> tuple[str, str]:
    path = shutil.which("g++")
    if path:
        text = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        return f"{text.partition(chr(10))[0]} in {path}", ""
    if not _loader.LINUX:
        return "not needed", ""
    return "not found: functions run on the CPU as they are, where they would be compiled; apt-get install g++", ""


def _compiled() -> tuple[str, str]:
    """Runs a function whose operations MLX makes one kernel of, where it can."""
    names = _names()
    function = names.compile(lambda inputs: [names.exp(names.sin(inputs[0])) + 1])
    try:
        value = function([names.Array([0.0])])[0].tolist()
    except RuntimeError as error:
        remedy = "reinstall g++ and the C++ headers (apt-get install --reinstall g++), or set MLX_DISABLE_COMPILE=1"
        reason = str(error).partition("\n")[0]
        return "fails", f"MLX cannot build the kernel of a compiled function ({reason}); {remedy}"
    return f"a function of three operations runs and gives {value[0]:g}", ""


CHECKS = {
    "mlxffi": _mlxffi,
    "MLX": _mlx,
    "Python": _python,
    "cffi": _cffi,
    "backend": _the_backend,
    "device": _device,
    "BLAS": _blas,
    "g++": _compiler,
    "compile": _compiled,
}


# --- what they stand on ---


def _names() -> ModuleType:
    """The module with the package's names, whose import says in its ImportError what is wrong."""
    from . import _api

    return _api


def _version_of(distribution: str) -> str:
    """The installed version, "" where there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _bridge_calls() -> int:
    """How many calls of MLX went through the BLAS bridge."""
    if _loader.blas_reason:
        return 0
    return ctypes.c_ulong.in_dll(ctypes.CDLL(_loader.BRIDGE), "mlxffi_blas_calls").value


def _unused() -> str:
    """Why no product went through the bridge, though it is loaded."""
    try:
        _loader.load_library(_loader.openblas() or "")
    except OSError as error:
        return f"OpenBLAS cannot be loaded ({error}); pip install --force-reinstall scipy-openblas32"
    return "libmlx was loaded before mlxffi and had bound its own BLAS by then; import mlxffi first"


def _product_rate(names: ModuleType) -> float:
    """GFLOP/s of a matrix product on the CPU: the best of some runs, after one to warm up."""
    seconds = []
    stream = names.default_stream(names.Device("cpu"))
    factor = names.random.normal([SIZE, SIZE], stream=stream).eval()
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        names.matmul(factor, factor, stream=stream).eval()
        seconds.append(time.perf_counter() - start)
    return 2e-9 * SIZE**3 / min(seconds[1:])
