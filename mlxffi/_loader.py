"""Loads the native parts in the one order that works: BLAS bridge, libmlx, libmlxc, the cffi modules.

The BLAS bridge must be in the global scope before libmlx binds its BLAS symbols. libmlx is loaded by its full path, so
that libmlxc, which only knows its name, and mlx.core, imported before or after, share the one copy.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType

from . import _backend

PACKAGE = Path(__file__).resolve().parent
LIBRARIES = PACKAGE / "lib"
LINUX = sys.platform.startswith("linux")

backend: _backend.Backend | None = None
# The loaded bridge; None where MLX's own BLAS is in use, and then the reason in words.
blas_bridge: ctypes.CDLL | None = None
blas_reason = ""
# mlx.core came first: calls that libmlx had already bound stay with its own BLAS.
mlx_was_loaded = False


def load() -> tuple[ModuleType, ModuleType]:
    """Load everything native.

    Returns:
      The cffi modules `_mlxc` (everything) and `_graph` (calls that keep the GIL).

    Raises:
      ImportError: no fit backend, a subinterpreter, or mlxffi itself was not built.
    """
    global backend, mlx_was_loaded
    _require_main_interpreter()
    info = _build_info()
    mlx_was_loaded = "mlx.core" in sys.modules
    if not info.MLXC_PREFIX:
        backend = _backend.find(info.MLX_VERSION)
        _load_blas()
        _load_libmlx(backend)
    return _import_modules()


def _require_main_interpreter() -> None:
    api = ctypes.pythonapi
    api.PyInterpreterState_Get.restype = ctypes.c_void_p
    api.PyInterpreterState_GetID.argtypes = [ctypes.c_void_p]
    api.PyInterpreterState_GetID.restype = ctypes.c_int64
    if api.PyInterpreterState_GetID(api.PyInterpreterState_Get()) != 0:
        raise ImportError("mlxffi works in the main interpreter only; import it there, not in a subinterpreter")


def _build_info() -> ModuleType:
    try:
        from . import _build_info
    except ImportError as error:
        raise ImportError(f"mlxffi in {PACKAGE} has not been built; pip install -e '{PACKAGE.parent}[cpu]'") from error
    return _build_info


def openblas() -> Path | None:
    """The OpenBLAS library of scipy-openblas32, where it is installed."""
    spec = importlib.util.find_spec("scipy_openblas32")
    if not spec or not spec.origin:
        return None
    path = Path(spec.origin).parent / "lib" / "libscipy_openblas.so"
    return path if path.exists() else None


def _load_blas() -> None:
    global blas_bridge, blas_reason
    bridge, library = LIBRARIES / "libmlxffi_blas.so", openblas()
    blas_reason = _why_no_bridge(bridge, library)
    if blas_reason or library is None:
        return
    try:
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        blas_bridge = ctypes.CDLL(str(bridge), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        blas_reason = f"OpenBLAS could not be loaded ({error})"
        warnings.warn(f"{blas_reason}; matrix products will be slow", RuntimeWarning, stacklevel=2)


def _why_no_bridge(bridge: Path, library: Path | None) -> str:
    """Why MLX's own BLAS stays in use; "" where it need not."""
    choice = os.environ.get("MLXFFI_BLAS", "openblas")
    if choice not in ("openblas", "reference"):
        raise ImportError(f"MLXFFI_BLAS: expected 'openblas' or 'reference', got {choice!r}")
    if not LINUX:
        return "macOS: MLX uses Accelerate"
    if choice == "reference":
        return "MLXFFI_BLAS=reference"
    if not bridge.exists():
        return "mlxffi was built without scipy-openblas32"
    if library is None:
        reason = "scipy-openblas32 is not installed"
        warnings.warn(
            f"{reason}, so matrix products on the CPU run on MLX's reference BLAS, some 30 times slower; "
            "pip install scipy-openblas32 (or set MLXFFI_BLAS=reference to silence this)",
            RuntimeWarning,
            stacklevel=2,
        )
        return reason
    return ""


def _load_libmlx(found: _backend.Backend) -> None:
    try:
        ctypes.CDLL(str(found.library))
    except OSError as error:
        raise ImportError(
            f"{found.name or 'the MLX backend'} {found.version} cannot be loaded here: {error}; "
            f"install what it needs (pip install --force-reinstall {found.name or 'mlx-cpu'}) or use mlx-cpu"
        ) from error


def _import_modules() -> tuple[ModuleType, ModuleType]:
    try:
        from . import _graph, _mlxc
    except ImportError as error:
        raise ImportError(
            f"the native modules of mlxffi do not load ({error}); rebuild them: pip install --force-reinstall mlxffi"
        ) from error
    return _mlxc, _graph
