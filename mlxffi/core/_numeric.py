"""Operation functions by hand: choices, scans, sums of products and convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._errors import ArgumentError
from . import _dtype
from ._arguments import ArrayLike, as_array, as_arrays
from ._array import array
from ._binding import abi, operation
from ._device import StreamOrDevice
from ._dtype import Dtype
from ._marshal import integers, require_array
from .generated import ops

__all__ = [
    "clip", "conj", "conv_general", "convolve", "cummax", "cummin", "cumprod", "cumsum", "einsum", "einsum_path",
    "logcumsumexp", "median", "positive", "tensordot", "trace", "where",
]  # fmt: skip

# --- choices ---


@operation("where")
def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike, /, *, stream: StreamOrDevice = None) -> array:
    """The elements of `x` where `condition` holds, and those of `y` elsewhere."""
    if type(condition) is not array:
        condition = as_array(condition, _dtype.bool_)
    if type(x) is not array or type(y) is not array:
        x, y = as_arrays(x, y)
    return abi.where(condition, x, y, stream)


@operation("clip")
def clip(a: array, /, a_min: ArrayLike | None, a_max: ArrayLike | None, *, stream: StreamOrDevice = None) -> array:
    """`a` with elements below `a_min` raised to it and those above `a_max` lowered to it; None is no limit.

    Raises:
      ValueError: both are None.
    """
    a = require_array(a, "a")
    low, high = (None if limit is None else as_array(limit, a.dtype) for limit in (a_min, a_max))
    return abi.clip(a, low, high, stream)


@operation("conjugate")
def conj(a: ArrayLike, *, stream: StreamOrDevice = None) -> array:
    """The complex conjugate of each element."""
    return ops.conjugate(a, stream=stream)


# --- scans ---


def _scan(function: Callable[..., array], a: Any, axis: int | None, *options: Any) -> array:
    """A scan along an axis; None flattens first."""
    if axis is None:
        return function(abi.flatten(a, 0, -1, options[-1]), 0, *options)
    return function(a, axis, *options)


@operation("cumsum")
def cumsum(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    dtype: Dtype | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """The sums of the elements up to each along an axis; None flattens first.

    Args:
      reverse: from the end; inclusive: with the element itself; dtype: of the sums.
    """
    if dtype is None:
        return _scan(abi.cumsum, a, axis, reverse, inclusive, stream)
    return _scan(abi.cumsum_dtype, a, axis, reverse, inclusive, dtype, stream)


@operation("cumprod")
def cumprod(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    dtype: Dtype | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """The products of the elements up to each along an axis; None flattens first.

    Args:
      reverse: from the end; inclusive: with the element itself; dtype: of the products.
    """
    if dtype is None:
        return _scan(abi.cumprod, a, axis, reverse, inclusive, stream)
    return _scan(abi.cumprod_dtype, a, axis, reverse, inclusive, dtype, stream)


@operation("cummax")
def cummax(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    stream: StreamOrDevice = None,
) -> array:
    """The largest of the elements up to each along an axis; None flattens first.

    Args:
      reverse: from the end; inclusive: with the element itself.
    """
    return _scan(abi.cummax, a, axis, reverse, inclusive, stream)


@operation("cummin")
def cummin(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    stream: StreamOrDevice = None,
) -> array:
    """The smallest of the elements up to each along an axis; None flattens first.

    Args:
      reverse: from the end; inclusive: with the element itself.
    """
    return _scan(abi.cummin, a, axis, reverse, inclusive, stream)


@operation("logcumsumexp")
def logcumsumexp(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    stream: StreamOrDevice = None,
) -> array:
    """The logarithms of the sums of the exponentials up to each element along an axis; None flattens first.

    Args:
      reverse: from the end; inclusive: with the element itself.
    """
    return _scan(abi.logcumsumexp, a, axis, reverse, inclusive, stream)


# --- reductions ---


def median(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """The middle values along axes; None is all of them."""
    axes = range(require_array(a, "a").ndim) if axis is None else integers(axis)
    return abi.median(a, axes, keepdims, stream)


def trace(
    a: array,
    /,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: Dtype | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """The sums of the diagonals over two axes; `dtype` None takes that of `a` (bool: int32)."""
    if dtype is None:
        dtype = require_array(a, "a").dtype
        dtype = _dtype.int32 if dtype.kind == "b" else dtype
    return abi.trace(a, offset, axis1, axis2, dtype, stream)


@operation("positive")
def positive(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The same elements, as the unary plus has it."""
    return abi.positive(a, stream)


# --- sums of products ---


def tensordot(a: array, b: array, /, axes: int | list[Sequence[int]] = 2, *, stream: StreamOrDevice = None) -> array:
    """The sums of the products of two arrays over axes.

    Args:
      axes: how many of the last of `a` and the first of `b`, or a list of those of `a` and one of those of `b`.
    """
    if not isinstance(axes, (list, tuple)):
        return abi.tensordot_axis(a, b, axes, stream)
    if len(axes) != 2:
        raise ArgumentError("[tensordot] axes must be a list of two lists.")
    first, second = axes
    return abi.tensordot(a, b, first, second, stream)


def einsum(subscripts: str, *operands: Any, stream: StreamOrDevice = None) -> array:
    """The sum of products that subscripts such as "ij,jk->ik" describe."""
    return abi.einsum(subscripts, [as_array(value) for value in operands], stream)


def einsum_path(subscripts: str, *operands: Any) -> Any:
    """In which order `einsum` contracts operands: a list of tuples of positions, and a summary to print."""
    numbers, summary = abi.einsum_path(subscripts, [as_array(value) for value in operands])
    return _contractions(numbers), summary


def _contractions(numbers: list[int]) -> list[tuple[int, ...]]:
    """The groups of positions, each of which ends with -1."""
    found: list[tuple[int, ...]] = []
    group: list[int] = []
    for number in numbers:
        if number >= 0:
            group.append(number)
        else:
            found.append(tuple(group))
            group = []
    return found


# --- convolutions ---


@operation("convolve")
def convolve(a: array, v: array, /, mode: str = "full", *, stream: StreamOrDevice = None) -> array:
    """The convolution of two vectors.

    Args:
      mode: "full" has all overlaps, "same" as many elements as the longer one, "valid" the complete overlaps.
    """
    a, v = require_array(a, "a"), require_array(v, "v")
    if a.ndim != 1 or v.ndim != 1:
        raise ArgumentError("[convolve] Inputs must be 1D.")
    if not a.size or not v.size:
        raise ArgumentError("[convolve] Inputs cannot be empty.")
    longer, shorter = (v, a) if a.size < v.size else (a, v)
    size = shorter.size
    weights = abi.reshape(abi.slice(shorter, [size - 1], [-size - 1], [-1], stream), [1, -1, 1], stream)
    signal = abi.reshape(longer, [1, -1, 1], stream)
    before, after = _overlap(mode, size)
    if before != after:
        signal = abi.pad(signal, [1], [before], [after], array(0), "constant", stream)
        before = 0
    return abi.reshape(abi.conv1d(signal, weights, 1, before, 1, 1, stream), [-1], stream)


def _overlap(mode: str, size: int) -> tuple[int, int]:
    """How many zeros stand before and after the signal for a kernel of a size."""
    if mode == "full":
        return size - 1, size - 1
    if mode == "valid":
        return 0, 0
    if not isinstance(mode, str):
        raise TypeError(f"mode: expected a str, got {type(mode).__name__}")
    if mode != "same":
        raise ArgumentError("[convolve] Invalid mode.")
    half = size // 2
    return (half, half) if size % 2 else (half, max(0, half - 1))


@operation("conv_general")
def conv_general(
    input: array,
    weight: array,
    /,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | tuple[Sequence[int], Sequence[int]] = 0,
    kernel_dilation: int | Sequence[int] = 1,
    input_dilation: int | Sequence[int] = 1,
    groups: int = 1,
    flip: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """The convolution of channels-last input over any number of axes.

    Args:
      padding: zeros on both sides, or a pair of those before and those after; each an int or one for each axis.
      flip: reverse the kernel along its axes.
    """
    low, high = _both(padding)
    ints: Any = map(integers, (stride, low, high, kernel_dilation, input_dilation))
    return abi.conv_general(input, weight, *ints, groups, flip, stream)  # type: ignore[call-arg]


def _both(padding: Any) -> tuple[Any, Any]:
    if isinstance(padding, (list, tuple)) and len(padding) == 2 and isinstance(padding[0], (list, tuple)):
        return padding[0], padding[1]
    return padding, padding
