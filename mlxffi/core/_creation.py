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

__all__ = [
    "arange", "asarray", "from_dlpack",
]  # fmt: skip

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
      step: the distance; None is 1.
      dtype: None takes float32 where a number is a float, else int32, or int64 where a number needs it.

    Returns:
      [N].
    """
    return abi.arange(*_range(*_by_place(args, kwargs)), stream)


def _range(start: Any, stop: Any, step: Any, dtype: Dtype | None) -> tuple[Any, Any, Any, Dtype]:
    """The arguments of C's function."""
    numbers = [number for number in (start, stop, step) if number is not None]
    if start is None or not all(isinstance(number, (int, float)) for number in numbers):
        raise TypeError(f"arange: expected numbers, got start {start!r}, stop {stop!r} and step {step!r}")
    if stop is None:
        start, stop = 0, start
    return start, stop, 1 if step is None else step, _range_dtype(numbers) if dtype is None else dtype


def _by_place(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """start, stop, step and dtype in their order; a lone stop comes in the place of the start."""
    given = dict(zip(("start", "stop", "step", "dtype"), args, strict=False))
    if len(args) > 4 or kwargs.keys() - {"start", "stop", "step", "dtype"} or kwargs.keys() & given.keys():
        raise TypeError(f"arange: expected start, stop, step and dtype once each, got {args} and {kwargs}")
    if isinstance(given.get("step"), _dtype.Dtype) and "dtype" not in kwargs:
        kwargs["dtype"] = given.pop("step")
        if "stop" in given:
            # Of three, the last of which is a dtype, the first is the stop: it is the other form of the function.
            given = {"start": 0, "stop": given["start"], "step": given["stop"]}
    given |= kwargs
    if "start" in kwargs and "stop" not in given:
        raise TypeError("arange: expected a stop beside the start")
    if "start" not in given:
        given["start"] = given.pop("stop", None)
    places = (given["start"], given.get("stop"), given.get("step"), given.get("dtype"))
    # A stop of None that is there makes the other form of the function, with 0 as the start.
    if "stop" in given and given["stop"] is None:
        return (0, given["start"], *places[2:])
    return places


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
    if isinstance(a, array):
        if copy:
            return abi.copy(a) if dtype is None else abi.astype(abi.copy(a), dtype)
        return a if dtype in (None, a.dtype) else array(a, dtype)
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
