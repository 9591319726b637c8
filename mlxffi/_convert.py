"""Python values as arrays: numbers, nested lists, memory of other libraries.

What they become is there at once and may be used on any thread; only Arrays inside of a list keep their graphs.
"""

from __future__ import annotations

import array as arrays
import itertools
import math
import reprlib
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import _dlpack, _handles, _ops, device
from . import dtype as dtypes
from ._arguments import as_arrays
from ._bindings import shares
from ._errors import ArgumentError, Error
from ._ffi import check, ffi, graph, lib
from ._memory import UnknownElementsError, from_buffer, unknown_elements
from .dtype import LETTERS, Dtype

if TYPE_CHECKING:
    from .array import Array

NUMBERS = frozenset((bool, int, float, complex))
# The scalars that C makes without a detour.
SCALARS: dict[str, Callable[[Any], int]] = {
    "bool": graph.glue_array_new_bool,
    "int32": graph.glue_array_new_int,
    "float32": graph.glue_array_new_float32,
    "float64": graph.glue_array_new_float64,
}


class ForeignValueError(Error, TypeError):
    """A value of a type that no array can be made of."""


def from_value(value: Any, dtype: Dtype | None) -> Array:
    """A new Array of a value.

    Raises:
      TypeError: no array can be made of it.
      ValueError: its rows differ in length, or a number does not fit in the dtype.
    """
    if type(value) in NUMBERS:
        return _from_numbers([value], [], dtype or _dtype_of([value]))
    if shares(value):  # an array of this layer or of mlxffi.core
        made = _handles.own_array(value._mlxffi_share())
        return made if dtype is None else _ops.astype(made, dtype)
    if isinstance(value, (list, tuple)):
        return _from_list(value, dtype)
    return _computed(_from_foreign(value), dtype)


def _computed(array: Array, dtype: Dtype | None) -> Array:
    """An array of foreign memory in the dtype that was asked for. GPUs have no float64, so the CPU converts."""
    if dtype is None or array.dtype is dtype:
        return array
    converted = _ops.astype(array, dtype, stream=device.default_stream(device.Device("cpu")))
    check(lib.glue_array_eval(converted._h))
    return converted


# --- numbers ---


def _from_numbers(numbers: Sequence[Any], shape: Sequence[int], dtype: Dtype) -> Array:
    """An Array of numbers in row order."""
    if not shape and dtype.name in SCALARS:
        try:
            return _handles.own_array(SCALARS[dtype.name](numbers[0]))
        except (TypeError, OverflowError):
            pass  # as any other number
    try:
        data = ffi.from_buffer(_elements(numbers, dtype))
    except (TypeError, ValueError, OverflowError):
        raise _misfit(numbers, dtype) from None
    return _handles.own_array(graph.glue_array_copy_data(data, list(shape), len(shape), dtype.number))


def _elements(numbers: Sequence[Any], dtype: Dtype) -> Any:
    """The bytes of numbers as elements of a dtype."""
    if dtype.kind == "b":
        return bytes(map(bool, numbers))
    if dtype.kind == "c":
        return arrays.array("f", [part for number in map(complex, numbers) for part in (number.real, number.imag)])
    if dtype.name == "float16":
        return struct.pack(f"{len(numbers)}e", *map(_half_range, numbers))
    if dtype.name == "bfloat16":
        return arrays.array("H", map(_bfloat16_bits, arrays.array("I", arrays.array("f", numbers).tobytes())))
    return arrays.array(LETTERS[dtype.name], map(math.trunc, numbers) if dtype.kind in "iu" else numbers)


def _half_range(number: float) -> float:
    """A number for float16, where what it cannot hold is infinite."""
    number = float(number)
    return math.copysign(math.inf, number) if abs(number) >= 65520 else number


def _bfloat16_bits(bits: int) -> int:
    """The upper half of a float32's bits, rounded to the nearest, ties to even; a NaN stays one."""
    if bits & 0x7FFFFFFF > 0x7F800000:
        return bits >> 16 | 0x40
    return bits + 0x7FFF + (bits >> 16 & 1) >> 16


def _misfit(numbers: Sequence[Any], dtype: Dtype) -> Error:
    """The error for the first number that does not fit in a dtype."""
    for number in numbers:
        found = reprlib.repr(number)
        try:
            _elements([number], dtype)
        except TypeError:
            return UnknownElementsError(f"value: expected real numbers for dtype {dtype.name}, got {found}")
        except (ValueError, OverflowError):
            break
    return ArgumentError(f"value: expected numbers that fit in {dtype.name}, got {found}")


def _dtype_of(numbers: Sequence[Any]) -> Dtype:
    """The dtype that Python numbers mean: for ints int32, or the smallest wider one that holds them."""
    kinds = set(map(type, numbers))
    if int in kinds and kinds <= {int, bool}:
        smallest, largest = min(numbers), max(numbers)
        if smallest >= -(2**31) and largest < 2**31:
            return dtypes.int32
        return dtypes.int64 if largest < 2**63 else dtypes.uint64
    return next((dtypes.PYTHON_TYPES[kind] for kind in (complex, float, bool) if kind in kinds), dtypes.float32)


# --- lists ---


def _from_list(value: Sequence[Any], dtype: Dtype | None) -> Array:
    shape, leaves = _leaves(value)
    kinds = set(map(type, leaves))
    if kinds <= NUMBERS:
        return _from_numbers(leaves, shape, dtype or _dtype_of(leaves))
    if kinds <= NUMBERS | {list, tuple}:
        raise _ragged("numbers and rows side by side")
    return _stacked(value, dtype)


def _leaves(value: Sequence[Any]) -> tuple[list[int], list[Any]]:
    """The shape of nested lists and what is in them, as deep as all rows are lists."""
    shape: list[int] = []
    level: list[Any] = [value]
    first: set[int] = set()
    while level and all(isinstance(item, (list, tuple)) for item in level):
        if id(level[0]) in first:
            raise _ragged("a list that contains itself")
        first.add(id(level[0]))
        sizes = set(map(len, level))
        if len(sizes) > 1:
            raise _ragged(f"rows of {min(sizes)} and {max(sizes)} elements")
        shape += sizes
        level = list(itertools.chain.from_iterable(level))
    return shape, level


def _ragged(found: str) -> ArgumentError:
    return ArgumentError(f"value: expected nested lists of equal length, got {found}")


def _stacked(value: Sequence[Any], dtype: Dtype | None) -> Array:
    """The array of a list in which there are Arrays, or values that become some. Their graphs stay."""
    try:
        rows = as_arrays(value)
    except ForeignValueError as error:
        raise UnknownElementsError(f"{error} in a list") from None
    if dtype is not None:
        rows = [_ops.astype(row, dtype) for row in rows]
    shapes = {row.shape for row in rows}
    if len(shapes) > 1:
        raise _ragged(f"rows of shapes {' and '.join(str(list(shape)) for shape in sorted(shapes)[:2])}")
    return _ops.stack(rows)


# --- values of other libraries ---


def _from_foreign(value: Any) -> Array:
    """An Array of a value with `__mlx_array__`, the buffer protocol, `__dlpack__` or `__array__`, or of a number."""
    if hasattr(value, "__mlx_array__"):  # which may have a graph, and goes before what reads memory
        return _handles.array_class(value.__mlx_array__())
    found = from_buffer(value)
    if found is not None:
        return found
    # numpy's own elements come as a buffer or not at all.
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array_interface__"):
        return _dlpack.from_exporter(value)
    if hasattr(value, "__array__"):
        exported = value.__array__()
        found = from_buffer(exported)
        if found is not None:
            return found
        kind = getattr(exported, "dtype", type(exported).__name__)
        raise unknown_elements(f"a {type(value).__name__} of {kind}")
    for base in (complex, float, int):
        if isinstance(value, base):
            return _handles.array_class(base(value))  # type: ignore[arg-type]
    raise ForeignValueError(
        f"value: expected a number, a nested list of numbers, or an object with the buffer protocol, __dlpack__ or "
        f"__array__, got {type(value).__name__}"
    )
