"""`array[key]` and `array[key] = value`, with numpy's meaning.

Slices, ints and None take a strided part of the array. Arrays of positions then pick from that part on their axes. The
picked axes come first in what MLX gathers; numpy puts them where the arrays stood, if those were neighbours. A mask
becomes the positions at which it is true, on the axes that it covers, made one; that needs its values.

Positions in lists and in arrays of other libraries are checked. Those in Arrays are not, as they may not be computed
yet: one that lies outside of its axis reads or writes whatever is there.
"""

from __future__ import annotations

import array as arrays
import itertools
import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _handles, _ops
from . import dtype as dtypes
from ._errors import ArgumentError, RangeError
from ._values import bytes_of
from .dtype import Dtype

if TYPE_CHECKING:
    from .array import Array


def get(array: Array, key: Any) -> Array:
    """`array[key]`."""
    array, selection = select(array, key)
    if not math.prod(selection.shape):
        return _ops.zeros(selection.shape, array.dtype)
    part = selection.part(array)
    if selection.picks:
        part = _ops.gather(part, list(selection.picks.values()), list(selection.picks), selection.block)
    if selection.gone:
        part = _ops.squeeze_axes(part, [len(selection.picked) + axis for axis in selection.gone])
    if selection.new:
        part = _ops.expand_dims_axes(part, [len(selection.picked) + place for place in selection.new])
    return _ops.transpose_axes(part, selection.order()) if selection.before and selection.picked else part


def put(array: Array, key: Any, value: Any) -> Array:
    """What `array` becomes by `array[key] = value`."""
    values = _values(value, array.dtype)
    mask = _plain_mask(key)
    if mask is not None and values.ndim <= array.ndim - mask.ndim:
        return _put_where(array, mask, values)
    flat, selection = select(array, key)
    values = _ops.broadcast_to(_fitting(values, selection.shape), selection.shape)
    if not values.size:
        return +array
    if selection.before and selection.picked:
        values = _ops.transpose_axes(values, selection.inverse_order())
    values = _ops.reshape(values, [*selection.picked, *selection.block])
    if selection.picks:
        part = selection.part(flat)
        values = _ops.scatter(part, list(selection.picks.values()), values, list(selection.picks))
    return _ops.reshape(selection.replaced(flat, values), array.shape)


# --- what a key selects ---


class Selection:
    """What the entries of a key select of an array of some shape.

    `starts`, `stops`, `steps`: the strided part; `block`: its sizes, 1 on picked axes; `gone`: the axes that an int or
    an array takes away; `picks`: positions by axis, which broadcast to the shape `picked`; `new`: the places of None
    among the axes that stay; `before`: how many of those stand before the picked axes in the result.
    """

    def __init__(self, shape: Sequence[int], entries: Sequence[Any]):
        self._whole = True
        self.starts: list[int] = []
        self.stops: list[int] = []
        self.steps: list[int] = []
        self.block: list[int] = []
        self.gone: list[int] = []
        self.picks: dict[int, Array] = {}
        self.new: list[int] = []
        stay: list[int] = []
        places: set[tuple[int, int]] = set()
        gaps = 0
        for entry in entries:
            if entry is Ellipsis:
                # The axes that it stands for follow; even where there are none, what surrounds it are no neighbours.
                gaps += 1
            elif entry is None:
                self.new.append(len(stay))
                stay.append(1)
            elif isinstance(entry, slice):
                stay.append(self._add(entry, shape[len(self.block)]))
            else:
                places.add((len(stay), gaps))
                self._take_away(entry, shape[len(self.block)])
        self.picked = _broadcast_shape([pick.shape for pick in self.picks.values()])
        self.before = places.pop()[0] if self.picks and len(places) == 1 else 0
        self.shape = [*stay[: self.before], *self.picked, *stay[self.before :]]

    def _add(self, entry: slice, size: int) -> int:
        """Add a slice of an axis; returns how many elements it has."""
        start, stop, step = entry.indices(size)
        count = len(range(start, stop, step))
        if count <= 1:
            step = 1
        start = start if count else 0
        stop = start + count * step
        self._whole &= count == size and step == 1
        self.starts.append(start)
        # Backwards over the first element: MLX takes -1 for the last one.
        self.stops.append(min(stop, size) if stop >= 0 else -size - 1)
        self.steps.append(step)
        self.block.append(count)
        return count

    def _take_away(self, entry: int | Array, size: int) -> None:
        """Add an axis that a position or an array of them takes away."""
        axis = len(self.block)
        self.gone.append(axis)
        if isinstance(entry, int):
            start = _checked(entry, size, axis)
            self._add(slice(start, start + 1), size)
            return
        if not size and entry.size:
            _checked(0, size, axis)
        self._add(slice(None), size)
        self.block[axis] = 1
        self.picks[axis] = entry

    def part(self, array: Array) -> Array:
        """The strided part of the array."""
        return array if self._whole else _ops.slice(array, self.starts, self.stops, self.steps)

    def replaced(self, array: Array, part: Array) -> Array:
        """The array with another strided part."""
        return part if self._whole else _ops.slice_update(array, part, self.starts, self.stops, self.steps)

    def order(self) -> list[int]:
        """The order of axes that moves the picked ones from the front to their place."""
        axes, end = list(range(len(self.shape))), len(self.picked) + self.before
        return [*axes[len(self.picked) : end], *axes[: len(self.picked)], *axes[end:]]

    def inverse_order(self) -> list[int]:
        """The order of axes that moves the picked ones from their place to the front."""
        order = self.order()
        return sorted(order, key=order.__getitem__)


def _checked(position: int, size: int, axis: int) -> int:
    """A position counted from the start of its axis."""
    if not -size <= position < size:
        raise RangeError(f"[index] expected positions from {-size} to {size - 1} on axis {axis}, got {position}")
    return position + size if position < 0 else position


def _broadcast_shape(shapes: Sequence[tuple[int, ...]]) -> list[int]:
    ndim = max(map(len, shapes), default=0)
    columns = zip(*((1,) * (ndim - len(shape)) + shape for shape in shapes), strict=True)
    sizes = [set(column) - {1} for column in columns]
    if any(len(size) > 1 for size in sizes):
        found = " and ".join(str(list(shape)) for shape in shapes)
        raise RangeError(f"[index] expected arrays of positions that broadcast together, got shapes {found}")
    return [size.pop() if size else 1 for size in sizes]


# --- from a key to its entries: None, Ellipsis, slices, ints and Arrays of positions ---


def select(array: Array, key: Any) -> tuple[Array, Selection]:
    """An array whose masked axes are made one, and what a key selects of it."""
    items = [_item(item) for item in key] if isinstance(key, tuple) else [_item(key)]
    items = _for_every_axis(items, array)
    entries: list[Any] = []
    shape = list(array.shape)
    axis = 0
    for item in items:
        if _is_mask(item):
            shape[axis : axis + item.ndim] = [_masked_size(item, shape[axis : axis + item.ndim], axis)]
            item = _true_positions(item)
        elif isinstance(item, _Known):
            item = item.checked(shape[axis], axis)
        entries.append(item)
        axis += item is not None and item is not Ellipsis
    if tuple(shape) != array.shape:
        array = _ops.reshape(array, shape)
    return array, Selection(shape, entries)


class _Known:
    """Positions whose values are there to be checked."""

    __slots__ = ("array",)

    def __init__(self, array: Array):
        self.array = array

    def checked(self, size: int, axis: int) -> Array:
        """The positions, which must lie on an axis of that size."""
        if self.array.size:
            for position in (_ops.min(self.array), _ops.max(self.array)):
                _checked(position.item(), size, axis)
        return self.array


def _item(item: Any) -> Any:
    """A part of a key as None, Ellipsis, a slice, an int, a mask, an Array of positions or _Known ones."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, _handles.array_class):
        return _integers_or_mask(item, item)
    if _is_integer(item):
        return operator.index(item)
    try:
        made = _handles.array_class(item)
    except TypeError:
        raise _no_index(item) from None
    if isinstance(item, (list, tuple)) and not made.size:
        made = _ops.astype(made, dtypes.int32)
    made = _integers_or_mask(made, item)
    return made if made.dtype.kind == "b" else _Known(made)


def _is_integer(item: Any) -> bool:
    """Whether it is one integer, of Python or another library. bool and numpy's are masks."""
    if isinstance(item, bool) or getattr(item, "ndim", None) or str(getattr(item, "dtype", "")) == "bool":
        return False
    return hasattr(item, "__index__")


def _integers_or_mask(array: Array, item: Any) -> Array:
    if array.dtype.kind not in "iub":
        raise _no_index(item)
    return array


def _no_index(item: Any) -> RangeError:
    kind = getattr(item, "dtype", type(item).__name__)
    return RangeError(f"[index] expected ints, slices, None, ..., and arrays of ints or bools, got {kind}")


def _is_mask(item: Any) -> bool:
    return isinstance(item, _handles.array_class) and item.dtype.kind == "b"


def _for_every_axis(items: list[Any], array: Array) -> list[Any]:
    """The items with whole axes behind the Ellipsis, or behind one at the end."""
    used = sum(item.ndim if _is_mask(item) else item is not None and item is not Ellipsis for item in items)
    if used > array.ndim:
        raise RangeError(f"[index] expected at most {array.ndim} indices for shape {list(array.shape)}, got {used}")
    places = [place for place, item in enumerate(items) if item is Ellipsis]
    if len(places) > 1:
        raise RangeError("[index] expected at most one ..., got more")
    place = places[0] if places else len(items)
    return [*items[:place], Ellipsis, *[slice(None)] * (array.ndim - used), *items[place + 1 :]]


# --- masks ---


def _masked_size(mask: Array, sizes: Sequence[int], axis: int) -> int:
    if list(mask.shape) != list(sizes):
        raise RangeError(f"[index] expected a mask of shape {list(sizes)} from axis {axis} on, got {list(mask.shape)}")
    return mask.size


def _true_positions(mask: Array) -> Array:
    """Where a mask is true, counted in row order."""
    positions = arrays.array("i", itertools.compress(range(mask.size), bytes_of(mask)))
    return _handles.array_class(positions)


def _plain_mask(key: Any) -> Array | None:
    """The mask of a key that is nothing else."""
    items = key if isinstance(key, tuple) else (key,)
    item = _item(items[0]) if len(items) == 1 else None
    return item if _is_mask(item) else None


def _put_where(array: Array, mask: Array, values: Array) -> Array:
    """Values that are the same wherever the mask is true, which need not be known for that."""
    _masked_size(mask, array.shape[: mask.ndim], 0)
    rest = array.shape[mask.ndim :]
    mask = _ops.reshape(mask, [*mask.shape, *[1] * len(rest)])
    return _ops.where(mask, _ops.broadcast_to(_fitting(values, rest), rest), array)


# --- values ---


def _values(value: Any, dtype: Dtype) -> Array:
    """Values in the dtype of the array that takes them."""
    if isinstance(value, _handles.array_class):
        return value if value.dtype is dtype else _ops.astype(value, dtype)
    return _handles.array_class(value, dtype)


def _fitting(values: Array, shape: Sequence[int]) -> Array:
    """Values without the leading axes of one element that numpy lets them have in excess, if they fit."""
    sizes = values.shape
    while len(sizes) > len(shape) and sizes[0] == 1:
        sizes = sizes[1:]
    padded = (1,) * (len(shape) - len(sizes)) + sizes
    if len(padded) != len(shape) or any(size not in (1, wanted) for size, wanted in zip(padded, shape, strict=True)):
        raise ArgumentError(f"[index] expected values that broadcast to shape {list(shape)}, got {list(values.shape)}")
    return values if sizes == values.shape else _ops.reshape(values, sizes)
