"""Functions traced to files, which another process, or any program that links MLX, can run.

A function takes a list of Arrays, and named Arrays by keyword, and returns a non-empty list of Arrays. Arrays that it
captures are written as constants. A trace serves inputs of its shapes and dtypes; one file holds several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._arguments import as_inputs
from ._closures import Closure, call, check
from ._containers import array_map, arrays_of_map, path_text
from ._errors import ArgumentError
from ._ffi import lib
from ._handles import Owner, pack_arrays, take_arrays
from ._registry import Held
from .array import Array

if TYPE_CHECKING:
    from ._arguments import ArrayLike

__all__ = ["FunctionExporter", "ImportedFunction", "export_function", "exporter", "import_function"]

ExportedFunction = Callable[..., Sequence["Array"]]


def export_function(
    path: Any,
    fn: ExportedFunction,
    args: Sequence[ArrayLike],
    kwargs: Mapping[str, ArrayLike] | None = None,
    shapeless: bool = False,
) -> None:
    """Trace a function and write the trace to a file, replacing what was there.

    Args:
      path: of the file, usually ending in .mlxfn.
      fn: from a list of Arrays, and named Arrays, to a list of Arrays.
      args: positional inputs to trace with; only their number, shapes and dtypes matter.
      kwargs: named inputs to trace with.
      shapeless: let the trace serve all sizes of the same ranks.

    Raises:
      ValueError: an operation of the trace cannot be written, such as a loss that is one kernel. Whatever `fn` raises
        arrives as it is.
      RuntimeError: the file cannot be written.

    Source: C mlx_export_function_kwargs.
    """
    file, arrays, traced = path_text(path), as_inputs("args", args), _with_names(fn)
    with Closure(traced, "closure_kwargs") as closure, array_map(kwargs or {}) as named:
        check(call(lib.glue_export_function_kwargs, file, closure, pack_arrays(arrays), named, shapeless))


def _with_names(fn: ExportedFunction) -> ExportedFunction:
    """The function as the callback calls it: with a borrowed map of named arrays."""

    def call(inputs: list[Array], named: int) -> Sequence[Array]:
        return fn(inputs, **arrays_of_map(named))

    return call


class FunctionExporter(Owner):
    """A file that takes several traces of one function; made by `exporter`, used as a context manager."""

    __slots__ = ("_closed", "_exporter", "_held")
    _slot = "_exporter"
    _exporter: int
    _free = lib.glue_function_exporter_free

    def __init__(self, path: Any, fn: ExportedFunction, shapeless: bool):
        self._closed = False
        file = path_text(path)
        self._held = Held(_with_names(fn))
        with Closure(self._held, "closure_kwargs") as closure:
            super().__init__(lib.glue_function_exporter_new_kwargs(file, closure, shapeless, b""))

    def __call__(self, inputs: Sequence[ArrayLike], **named: ArrayLike) -> None:
        """Add a trace for inputs like these.

        Raises:
          ValueError: this exporter has been closed, or an operation of the trace cannot be written.
          RuntimeError: the file has a trace for such inputs already.
        """
        if self._closed:
            raise ArgumentError("[exporter] this exporter has been closed; all traces belong inside its `with` block")
        arrays = as_inputs("inputs", inputs)
        with array_map(named) as names:
            check(call(lib.glue_function_exporter_apply_kwargs, self._exporter, pack_arrays(arrays), names))

    def __enter__(self) -> FunctionExporter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the file. The handle stays until nobody uses it any more."""
        self._closed = True
        check(call(lib.glue_function_exporter_close, self._exporter))


def exporter(path: Any, fn: ExportedFunction, shapeless: bool = False) -> FunctionExporter:
    """Open a file for traces of a function, replacing what was there.

    Used as `with exporter(path, fn) as export: export([a]); export([b])`.

    Args:
      path: of the file, usually ending in .mlxfn.
      fn: from a list of Arrays, and named Arrays, to a list of Arrays.
      shapeless: let each trace serve all sizes of the same ranks.

    Returns:
      The exporter, a context manager; call it with inputs to add a trace.

    Raises:
      RuntimeError: the file cannot be written.

    Source: C mlx_function_exporter_new_kwargs, which only mlxffi's own libmlxc has.
    """
    return FunctionExporter(path, fn, shapeless)


class ImportedFunction(Owner):
    """A function read from a file; made by `import_function`."""

    __slots__ = ("_function",)
    _slot = "_function"
    _function: int
    _free = lib.glue_imported_function_free

    def __init__(self, path: Any):
        super().__init__(lib.glue_imported_function_new(path_text(path)))

    def __call__(self, inputs: Sequence[ArrayLike], **named: ArrayLike) -> list[Array]:
        """Run the trace that fits the inputs.

        Returns:
          What the function that was exported returned.

        Raises:
          ValueError: no trace in the file fits.
        """
        arrays = as_inputs("inputs", inputs)
        with array_map(named) as names:
            vector = call(lib.glue_imported_function_apply_kwargs, self._function, pack_arrays(arrays), names)
            check(not vector)
            return take_arrays(vector)


def import_function(path: Any) -> ImportedFunction:
    """Read a function that `export_function` or `exporter` wrote.

    Args:
      path: of the file; it is not needed afterwards.

    Returns:
      A function of a list of Arrays, and of named Arrays, that returns a list of Arrays.

    Raises:
      RuntimeError: the file cannot be opened, or is not one that a compatible MLX wrote.

    Source: C mlx_imported_function_new.
    """
    return ImportedFunction(path)
