"""Loads the native libraries in the one order that works: BLAS bridge, libmlx, libmlxc.

The BLAS bridge must be in the global scope before libmlx binds its BLAS symbols. libmlx is loaded by its full path, so
that libmlxc, which only knows its name, and mlx.core, imported before or after, share the one copy. The modules of both
bindings find libmlxc in the process.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings

from . import _backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

PACKAGE = os.path.dirname(os.path.abspath(__file__))
LIBRARIES = os.path.join(PACKAGE, "lib")
LIBMLXC = os.path.join(LIBRARIES, "libmlxc.dylib" if _backend.MACOS else "libmlxc.so")
# Writes down each call and passes it on to libmlxc.
TRACER = os.path.join(LIBRARIES, "trace", os.path.basename(LIBMLXC))
BRIDGE = os.path.join(LIBRARIES, "libmlxffi_blas.so")
NO_CFFI = "cffi, which mlxffi stands on, is not installed; pip install cffi"
GPU = 1  # MLX_GPU of mlx/c/device.h
LINUX = sys.platform.startswith("linux")

backend: _backend.Backend | None = None
# Why matrix products on the CPU stay with the BLAS that MLX brings; "" where OpenBLAS takes them.
blas_reason = ""
_loaded = False


def load() -> None:
    """Load the libraries, once.

    Raises:
      ImportError: no fit backend, a subinterpreter, or mlxffi itself was not built.
    """
    global blas_reason, _loaded
    require_main_interpreter()
    if _loaded:
        return
    info = build_info()
    if info.MLXC_PREFIX:
        blas_reason = f"the mlx-c of {info.MLXC_PREFIX} brings its own"
    else:
        _load_all(info.MLX_VERSION)
    _loaded = True


def _load_all(built_for: str) -> None:
    global backend, blas_reason
    backend = _backend.find(built_for)
    blas_reason = _load_bridge() if bridge_wanted() else "MLXFFI_BLAS=reference" if LINUX else "macOS has Accelerate"
    _load_libmlx(backend, built_for)
    _load_libmlxc(backend)


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
        hidden = _hidden_copy()
        hides = f" and hides the one installed in {hidden}; run from another folder, or" if hidden else ";"
        raise ImportError(f"mlxffi in {PACKAGE} has not been built{hides} {_rebuild()}") from error
    return _build_info


def _hidden_copy() -> str | None:
    """A built mlxffi that is found later on the path than this one, as a copy is from inside the checkout."""
    folders = (os.path.join(os.path.abspath(entry), os.path.basename(PACKAGE)) for entry in sys.path)
    built = (path for path in folders if os.path.exists(os.path.join(path, "_build_info.py")))
    return next((path for path in built if path != PACKAGE), None)


# --- the BLAS ---


def bridge_wanted() -> bool:
    """Whether OpenBLAS is to stand in for MLX's own BLAS, as far as MLXFFI_BLAS and the system have a say."""
    choice = os.environ.get("MLXFFI_BLAS") or "openblas"
    if choice not in ("openblas", "reference"):
        raise ImportError(f"MLXFFI_BLAS: expected 'openblas' or 'reference', got {choice!r}; set it to one of them")
    return LINUX and choice == "openblas"


def openblas() -> str | None:
    """The OpenBLAS library of scipy-openblas32, where it is installed."""
    spec = importlib.util.find_spec("scipy_openblas32")
    if not spec or not spec.origin:
        return None
    path = os.path.join(os.path.dirname(os.path.abspath(spec.origin)), "lib", "libscipy_openblas.so")
    return path if os.path.exists(path) else None


def _load_bridge() -> str:
    """Load the bridge to OpenBLAS, which loads that with the first product, or warn and say what keeps it away."""
    found = openblas()
    reason = "" if found else "scipy-openblas32 is not installed; pip install scipy-openblas32"
    if not reason and "mlx.core" in sys.modules:
        reason = "mlx.core was imported first, and libmlx had bound its own BLAS by then; import mlxffi before mlx.core"
    if found and not reason:
        _linker().tell(load_library(BRIDGE, os.RTLD_GLOBAL), "mlxffi_blas_use", found)
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


# --- libmlx and libmlxc ---


def _linker() -> ModuleType:
    # Here, for CPython 3.12 refuses it in a subinterpreter, which is to get our sentence instead.
    from . import _dynamic

    return _dynamic


def load_library(path: str, mode: int = os.RTLD_LOCAL) -> Any:
    """Load a shared library, or get the one that is loaded already, for the functions of _dynamic.

    Raises:
      OSError: the dynamic linker refuses.
    """
    # PyPy closes a library with its object, and libmlxc, which sits in libmlx's tables, must never be unloaded.
    return _linker().open_library(path, mode | os.RTLD_NOW | os.RTLD_NODELETE)


def _load_libmlx(found: _backend.Backend, built_for: str) -> None:
    try:
        library = load_library(found.library)
    except OSError as error:
        raise ImportError(_backend.unloadable(found, str(error))) from error
    # mlx::core::version(); of another version libmlxc may lack symbols
    _backend.check_version(found, _linker().text_of(library, "_ZN3mlx4core7versionEv"), built_for)


def _load_libmlxc(found: _backend.Backend) -> None:
    """Load libmlxc; refuse a CUDA backend that finds no GPU: it loads, and then cannot make a single array."""
    path = TRACER if _traced() else LIBMLXC
    try:
        load_library(path)
    except OSError as error:
        raise unloadable(error) from error
    if found.cuda and not _gpus(path):
        raise ImportError(_backend.without_gpu(found))


def _gpus(libmlxc: str) -> int:
    import ctypes

    count = ctypes.c_int()
    failed = ctypes.CDLL(libmlxc).mlx_device_count(ctypes.byref(count), GPU)
    return 0 if failed else count.value


def _traced() -> bool:
    """Whether MLXFFI_TRACE asks for a trace of all calls, which libmlxc itself knows nothing of."""
    wanted = bool(os.environ.get("MLXFFI_TRACE"))
    if wanted and not os.path.exists(TRACER):
        _warn("MLXFFI_TRACE: calls are traced on Linux alone; nothing is written")
    return wanted and os.path.exists(TRACER)


def unloadable(error: Exception) -> ImportError:
    """The error for a native part of mlxffi that does not load for that reason."""
    if getattr(error, "name", None) == "_cffi_backend":
        return ImportError(NO_CFFI)
    return ImportError(f"the native modules of mlxffi do not load ({error}); {_rebuild()}")


def _rebuild() -> str:
    """The command that builds mlxffi anew: in its checkout, where this is one."""
    checkout = os.path.dirname(os.path.realpath(PACKAGE))
    if os.path.exists(os.path.join(checkout, "build_ffi.py")):
        return f"build it: pip install -e '{checkout}[{'metal' if _backend.MACOS else 'cpu'}]'"
    return "install it anew: pip install --force-reinstall --no-deps mlxffi"
