"""Python values as arrays, with the default dtypes and the conversions of C."""

from __future__ import annotations

import array as arrays
import functools
import itertools
import math
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import _convert as lower
from .. import _handles, _ops
from .._buffers import LARGEST_AXIS, LETTERS, UnknownElementsError
from .._errors import ArgumentError, Error, OperationError
from .._ffi import ffi, graph
from . import _arguments, _dtype
from ._arguments import NUMBERS, UnknownValueError, require_int64, taken
from ._dtype import Dtype

if TYPE_CHECKING:
    from ._array import array

KINDS = frozenset(NUMBERS)
# The scalars that C makes without a detour, by type and dtype.
SCALARS: dict[tuple[type, Dtype | None], Callable[[Any], int]] = {
    (bool, None): graph.glue_array_new_bool,
    (bool, _dtype.bool_): graph.glue_array_new_bool,
    (float, None): graph.glue_array_new_float32,
    (float, _dtype.float32): graph.glue_array_new_float32,
    (float, _dtype.float64): graph.glue_array_new_float64,
}


def from_value(value: Any, dtype: Dtype | None) -> int:
    """A new array handle for what `array` takes.

    Raises:
      TypeError: the value is None, or the dtype none.
      ValueError: it stands for no array.
      RuntimeError: a number does not fit.
    """
    if dtype is not None:
        _dtype.of(dtype)
    if type(value) in KINDS:
        return from_number(value, dtype)
    if isinstance(value, (list, tuple)):
        return _from_list(value, dtype)
    if isinstance(value, _handles.ArrayHandle):
        if dtype is None or dtype.number == graph.glue_array_dtype(value._h):
            return lower._checked(graph.glue_array_set(value._h))
        return lower._checked(graph.glue_astype(value._h, dtype.number, 0))
    for kind in NUMBERS:
        if isinstance(value, kind):
            return from_number(kind(value), dtype)  # type: ignore[arg-type]
    handle = _copied(value) if dtype is None else 0
    if handle:
        return handle
    return lower._take(from_foreign(value, dtype, _dtype.float32))


# --- numbers ---


def from_number(value: Any, dtype: Dtype | None) -> int:
    """A new array handle for one number."""
    make = SCALARS.get((type(value), dtype))
    if make is not None:
        return lower._checked(make(value))
    if type(value) is int:
        if dtype is None and -(2**31) <= value < 2**31:
            return lower._checked(graph.glue_array_new_int(value))
        require_int64(value)
        if dtype is not None and dtype.kind in "iu":
            return _filled([_wrapped(value, dtype)], [], dtype)
    return _filled([value], [], dtype or _default([value]))


def _filled(numbers: Sequence[Any], shape: Sequence[int], dtype: Dtype) -> int:
    data = ffi.from_buffer(_elements(numbers, dtype))
    return lower._checked(graph.glue_array_copy_data(data, list(shape), len(shape), dtype.number))


def _elements(numbers: Sequence[Any], dtype: Dtype) -> Any:
    """The bytes of numbers as elements of a dtype, cast as C casts."""
    if dtype.kind == "c":
        return arrays.array("f", [part for number in map(complex, numbers) for part in (number.real, number.imag)])
    if any(type(number) is complex for number in numbers):
        numbers = arrays.array("f", [number.real for number in numbers])
    if dtype.kind == "b":
        return bytes(map(bool, numbers))
    if dtype.kind in "iu":
        return arrays.array(LETTERS[dtype.name], _integers(numbers, dtype))
    if dtype.name == "float16":
        # By way of float32, as C++ does.
        return struct.pack(f"{len(numbers)}e", *map(lower._half_range, arrays.array("f", numbers)))
    return lower._elements(numbers, dtype)


def _integers(numbers: Sequence[Any], dtype: Dtype) -> Sequence[int]:
    if all(type(number) is int for number in numbers):
        return numbers
    return [_truncated(float(number), dtype) for number in numbers]


def _truncated(number: float, dtype: Dtype) -> int:
    """A float as an integer, where the processor's answer to what does not fit is the smallest one."""
    bits = 32 if dtype.size <= 2 or dtype.name == "int32" else 64
    if dtype.name == "uint64" and number >= 2.0**63:
        return int(number) if number < 2.0**64 else 0
    if not -(2.0 ** (bits - 1)) - 1 < number < 2.0 ** (bits - 1):
        return _wrapped(-(2 ** (bits - 1)), dtype)
    return _wrapped(math.trunc(number), dtype)


def _wrapped(number: int, dtype: Dtype) -> int:
    """An integer modulo the range of a dtype."""
    bits = 8 * dtype.size
    number %= 2**bits
    return number - 2**bits if dtype.kind == "i" and number >= 2 ** (bits - 1) else number


def _default(numbers: Sequence[Any]) -> Dtype:
    """The dtype of Python numbers of which nothing else is known."""
    kinds = {kind for number in set(map(type, numbers)) for kind in NUMBERS if issubclass(number, kind)}
    if complex in kinds:
        return _dtype.complex64
    if float in kinds or not kinds:
        return _dtype.float32
    if int not in kinds or (kinds == {bool, int} and all(isinstance(number, bool) for number in numbers)):
        return _dtype.bool_
    smallest, largest = min(numbers), max(numbers)
    return _dtype.int32 if smallest >= -(2**31) and largest < 2**31 else _dtype.int64


# --- lists ---


def _from_list(value: Sequence[Any], dtype: Dtype | None) -> int:
    kinds = set(map(type, value))
    shape, leaves = [len(value)], value
    if not kinds <= KINDS:
        shape, leaves = _leaves(value)
        kinds = set(map(type, leaves))
    if dtype is None:
        handle = _from_plain(leaves, shape, kinds)
        if handle:
            return handle
    if kinds <= KINDS or all(issubclass(kind, NUMBERS) for kind in kinds):
        return _from_numbers(leaves, shape, dtype)
    with_arrays = any(issubclass(kind, _handles.ArrayHandle) for kind in kinds)
    if not with_arrays and any(issubclass(kind, (list, tuple)) for kind in kinds):
        raise ArgumentError("Initialization encountered non-uniform length.")
    for leaf in leaves:
        if not isinstance(leaf, (*NUMBERS, _handles.ArrayHandle, list, tuple)) and not hasattr(leaf, "__mlx_array__"):
            raise _unknown(leaf)
    return _stacked(value, dtype)


# How lists of one type of number become arrays without a detour.
REAL = {int, float}
PLAIN: dict[type, tuple[Callable[[Any], Any], Dtype]] = {
    bool: (bytes, _dtype.bool_),
    int: (functools.partial(arrays.array, "i"), _dtype.int32),
    float: (functools.partial(arrays.array, "f"), _dtype.float32),
}


def _from_plain(numbers: Sequence[Any], shape: Sequence[int], kinds: set[type]) -> int:
    """The handle for numbers that are all of one type, or floats and ints, and fit in the usual dtype; 0 for others."""
    kind = next(iter(kinds), str) if len(kinds) == 1 else float if kinds == REAL else str
    if kind not in PLAIN:
        return 0
    elements, dtype = PLAIN[kind]
    try:
        if len(kinds) > 1 and not (min(numbers) >= -(2**63) and max(numbers) < 2**63):
            return 0
        data = ffi.from_buffer(elements(numbers))
    except OverflowError:
        return 0
    return lower._checked(graph.glue_array_copy_data(data, shape, len(shape), dtype.number))


def _leaves(value: Sequence[Any]) -> tuple[list[int], list[Any]]:
    """The shape of nested lists and what is in them, as deep as all rows are lists."""
    shape: list[int] = []
    level: list[Any] = [value]
    while level and all(issubclass(kind, (list, tuple)) for kind in set(map(type, level))):
        sizes = set(map(len, level))
        if len(sizes) > 1:
            raise ArgumentError("Initialization encountered non-uniform length.")
        shape += sizes
        level = list(itertools.chain.from_iterable(level))
    return shape, level


def _from_numbers(numbers: Sequence[Any], shape: Sequence[int], dtype: Dtype | None) -> int:
    source = _default(numbers)
    if source.kind != "b" and any(type(number) not in (float, complex) for number in numbers):
        _require_range(numbers, source, dtype or source)
    if dtype is not None and dtype.kind in "iu" and source.kind == "i":
        numbers = [_wrapped(int(number), dtype) for number in numbers]
    return _filled(numbers, shape, dtype or source)


def _require_range(numbers: Sequence[Any], source: Dtype, dtype: Dtype) -> None:
    """Refuse ints that the type does not hold in which C++ reads a list before it converts to `dtype`."""
    if source.kind != "i" or dtype.kind in "fc" or dtype.name == "int64":
        low, high = -(2**63), 2**63
    elif dtype.name in ("uint64", "uint32"):
        low, high = 0, 2 ** (32 if dtype.size == 4 else 63)
    else:
        low, high = -(2**31), 2**31
    for number in numbers:
        if isinstance(number, int) and not low <= number < high:
            raise OperationError(f"value: expected integers from {low} to {high - 1} for {dtype.name}, got {number}")


def _stacked(value: Sequence[Any], dtype: Dtype | None) -> int:
    """The array of a list in which there are arrays. Their graphs stay."""
    cls = _arguments.array_class
    rows = [cls(row, dtype) for row in value]
    if len({row.shape for row in rows}) > 1:
        raise ArgumentError("Initialization encountered non-uniform length.")
    return lower._take(_ops.stack(rows))


# --- values of other libraries ---


# Elements of buffers that are copied as they are, by their letter and size.
ELEMENTS = {(letter, dtype.size): dtype for dtype in _dtype.DTYPES if (letter := LETTERS.get(dtype.name, "Zf")) != "d"}
ELEMENTS |= {("l", 8): _dtype.int64, ("L", 8): _dtype.uint64}
ELEMENTS.pop(("Zf", 2), None)


def _copied(value: Any) -> int:
    """The handle for a buffer in row order; 0 for what needs more."""
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError):
        return 0
    dtype = ELEMENTS.get((view.format, view.itemsize))
    shape: tuple[int, ...] = view.shape or ()
    if dtype is None or not view.c_contiguous or not view.nbytes or max(shape, default=0) > LARGEST_AXIS:
        return 0
    return lower._checked(graph.glue_array_copy_data(ffi.from_buffer(view), shape, len(shape), dtype.number))


def _unknown(value: Any) -> UnknownValueError:
    return UnknownValueError(f"Invalid type {type(value).__name__} received in array initialization.")


def from_foreign(value: Any, dtype: Dtype | None, float64: Dtype | None = None) -> array:
    """An array of an object with `__mlx_array__`, the buffer protocol, `__dlpack__` or `__array__`.

    Args:
      float64: what float64 becomes where no dtype is given; None: float32.
    """
    if value is None:
        raise TypeError("value: expected a number, a list of numbers or an array, got None")
    if isinstance(value, (list, tuple, str)):
        raise _unknown(value)
    if hasattr(value, "__mlx_array__"):
        made = value.__mlx_array__()
        return _arguments.array_class(made, dtype) if float64 is not None else _arguments.as_array(made)
    found = _imported(value)
    if dtype is None and found.dtype.name == "float64":
        dtype = _dtype.float32
    return taken(lower._computed(found, dtype))


def _imported(value: Any) -> Any:
    if isinstance(value, _handles.ArrayHandle):
        return _handles.array_class(value)
    if isinstance(value, NUMBERS):
        return _handles.array_class(value)
    try:
        return lower._from_foreign(value)
    except lower.ForeignValueError:
        raise _unknown(value) from None
    except UnknownElementsError as error:
        raise OperationError(str(error)) from None


__all__ = ["Error", "from_foreign", "from_value"]
