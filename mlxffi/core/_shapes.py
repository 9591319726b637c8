"""Operation functions by hand: shapes, parts and joins of arrays."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Literal

from .._arguments import text
from .._errors import ArgumentError, RangeError
from .._ffi import graph
from ._arguments import as_array, beside
from ._binding import operation
from ._array import array
from ._checks import (
    ArrayLike,
    integers,
    many,
    misfit,
    require_array,
    sizes,
    take_list,
    take_tuple,
)
from ._device import StreamOrDevice, stream_handle
from .generated import ops

own = array._own

# --- axes ---


@operation("transpose")
def transpose(a: array, /, axes: Sequence[int] | None = None, *, stream: StreamOrDevice = None) -> array:
    """`a` with its axes in another order; None reverses them."""
    if type(a) is not array:
        a = require_array(a, "a")
    where = 0 if stream is None else stream_handle(stream)
    if axes is None:
        return own(graph.glue_transpose(a._h, where))
    axes = sizes(axes)
    return own(graph.glue_transpose_axes(a._h, axes, len(axes), where))


@operation("transpose")
def permute_dims(a: array, /, axes: Sequence[int] | None = None, *, stream: StreamOrDevice = None) -> array:
    """`a` with its axes in another order; None reverses them."""
    return transpose(a, axes, stream=stream)


@operation("expand_dims")
def expand_dims(a: array, /, axis: Any, *, stream: StreamOrDevice = None) -> array:
    """`a` with new axes of size 1 at the positions `axis` of the result."""
    if type(a) is not array:
        a = require_array(a, "a")
    where = 0 if stream is None else stream_handle(stream)
    if type(axis) is not int and many(axis):
        axis = sizes(axis)
        return own(graph.glue_expand_dims_axes(a._h, axis, len(axis), where))
    try:
        return own(graph.glue_expand_dims(a._h, axis, where))
    except OverflowError as error:
        raise misfit(error) from None


@operation("roll")
def roll(
    a: array,
    shift: Any,
    axis: Any = None,
    /,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """`a` with its elements moved on by `shift` along axes, and those beyond the end back to the front."""
    if type(a) is not array:
        a = require_array(a, "a")
    where = 0 if stream is None else stream_handle(stream)
    axis = sizes(axis) if many(axis) else axis
    several = many(axis) and isinstance(shift, int)
    shift = [shift] * len(axis) if several else integers(shift)
    if axis is None:
        return own(graph.glue_roll(a._h, shift, len(shift), where))
    if many(axis):
        return own(graph.glue_roll_axes(a._h, shift, len(shift), axis, len(axis), where))
    return own(graph.glue_roll_axis(a._h, shift, len(shift), axis, where))


@operation("as_strided")
def as_strided(
    a: array,
    /,
    shape: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    offset: int = 0,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """A view of the elements of `a` in row order, under another shape and strides, counted in elements.

    Args:
      shape: None takes that of `a`.
      strides: None takes those of a row-major array of the shape.
    """
    a = require_array(a, "a")
    shape = a.shape if shape is None else sizes(shape)
    strides = _row_major(shape) if strides is None else sizes(strides)
    return own(graph.glue_as_strided(a._h, shape, len(shape), strides, len(strides), offset, stream_handle(stream)))


def _row_major(shape: Sequence[int]) -> list[int]:
    strides, size = [], 1
    for extent in reversed(shape):
        strides.append(size)
        size *= extent
    return strides[::-1]


# --- parts ---


@operation("split")
def split(a: array, /, indices_or_sections: Any, axis: int = 0, *, stream: StreamOrDevice = None) -> list[array]:
    """The parts of `a` along an axis: so many equal ones, or those between indices."""
    if type(a) is not array:
        a = require_array(a, "a")
    where = 0 if stream is None else stream_handle(stream)
    try:
        if many(indices_or_sections):
            indices = sizes(indices_or_sections)
            return take_list(graph.glue_split_sections(a._h, indices, len(indices), axis, where))
        return take_list(graph.glue_split(a._h, indices_or_sections, axis, where))
    except OverflowError as error:
        raise misfit(error) from None


@operation("take")
def take(a: array, /, indices: int | array, axis: int | None = None, *, stream: StreamOrDevice = None) -> array:
    """The elements of `a` at indices along an axis; of all of `a` in row order where `axis` is None.

    One int as index takes the axis away.
    """
    if type(a) is not array:
        a = require_array(a, "a")
    where = 0 if stream is None else stream_handle(stream)
    if not isinstance(indices, array):
        return _take_one(a, indices, axis, where)
    if axis is None:
        return own(graph.glue_take(a._h, indices._h, where))
    return own(graph.glue_take_axis(a._h, indices._h, axis, where))


def _take_one(a: array, index: Any, axis: int | None, where: int) -> array:
    """The elements at one index, as a slice without its axis."""
    if not isinstance(index, int):
        raise TypeError(f"indices: expected an int or an array, got {type(index).__name__}")
    if axis is None:
        a, axis = own(graph.glue_flatten(a._h, 0, -1, where)), 0
    if not -a.ndim <= axis < a.ndim:
        raise RangeError(f"[take] Received invalid axis {axis} for array with {a.ndim} dimensions.")
    if not a.size:
        raise ArgumentError("[take] Cannot do a non-empty take from an array with zero elements.")
    start, stop, strides = [0] * a.ndim, list(a.shape), [1] * a.ndim
    start[axis], stop[axis] = index, index + 1
    part = own(graph.glue_slice(a._h, start, a.ndim, stop, a.ndim, strides, a.ndim, where))
    return own(graph.glue_squeeze_axis(part._h, axis, where))


@operation("take_along_axis")
def take_along_axis(a: array, /, indices: array, axis: int | None = -1, *, stream: StreamOrDevice = None) -> array:
    """The elements of `a` at indices along an axis, row by row; of all of `a` in row order where `axis` is None."""
    a, indices, where = require_array(a, "a"), require_array(indices, "indices"), stream_handle(stream)
    if axis is not None:
        return own(graph.glue_take_along_axis(a._h, indices._h, axis, where))
    flat = own(graph.glue_reshape(a._h, [-1], 1, where))
    return own(graph.glue_take_along_axis(flat._h, indices._h, 0, where))


@operation("put_along_axis")
def put_along_axis(
    a: array,
    /,
    indices: array,
    values: array,
    axis: int | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """`a` with `values` at indices along an axis; of all of `a` in row order where `axis` is None."""
    a, indices, values = require_array(a, "a"), require_array(indices, "indices"), require_array(values, "values")
    where = 0 if stream is None else stream_handle(stream)
    if axis is not None:
        return own(graph.glue_put_along_axis(a._h, indices._h, values._h, axis, where))
    flat = own(graph.glue_reshape(a._h, [-1], 1, where))
    put = own(graph.glue_put_along_axis(flat._h, indices._h, values._h, 0, where))
    return own(graph.glue_reshape(put._h, a.shape, a.ndim, where))


@operation("slice")
def slice(
    a: array,
    start_indices: array,
    axes: Sequence[int],
    slice_size: Sequence[int],
    *,
    stream: StreamOrDevice = None,
) -> array:
    """The part of `a` of a size, which begins at computed indices along some axes."""
    a, start = require_array(a, "a"), require_array(start_indices, "start_indices")
    axes, size = sizes(axes), sizes(slice_size)
    return own(graph.glue_slice_dynamic(a._h, start._h, axes, len(axes), size, len(size), stream_handle(stream)))


@operation("slice_update")
def slice_update(
    a: array, update: array, start_indices: array, axes: Sequence[int], *, stream: StreamOrDevice = None
) -> array:
    """`a` with `update` in the place that begins at computed indices along some axes."""
    a, update = require_array(a, "a"), require_array(update, "update")
    start, axes = require_array(start_indices, "start_indices"), sizes(axes)
    return own(graph.glue_slice_update_dynamic(a._h, update._h, start._h, axes, len(axes), stream_handle(stream)))


def unique(
    a: array,
    /,
    size: int,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    fill_value: ArrayLike | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array | tuple[array, ...]:
    """The `size` first different values of `a` in ascending order.

    Args:
      return_index: also where each stands first; return_inverse: also which of them each element is; return_counts:
        also how often each occurs.
      fill_value: what stands behind them where there are fewer; None is the smallest value.
    """
    a = require_array(a, "a")
    fill = None if fill_value is None else beside(fill_value, a) if not isinstance(fill_value, array) else fill_value
    options = (return_index, return_inverse, return_counts, 0 if fill is None else fill._h, stream_handle(stream))
    found = take_tuple(graph.glue_unique(a._h, size, *options))
    return found if len(found) > 1 else found[0]


# --- several arrays ---


@operation("broadcast_arrays")
def broadcast_arrays(*arrays: Any, stream: StreamOrDevice = None) -> list[array]:
    """Arrays, broadcast to the shape that they have together."""
    made = [as_array(value) for value in arrays]
    return take_list(graph.glue_broadcast_arrays([one._h for one in made], len(made), stream_handle(stream)))


@operation("meshgrid")
def meshgrid(
    *arrays: Any, sparse: Any = False, indexing: Any = "xy", stream: StreamOrDevice = None
) -> tuple[array, ...]:
    """The coordinates of a grid over the values of each array.

    Args:
      sparse: leave axes of size 1 along which they do not vary.
      indexing: "xy" lets the first two arrays run along the second and the first axis, "ij" each along its own.
    """
    made = [as_array(value) for value in arrays]
    order = text(indexing, "indexing")
    return take_tuple(graph.glue_meshgrid([one._h for one in made], len(made), sparse, order, stream_handle(stream)))


@operation("concatenate")
def concat(arrays: list[array], axis: int | None = 0, *, stream: StreamOrDevice = None) -> array:
    """Arrays, one after the other along an axis; None flattens them first."""
    return ops.concatenate(arrays, axis, stream=stream)


def _at_least(glue: Any, arrays: tuple[Any, ...], stream: StreamOrDevice) -> Any:
    where = 0 if stream is None else stream_handle(stream)
    given = [as_array(value) for value in arrays]
    made = [own(glue(one._h, where)) for one in given]
    return made[0] if len(made) == 1 else made


@operation("atleast_1d")
def atleast_1d(*arys: Any, stream: StreamOrDevice = None) -> array | list[array]:
    """Arrays with one axis or more: one for one argument, else a list."""
    return _at_least(graph.glue_atleast_1d, arys, stream)  # type: ignore[no-any-return]


@operation("atleast_2d")
def atleast_2d(*arys: Any, stream: StreamOrDevice = None) -> array | list[array]:
    """Arrays with two axes or more: one for one argument, else a list."""
    return _at_least(graph.glue_atleast_2d, arys, stream)  # type: ignore[no-any-return]


@operation("atleast_3d")
def atleast_3d(*arys: Any, stream: StreamOrDevice = None) -> array | list[array]:
    """Arrays with three axes or more: one for one argument, else a list."""
    return _at_least(graph.glue_atleast_3d, arys, stream)  # type: ignore[no-any-return]


# --- margins ---


@operation("pad")
def pad(
    a: array,
    pad_width: Any,
    mode: Literal["constant", "edge", "reflect", "symmetric"] = "constant",
    constant_values: ArrayLike = 0,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """`a` with more elements before and after those along each axis.

    Args:
      pad_width: how many: an int for all, (before, after) for all axes, or one such pair for each axis.
      mode: "constant" takes `constant_values`, "edge" the outermost element, "reflect" and "symmetric" the elements
        in reverse order without and with the outermost.
    """
    a, where, how = require_array(a, "a"), 0 if stream is None else stream_handle(stream), text(mode, "mode")
    value = constant_values if isinstance(constant_values, array) else beside(constant_values, a)
    if not many(pad_width):
        return own(graph.glue_pad_symmetric(a._h, operator.index(pad_width), value._h, how, where))
    low, high = _margins(pad_width, a.ndim)
    axes = list(range(a.ndim))
    return own(graph.glue_pad(a._h, axes, len(axes), low, len(low), high, len(high), value._h, how, where))


def _margins(width: Any, ndim: int) -> tuple[list[int], list[int]]:
    """How much comes before and after along each axis."""
    width = [tuple(sizes(item)) if many(item) else operator.index(item) for item in width]
    if width and all(isinstance(item, int) for item in width):
        if len(width) == 1:
            return list(width) * ndim, list(width) * ndim
        if len(width) == 2:
            return [width[0]] * ndim, [width[1]] * ndim
        raise TypeError(f"pad_width: expected an int, a pair or a pair for each axis, got {width!r}")
    if not all(isinstance(item, (list, tuple)) and len(item) == 2 for item in width):
        raise TypeError(f"pad_width: expected a pair for each axis, got {width!r}")
    if len(width) == 1:
        width = list(width) * ndim
    if len(width) != ndim:
        raise ArgumentError(f"[pad] expected {ndim} pairs, got {len(width)}")
    return [item[0] for item in width], [item[1] for item in width]
