"""The compiled modules: `lib` and `ffi` reach every C function, `graph` the calls that only build graph nodes.

`native` is plain C without cffi: the class of arrays, trees of them, functions of Python in C and the calls over them.

Nothing else imports the compiled modules. Importing this one loads the backend and silences mlx-c's error handler,
which would end the process: errors are read from the calling thread's last error instead.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import _backend, _loader

if TYPE_CHECKING:
    import cffi

    from . import _graph, _mlxc, _native


def _as_module(lib: Any) -> Any:
    """The functions of a cffi lib as a module, whose attributes CPython finds in a tenth of the time."""
    module = ModuleType("mlxffi._graph.lib")
    vars(module).update({name: getattr(lib, name) for name in dir(lib)})
    return module


_loaded = _loader.load()
ffi: cffi.FFI = _loaded.ffi
lib: _mlxc.Lib = _loaded.lib
graph: _graph.Lib = _as_module(_loaded.graph)
if TYPE_CHECKING:
    native = _native
else:
    native = _loaded.native

# A build against somebody else's mlx-c has none of the mlxffi_* functions.
plain_mlxc = bool(_loader.build_info().MLXC_PREFIX)

lib.glue_ignore_errors()


def mlx_version() -> str:
    """The version of the libmlx that is loaded."""
    text = ffi.new("mlx_string *")
    if lib.mlx_version(text):
        raise RuntimeError(f"mlx_version: {error_text()}")
    return taken_text(text[0])


def taken_text(string: Any) -> str:
    """The text of an mlx_string, which is freed."""
    try:
        text: str = ffi.string(lib.mlx_string_data(string)).decode()
        return text
    finally:
        lib.mlx_string_free(string)


def error_text() -> str:
    """The message of the calling thread's last error."""
    text: bytes = ffi.string(lib.glue_error_text())
    return text.decode(errors="replace")


def _require_gpu(backend: _backend.Backend) -> None:
    """Refuse a CUDA backend that finds no GPU: it loads, and then cannot make a single array."""
    count = ffi.new("int *")
    if lib.mlx_device_count(count, lib.MLX_GPU) or not count[0]:
        raise ImportError(_backend.without_gpu(backend))


if _loader.backend and _loader.backend.cuda:
    _require_gpu(_loader.backend)
