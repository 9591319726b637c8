"""Loads the native parts in the one order that works: BLAS bridge, libmlx, libmlxc, the cffi modules.

The BLAS bridge must be in the global scope before libmlx binds its BLAS symbols. libmlx is loaded by its full path, so
that libmlxc, which only knows its name, and mlx.core, imported before or after, share the one copy.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _backend

if TYPE_CHECKING:
    import ctypes

PACKAGE = Path(__file__).absolute().parent
LIBRARIES = PACKAGE / "lib"
BRIDGE = LIBRARIES / "libmlxffi_blas.so"
NO_CFFI = "cffi, which mlxffi stands on, is not installed; pip install cffi"
LINUX = sys.platform.startswith("linux")

backend: _backend.Backend | None = None
# Why matrix products on the CPU stay with the BLAS that MLX brings; "" where OpenBLAS takes them.
blas_reason = ""


class Native(NamedTuple):
    """The compiled modules: cffi's `ffi` and `lib` for all, the `lib` whose calls keep the GIL, the base of arrays."""

    ffi: Any
    lib: Any
    graph: Any
    native: Any


def load() -> Native:
    """Load everything native.

    Raises:
      ImportError: no fit backend, a subinterpreter, or mlxffi itself was not built.
    """
    global backend, blas_reason
    require_main_interpreter()
    info = build_info()
    if info.MLXC_PREFIX:
        blas_reason = f"the mlx-c of {info.MLXC_PREFIX} brings its own"
        return _import_modules()
    backend = _backend.find(info.MLX_VERSION)
    blas_reason = _load_bridge() if bridge_wanted() else "MLXFFI_BLAS=reference" if LINUX else "macOS has Accelerate"
    _load_libmlx(backend, info.MLX_VERSION)
    return _import_modules()


def require_main_interpreter() -> None:
    """Raise ImportError in a subinterpreter, where cffi's modules would share one native state or not load at all."""
    for name in ("_interpreters", "_xxsubinterpreters"):  # CPython 3.13 and newer; 3.10 to 3.12
        if importlib.util.find_spec(name):
            interpreters = importlib.import_module(name)
            if interpreters.get_current() != interpreters.get_main():
                raise ImportError("mlxffi works in the main interpreter only; import it there, not in a subinterpreter")


def build_info() -> ModuleType:
    """What the native parts were built against.

    Raises:
      ImportError: they were not built.
    """
    try:
        return importlib.import_module("._build_info", __package__)
    except ImportError as error:
        raise ImportError(f"mlxffi in {PACKAGE} has not been built; {_rebuild()}") from error


# --- the BLAS ---


def bridge_wanted() -> bool:
    """Whether OpenBLAS is to stand in for MLX's own BLAS, as far as MLXFFI_BLAS and the system have a say."""
    choice = os.environ.get("MLXFFI_BLAS") or "openblas"
    if choice not in ("openblas", "reference"):
        raise ImportError(f"MLXFFI_BLAS: expected 'openblas' or 'reference', got {choice!r}; set it to one of them")
    return LINUX and choice == "openblas"


def openblas() -> Path | None:
    """The OpenBLAS library of scipy-openblas32, where it is installed."""
    spec = importlib.util.find_spec("scipy_openblas32")
    if not spec or not spec.origin:
        return None
    path = Path(spec.origin).absolute().parent / "lib" / "libscipy_openblas.so"
    return path if path.exists() else None


def bridge_missing() -> str:
    """What the bridge lacks, as a sentence that says what to do; "" where it can be had."""
    if openblas() is None:
        return "scipy-openblas32 is not installed; pip install scipy-openblas32"
    if not BRIDGE.exists():
        return f"mlxffi was built without scipy-openblas32; {_rebuild()}"
    return ""


def _load_bridge() -> str:
    """Load OpenBLAS and the bridge to it, or warn and say what keeps them away."""
    reason = bridge_missing()
    if not reason and "mlx.core" in sys.modules:
        reason = "mlx.core was imported first, and libmlx had bound its own BLAS by then; import mlxffi before mlx.core"
    try:
        for path in () if reason else (openblas(), BRIDGE):
            load_library(path, os.RTLD_GLOBAL)
    except OSError as error:
        reason = f"OpenBLAS cannot be loaded ({error}); pip install --force-reinstall scipy-openblas32"
    if reason:
        slow = "matrix products on the CPU run on MLX's reference BLAS, some 30 times slower"
        _warn(f"{slow}: {reason} (MLXFFI_BLAS=reference silences this)")
    return reason


def _warn(text: str) -> None:
    """Warn at the line that imports mlxffi, past this package's frames and the import system's."""
    frame = sys._getframe()
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] in (__package__, "importlib"):
        frame = frame.f_back
    warnings.warn_explicit(text, RuntimeWarning, frame.f_code.co_filename, frame.f_lineno)


# --- libmlx, libmlxc and the modules ---


def load_library(path: Path | None, mode: int = os.RTLD_LOCAL) -> ctypes.CDLL:
    """Load a shared library, or get the one that is loaded already."""
    import ctypes  # here, for CPython 3.12 refuses it in a subinterpreter, which is to get our sentence instead

    return ctypes.CDLL(str(path), mode)


def _load_libmlx(found: _backend.Backend, built_for: str) -> None:
    import ctypes

    try:
        library = load_library(found.library)
    except OSError as error:
        raise ImportError(_backend.unloadable(found, str(error))) from error
    version = library["_ZN3mlx4core7versionEv"]  # mlx::core::version(); of another version libmlxc may lack symbols
    version.restype = ctypes.c_char_p
    _backend.check_version(found, version().decode(), built_for)


def _import_modules() -> Native:
    try:
        from . import _native
        from ._graph import lib as graph
        from ._mlxc import ffi, lib
    except ImportError as error:
        if error.name == "_cffi_backend":
            raise ImportError(NO_CFFI) from error
        raise ImportError(f"the native modules of mlxffi do not load ({error}); {_rebuild()}") from error
    return Native(ffi, lib, graph, _native)


def _rebuild() -> str:
    """The command that builds mlxffi anew: in its checkout, where this is one."""
    checkout = PACKAGE.resolve().parent
    if (checkout / "build_ffi.py").exists():
        return f"build it: pip install -e '{checkout}[{'metal' if _backend.MACOS else 'cpu'}]'"
    return "install it anew: pip install --force-reinstall --no-deps mlxffi"
