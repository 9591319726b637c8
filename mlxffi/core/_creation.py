"""Operation functions by hand: arrays out of numbers, ranges and other libraries' arrays."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any, overload

from .._errors import ArgumentError
from . import _dtype
from ._arguments import ArrayLike, as_array
from ._array import array
from ._binding import abi, operation
from ._device import StreamOrDevice
from ._dtype import Dtype, float32
from ._marshal import integers, require_array

__all__ = [
    "arange", "asarray", "broadcast_shapes", "eye", "from_dlpack", "full", "full_like", "linspace", "ones_like",
    "tri", "zeros_like",
]  # fmt: skip

# --- ranges ---


def _places(start: Any, /, stop: Any, step: Any, dtype: Any, *, stream: Any = None) -> None:
    """The parameters of `arange` as C reads them: all but the stream may be missing, and a named start needs a stop."""


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
    """Evenly spaced numbers from `start`, or 0, up to `stop` and without it.

    Args:
      step: the distance; None is 1.
      dtype: None takes float32 where a number is a float, else int32, or int64 where a number needs it.
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


def linspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    dtype: Dtype | None = float32,
    stream: StreamOrDevice = None,
) -> array:
    """`num` evenly spaced numbers from `start` to `stop`, with it or (`endpoint` False) without."""
    return abi.linspace_endpoint(start, stop, num, endpoint, float32 if dtype is None else dtype, stream)


# --- arrays of one value ---


@operation("full")
def full(
    shape: int | Sequence[int], vals: ArrayLike, dtype: Dtype | None = None, *, stream: StreamOrDevice = None
) -> array:
    """An array of a shape, filled with `vals`, which is broadcast.

    Args:
      dtype: of a Python number, where it can hold the number's kind; an array keeps its own.
    """
    if not isinstance(dtype, Dtype | None):
        raise TypeError(f"full(): dtype: expected a Dtype, got {type(dtype).__name__}")
    value = as_array(vals, dtype)
    return abi.full(integers(shape), value, value.dtype, stream)


@operation("full_like")
def full_like(a: array, vals: ArrayLike, dtype: Dtype | None = None, *, stream: StreamOrDevice = None) -> array:
    """An array of the shape of `a`, filled with `vals`; `dtype` None takes that of `a`."""
    return abi.full_like(a, as_array(vals), require_array(a, "a").dtype if dtype is None else dtype, stream)


def zeros_like(a: array, /, dtype: Dtype | None = None, *, stream: StreamOrDevice = None) -> array:
    """Zeros in the shape of `a`; `dtype` None takes that of `a`."""
    return abi.zeros_like(a, stream) if dtype is None else abi.zeros_like_dtype(a, dtype, stream)


def ones_like(a: array, /, dtype: Dtype | None = None, *, stream: StreamOrDevice = None) -> array:
    """Ones in the shape of `a`; `dtype` None takes that of `a`."""
    return abi.ones_like(a, stream) if dtype is None else abi.ones_like_dtype(a, dtype, stream)


def eye(
    n: int, m: int | None = None, k: int = 0, dtype: Dtype | None = float32, *, stream: StreamOrDevice = None
) -> array:
    """An `n` by `m` (None: `n`) matrix of zeros with ones on the diagonal `k`."""
    return abi.eye(n, n if m is None else m, k, float32 if dtype is None else dtype, stream)


def tri(
    n: int, m: int | None = None, k: int = 0, dtype: Dtype | None = None, *, stream: StreamOrDevice = None
) -> array:
    """An `n` by `m` (None: `n`) matrix of ones on and below the diagonal `k`, and zeros above it."""
    n = operator.index(n)
    rows, columns = max(n, 0), max(n if m is None else operator.index(m), 0)
    return abi.tri(rows, columns, k, float32 if dtype is None else dtype, stream)


# --- arrays of other libraries ---


@operation("asarray")
def asarray(a: Any, dtype: Dtype | None = None, *, copy: bool | None = None) -> array:
    """An array of a number, a nested list, an array or another library's array.

    Args:
      copy: True makes a copy in any case; False forbids one.

    Raises:
      ValueError: `copy` is False and there is no way without.
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
    """An array of an object with `__dlpack__`, whose memory is copied.

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


@operation("broadcast_shapes")
def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape to which shapes broadcast together.

    Raises:
      ValueError: they do not.
    """
    return functools.reduce(_broadcast, map(_shape, shapes)) if shapes else _no_shapes()


def _no_shapes() -> tuple[int, ...]:
    raise ArgumentError("[broadcast_shapes] Must provide at least one shape.")


def _shape(value: Any) -> tuple[int, ...]:
    if isinstance(value, (list, tuple)):
        try:
            return tuple(operator.index(size) for size in value)
        except TypeError:
            pass
    raise ArgumentError(f"[broadcast_shapes] shapes: expected sequences of ints, got {value!r}")


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    shorter = (1,) * (len(longer) - len(shorter)) + shorter
    if any(one != two and 1 not in (one, two) for one, two in zip(longer, shorter, strict=True)):
        raise ArgumentError(f"[broadcast_shapes] Shapes {a} and {b} cannot be broadcast.")
    return tuple(two if one == 1 else one for one, two in zip(longer, shorter, strict=True))
