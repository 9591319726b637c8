"""Shapes: creation, views, slices, and arrays put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .operation import Calls
from .program import REFERENCE, Case
from .tensors import Array, F, I

Ints = Sequence[int]


def slices(start: Ints, stop: Ints, strides: Ints) -> tuple[slice, ...]:
    return tuple(map(slice, start, stop, strides))


def updated(function: Callable[[Array, Array], Any]) -> Callable[..., Array]:
    """An array with a slice of it replaced by what a function makes of it and the update."""

    def update(x: Array, new: Array, start: Ints, stop: Ints, strides: Ints) -> Array:
        x = x.copy()
        place = slices(start, stop, strides)
        x[place] = function(x[place], np.broadcast_to(new, x[place].shape))
        return x

    return update


def slice_dynamic(x: Array, start: Array, axes: Ints, size: Ints) -> Array:
    place = [slice(None)] * x.ndim
    for axis, first in zip(axes, start, strict=True):
        place[axis] = slice(int(first), int(first) + size[axis])
    return np.asarray(x[tuple(place)])


def slice_update_dynamic(x: Array, new: Array, start: Array, axes: Ints) -> Array:
    x = x.copy()
    place = [slice(0, n) for n in new.shape]
    for axis, first in zip(axes, start, strict=True):
        place[axis] = slice(int(first), int(first) + new.shape[axis])
    x[tuple(place)] = new
    return x


def pad(x: Array, axes: Ints, low: Ints, high: Ints, value: Array, mode: str) -> Array:
    widths = [(0, 0)] * x.ndim
    for axis, before, after in zip(axes, low, high, strict=True):
        widths[axis] = (before, after)
    more = {"constant_values": value} if mode == "constant" else {}
    return np.asarray(np.pad(x, widths, mode=mode, **more))  # type: ignore[call-overload]


def as_strided(x: Array, shape: Ints, strides: Ints, offset: int) -> Array:
    flat = np.ravel(x)
    places = offset + sum(
        np.arange(n).reshape([-1] + [1] * (len(shape) - 1 - i)) * strides[i] for i, n in enumerate(shape)
    )
    return np.asarray(flat[places])


def linspace(start: float, stop: float, count: int, endpoint: bool, dtype: str) -> Array:
    return np.asarray(np.linspace(start, stop, count, endpoint))


def flattened(x: Array, start: int, end: int) -> Array:
    end = end % x.ndim
    return np.asarray(x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :]))


def number_of_elements(x: Array, axes: Ints, inverted: bool, dtype: str) -> Array:
    count = np.prod([x.shape[axis] for axis in axes])
    return np.asarray(1 / count if inverted else count, np.float64)


def trace(x: Array, offset: int, axis1: int, axis2: int, dtype: str) -> Array:
    return np.asarray(np.trace(x, offset, axis1, axis2))


REFERENCE |= {
    "mlx_arange": lambda start, stop, step, dtype: np.arange(start, stop, step),
    "mlx_linspace": lambda start, stop, count, dtype: linspace(start, stop, count, True, dtype),
    "mlx_linspace_endpoint": linspace,
    "mlx_eye": lambda n, m, k, dtype: np.eye(n, m, k),
    "mlx_identity": lambda n, dtype: np.eye(n),
    "mlx_tri": lambda n, m, k, dtype: np.tri(n, m, k),
    "mlx_full": lambda shape, value, dtype: np.full(shape, value),
    "mlx_full_like": lambda x, value, dtype: np.broadcast_to(value, x.shape),
    "mlx_ones": lambda shape, dtype: np.ones(shape),
    "mlx_zeros": lambda shape, dtype: np.zeros(shape),
    "mlx_ones_like_dtype": lambda x, dtype: np.ones(x.shape),
    "mlx_zeros_like_dtype": lambda x, dtype: np.zeros(x.shape),
    "mlx_bartlett": np.bartlett, "mlx_blackman": np.blackman, "mlx_hamming": np.hamming, "mlx_hanning": np.hanning,
    "mlx_astype": lambda x, dtype: x,
    "mlx_view": lambda x, dtype: (x.astype(np.float32) if x.dtype.kind == "f" else x).view(dtype),
    "mlx_contiguous": lambda x, column: x,
    "mlx_depends": lambda inputs, _: inputs,
    "mlx_atleast_1d": np.atleast_1d,
    "mlx_atleast_2d": np.atleast_2d,
    "mlx_atleast_3d": np.atleast_3d,
    "mlx_broadcast_to": np.broadcast_to,
    "mlx_broadcast_arrays": lambda arrays: list(np.broadcast_arrays(*arrays)),
    "mlx_concatenate": lambda arrays: np.concatenate([np.ravel(x) for x in arrays]),
    "mlx_concatenate_axis": np.concatenate,
    "mlx_stack": np.stack,
    "mlx_stack_axis": np.stack,
    "mlx_diag": np.diag,
    "mlx_diagonal": np.diagonal,
    "mlx_trace": trace,
    "mlx_tril": np.tril,
    "mlx_triu": np.triu,
    "mlx_expand_dims": np.expand_dims,
    "mlx_expand_dims_axes": lambda x, axes: np.expand_dims(x, tuple(axes)),
    "mlx_squeeze": np.squeeze,
    "mlx_squeeze_axis": np.squeeze,
    "mlx_squeeze_axes": lambda x, axes: np.squeeze(x, tuple(axes)),
    "mlx_flatten": flattened,
    "mlx_unflatten": lambda x, axis, shape: x.reshape(*x.shape[:axis], *shape, *x.shape[axis + 1 :]),
    "mlx_reshape": np.reshape,
    "mlx_flip": np.flip,
    "mlx_flip_axis": np.flip,
    "mlx_flip_axes": lambda x, axes: np.flip(x, tuple(axes)),
    "mlx_meshgrid": lambda arrays, sparse, indexing: list(np.meshgrid(*arrays, sparse=sparse, indexing=indexing)),
    "mlx_moveaxis": np.moveaxis,
    "mlx_swapaxes": np.swapaxes,
    "mlx_transpose": np.transpose,
    "mlx_transpose_axes": np.transpose,
    "mlx_matrix_transpose": lambda x: np.swapaxes(x, -1, -2),
    "mlx_number_of_elements": number_of_elements,
    "mlx_pad": pad,
    "mlx_pad_symmetric": lambda x, width, value, mode: np.pad(x, width, constant_values=value),
    "mlx_repeat": np.repeat,
    "mlx_repeat_axis": np.repeat,
    "mlx_tile": np.tile,
    "mlx_roll": lambda x, shift: np.roll(x, sum(shift)),
    "mlx_roll_axis": lambda x, shift, axis: np.roll(x, sum(shift), axis),
    "mlx_roll_axes": lambda x, shift, axes: np.roll(x, tuple(shift), tuple(axes)),
    "mlx_slice": lambda x, start, stop, strides: x[slices(start, stop, strides)],
    "mlx_slice_dynamic": slice_dynamic,
    "mlx_slice_update": updated(lambda old, new: new),
    "mlx_slice_update_add": updated(np.add),
    "mlx_slice_update_max": updated(np.maximum),
    "mlx_slice_update_min": updated(np.minimum),
    "mlx_slice_update_prod": updated(np.multiply),
    "mlx_slice_update_dynamic": slice_update_dynamic,
    "mlx_split": lambda x, count, axis: np.split(x, count, axis),
    "mlx_split_sections": lambda x, places, axis: np.split(x, places, axis),
    "mlx_unstack": lambda x: list(x),
    "mlx_unstack_axis": lambda x, axis: list(np.moveaxis(x, axis, 0)),
    "mlx_as_strided": as_strided,
    "mlx_diff": np.diff,
}  # fmt: skip


def cases() -> list[Case]:
    calls = Calls()
    _made(calls)
    _converted(calls)
    _viewed(calls)
    _joined(calls)
    _sliced(calls)
    return calls.cases


def _made(calls: Calls) -> None:
    for dtype in ("float32", "int32", "float16"):
        calls.add("mlx_arange", 1.0, 7.0, 2.0, dtype, dtypes=[dtype])
        calls.add("mlx_eye", 3, 4, 1, dtype, dtypes=[dtype])
        calls.add("mlx_identity", 3, dtype, dtypes=[dtype])
        calls.add("mlx_tri", 3, 4, -1, dtype, dtypes=[dtype])
        calls.add("mlx_ones", [2, 3], dtype, dtypes=[dtype])
        calls.add("mlx_zeros", [2, 0], dtype, dtypes=[dtype])
        calls.add("mlx_full", [2, 3], np.array(2, np.float32), dtype, dtypes=[dtype])
        calls.add("mlx_full_like", F(2, 3), np.array([1, 2, 3], np.float32), dtype, dtypes=[dtype])
        calls.add("mlx_ones_like_dtype", F(2, 3), dtype, dtypes=[dtype])
        calls.add("mlx_zeros_like_dtype", F(2, 3), dtype, dtypes=[dtype])
    calls.add("mlx_linspace", -1.0, 2.0, 7, "float32", dtypes=["float32"])
    calls.add("mlx_linspace_endpoint", 0.0, 2.0, 4, False, "float32", dtypes=["float32"])
    calls.refused("mlx_arange", 0.0, "nan", 1.0, "float32")
    for name in ("bartlett", "blackman", "hamming", "hanning"):
        calls.add(f"mlx_{name}", 6)


def _converted(calls: Calls) -> None:
    dtypes = ("bool", "uint8", "int8", "int32", "int64", "float16", "bfloat16", "float32")
    for dtype in dtypes:
        wanted = "float64" if dtype == "float32" else dtype
        if dtype not in ("bool", "uint8"):
            calls.add("mlx_astype", F(2, 3), wanted, dtypes=[wanted])
        calls.add("mlx_astype", I(4, high=2, dtype=dtype), "float32", dtypes=["float32"])
        calls.add("mlx_astype", I(4, high=9, dtype="int32"), dtype, dtypes=[dtype])
    calls.add("mlx_astype", F(3), "complex64", dtypes=["complex64"])
    calls.add("mlx_view", I(2, 4, high=2**20), "uint8", dtypes=["uint8"])
    calls.add("mlx_view", F(3), "int32", dtypes=["int32"])
    calls.add("mlx_view", I(2, 4, dtype="uint16"), "uint32", dtypes=["uint32"])
    calls.add("mlx_contiguous", F(2, 3), False)
    calls.add("mlx_contiguous", F(2, 3), True)
    calls.add("mlx_depends", [F(3), F(2)], [F(1)], gives=2)
    calls.add("mlx_number_of_elements", F(2, 3, 4), [0, 2], False, "int32", dtypes=["int32"])
    calls.add("mlx_number_of_elements", F(2, 4), [1], True, "float32", dtypes=["float32"])


def _viewed(calls: Calls) -> None:
    x = F(2, 3, 4)
    for rank in (1, 2, 3):
        calls.add(f"mlx_atleast_{rank}d", np.array(3, np.float32))
        calls.add(f"mlx_atleast_{rank}d", F(3))
        calls.add(f"mlx_atleast_{rank}d", F(2, 3))
    calls.add("mlx_broadcast_to", F(3, 1), [2, 3, 4])
    calls.refused("mlx_broadcast_to", F(3), [2, 4])
    calls.add("mlx_diag", F(3), 1)
    calls.add("mlx_diag", F(3, 4), -1)
    calls.add("mlx_diagonal", x, 1, 1, 2)
    calls.add("mlx_trace", F(3, 4), 1, 0, 1, "float32", dtypes=["float32"])
    calls.add("mlx_tril", F(3, 4), 1)
    calls.add("mlx_triu", x, 0)
    calls.add("mlx_expand_dims", F(2, 3), 1)
    calls.add("mlx_expand_dims_axes", F(2, 3), [0, 3])
    calls.add("mlx_squeeze", F(1, 3, 1))
    calls.add("mlx_squeeze_axis", F(1, 3, 1), 2)
    calls.add("mlx_squeeze_axes", F(1, 3, 1), [0, -1])
    calls.refused("mlx_squeeze_axis", F(2, 3), 0)
    calls.add("mlx_flatten", x, 1, -1)
    calls.add("mlx_unflatten", F(2, 6), 1, [2, -1])
    calls.add("mlx_reshape", x, [4, -1])
    calls.add("mlx_reshape", np.array(2, np.float32), [1, 1])
    calls.refused("mlx_reshape", x, [5, -1])
    calls.add("mlx_flip", x)
    calls.add("mlx_flip_axis", x, 1)
    calls.add("mlx_flip_axes", x, [0, 2])
    calls.add("mlx_moveaxis", x, 0, -1)
    calls.add("mlx_swapaxes", x, 0, 2)
    calls.add("mlx_transpose", x)
    calls.add("mlx_transpose_axes", x, [1, 2, 0])
    calls.add("mlx_matrix_transpose", x)
    calls.refused("mlx_transpose_axes", x, [0, 0, 1])
    calls.add("mlx_as_strided", F(12), [3, 2], [2, 3], 1)


def _joined(calls: Calls) -> None:
    x, y = F(2, 3), F(2, 3, salt=1)
    calls.add("mlx_broadcast_arrays", [F(2, 1), F(3, salt=1)], gives=2)
    calls.add("mlx_concatenate", [x, F(1, 3, salt=1)])
    calls.add("mlx_concatenate_axis", [x, F(2, 1, salt=1)], 1)
    calls.refused("mlx_concatenate_axis", [x, F(3, 1)], 1)
    calls.add("mlx_stack", [x, y])
    calls.add("mlx_stack_axis", [x, y], -1)
    calls.add("mlx_meshgrid", [F(2), F(3)], False, "ij", gives=2)
    calls.add("mlx_meshgrid", [F(2), F(3)], True, "xy", gives=2)
    calls.add("mlx_pad", x, [0, 1], [1, 0], [0, 2], np.array(7, np.float32), "constant")
    calls.add("mlx_pad", x, [1], [2], [1], np.array(0, np.float32), "edge")
    calls.add("mlx_pad_symmetric", x, 1, np.array(-1, np.float32), "constant")
    calls.add("mlx_repeat", x, 2)
    calls.add("mlx_repeat_axis", x, 2, 1)
    calls.add("mlx_tile", x, [2, 1])
    calls.add("mlx_roll", x, [2])
    calls.add("mlx_roll_axis", x, [1], 1)
    calls.add("mlx_roll_axes", x, [1, -1], [0, 1])


def _sliced(calls: Calls) -> None:
    x = F(4, 6)
    whole = ([1, 0], [4, 6], [2, 3])
    calls.add("mlx_slice", x, *whole)
    calls.add("mlx_slice", I(4, 6), *whole)
    calls.add("mlx_slice_dynamic", x, np.array([1, 2], np.int32), [0, 1], [2, 3])
    for name in ("", "_add", "_max", "_min", "_prod"):
        calls.add(f"mlx_slice_update{name}", x, F(2, 2, salt=1), *whole)
        calls.add(f"mlx_slice_update{name}", x, F(2, salt=1), *whole)
    calls.refused("mlx_slice_update", x, F(3, 3), *whole)
    calls.add("mlx_slice_update_dynamic", x, F(2, 3, salt=1), np.array([1, 2], np.int32), [0, 1])
    calls.add("mlx_split", x, 3, 1, gives=3)
    calls.refused("mlx_split", x, 4, 1, gives=4)
    calls.add("mlx_split_sections", x, [1, 4], 1, gives=3)
    calls.add("mlx_unstack", F(3, 2), gives=3)
    calls.add("mlx_unstack_axis", F(3, 2), 1, gives=2)
    calls.add("mlx_diff", x, 1, 1)
    calls.add("mlx_diff", I(2, 5), 2, -1)
