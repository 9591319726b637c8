"""`array[key]` and `array[key] = value`.

Ints, slices and None take a strided part of the array; arrays of positions then pick from it on their axes. The picked
axes come where the arrays stand if these are neighbours, and else first. Positions in arrays are checked by libmlxc
(bounds.h).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .._errors import ArgumentError, OperationError
from ._arguments import as_array
from ._binding import abi, native
from ._convert import BoundsError, from_value

if TYPE_CHECKING:
    from ._array import array

Entry = Any
WHOLE = slice(None)
# What an update does: at picked positions ("" gives new values), and with a strided part.
SCATTER: dict[str, Callable[..., array]] = {
    "": abi.scatter, "add": abi.scatter_add, "multiply": abi.scatter_prod, "maximum": abi.scatter_max,
    "minimum": abi.scatter_min,
}  # fmt: skip
COMBINE: dict[str, Callable[..., array]] = {
    "add": abi.add, "subtract": abi.subtract, "multiply": abi.multiply, "divide": abi.divide,
    "maximum": abi.maximum, "minimum": abi.minimum,
}  # fmt: skip
# Those that are other ones with the inverse of the values.
INVERSES: dict[str, tuple[str, Callable[..., array]]] = {
    "subtract": ("add", abi.negative),
    "divide": ("multiply", abi.reciprocal),
}


# --- reading ---


def get(array: array, key: Any) -> array:
    """`array[key]`."""
    kind = type(key)
    if kind is int:
        return _row(array, key)
    if isinstance(key, native.ArrayOwner):
        return _rows(array, key)
    if kind is list:
        return _rows(array, from_value(key))
    if kind is tuple:
        axis = _only_array(key)
        if axis >= 0 and len(key) <= array.ndim:
            return _rows(array, key[axis], axis)
    selection = Selection(array.shape, key if kind is tuple else (key,))
    if selection.picks:
        return _picked(array, selection)
    part = selection.part(array)
    if selection.gone:
        part = abi.squeeze_axes(part, selection.gone)
    if selection.new:
        part = abi.expand_dims_axes(part, selection.new)
    return +array if part is array else part


def _row(array: array, position: int) -> array:
    """`array[position]`."""
    sizes = list(array.shape)
    if not sizes:
        raise BoundsError("too many indices for array: array is 0-dimensional")
    ndim = len(sizes)
    starts = [0] * ndim
    starts[0] = start = position_of(position, sizes[0], 0)
    sizes[0] = start + 1
    return abi.squeeze_axis(abi.slice(array, starts, sizes, [1] * ndim), 0)


def _only_array(key: tuple[Any, ...]) -> int:
    """The place of the one array of a key that has nothing else but whole slices; -1 for other keys."""
    found = -1
    for place, entry in enumerate(key):
        if isinstance(entry, native.ArrayOwner) and found < 0:
            found = place
        elif type(entry) is not slice or any(part is not None for part in (entry.start, entry.stop, entry.step)):
            return -1
    return found


def _rows(array: array, positions: Any, axis: int = 0) -> array:
    """`array[positions]`, on some axis."""
    if not array.ndim:
        raise BoundsError("too many indices for array: array is 0-dimensional")
    _require_integers(positions)
    return abi.take_axis(array, positions, axis)


def _picked(array: array, selection: Selection) -> array:
    """The part of an array at arrays of positions."""
    shape, picked, before = selection.result()
    if not math.prod(shape):
        return abi.zeros(shape, array.dtype)
    part = selection.part(array)
    part = abi.gather(part, list(selection.picks.values()), list(selection.picks), selection.block)
    # The picked axes stand first.
    gone = [len(picked) + axis for axis in selection.gone]
    part = abi.squeeze_axes(part, gone)
    if selection.new:
        part = abi.expand_dims_axes(part, [len(picked) + place for place in selection.new])
    if before and picked:
        part = abi.transpose_axes(part, moved(len(shape), len(picked), before))
    return part


def moved(ndim: int, picked: int, before: int) -> list[int]:
    """The order of axes that moves the first `picked` ones behind `before` others."""
    axes = list(range(ndim))
    return [*axes[picked : picked + before], *axes[:picked], *axes[picked + before :]]


# --- writing ---


def values_for(array: array, value: Any) -> array:
    """Values in the dtype of the array that takes them."""
    values = as_array(value, array.dtype)
    return values if values.dtype is array.dtype else abi.astype(values, array.dtype)


def put(array: array, key: Any, value: Any, how: str = "") -> array:
    """What `array` becomes by `array[key] = value`, or by another update of that part."""
    if key is None or key is Ellipsis:
        return _put_everywhere(array, as_array(value, array.dtype), how)
    if how in INVERSES:
        how, inverse = INVERSES[how]
        value = inverse(as_array(value, array.dtype))
    values = values_for(array, value)
    if isinstance(key, native.ArrayOwner) and key.dtype.kind in "iu" and key.size and array.size:
        return _put_rows(array, key, values, how)
    mask = _mask(key)
    if mask is not None:
        if how:
            raise BoundsError("boolean indices are not supported in array.at")
        return _put_masked(array, mask, values)
    selection = Selection(array.shape, key if type(key) is tuple else (key,), reading=False)
    return (_put_picked if selection.picks else _put_part)(array, selection, values, how)


def _put_rows(array: array, positions: Any, values: array, how: str) -> array:
    """Update the rows at an array of positions."""
    picked, rest = positions.shape, array.shape[1:]
    shape = [*picked, *rest]
    fitting = _fitting(values, shape)
    values = _reshaped(values, fitting)
    values = _reshaped(abi.broadcast_to(values, shape), [*picked, 1, *rest])
    return SCATTER[how](array, [positions], values, [0])


def _put_part(array: array, selection: Selection, values: array, how: str) -> array:
    """Update a strided part."""
    stay = selection.stay
    shape = _fitting(values, stay)
    if not math.prod(selection.block):
        return +array
    if selection.gone or selection.new:
        values = _reshaped(values, selection.in_block(shape))
    elif len(shape) != values.ndim:
        values = _reshaped(values, shape)
    if how:
        # C has this in one step, which loses the batch of the array under vmap.
        values = COMBINE[how](selection.part(array), values)
    if selection.whole:
        return abi.broadcast_to(values, array.shape)
    return abi.slice_update(array, values, *selection.bounds())


def _put_everywhere(array: array, values: array, how: str) -> array:
    """Update all elements, in the dtype that those and the values have in common; new values keep theirs."""
    shape = array.shape
    values = _reshaped(values, _fitting(values, shape))
    if not how:
        return abi.broadcast_to(values, shape)
    return COMBINE[how](array, values)


def _put_picked(array: array, selection: Selection, values: array, how: str) -> array:
    """Update a part at arrays of positions."""
    shape, picked, before = selection.result()
    values = _reshaped(values, _fitting(values, shape))
    if not math.prod(shape):
        return +array
    values = abi.broadcast_to(values, shape)
    if before and picked:
        order = moved(len(shape), len(picked), before)
        values = abi.transpose_axes(values, sorted(order, key=order.__getitem__))
    values = _reshaped(values, [*picked, *selection.block])
    picks, axes = list(selection.picks.values()), list(selection.picks)
    made = SCATTER[how](selection.part(array), picks, values, axes)
    return made if selection.whole else abi.slice_update(array, made, *selection.bounds())


def _mask(key: Any) -> array | None:
    """The mask of a key that is nothing else."""
    if isinstance(key, native.ArrayOwner):
        return key if key.dtype.kind == "b" else None  # type: ignore[return-value]
    if isinstance(key, bool):
        return from_value(key)
    if isinstance(key, list):
        made = from_value(key)
        return made if made.dtype.kind == "b" and made.ndim else None
    if str(getattr(key, "dtype", "")) == "bool":
        return as_array(key)
    return None


def _put_masked(array: array, mask: array, values: array) -> array:
    """Give the positions where a mask is true the values, one after the other."""
    return abi.masked_scatter(array, mask, values)


def _reshaped(values: array, shape: Sequence[int]) -> array:
    return abi.reshape(values, shape)


def _fitting(values: array, shape: Sequence[int]) -> list[int]:
    """The sizes of values, with as many axes as `shape`, to which they must broadcast."""
    sizes = list(values.shape)
    while len(sizes) > len(shape) and sizes[0] == 1:
        del sizes[0]
    padded = [1] * (len(shape) - len(sizes)) + sizes
    if len(padded) != len(shape) or any(size not in (1, wanted) for size, wanted in zip(padded, shape, strict=True)):
        raise ArgumentError(f"Cannot broadcast array of shape {values.shape} into shape {tuple(shape)}.")
    return padded


# --- what a key selects ---


class Selection:
    """What the entries of a key select of an array of some shape.

    `starts`, `stops`, `steps`: the strided part, which is everything if `whole`; `block`: its sizes, 1 on picked axes;
    `gone`: the axes that an int or an array takes away; `picks`: arrays of positions by axis; `stay`: the sizes of the
    other axes; `new`: the places of None among them; `places`: how many of them stand before each array of positions,
    and in reading before each int.
    """

    __slots__ = ("block", "gone", "new", "picks", "places", "reading", "starts", "stay", "steps", "stops", "whole")

    def __init__(self, shape: tuple[int, ...], key: tuple[Any, ...], reading: bool = True):
        self.whole = True
        self.reading = reading
        self.starts: list[int] = []
        self.stops: list[int] = []
        self.steps: list[int] = []
        self.block: list[int] = []
        self.gone: list[int] = []
        self.new: list[int] = []
        self.stay: list[int] = []
        self.picks: dict[int, Any] = {}
        self.places: set[int] = set()
        for entry in entries_of(key, len(shape)):
            if entry is None:
                self.new.append(len(self.stay))
                self.stay.append(1)
            else:
                self._add(entry, shape[len(self.block)])

    def _add(self, entry: Entry, size: int) -> None:
        """Add what an entry selects on the next axis."""
        axis = len(self.block)
        if type(entry) is slice:
            start, stop, step, count = span_of(entry, size)
            self.stay.append(count)
        elif type(entry) is int:
            self.gone.append(axis)
            if self.reading:
                self.places.add(len(self.stay))
            start = position_of(entry, size, axis)
            stop, step, count = start + 1, 1, 1
        else:
            self._pick(entry, size, axis)
            start, stop, step, count = 0, size, 1, size
        self.whole = self.whole and count == size and step == 1
        self.starts.append(start)
        self.stops.append(stop)
        self.steps.append(step)
        self.block.append(1 if axis in self.picks else count)

    def _pick(self, positions: array, size: int, axis: int) -> None:
        if not size and positions.size:
            raise BoundsError("[take] Cannot do a non-empty take from an empty axis.")
        self.gone.append(axis)
        self.places.add(len(self.stay))
        self.picks[axis] = positions

    def bounds(self) -> tuple[list[int], list[int], list[int]]:
        """The part as C functions take it."""
        return self.starts, self.stops, self.steps

    def part(self, array: array) -> array:
        """The strided part of the array."""
        return array if self.whole else abi.slice(array, *self.bounds())

    def in_block(self, shape: Sequence[int]) -> list[int]:
        """The sizes of values among all axes of the part, from those among the axes of the result."""
        kept = iter([size for axis, size in enumerate(shape) if axis not in self.new])
        return [1 if axis in self.gone else next(kept) for axis in range(len(self.block))]

    def result(self) -> tuple[list[int], list[int], int]:
        """The shape that the picks lead to, that of the picked axes, and how many axes stand before these."""
        picked = _broadcast([pick.shape for pick in self.picks.values()])
        before = next(iter(self.places)) if len(self.places) == 1 else 0
        return [*self.stay[:before], *picked, *self.stay[before:]], picked, before


def span_of(entry: slice, size: int) -> tuple[int, int, int, int]:
    """Start, stop, step and number of elements of a slice, as C++ takes them."""
    parts = entry.start, entry.stop, entry.step
    if entry.start is None and entry.stop is None and entry.step is None:
        return 0, size, 1, size
    for part in parts:
        if part is not None and (type(part) is not int or not -(2**31) <= part < 2**31):
            _require_32_bits(part)
    if type(entry.step) is int and not entry.step:
        raise BoundsError("Slice steps must not be zero.")
    start, stop, step = entry.indices(size)
    count = len(range(start, stop, step))
    if not count:
        return 0, 0, 1, 0
    if count == 1:
        step = 1
    stop = start + count * step
    # Backwards over the first element: C++ takes -1 for the last one.
    return start, min(stop, size) if stop >= 0 else -size - 1, step, count


def _require_32_bits(part: Any) -> None:
    if not _is_integer(part):
        raise BoundsError("Slice indices must be integers or None.")
    part = operator.index(part)
    if not -(2**63) <= part < 2**63:
        raise OperationError(f"Slice indices must be 32-bit integers, got {part}.")
    if not -(2**31) <= part < 2**31:
        raise BoundsError(f"Slice indices must be 32-bit integers, got {part}.")


def position_of(position: int, size: int, axis: int) -> int:
    """A position counted from the start of its axis.

    Raises:
      IndexError, ValueError: it lies outside.
    """
    if -size <= position < size:
        return position + size if position < 0 else position
    if not -(2**63) <= position < 2**63:
        raise OperationError(f"[index] expected a position of 64 bits, got {position}")
    raise BoundsError(f"[index] expected positions from {-size} to {size - 1} on axis {axis}, got {position}")


def _broadcast(shapes: Sequence[tuple[int, ...]]) -> list[int]:
    ndim = max(map(len, shapes))
    result = [1] * ndim
    for shape in shapes:
        for axis, size in enumerate(shape, ndim - len(shape)):
            if size != 1 and result[axis] not in (1, size):
                found = " and ".join(f"({','.join(map(str, shape))})" for shape in shapes)
                raise BoundsError(f"[broadcast_shapes] Shapes {found} cannot be broadcast.")
            result[axis] = size if size != 1 else result[axis]
    return result


# --- from a key to its entries: None, slices, ints and arrays of positions ---


def entries_of(key: tuple[Any, ...], ndim: int) -> list[Entry]:
    """The entries of a key for all axes, with slices for the Ellipsis or at the end."""
    entries: list[Entry] = []
    used = 0
    place = None
    for item in key:
        if item is Ellipsis:
            if place is not None:
                raise BoundsError("An index can only have a single ellipsis (...)")
            place = len(entries)
            continue
        used += item is not None
        kind = type(item)
        entries.append(item if item is None or kind is slice or kind is int else _positions(item))
    if used > ndim:
        raise BoundsError(f"Too many indices for array with {ndim} dimensions.")
    if used < ndim:
        place = len(entries) if place is None else place
        entries[place:place] = [WHOLE] * (ndim - used)
    return entries


def _positions(item: Any) -> Any:
    """An int or an array of positions."""
    if isinstance(item, native.ArrayOwner):
        return _require_integers(item)
    if isinstance(item, list):
        return _require_integers(from_value(item))
    if not _is_integer(item):
        raise BoundsError(f"Cannot index mlx array using the given type ({type(item).__name__}).")
    return operator.index(item)


def _is_integer(item: Any) -> bool:
    """Whether it is one integer, of Python or another library."""
    if isinstance(item, (bool, native.ArrayOwner)):
        return False
    try:
        operator.index(item)
    except TypeError:
        return False
    return True


def _require_integers(positions: Any) -> Any:
    kind = positions.dtype.kind
    if kind == "b":
        raise BoundsError("boolean indices are not yet supported")
    if kind not in "iu":
        raise BoundsError("[index] Got indices with invalid dtype. Indices must be integral.")
    return positions
