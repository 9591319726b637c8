"""Operation functions by hand: choices, scans, sums of products and convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._arguments import text
from .._containers import handle
from .._errors import ArgumentError, last_error
from .._ffi import ffi, graph, lib, taken_text
from . import _dtype
from ._arguments import as_array, as_pair, beside
from ._binding import operation
from ._array import array
from ._checks import ArrayLike, dtype_number, integers, require_array, sizes
from ._device import StreamOrDevice, stream_handle
from ._dtype import Dtype
from .generated import ops

own = array._own

# --- choices ---


@operation("where")
def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike, /, *, stream: StreamOrDevice = None) -> array:
    """The elements of `x` where `condition` holds, and those of `y` elsewhere."""
    if type(condition) is not array:
        condition = as_array(condition, _dtype.bool_)
    if type(x) is not array or type(y) is not array:
        x, y = as_pair(x, y)
    return own(graph.glue_where(condition._h, x._h, y._h, 0 if stream is None else stream_handle(stream)))


@operation("clip")
def clip(a: array, /, a_min: ArrayLike | None, a_max: ArrayLike | None, *, stream: StreamOrDevice = None) -> array:
    """`a` with elements below `a_min` raised to it and those above `a_max` lowered to it; None is no limit.

    Raises:
      ValueError: both are None.
    """
    a = require_array(a, "a")
    low = None if a_min is None else a_min if isinstance(a_min, array) else beside(a_min, a)
    high = None if a_max is None else a_max if isinstance(a_max, array) else beside(a_max, a)
    low_handle, high_handle = 0 if low is None else low._h, 0 if high is None else high._h
    return own(graph.glue_clip(a._h, low_handle, high_handle, 0 if stream is None else stream_handle(stream)))


@operation("conjugate")
def conj(a: ArrayLike, *, stream: StreamOrDevice = None) -> array:
    """The complex conjugate of each element."""
    return ops.conjugate(a, stream=stream)


# --- scans ---


def _scan(glue: Callable[..., int], a: Any, axis: int | None, *options: Any, stream: Any) -> array:
    """A scan along an axis; None flattens first."""
    if type(a) is not array:
        a = require_array(a, "a")
    where = 0 if stream is None else stream_handle(stream)
    if axis is None:
        a, axis = own(graph.glue_flatten(a._h, 0, -1, where)), 0
    return own(glue(a._h, axis, *options, where))


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
        return _scan(graph.glue_cumsum, a, axis, reverse, inclusive, stream=stream)
    options = reverse, inclusive, dtype_number(dtype), True
    return _scan(graph.glue_cumsum_dtype, a, axis, *options, stream=stream)


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
        return _scan(graph.glue_cumprod, a, axis, reverse, inclusive, stream=stream)
    options = reverse, inclusive, dtype_number(dtype), True
    return _scan(graph.glue_cumprod_dtype, a, axis, *options, stream=stream)


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
    return _scan(graph.glue_cummax, a, axis, reverse, inclusive, stream=stream)


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
    return _scan(graph.glue_cummin, a, axis, reverse, inclusive, stream=stream)


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
    return _scan(graph.glue_logcumsumexp, a, axis, reverse, inclusive, stream=stream)


# --- reductions ---


@operation("median")
def median(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """The middle values along axes; None is all of them."""
    a = require_array(a, "a")
    axes = range(a.ndim) if axis is None else integers(axis)
    return own(graph.glue_median(a._h, list(axes), len(axes), keepdims, 0 if stream is None else stream_handle(stream)))


@operation("trace")
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
    a = require_array(a, "a")
    number = (
        dtype_number(dtype) if dtype is not None else _dtype.int32.number if a.dtype.kind == "b" else a.dtype.number
    )
    return own(graph.glue_trace(a._h, offset, axis1, axis2, number, 0 if stream is None else stream_handle(stream)))


@operation("positive")
def positive(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The same elements, as the unary plus has it."""
    a, where = require_array(a, "a"), 0 if stream is None else stream_handle(stream)
    return own(graph.glue_positive(a._h, where))


# --- sums of products ---


@operation("tensordot")
def tensordot(a: array, b: array, /, axes: int | list[Sequence[int]] = 2, *, stream: StreamOrDevice = None) -> array:
    """The sums of the products of two arrays over axes.

    Args:
      axes: how many of the last of `a` and the first of `b`, or a list of those of `a` and one of those of `b`.
    """
    a, b, where = require_array(a, "a"), require_array(b, "b"), 0 if stream is None else stream_handle(stream)
    if not isinstance(axes, (list, tuple)):
        return own(graph.glue_tensordot_axis(a._h, b._h, axes, where))
    if len(axes) != 2:
        raise ArgumentError("[tensordot] axes must be a list of two lists.")
    first, second = map(sizes, axes)
    return own(graph.glue_tensordot(a._h, b._h, first, len(first), second, len(second), where))


@operation("einsum")
def einsum(subscripts: str, *operands: Any, stream: StreamOrDevice = None) -> array:
    """The sum of products that subscripts such as "ij,jk->ik" describe."""
    code, arrays = text(subscripts, "subscripts"), [as_array(value) for value in operands]
    return own(graph.glue_einsum(code, [one._h for one in arrays], len(arrays), stream_handle(stream)))


@operation("einsum_path")
def einsum_path(subscripts: str, *operands: Any) -> Any:
    """In which order `einsum` contracts operands: a list of tuples of positions, and a summary to print."""
    code, arrays = text(subscripts, "subscripts"), [as_array(value) for value in operands]
    path, summary = ffi.new("intptr_t *"), ffi.new("intptr_t *")
    if graph.glue_einsum_path(path, summary, code, [one._h for one in arrays], len(arrays)):
        raise last_error()
    numbers, described = handle("mlx_vector_int", path[0]), handle("mlx_string", summary[0])
    try:
        return _contractions(numbers), taken_text(described)
    finally:
        lib.mlx_vector_int_free(numbers)


def _contractions(numbers: Any) -> list[tuple[int, ...]]:
    """The groups of positions, each of which ends with -1."""
    found: list[tuple[int, ...]] = []
    group: list[int] = []
    number = ffi.new("int *")
    for index in range(lib.mlx_vector_int_size(numbers)):
        lib.mlx_vector_int_get(number, numbers, index)
        if number[0] >= 0:
            group.append(number[0])
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
    a, v, where = require_array(a, "a"), require_array(v, "v"), 0 if stream is None else stream_handle(stream)
    if a.ndim != 1 or v.ndim != 1:
        raise ArgumentError("[convolve] Inputs must be 1D.")
    if not a.size or not v.size:
        raise ArgumentError("[convolve] Inputs cannot be empty.")
    longer, shorter = (v, a) if a.size < v.size else (a, v)
    size = shorter.size
    flipped = own(graph.glue_slice(shorter._h, [size - 1], 1, [-size - 1], 1, [-1], 1, where))
    weights = own(graph.glue_reshape(flipped._h, [1, -1, 1], 3, where))
    signal = own(graph.glue_reshape(longer._h, [1, -1, 1], 3, where))
    before, after = _overlap(mode, size)
    if before != after:
        zero = array(0)
        signal = own(graph.glue_pad(signal._h, [1], 1, [before], 1, [after], 1, zero._h, b"constant", where))
        before = 0
    found = own(graph.glue_conv1d(signal._h, weights._h, 1, before, 1, 1, where))
    return own(graph.glue_reshape(found._h, [-1], 1, where))


def _overlap(mode: str, size: int) -> tuple[int, int]:
    """How many zeros stand before and after the signal for a kernel of a size."""
    if mode == "full":
        return size - 1, size - 1
    if mode == "valid":
        return 0, 0
    if mode != "same":
        text(mode, "mode")
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
    input, weight = require_array(input, "input"), require_array(weight, "weight")
    low, high = _both(padding)
    lists: list[Any] = []
    for values in (integers(stride), low, high, integers(kernel_dilation), integers(input_dilation)):
        lists += [values, len(values)]
    call: Callable[..., int] = graph.glue_conv_general
    return own(call(input._h, weight._h, *lists, groups, flip, 0 if stream is None else stream_handle(stream)))


def _both(padding: Any) -> tuple[Sequence[int], Sequence[int]]:
    if isinstance(padding, (list, tuple)) and len(padding) == 2 and isinstance(padding[0], (list, tuple)):
        return integers(padding[0]), integers(padding[1])
    return integers(padding), integers(padding)
