"""Python values as arrays, with the default dtypes and the conversions of C."""

from __future__ import annotations

import array as arrays
import itertools
import math
import re
import struct
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._errors import ArgumentError, OperationError, RangeError, SizeError
from .._exporters import capsule_of
from . import _dtype
from ._binding import abi, native, operation
from ._device import cpu
from ._dtype import LETTERS, Dtype

if TYPE_CHECKING:
    from ._array import array

NUMBERS = (bool, int, float, complex)
KINDS = frozenset(NUMBERS)


class UnknownValueError(ArgumentError):
    """A value that stands for no array."""


class BoundsError(ArgumentError, RangeError):
    """A position outside of its axis, or an index that does not fit."""


def from_value(value: Any, dtype: Dtype | None = None) -> array:
    """A new array of what `array` takes.

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
    if isinstance(value, native.ArrayOwner):
        return value if dtype is None or value.dtype is dtype else abi.astype(value, dtype)  # type: ignore[return-value]
    for kind in NUMBERS:
        if isinstance(value, kind):
            return from_number(kind(value), dtype)  # type: ignore[arg-type]
    return from_foreign(value, dtype)


# --- numbers ---


def _places(value: Any, dtype: Dtype | None = None, copy: None = None) -> None:
    """The parameters of `from_number` as C reads them."""


@operation("asarray", _places)
def from_number(value: Any, dtype: Dtype | None = None) -> array:
    """A new array for one number."""
    if type(value) is int:
        require_int64(value)
        if dtype is not None and dtype.kind in "iu":
            value = _wrapped(value, dtype)
    return _filled([value], (), dtype or _default([value]))


def require_int64(value: int) -> None:
    """Refuse an int that C has no type for.

    Raises:
      RuntimeError: it needs more than 64 bits.
    """
    if not -(2**63) <= value < 2**63:
        raise OperationError(f"expected integers of 64 bits, got {value}")


def _filled(numbers: Sequence[Any], shape: Sequence[int], dtype: Dtype) -> array:
    return native.array_of_bytes(_elements(numbers, dtype), tuple(shape), dtype)


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
        return struct.pack(f"{len(numbers)}e", *map(_half_range, arrays.array("f", numbers)))
    if dtype.name == "bfloat16":
        return arrays.array("H", map(_bfloat16_bits, arrays.array("I", arrays.array("f", numbers).tobytes())))
    return arrays.array(LETTERS[dtype.name], numbers)


def _half_range(number: float) -> float:
    """A number for float16, where what it cannot hold is infinite."""
    return math.copysign(math.inf, number) if abs(number) >= 65520 else number


def _bfloat16_bits(bits: int) -> int:
    """The upper half of a float32's bits, rounded to the nearest, ties to even; a NaN stays one."""
    if bits & 0x7FFFFFFF > 0x7F800000:
        return bits >> 16 | 0x40
    return bits + 0x7FFF + (bits >> 16 & 1) >> 16


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


def _from_list(value: Sequence[Any], dtype: Dtype | None) -> array:
    shape, leaves = _leaves(value)
    kinds = set(map(type, leaves))
    if all(issubclass(kind, NUMBERS) for kind in kinds):
        return _from_numbers(leaves, shape, dtype)
    with_arrays = any(issubclass(kind, native.ArrayOwner) for kind in kinds)
    if not with_arrays and any(issubclass(kind, (list, tuple)) for kind in kinds):
        raise ArgumentError("Initialization encountered non-uniform length.")
    for leaf in leaves:
        if not isinstance(leaf, (*NUMBERS, native.ArrayOwner, list, tuple)) and not hasattr(leaf, "__mlx_array__"):
            raise _unknown(leaf)
    return _stacked(value, dtype)


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


def _from_numbers(numbers: Sequence[Any], shape: Sequence[int], dtype: Dtype | None) -> array:
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


def _stacked(value: Sequence[Any], dtype: Dtype | None) -> array:
    """The array of a list in which there are arrays. Their graphs stay."""
    rows = [from_value(row, dtype) for row in value]
    if len({row.shape for row in rows}) > 1:
        raise ArgumentError("Initialization encountered non-uniform length.")
    return abi.stack(rows)


# --- values of other libraries ---


def from_foreign(value: Any, dtype: Dtype | None = None) -> array:
    """An array of an object with `__mlx_array__`, the buffer protocol, `__dlpack__` or `__array__`, or of mlxffi's own.

    Args:
      dtype: of its elements; None keeps theirs, but for float64, which becomes float32.
    """
    if value is None:
        raise TypeError("value: expected a number, a list of numbers or an array, got None")
    if isinstance(value, (list, tuple, str)):
        raise _unknown(value)
    if hasattr(value, "__mlx_array__"):
        made = value.__mlx_array__()
        return from_value(made, dtype) if isinstance(made, native.ArrayOwner) else from_foreign(made, dtype)
    if hasattr(type(value), "_share"):
        return from_value(native.adopt(value._share()), dtype)
    found = _imported(value)
    dtype = dtype or (_dtype.float32 if found.dtype is _dtype.float64 else found.dtype)
    if found.dtype is not dtype:
        # GPUs have no float64, so the CPU converts.
        found = abi.astype(found, dtype, cpu)
        native.eval([found])
    return found


def _unknown(value: Any) -> UnknownValueError:
    return UnknownValueError(f"Invalid type {type(value).__name__} received in array initialization.")


def _imported(value: Any) -> array:
    """The elements of another library, in their own dtype."""
    if getattr(getattr(value, "dtype", None), "kind", "") in ("M", "m"):
        return _refused(value.dtype)
    found = _from_buffer(value)
    if found is not None:
        return found
    if _is_bfloat16(value):
        return abi.view(_imported(value.view("uint16")), _dtype.bfloat16)
    # numpy's own elements come as a buffer or not at all.
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array_interface__"):
        return native.from_capsule(capsule_of(value))
    if hasattr(value, "__array__"):
        exported = value.__array__()
        found = _from_buffer(exported)
        return _refused(getattr(exported, "dtype", type(exported).__name__)) if found is None else found
    for base in (complex, float, int):
        if isinstance(value, base):
            return from_number(base(value))  # type: ignore[arg-type]
    raise _unknown(value)


def _refused(found: object) -> array:
    names = ", ".join(dtype.name for dtype in _dtype.DTYPES)
    raise OperationError(f"value: expected elements of one of {names}, got {found}; convert them first")


def _is_bfloat16(value: Any) -> bool:
    """Whether it is numpy's array or scalar of ml_dtypes' bfloat16, which have no buffer."""
    return str(getattr(value, "dtype", "")) == "bfloat16" and hasattr(value, "view") and hasattr(value, "__array__")


# --- memory ---

# What the letters of `struct` and memoryview are; "V" is the kind of bfloat16.
LETTER_KINDS = {"?": "b", **dict.fromkeys("bhilqn", "i"), **dict.fromkeys("BHILQNc", "u"), **dict.fromkeys("efd", "f")}
BY_KIND = {("V" if dtype.name == "bfloat16" else dtype.kind, dtype.size): dtype for dtype in _dtype.DTYPES}
SWAPPED = "<" if sys.byteorder == "big" else ">!"


def _from_buffer(value: Any) -> array | None:
    """A copy of a buffer's elements, in any layout and byte order; None where it does not say what they are."""
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError):
        return None
    kind, size, swapped = _element_type(view)
    if not kind:
        return None
    if max(view.shape or (), default=0) >= 2**31:
        raise SizeError(f"value: expected axes of at most {2**31 - 1} elements, got shape {list(view.shape or ())}")
    data: Any = view.tobytes()
    if swapped:
        data = _native_order(data, size // 2 if kind == "c" else size)
    if (kind, size) == ("c", 16):
        data, size = arrays.array("f", arrays.array("d", bytes(data))), 8
    dtype = BY_KIND.get((kind, size))
    if dtype is None:
        return _refused(f"{8 * size} bits of kind {kind!r}")
    return native.array_of_bytes(data, view.shape or (), dtype)


def _element_type(view: memoryview) -> tuple[str, int, bool]:
    """The kind, size in bytes and foreign byte order of a buffer's elements; kind "" where nobody knows it."""
    found = re.fullmatch(r"([@=<>!]?)(Z?)([a-zA-Z?])", view.format)
    if not found:
        return ("V", 2, False) if view.format == "bfloat16" else ("", view.itemsize, False)
    order, complex_mark, letter = found.groups()
    numbers = 2 if complex_mark else 1
    if letter not in LETTER_KINDS or view.itemsize != numbers * struct.calcsize((order or "@") + letter):
        return "", view.itemsize, False
    return ("c" if complex_mark else LETTER_KINDS[letter]), view.itemsize, bool(order) and order in SWAPPED


def _native_order(data: bytes, size: int) -> bytes:
    """Numbers of `size` bytes in the other byte order."""
    if size == 1:
        return data
    words = arrays.array({2: "H", 4: "I", 8: "Q"}[size], data)
    words.byteswap()
    return words.tobytes()
