"""Operation functions by hand: arrays out of numbers, ranges and other libraries' arrays."""

from __future__ import annotations

from collections.abc import Sequence

from .._errors import ArgumentError
from . import _dtype
from ._array import array
from ._binding import abi, operation
from ._device import StreamOrDevice
from ._dtype import Dtype, float32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, overload

__all__ = ["arange", "asarray", "from_dlpack"]

# --- ranges ---


def _places(first: Any, /, stop: Any, step: Any, dtype: Any, *, start: Any, stream: Any = None) -> None:
    """The parameters of `arange` as C reads them: all but the stream may be missing, and a named start needs a stop."""


if TYPE_CHECKING:

    @overload
    def arange(
        start: int | float,
        stop: int | float | None,
        step: int | float | None,
        dtype: Dtype | None = None,
        *,
        stream: StreamOrDevice = None,
    ) -> array: ...

    @overload
    def arange(
        stop: int | float, step: int | float | None = None, dtype: Dtype | None = None, *, stream: StreamOrDevice = None
    ) -> array: ...


@operation("arange", _places)
def arange(*args: Any, stream: StreamOrDevice = None, **kwargs: Any) -> array:
    """Evenly spaced numbers from `start` (or 0) up to `stop`, which is excluded.

    Args:
      args, kwargs: `stop`, or `start` and `stop`; then `step` (1) and `dtype` (float32 if a number is a float, else
        int32, or int64 if a number needs it).

    Returns:
      [N].
    """
    for form in (_between, _below):
        try:
            start, stop, step, dtype = form(*args, **kwargs)
        except TypeError:
            continue
        numbers = [start, stop] if step is None else [start, stop, step]
        if all(isinstance(number, (int, float)) for number in numbers):
            dtype = _range_dtype(numbers) if dtype is None else dtype
            return abi.arange(start, stop, 1 if step is None else step, dtype, stream)
    raise TypeError(f"arange: expected start, stop, step and dtype once each, as numbers, got {args} and {kwargs}")


def _between(start: Any, stop: Any, step: Any = None, dtype: Any = None) -> tuple[Any, Any, Any, Any]:
    return (0, start, step, dtype) if stop is None else (start, stop, step, dtype)


def _below(stop: Any, step: Any = None, dtype: Any = None) -> tuple[Any, Any, Any, Any]:
    return False, stop, step, dtype  # a zero that leaves the dtype to the others


def _range_dtype(numbers: Sequence[int | float]) -> Dtype:
    if any(isinstance(number, float) for number in numbers):
        return float32
    if all(isinstance(number, bool) for number in numbers):
        return _dtype.bool_
    return _dtype.int32 if all(-(2**31) <= number < 2**31 for number in numbers) else _dtype.int64


# --- arrays of other libraries ---


@operation("asarray")
def asarray(a: Any, dtype: Dtype | None = None, *, copy: bool | None = None) -> array:
    """Convert a number, a nested list, an array or another library's array to an array.

    Args:
      a: what to convert.
      dtype: the dtype of the result; None: that of the input.
      copy: True always copies, False never does; None copies if necessary.

    Returns:
      The array.

    Raises:
      ValueError: `copy` is False and a copy is necessary.
    """
    if a is None:
        raise TypeError("a: expected a number, a list or an array, got None")
    if copy is False:
        raise ArgumentError("Unable to avoid copy while creating an array as requested.")
    if copy and isinstance(a, array):
        return abi.copy(a) if dtype is None else abi.astype(abi.copy(a), dtype)
    return array(a, dtype)


@operation("from_dlpack")
def from_dlpack(x: Any, /, *, copy: bool | None = None) -> array:
    """Convert an object with `__dlpack__` to an array; the memory is copied.

    Args:
      x: the object.
      copy: False requires shared memory.

    Returns:
      The array.

    Raises:
      ValueError: `copy` is False and the memory cannot be shared.
    """
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"x: expected an object with __dlpack__, got {type(x).__name__}")
    if isinstance(x, array):
        return asarray(x, copy=copy)
    if copy is False:
        raise ArgumentError("[from_dlpack] Cannot import a CPU array without a copy.")
    return array(x)
