"""Traced functions in files, and computation graphs as DOT."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from .. import graphs
from .._arguments import text
from .._closures import Closure, Held, call, check
from .._containers import array_map, decoded, handle, path_text, pointer
from .._errors import ArgumentError, OperationError, last_error
from .._errors import check as check_error
from .._ffi import ffi, lib, taken_text
from .._handles import Owner, handles, pack_arrays
from . import _trees
from ._array import array
from ._checks import take_tuple
from ._dtype import DTYPES

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


def _traced(function: str, fun: Any) -> _Traced:
    if not callable(fun):
        raise TypeError(f"{function}(): fun: expected a callable, got {type(fun).__name__}")
    return _Traced(fun)


def _path(function: str, file: Any) -> bytes:
    if not isinstance(file, (str, os.PathLike)):
        raise TypeError(f"{function}(): file: expected a path, got {type(file).__name__}")
    return path_text(file)


class FunctionExporter(Owner):
    """A file that takes several traces of one function; made by `exporter`, used as a context manager."""

    __module__ = "mlxffi.core"
    __slots__ = ("_held",)
    _held: Held
    _free = lib.glue_function_exporter_free

    def __init__(self, *_: Any):
        raise TypeError("FunctionExporter: no constructor defined; use exporter")

    def __del__(self) -> None:
        if getattr(self, "_h", 0):
            Owner.close(self)

    @classmethod
    def _open(cls, path: bytes, traced: _Traced, shapeless: bool, metadata: str | None) -> FunctionExporter:
        made = cls.__new__(cls)
        made._held = Held(traced)
        with Closure(made._held, "closure_kwargs", array) as closure:
            note = text(metadata or "", "metadata")
            Owner.__init__(made, lib.glue_function_exporter_new_kwargs(path, closure, bool(shapeless), note))
        return made

    def close(self) -> None:
        """End the file."""
        Owner.close(self)

    def __enter__(self) -> FunctionExporter:
        return self

    def __exit__(
        self, exc_type: object | None = None, exc_value: object | None = None, traceback: object | None = None
    ) -> None:
        self.close()

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Add a trace for inputs like these; they are given as to `export_function`."""
        if not self._h:
            raise OperationError("[export_function] Attempting to write after exporting is closed.")
        inputs, named = _inputs("export_function", args, kwargs)
        with array_map(named) as names:
            check(lib.glue_function_exporter_apply_kwargs(self._h, handles(inputs), len(inputs), names))


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
    traced = _traced("export_function", fun)
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
    text, constants = ffi.new("mlx_string *"), ffi.new("mlx_vector_array *")
    args = handle("mlx_vector_array", pack_arrays(inputs[0]))
    try:
        with Closure(traced, "closure_kwargs", array) as closure, array_map(inputs[1]) as named:
            function, names = handle("mlx_closure_kwargs", closure), handle("mlx_map_string_to_array", named)
            check(call(lib.mlxffi_export_describe, text, constants, function, args, names, bool(shapeless)))
        parts = json.loads(decoded(lib.mlx_string_data(text[0])))
        arrays: list[array] = array._share_all(pointer(constants[0])) if parts else []
    finally:
        lib.mlx_vector_array_free(args)
        lib.mlx_vector_array_free(constants[0])
        lib.mlx_string_free(text[0])
    for part in parts:
        callback({key: _value(value, arrays) for key, value in part.items()})


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
      metadata: a text that is kept in the file.
    """
    return FunctionExporter._open(_path("exporter", file), _traced("exporter", fun), shapeless, metadata)


class _Imported(Owner):
    __slots__ = ()
    _free = lib.glue_imported_function_free

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[array, ...]:
        inputs, named = _inputs("import_function::call", args, kwargs)
        with array_map(named) as names:
            vector = lib.glue_imported_function_apply_kwargs(self._h, handles(inputs), len(inputs), names)
        check(not vector)
        return take_tuple(vector)

    def _metadata(self) -> str:
        string = ffi.new("mlx_string *")
        check_error(lib.mlx_imported_function_metadata(string, handle("mlx_imported_function", self._h)))
        return taken_text(string[0])


def import_function(file: str, return_metadata: bool = False) -> Any:
    """Read a function from a file.

    Args:
      file: the path.
      return_metadata: give the text that is kept in the file, too.

    Returns:
      A function of arrays by position and by name (or a tuple and/or dict of them) that gives a tuple of arrays; with
      `return_metadata` the pair of that and the text.
    """
    native = lib.glue_imported_function_new(_path("import_function", file))
    if not native:
        raise last_error()
    function = _Imported(native)
    return (function, function._metadata()) if return_metadata else function


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
    graphs.export_to_dot(file, _trees.arrays_only(args), kwargs)  # type: ignore[arg-type]
