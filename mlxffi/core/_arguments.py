"""What functions take as arrays and numbers: weak Python scalars, other libraries' arrays, axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .._arguments import NOT_HELD
from .._errors import ArgumentError, Error, OperationError, RangeError
from .._ffi import graph, native

if TYPE_CHECKING:
    from .._handles import ArrayHandle
    from ._array import array
    from ._dtype import Dtype

NUMBERS = (bool, int, float, complex)

# They have no values before _array.py, above, sets them: look them up when they are needed.
array_class: type[array]
own: Callable[[int], array]
# An array of a value that is neither an array nor a Python number: other libraries' arrays, `__mlx_array__`.
from_foreign: Callable[[Any, Dtype | None], array]


from ._binding import operation as operation  # noqa: E402


class UnknownValueError(ArgumentError):
    """A value that stands for no array."""


class MisfitError(Error, TypeError, OverflowError):
    """An int that does not fit into C's."""


class BoundsError(ArgumentError, RangeError):
    """A position outside of its axis, or an index that does not fit."""


def set_array_class(cls: type[array], foreign: Callable[[Any, Dtype | None], array]) -> None:
    """Say which class owns arrays, and how it takes other libraries' arrays."""
    global array_class, own, from_foreign
    array_class, own, from_foreign = cls, cls._own, foreign


def taken(made: ArrayHandle) -> array:
    """The array of a lower Array that nobody else uses, which gives up its handle."""
    handle, made._h = made._h, 0
    return own(handle)


def as_array(value: Any, dtype: Dtype | None = None) -> array:
    """The array of an argument: itself, or one made of a Python number, another library's array or `__mlx_array__`.

    Args:
      dtype: of the array beside which it stands, if there is one: Python numbers are weak, and another library's
        elements are converted.

    Raises:
      TypeError: the value is None.
      ValueError: it is a list or anything else that stands for no array here.
    """
    if isinstance(value, array_class):
        return value
    if isinstance(value, NUMBERS):
        return array_class(value) if dtype is None else weak(value, dtype)
    return from_foreign(value, dtype)


def as_pair(a: Any, b: Any) -> tuple[array, array]:
    """`as_array` for two operands: a Python number takes the dtype of the array that it meets."""
    if isinstance(a, array_class):
        return a, b if isinstance(b, array_class) else beside(b, a)
    if isinstance(b, array_class):
        return beside(a, b), b
    if hasattr(a, "__mlx_array__"):
        a = as_array(a)
        return a, beside(b, a)
    if hasattr(b, "__mlx_array__"):
        b = as_array(b)
        return beside(a, b), b
    return as_array(a), as_array(b)


def as_arrays(*operands: Any) -> tuple[array, ...]:
    """`as_array` for operands, of which two are an `as_pair`."""
    return as_pair(*operands) if len(operands) == 2 else tuple(map(as_array, operands))


def beside(value: Any, other: array) -> array:
    """`as_array` of a value that meets an array."""
    kind = type(value)
    if kind is float:
        return own(graph.glue_beside_float(other._h, value))
    if kind is int:
        try:
            handle = graph.glue_beside_int(other._h, value)
        except OverflowError:
            handle = NOT_HELD
        if handle != NOT_HELD:
            return own(handle)
    return as_array(value, other.dtype)


def weak(value: Any, dtype: Dtype) -> array:
    """A Python number beside an array of `dtype`: in that dtype where it can hold the number's kind."""
    if isinstance(value, bool):
        return array_class(value, dtype)
    if isinstance(value, complex):
        return array_class(value)
    if isinstance(value, float):
        return array_class(value, dtype if dtype.kind == "f" else None)
    require_int64(value)
    if dtype.kind == "b":
        return array_class((value + 2**31) % 2**32 - 2**31)
    if dtype.kind in "iu" and not _holds(dtype, value):
        raise ArgumentError(f"Converting {value} to {dtype.name} would result in overflow.")
    return array_class(value, dtype)


def _holds(dtype: Dtype, value: int) -> bool:
    """Whether an integer may be meant for a dtype. One of 64 bits takes all that C has."""
    bits = 8 * dtype.size
    if bits == 64:
        return True
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if dtype.kind == "i" else (0, 2**bits)
    return bool(low <= value < high)


def require_int64(value: int) -> None:
    """Refuse an int that C has no type for.

    Raises:
      RuntimeError: it needs more than 64 bits.
    """
    if not -(2**63) <= value < 2**63:
        raise OperationError(f"expected integers of 64 bits, got {value}")


def integers(value: Any, name: str) -> list[int]:
    """A list of axes or sizes: of an int, or of a sequence of them.

    Raises:
      TypeError: it is something else.
    """
    if type(value) is int:
        return [value]
    if isinstance(value, (list, tuple)) and all(isinstance(item, int) for item in value):
        return list(value)
    if isinstance(value, int):
        return [int(value)]
    raise TypeError(f"{name}: expected an int or a sequence of ints, got {value!r}")
