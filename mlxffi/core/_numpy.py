"""Arrays as Python's numbers and lists, and as numpy's arrays, which share their memory."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._buffers import LETTERS, nested, number_of, numbers_of
from .._errors import ArgumentError, check
from .._ffi import ffi, graph, lib
from .._process import require_no_fork
from ._dtype import DTYPES, bfloat16, uint16

if TYPE_CHECKING:
    from ._array import array


class NoNumpyError(ArgumentError, TypeError):
    """numpy has no elements of that type."""


# How cffi reads the elements of the dtypes that C has, by the number of the dtype.
READERS: dict[int, Callable[[int], Any]] = {
    dtype.number: getattr(graph, f"glue_array_data_{dtype.name}")
    for dtype in DTYPES
    if dtype.name not in ("float16", "bfloat16", "complex64")
}


def to_number(array: array) -> Any:
    """The one element of an array as a Python number."""
    read = READERS.get(graph.glue_array_dtype(array._h))
    if read is None:
        return number_of(array)
    require_no_fork("eval")
    check(lib.glue_array_eval(array._h))
    return read(array._h)[0]


def to_list(array: array) -> Any:
    """The elements of an array as nested lists."""
    shape = array.shape
    letter: Any = LETTERS.get(array.dtype.name)
    if graph.glue_array_dtype(array._h) not in READERS or not shape or not array.size:
        return nested(numbers_of(array), shape)
    require_no_fork("eval")
    check(lib.glue_array_eval(array._h))
    rows = ffi.new("bool *")
    check(graph.glue_array_is_row_contiguous(rows, array._h))
    if not rows[0]:
        return nested(numbers_of(array), shape)
    memory: Any = memoryview(ffi.buffer(graph.glue_array_data(array._h), graph.glue_array_nbytes(array._h)))
    return memory.cast("B").cast(letter, shape).tolist()


def to_numpy(array: array) -> Any:
    """A numpy array over the memory of an array, which changes when the numpy array is written to.

    Raises:
      TypeError: it holds bfloat16.
    """
    if array.dtype is bfloat16:
        raise NoNumpyError("bfloat16 arrays cannot be converted to NumPy.")
    # The view has the words for an array that cannot be computed; numpy would ask `__array__` again.
    return _asarray()(memoryview(array))  # type: ignore[arg-type]


@functools.cache
def _asarray() -> Callable[[memoryview], Any]:
    """numpy's function that takes the memory of a view."""
    found: Callable[[memoryview], Any] = importlib.import_module("numpy").asarray
    return found


def to_state(array: array) -> tuple[Any, int]:
    """What a pickle holds of an array: its elements for numpy and the number of its dtype."""
    number = array.dtype.number
    if array.dtype is bfloat16:
        array = array.view(uint16)
    return to_numpy(array), number
