"""The compiled modules: `lib` and `ffi` reach every C function, `graph` those that build graph nodes.

Nothing else imports the compiled modules. Importing this one loads the backend and silences mlx-c's error handler,
which would end the process: errors are read from the calling thread's last error instead, here and nowhere else.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import _loader
from ._errors import Error, OperationError, error_of

_loader.load()
try:
    from ._graph import ffi as _graph_ffi
    from ._graph import lib as _graph_lib
    from ._mlxc import ffi as ffi
    from ._mlxc import lib as lib
except ImportError as error:
    raise _loader.unloadable(error) from error

if TYPE_CHECKING:
    from . import _graph


def _as_module(lib: Any) -> Any:
    """The functions of a cffi lib as a module, whose attributes CPython finds in a tenth of the time."""
    module = ModuleType("mlxffi._graph.lib")
    vars(module).update({name: getattr(lib, name) for name in dir(lib)})
    return module


graph: _graph.Lib = _as_module(_graph_lib)


def address(function: str) -> int:
    """Where a function of `graph` stands, for a function of it that calls another."""
    return int(_graph_ffi.cast("intptr_t", _graph_ffi.addressof(_graph_lib, function)))


# A build against somebody else's mlx-c has none of the mlxffi_* functions.
plain_mlxc = bool(_loader.build_info().MLXC_PREFIX)

lib.glue_ignore_errors()
# From here on no callback enters Python any more.
atexit.register(lib.glue_stop_callbacks)
atexit.register(graph.glue_stop_others)


# --- errors ---


def error_text() -> str:
    """The message of the calling thread's last error."""
    text: bytes = ffi.string(lib.mlxffi_last_error_text())
    return text.decode("utf-8", "replace")


def last_error() -> Error:
    """The error of this thread's last failed call, to be raised; it is forgotten."""
    error = error_of(lib.mlxffi_last_error_kind(), error_text())
    lib.mlxffi_clear_error()
    return error


def check(status: int) -> None:
    """Raise the last error where a status is not 0."""
    if status:
        raise last_error()


# --- forked children ---

_forked = False


def _note_fork() -> None:
    global _forked
    _forked = True


if plain_mlxc:
    os.register_at_fork(after_in_child=_note_fork)


def require_no_fork(function: str) -> None:
    """Refuse to evaluate in a forked child: MLX's threads exist in the parent only, and waiting for them never ends.

    Over somebody else's mlx-c; libmlxc refuses by itself.
    """
    if _forked:
        raise OperationError(
            f"[{function}] MLX cannot compute in a forked process; start the process with the 'spawn' method "
            "(multiprocessing.get_context('spawn')) and import mlxffi there"
        )


# --- handles and slots ---


def pointer(handle: Any) -> int:
    """A C handle as the integer that glue functions take."""
    return int(ffi.cast("intptr_t", handle.ctx))


def handle(kind: str, pointer: int) -> Any:
    """An integer as the C handle that plain functions take."""
    return ffi.new(f"{kind} *", [ffi.cast("void *", pointer)])[0]


def read(kind: str, function: Callable[..., int], *arguments: Any) -> Any:
    """The value of some C type that a function writes to where its first argument points."""
    slot = ffi.new(f"{kind} *")
    check(function(slot, *arguments))
    return slot[0]


@contextmanager
def freed(kind: str) -> Iterator[Any]:
    """A slot for a handle of some kind, which is freed at the end."""
    slot = ffi.new(f"{kind} *")
    try:
        yield slot
    finally:
        getattr(lib, f"{kind}_free")(slot[0])


# --- texts ---


def mlx_version() -> str:
    """The version of the libmlx that is loaded."""
    return taken_text(read("mlx_string", lib.mlx_version))


def taken_text(string: Any) -> str:
    """The text of an mlx_string, which is freed."""
    try:
        text: str = ffi.string(lib.mlx_string_data(string)).decode()
        return text
    finally:
        lib.mlx_string_free(string)
