"""Operation functions by hand: shapes, parts and joins of arrays."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Literal

from .._errors import ArgumentError, RangeError
from ._arguments import ArrayLike, as_array
from ._array import array
from ._binding import abi, operation
from ._device import StreamOrDevice
from ._indexing import position_of
from ._marshal import integers, many, require_array, sizes
from .generated import ops

__all__ = [
    "as_strided", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "concat", "expand_dims", "meshgrid",
    "pad", "permute_dims", "put_along_axis", "roll", "slice", "slice_update", "split", "take", "take_along_axis",
    "transpose", "unique",
]  # fmt: skip

# --- axes ---


@operation("transpose")
def transpose(a: array, /, axes: Sequence[int] | None = None, *, stream: StreamOrDevice = None) -> array:
    """`a` with its axes in another order; None reverses them."""
    return abi.transpose(a, stream) if axes is None else abi.transpose_axes(a, axes, stream)


@operation("transpose")
def permute_dims(a: array, /, axes: Sequence[int] | None = None, *, stream: StreamOrDevice = None) -> array:
    """`a` with its axes in another order; None reverses them."""
    return transpose(a, axes, stream=stream)


@operation("expand_dims")
def expand_dims(a: array, /, axis: Any, *, stream: StreamOrDevice = None) -> array:
    """`a` with new axes of size 1 at the positions `axis` of the result."""
    if many(axis):
        return abi.expand_dims_axes(a, axis, stream)
    return abi.expand_dims(a, axis, stream)


@operation("roll")
def roll(
    a: array,
    /,
    shift: Any,
    axis: Any = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """`a` with its elements moved on by `shift` along axes, and those beyond the end back to the front."""
    several = many(axis)
    shift = [shift] * len(axis) if several and isinstance(shift, int) else integers(shift)
    if axis is None:
        return abi.roll(a, shift, stream)
    return (abi.roll_axes if several else abi.roll_axis)(a, shift, axis, stream)


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
    shape = require_array(a, "a").shape if shape is None else sizes(shape)
    return abi.as_strided(a, shape, _row_major(shape) if strides is None else strides, offset, stream)


def _row_major(shape: Sequence[int]) -> list[int]:
    strides, size = [], 1
    for extent in reversed(shape):
        strides.append(size)
        size *= extent
    return strides[::-1]


# --- parts ---


def split(a: array, /, indices_or_sections: Any, axis: int = 0, *, stream: StreamOrDevice = None) -> list[array]:
    """The parts of `a` along an axis: so many equal ones, or those between indices."""
    if type(indices_or_sections) is not int and many(indices_or_sections):
        return abi.split_sections(a, indices_or_sections, axis, stream)
    return abi.split(a, indices_or_sections, axis, stream)


@operation("take")
def take(a: array, /, indices: int | array, axis: int | None = None, *, stream: StreamOrDevice = None) -> array:
    """The elements of `a` at indices along an axis; of all of `a` in row order where `axis` is None.

    One int as index takes the axis away.
    """
    if not isinstance(indices, array):
        return _take_one(require_array(a, "a"), indices, axis, stream)
    return abi.take(a, indices, stream) if axis is None else abi.take_axis(a, indices, axis, stream)


def _take_one(a: array, index: Any, axis: int | None, stream: StreamOrDevice) -> array:
    """The elements at one index, as a slice without its axis."""
    if not isinstance(index, int):
        raise TypeError(f"indices: expected an int or an array, got {type(index).__name__}")
    if axis is None:
        a, axis = abi.flatten(a, 0, -1, stream), 0
    if not -a.ndim <= axis < a.ndim:
        raise RangeError(f"[take] Received invalid axis {axis} for array with {a.ndim} dimensions.")
    if not a.size:
        raise ArgumentError("[take] Cannot do a non-empty take from an array with zero elements.")
    start, stop, strides = [0] * a.ndim, list(a.shape), [1] * a.ndim
    start[axis] = position_of(index, a.shape[axis], axis)
    stop[axis] = start[axis] + 1
    return abi.squeeze_axis(abi.slice(a, start, stop, strides, stream), axis, stream)


def take_along_axis(a: array, /, indices: array, axis: int | None = -1, *, stream: StreamOrDevice = None) -> array:
    """The elements of `a` at indices along an axis, row by row; of all of `a` in row order where `axis` is None."""
    if axis is None:
        return abi.take_along_axis(abi.reshape(a, [-1], stream), indices, 0, stream)
    return abi.take_along_axis(a, indices, axis, stream)


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
    if axis is not None:
        return abi.put_along_axis(a, indices, values, axis, stream)
    put = abi.put_along_axis(abi.reshape(a, [-1], stream), indices, values, 0, stream)
    return abi.reshape(put, a.shape, stream)


def slice(
    a: array,
    start_indices: array,
    axes: Sequence[int],
    slice_size: Sequence[int],
    *,
    stream: StreamOrDevice = None,
) -> array:
    """The part of `a` of a size, which begins at computed indices along some axes."""
    return abi.slice_dynamic(a, start_indices, axes, slice_size, stream)


def slice_update(
    a: array, update: array, start_indices: array, axes: Sequence[int], *, stream: StreamOrDevice = None
) -> array:
    """`a` with `update` in the place that begins at computed indices along some axes."""
    return abi.slice_update_dynamic(a, update, start_indices, axes, stream)


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
    fill = None if fill_value is None else as_array(fill_value, require_array(a, "a").dtype)
    found = abi.unique(a, size, return_index, return_inverse, return_counts, fill, stream)
    return tuple(found) if len(found) > 1 else found[0]


# --- several arrays ---


@operation("broadcast_arrays")
def broadcast_arrays(*arrays: Any, stream: StreamOrDevice = None) -> list[array]:
    """Arrays, broadcast to the shape that they have together."""
    return abi.broadcast_arrays([as_array(value) for value in arrays], stream)


def meshgrid(
    *arrays: Any, sparse: Any = False, indexing: Any = "xy", stream: StreamOrDevice = None
) -> tuple[array, ...]:
    """The coordinates of a grid over the values of each array.

    Args:
      sparse: leave axes of size 1 along which they do not vary.
      indexing: "xy" lets the first two arrays run along the second and the first axis, "ij" each along its own.
    """
    return tuple(abi.meshgrid([as_array(value) for value in arrays], sparse, indexing, stream))


@operation("concatenate")
def concat(arrays: list[array], axis: int | None = 0, *, stream: StreamOrDevice = None) -> array:
    """Arrays, one after the other along an axis; None flattens them first."""
    return ops.concatenate(arrays, axis, stream=stream)


def _at_least(function: Any, arrays: tuple[Any, ...], stream: StreamOrDevice) -> Any:
    made = [function(as_array(value), stream) for value in arrays]
    return made[0] if len(made) == 1 else made


@operation("atleast_1d")
def atleast_1d(*arys: Any, stream: StreamOrDevice = None) -> array | list[array]:
    """Arrays with one axis or more: one for one argument, else a list."""
    return _at_least(abi.atleast_1d, arys, stream)  # type: ignore[no-any-return]


@operation("atleast_2d")
def atleast_2d(*arys: Any, stream: StreamOrDevice = None) -> array | list[array]:
    """Arrays with two axes or more: one for one argument, else a list."""
    return _at_least(abi.atleast_2d, arys, stream)  # type: ignore[no-any-return]


@operation("atleast_3d")
def atleast_3d(*arys: Any, stream: StreamOrDevice = None) -> array | list[array]:
    """Arrays with three axes or more: one for one argument, else a list."""
    return _at_least(abi.atleast_3d, arys, stream)  # type: ignore[no-any-return]


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
    a = require_array(a, "a")
    value = as_array(constant_values, a.dtype)
    if not many(pad_width):
        return abi.pad_symmetric(a, pad_width, value, mode, stream)
    return abi.pad(a, range(a.ndim), *_margins(pad_width, a.ndim), value, mode, stream)


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
