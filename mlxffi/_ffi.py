"""The compiled modules: `lib` and `ffi` reach every C function, `graph` the calls that only build graph nodes.

Nothing else imports the compiled modules. Importing this one loads the backend and silences mlx-c's error handler,
which would end the process: errors are read from the calling thread's last error instead.
"""

from __future__ import annotations

from . import _backend, _build_info, _loader

_mlxc, _graph = _loader.load()

ffi = _mlxc.ffi
lib = _mlxc.lib
graph = _graph.lib

# A build against somebody else's mlx-c has none of the mlxffi_* functions.
plain_mlxc = bool(_build_info.MLXC_PREFIX)

lib.glue_ignore_errors()


def mlx_version() -> str:
    """The version of the libmlx that is loaded."""
    text = ffi.new("mlx_string *")
    if lib.mlx_version(text):
        raise ImportError(f"libmlx does not tell its version: {ffi.string(lib.glue_error_text()).decode(errors='replace')}")
    version = ffi.string(lib.mlx_string_data(text[0])).decode()
    lib.mlx_string_free(text[0])
    return version


_backend.check_version(mlx_version(), _build_info.MLX_VERSION, _loader.backend.name if _loader.backend else "")
