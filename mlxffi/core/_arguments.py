"""Operands: weak Python numbers, other libraries' arrays, and arrays, beside each other."""

from __future__ import annotations

from .._errors import ArgumentError, Error, RangeError
from . import _dtype
from ._binding import native
from ._convert import NUMBERS, NothingError, UnknownValueError, from_foreign, from_value
from ._dtype import Dtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from ._array import array


ArrayLike: TypeAlias = "array | bool | int | float | complex | Any"


class MisfitError(Error, TypeError, OverflowError):
    """An int that does not fit into C's."""


class BoundsError(ArgumentError, RangeError):
    """A position outside of its axis, or an index that does not fit."""


def as_array(value: Any, dtype: Dtype | None = None) -> array:
    """The array of an argument: itself, or one made of a Python number, another library's array or `__mlx_array__`.

    Args:
      dtype: of the array beside which it stands, if there is one: Python numbers are weak, and another library's
        elements are converted.

    Raises:
      TypeError: the value is None.
      ValueError: it is a list or anything else that stands for no array here.
    """
    if isinstance(value, native.ArrayOwner):
        return value  # type: ignore[return-value]
    if isinstance(value, NUMBERS):
        return from_value(value) if dtype is None else _weak(value, dtype)
    try:
        return from_foreign(value, dtype)
    except UnknownValueError:
        if not any(hasattr(type(value), name) for name in ("__complex__", "__float__", "__index__")):
            raise
    # A Fraction, a Decimal or another number: mlx.core knows how to ask for a complex one only.
    return from_value(complex(value))


def as_arrays(name: str, *operands: Any) -> tuple[array, ...]:
    """`as_array` for the operands of an operation: a Python number takes the dtype of the array that it meets."""
    arrays = [value for value in operands if isinstance(value, native.ArrayOwner)]
    if not arrays:
        operands = tuple(as_array(value) if hasattr(value, "__mlx_array__") else value for value in operands)
        arrays = [value for value in operands if isinstance(value, native.ArrayOwner)]
    dtype = arrays[0].dtype if arrays else None
    try:
        return tuple(as_array(value, dtype) for value in operands)
    except (UnknownValueError, NothingError) as error:
        raise type(error)(f"{name}: expected numbers and arrays, got {' and '.join(map(_called, operands))}") from None


def _called(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _weak(value: Any, dtype: Dtype) -> array:
    """A Python number beside an array of `dtype`: in that dtype where it can hold the number's kind."""
    if isinstance(value, bool):
        return from_value(value, dtype)
    if isinstance(value, complex):
        return from_value(value)
    if isinstance(value, float):
        return from_value(value, dtype if dtype.kind == "f" else None)
    # Which refuses what needs more than 64 bits.
    from_value(value)
    if dtype.kind == "b":
        return from_value((value + 2**31) % 2**32 - 2**31, _dtype.int32)
    if dtype.kind in "iu" and not _holds(dtype, value):
        raise ArgumentError(f"Converting {value} to {dtype.name} would result in overflow.")
    return from_value(value, dtype)


def _holds(dtype: Dtype, value: int) -> bool:
    """Whether an integer may be meant for a dtype. One of 64 bits takes all that C has."""
    bits = 8 * dtype.size
    if bits == 64:
        return True
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if dtype.kind == "i" else (0, 2**bits)
    return bool(low <= value < high)


def required(fun: Any, function: str, name: str = "fun") -> Callable[..., Any]:
    """What a function got for a parameter, which must be callable."""
    if not callable(fun):
        raise TypeError(f"{function}(): {name}: expected a callable, got {type(fun).__name__}")
    found: Callable[..., Any] = fun
    return found
