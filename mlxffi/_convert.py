"""Python values into arrays and back: numbers, nested lists, buffers."""

from __future__ import annotations

import array as arrays
from collections.abc import Iterator, Sequence
from typing import Any

from . import dtype as dtypes
from ._errors import ArgumentError, last_error
from ._ffi import ffi, graph
from .dtype import Dtype

# The letters with which the standard library's array and memoryview name the dtypes they have.
LETTERS = {
    "bool": "B", "uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q", "int8": "b", "int16": "h", "int32": "i",
    "int64": "q", "float32": "f", "float64": "d",
}  # fmt: skip


def from_value(value: Any, dtype: Dtype | None) -> int:
    """A new array handle for a number or a nested list of numbers."""
    shape = _shape(value)
    numbers = list(_flat(value, shape))
    return from_numbers(numbers, shape, dtype or _dtype_of(numbers))


def from_numbers(numbers: Sequence[complex], shape: Sequence[int], dtype: Dtype) -> int:
    """A new array handle for numbers in row order."""
    if dtype.name in LETTERS:
        data = arrays.array(LETTERS[dtype.name], [bool(number) for number in numbers] if dtype.kind == "b" else numbers)
        return copy(data, shape, dtype)
    if dtype.kind == "c":
        parts = [part for number in numbers for part in (complex(number).real, complex(number).imag)]
        return copy(arrays.array("f", parts), shape, dtype)
    wide = copy(arrays.array("f", numbers), shape, dtypes.float32)
    try:
        return _checked(graph.glue_astype(wide, dtype.number, 0))
    finally:
        graph.glue_array_free(wide)


def copy(data: Any, shape: Sequence[int], dtype: Dtype) -> int:
    """A new array handle with a copy of a buffer's bytes, which lie in row order."""
    return _checked(graph.glue_array_copy_data(ffi.from_buffer(data), list(shape), len(shape), dtype.number))


def _checked(handle: int) -> int:
    if not handle:
        raise last_error()
    return handle


def _shape(value: Any) -> list[int]:
    shape = []
    while isinstance(value, (list, tuple)):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _flat(value: Any, shape: Sequence[int]) -> Iterator[Any]:
    if not shape:
        if not isinstance(value, (bool, int, float, complex)):
            raise TypeError(f"value: expected numbers, nested lists or a buffer of numbers, got {type(value).__name__}")
        yield value
        return
    if not isinstance(value, (list, tuple)) or len(value) != shape[0]:
        raise ArgumentError(f"value: expected nested lists of equal length, got a row that is not of length {shape[0]}")
    for item in value:
        yield from _flat(item, shape[1:])


def _dtype_of(numbers: Sequence[Any]) -> Dtype:
    kinds = {type(number) for number in numbers}
    for python in (complex, float, int, bool):
        if any(issubclass(kind, python) for kind in kinds):
            return dtypes.PYTHON_TYPES[python]
    return dtypes.float32


def to_list(array: Any) -> Any:
    """The elements of an array as nested lists of Python numbers."""
    numbers = _numbers(array)
    for size in reversed(array.shape[1:]):
        numbers = [numbers[start : start + size] for start in range(0, len(numbers), size)] if size else [[]] * array.shape[0]
    return numbers if array.shape else numbers[0]


def _numbers(array: Any) -> list[Any]:
    """The elements in row order."""
    if array.dtype.kind == "c":
        parts = _numbers_of(array, "f", 2 * array.size)
        return [complex(*pair) for pair in zip(parts[::2], parts[1::2])]
    if array.dtype.name not in LETTERS:
        array = array.astype(dtypes.float32)
    numbers = _numbers_of(array, LETTERS[array.dtype.name], array.size)
    return [bool(number) for number in numbers] if array.dtype.kind == "b" else numbers


def _numbers_of(array: Any, letter: str, count: int) -> list[Any]:
    from ._ops import contiguous

    rows = contiguous(array).eval()
    data = graph.glue_array_data(rows._h)
    return memoryview(ffi.buffer(data, rows.nbytes)).cast(letter)[:count].tolist() if count else []
