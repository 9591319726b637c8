"""Traced functions in files, and computation graphs as DOT."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping

from .._errors import ArgumentError, OperationError
from .._files import path_of
from . import _trees
from ._arguments import required
from ._array import array
from ._binding import abi, native
from ._dtype import DTYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["FunctionExporter", "export_function", "export_to_dot", "exporter", "import_function"]


def _inputs(function: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[list[array], dict[str, array]]:
    """Positional and named arrays, given as such or as one tuple and/or one dict.

    Raises:
      ValueError: they are given in another way.
    """
    found = list(args), dict(kwargs)
    if not kwargs and args and not any(isinstance(item, array) for item in args):
        *first, last = args
        named = last if isinstance(last, dict) else {}
        rest = first if isinstance(last, dict) else [*first, last]
        if len(rest) <= 1 and all(isinstance(item, (list, tuple)) for item in rest):
            found = [item for part in rest for item in part], dict(named)
    if not all(isinstance(item, array) for item in (*found[0], *found[1].values())):
        raise ArgumentError(
            f"[{function}] Inputs can either be a variable number of positional and keyword arrays or a single tuple "
            "and/or dictionary of arrays."
        )
    return found


class _Traced:
    """A function as C calls it to write a trace: with arrays, and a dict of named arrays."""

    __slots__ = ("__weakref__", "_fun")

    def __init__(self, fun: Callable[..., Any]):
        self._fun = fun

    def __call__(self, inputs: list[array], named: dict[str, array]) -> list[array]:
        outputs = self._fun(*inputs, **named)
        if isinstance(outputs, array):
            return [outputs]
        if isinstance(outputs, (list, tuple)) and all(isinstance(item, array) for item in outputs):
            return list(outputs)
        raise ArgumentError("[export_function] Outputs can be either a single array, a tuple, or a list of arrays.")


def _path(function: str, file: Any) -> str:
    if not isinstance(file, (str, os.PathLike)):
        raise TypeError(f"{function}(): file: expected a path, got {type(file).__name__}")
    return path_of(file)


class FunctionExporter:
    """A file that takes several traces of one function; made by `exporter`, used as a context manager."""

    __module__ = "mlxffi.core"
    __slots__ = ("__weakref__", "_handle", "_traced")
    _handle: native.Handle | None
    _traced: _Traced

    def __init__(self, *_: Any):
        raise TypeError("FunctionExporter: no constructor defined; use exporter")

    @classmethod
    def _open(cls, path: str, traced: _Traced, shapeless: bool, metadata: str | None) -> FunctionExporter:
        made = cls.__new__(cls)
        made._traced = traced
        closure = native.closure(weakref.ref(traced), True)
        made._handle = abi.function_exporter_new_kwargs(path, closure, bool(shapeless), metadata or "")
        return made

    def close(self) -> None:
        """End the file."""
        handle, self._handle = self._handle, None
        if handle:
            abi.function_exporter_close(handle)

    def __enter__(self) -> FunctionExporter:
        return self

    def __exit__(
        self, exc_type: object | None = None, exc_value: object | None = None, traceback: object | None = None
    ) -> None:
        self.close()

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Add a trace for inputs like these; they are given as to `export_function`."""
        if not self._handle:
            raise OperationError("[export_function] Attempting to write after exporting is closed.")
        inputs, named = _inputs("export_function", args, kwargs)
        abi.function_exporter_apply_kwargs(self._handle, inputs, named)


def export_function(
    file_or_callback: str | Callable[..., Any],
    fun: Callable[..., Any],
    *args: Any,
    shapeless: bool = False,
    metadata: str | None = None,
    **kwargs: Any,
) -> None:
    """Trace a function and write the trace to a file, or tell it to a callback.

    Args:
      file_or_callback: a path, or a function that is called with a dict for each part of the trace.
      fun: takes arrays by position and by name, and returns an array, or a list or tuple of arrays.
      args: arrays to trace with, or a tuple of them and/or a dict of those by name.
      shapeless: let the trace serve all sizes of the same ranks.
      metadata: a text that is kept in the file.
      kwargs: arrays by name to trace with.
    """
    traced = _Traced(required(fun, "export_function"))
    if callable(file_or_callback):
        if metadata is not None:
            raise ArgumentError("[export_function] metadata can be kept in a file only, not with a callback")
        _tell(file_or_callback, traced, _inputs("export_function", args, kwargs), shapeless)
        return
    with FunctionExporter._open(_path("export_function", file_or_callback), traced, shapeless, metadata) as opened:
        opened(*args, **kwargs)


def _tell(
    callback: Callable[..., Any], traced: _Traced, inputs: tuple[list[array], dict[str, array]], shapeless: bool
) -> None:
    """Call a function with each part of a trace."""
    described, constants = abi.export_describe(native.closure(traced, True), *inputs, bool(shapeless))
    import json  # Who exports to a callback alone needs it.

    for part in json.loads(described):
        callback({key: _value(value, constants) for key, value in part.items()})


def _value(value: Any, arrays: list[array]) -> Any:
    """What a part of a trace says, as Python has it."""
    if isinstance(value, list):
        return [_value(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "tuple":
        return tuple(_value(item, arrays) for item in held)
    return DTYPES[held] if kind == "dtype" else arrays[held] if kind == "array" else float(held)


def exporter(
    file: str, fun: Callable[..., Any], *, shapeless: bool = False, metadata: str | None = None
) -> FunctionExporter:
    """Open a file for several traces of a function, to be used as `with exporter(file, fun) as export: export(a)`.

    Args:
      file: the path.
      fun: as for `export_function`.
      shapeless: let each trace serve all sizes of the same ranks.
      metadata: a string that is kept in the file.

    Returns:
      The exporter, a context manager.
    """
    return FunctionExporter._open(_path("exporter", file), _Traced(required(fun, "exporter")), shapeless, metadata)


class _Imported:
    __slots__ = ("_handle",)

    def __init__(self, handle: native.Handle):
        self._handle = handle

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[array, ...]:
        inputs, named = _inputs("import_function::call", args, kwargs)
        return tuple(abi.imported_function_apply_kwargs(self._handle, inputs, named))


def import_function(file: str, return_metadata: bool = False) -> Any:
    """Read a function from a file.

    Args:
      file: the path.
      return_metadata: give the text that is kept in the file, too.

    Returns:
      A function of arrays by position and by name (or a tuple and/or dict of them) that gives a tuple of arrays; with
      `return_metadata` the pair of that and the text.
    """
    handle = abi.imported_function_new(_path("import_function", file))
    function = _Imported(handle)
    return (function, abi.imported_function_metadata(handle)) if return_metadata else function


def export_to_dot(file: object, *args: Any, **kwargs: Any) -> None:
    """Write the graph that leads to some arrays in the DOT language.

    Args:
      file: a path or a text file object.
      args: arrays, or trees of them, that are not evaluated yet.
      kwargs: arrays of the graph by the names that they get.
    """
    if file is None:
        raise TypeError("export_to_dot(): file: expected a path or a text file object, got None")
    if not isinstance(file, str) and not hasattr(file, "write"):
        raise ArgumentError("[export_to_dot] file: expected a path or a file object with write()")
    for value in kwargs.values():
        _trees.arrays_only(value)
    dot = abi.export_dot(_trees.arrays_only(args), kwargs)
    if not isinstance(file, str):
        file.write(dot)
        return
    with open(file, "w", encoding="utf-8") as opened:
        opened.write(dot)
