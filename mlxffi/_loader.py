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

from . import _backend

PACKAGE = Path(__file__).absolute().parent
LIBRARIES = PACKAGE / "lib"
BRIDGE = LIBRARIES / "libmlxffi_blas.so"
LINUX = sys.platform.startswith("linux")

backend: _backend.Backend | None = None
# Why matrix products on the CPU stay with the BLAS that MLX brings; "" where OpenBLAS takes them.
blas_reason = ""


def load() -> tuple[ModuleType, ModuleType]:
    """Load everything native.

    Returns:
      The cffi modules `_mlxc` (everything) and `_graph` (calls that keep the GIL).

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
        from . import _build_info
    except ImportError as error:
        raise ImportError(f"mlxffi in {PACKAGE} has not been built; {_rebuild()}") from error
    return _build_info


# --- the BLAS ---


def bridge_wanted() -> bool:
    """Whether OpenBLAS is to stand in for MLX's own BLAS, as far as MLXFFI_BLAS and the system have a say."""
    choice = os.environ.get("MLXFFI_BLAS") or "openblas"
    if choice not in ("openblas", "reference"):
        raise ImportError(f"MLXFFI_BLAS: expected 'openblas' or 'reference', got {choice!r}; set it to one of them or unset it")
    return LINUX and choice == "openblas"


def openblas() -> Path | None:
    """The OpenBLAS library of scipy-openblas32, where it is installed."""
    spec = importlib.util.find_spec("scipy_openblas32")
    if not spec or not spec.origin:
        return None
    path = Path(spec.origin).parent / "lib" / "libscipy_openblas.so"
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
    if "mlx.core" in sys.modules:
        reason = "mlx.core was imported first, and libmlx had bound its own BLAS by then; import mlxffi before mlx.core"
    try:
        for path in () if reason else (openblas(), BRIDGE):
            load_library(path, os.RTLD_GLOBAL)
    except OSError as error:
        reason = f"OpenBLAS cannot be loaded ({error}); pip install --force-reinstall scipy-openblas32"
    if reason:
        slow = "matrix products on the CPU run on MLX's reference BLAS, some 30 times slower"
        warnings.warn(f"{slow}: {reason} (MLXFFI_BLAS=reference silences this)", RuntimeWarning, stacklevel=2)
    return reason


# --- libmlx, libmlxc and the modules ---


def _load_libmlx(found: _backend.Backend, built_for: str) -> None:
    try:
        library = ctypes.CDLL(str(found.library))
    except OSError as error:
        raise ImportError(_backend.unloadable(found, str(error))) from error
    # mlx::core::version(): asked before libmlxc is loaded, which another version may lack symbols for.
