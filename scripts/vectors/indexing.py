"""Elements taken from places, and put there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .operation import Calls
from .program import REFERENCE, Case
from .tensors import Array, F

Ints = Sequence[int]


def gather(x: Array, indices: Sequence[Array], axes: Ints, sizes: Ints) -> Array:
    places = np.broadcast_arrays(*indices)
    made = np.empty((*places[0].shape, *sizes), x.dtype)
    for at in np.ndindex(*places[0].shape):
        made[at] = x[_block([each[at] for each in places], axes, sizes, x.shape)]
    return made


def _block(starts: Ints, axes: Ints, sizes: Ints, shape: Ints) -> tuple[slice, ...]:
    first = [0] * len(shape)
    for axis, start in zip(axes, starts, strict=True):
        first[axis] = int(start) % shape[axis]
    return tuple(slice(begin, begin + size) for begin, size in zip(first, sizes, strict=True))


def scatter(function: Callable[[Array, Array], Any]) -> Callable[..., Array]:
    """Blocks of updates, put where indices say."""

    def scattered(x: Array, indices: Sequence[Array], updates: Array, axes: Ints) -> Array:
        x, places = x.copy(), np.broadcast_arrays(*indices)
        for at in np.ndindex(*places[0].shape):
            block = _block([each[at] for each in places], axes, updates.shape[places[0].ndim :], x.shape)
            x[block] = function(x[block], updates[at])
        return x

    return scattered


def scatter_single(function: Callable[[Array, Array], Any]) -> Callable[..., Array]:
    return lambda x, indices, updates, axis: scatter(function)(x, [indices], updates, [axis])


def along(function: Callable[[Array, Array], Any]) -> Callable[..., Array]:
    """Values put along an axis, one after the other."""

    def put(x: Array, indices: Array, values: Array, axis: int) -> Array:
        shape = [indices.shape[i] if i == axis % x.ndim else x.shape[i] for i in range(x.ndim)]
        x, indices, values = x.copy(), np.broadcast_to(indices, shape), np.broadcast_to(values, shape)
        for at in np.ndindex(*shape):
            place = tuple(int(indices[at]) if i == axis % x.ndim else at[i] for i in range(x.ndim))
            x[place] = function(x[place], values[at])
        return x

    return put


def masked_scatter(x: Array, mask: Array, src: Array) -> Array:
    x = x.copy()
    x[mask] = src[: np.count_nonzero(mask)]
    return x


WAYS: dict[str, Callable[[Array, Array], Any]] = {
    "": lambda old, new: new, "_add": np.add, "_max": np.maximum, "_min": np.minimum, "_prod": np.multiply,
}  # fmt: skip

REFERENCE |= {f"mlx_scatter{name}": scatter(way) for name, way in WAYS.items()}
REFERENCE |= {f"mlx_scatter{name}_single": scatter_single(way) for name, way in WAYS.items()}
REFERENCE |= {
    "mlx_gather": gather,
    "mlx_gather_single": lambda x, indices, axis, sizes: gather(x, [indices], [axis], sizes),
    "mlx_take": lambda x, indices: np.take(x, indices),
    "mlx_take_axis": lambda x, indices, axis: np.take(x, indices, axis),
    "mlx_take_along_axis": np.take_along_axis,
    "mlx_put_along_axis": along(lambda old, new: new),
    "mlx_scatter_add_axis": along(np.add),
    "mlx_masked_scatter": masked_scatter,
}


def cases() -> list[Case]:
    calls = Calls()
    x = F(4, 5)
    rows, columns = np.array([[0, 3], [-1, 1]], np.int32), np.array([2, 0], np.uint32)
    calls.add("mlx_take", x, rows)
    calls.add("mlx_take_axis", x, rows, 0)
    calls.add("mlx_take_axis", x, np.array(2, np.int32), 1)
    calls.refused("mlx_take_axis", x, F(2), 0)
    calls.add("mlx_take_along_axis", x, np.array([[0], [4], [-1], [2]], np.int32), 1)
    calls.refused("mlx_take_along_axis", x, np.array([0, 1], np.int32), 1)
    calls.add("mlx_gather", x, [rows, columns], [0, 1], [1, 2])
    calls.add("mlx_gather_single", x, columns, 0, [2, 5])
    for name in WAYS:
        calls.add(f"mlx_scatter{name}", x, [np.array([0, 2], np.int32), columns], F(2, 2, 1, salt=1), [0, 1])
        calls.add(f"mlx_scatter{name}_single", x, np.array([1, 3], np.int32), F(2, 1, 5, salt=1), 0)
    calls.add("mlx_scatter_add_single", x, np.array([1, 1, 1], np.int32), F(3, 1, 5, salt=1), 0)
    calls.add("mlx_put_along_axis", x, np.array([[0, 3]] * 4, np.int32), F(4, 2, salt=1), 1)
    calls.add("mlx_scatter_add_axis", x, np.array([[0, 0, 3]] * 4, np.int32), F(4, 3, salt=1), 1)
    mask = np.array([[True, False, True], [False, True, True]])
    calls.add("mlx_masked_scatter", F(2, 3), mask, F(5, salt=1))
    return calls.cases
