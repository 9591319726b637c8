"""Reductions, scans, sorting and searching."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .operation import Calls
from .program import REFERENCE, Case
from .tensors import Array, F, I

Axis = Any


def logsumexp(x: Array, axis: Axis, keepdims: bool) -> Array:
    top = np.max(x, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return np.asarray(total if keepdims else np.squeeze(total, axis))


def softmax(x: Array, axis: Axis, _precise: bool) -> Array:
    shifted = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return np.asarray(shifted / np.sum(shifted, axis=axis, keepdims=True))


def _sum(x: Array, axis: Axis, keepdims: bool) -> Array:
    return np.asarray(np.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype))


def _prod(x: Array, axis: Axis, keepdims: bool) -> Array:
    return np.asarray(np.prod(x, axis=axis, keepdims=keepdims, dtype=x.dtype))


def _arg(function: Callable[..., Any]) -> Callable[..., Array]:
    return lambda x, axis, keepdims: np.asarray(function(x, axis=axis, keepdims=keepdims)).astype(np.uint32)


def count_nonzero(x: Array, axis: Axis, keepdims: bool) -> Array:
    return np.asarray(np.count_nonzero(x, axis=axis, keepdims=keepdims)).astype(np.int32)


# By name: what reduces along an axis, or several, with or without keeping them.
REDUCTIONS: dict[str, Callable[[Array, Axis, bool], Any]] = {
    "all": lambda x, axis, keep: np.all(x, axis=axis, keepdims=keep),
    "any": lambda x, axis, keep: np.any(x, axis=axis, keepdims=keep),
    "max": lambda x, axis, keep: np.max(x, axis=axis, keepdims=keep),
    "min": lambda x, axis, keep: np.min(x, axis=axis, keepdims=keep),
    "mean": lambda x, axis, keep: np.mean(x, axis=axis, keepdims=keep),
    "sum": _sum,
    "prod": _prod,
    "logsumexp": logsumexp,
    "count_nonzero": count_nonzero,
    "minmax": lambda x, axis, keep: [np.min(x, axis=axis, keepdims=keep), np.max(x, axis=axis, keepdims=keep)],
    "softmax": softmax,
}
SPREADS = {"var": np.var, "std": np.std}


def _axes(axes: Sequence[int] | None) -> Axis:
    return None if axes is None else tuple(axes)


def _of_reduction(function: Callable[[Array, Axis, bool], Any], kind: str) -> Callable[..., Any]:
    if kind == "":
        return lambda x, keep: function(x, None, keep)
    if kind == "_axis":
        return function
    return lambda x, axes, keep: function(x, _axes(axes), keep)


def _of_spread(function: Callable[..., Any], kind: str) -> Callable[..., Any]:
    if kind == "":
        return lambda x, keep, ddof: function(x, keepdims=keep, ddof=ddof)
    return lambda x, axis, keep, ddof: function(
        x, axis=axis if kind == "_axis" else _axes(axis), keepdims=keep, ddof=ddof
    )


def scan(function: np.ufunc) -> Callable[..., Array]:
    """A running reduction; exclusive ones start with what changes nothing."""

    def scanned(x: Array, axis: int, reverse: bool, inclusive: bool, *_dtype: Any) -> Array:
        x = np.flip(x, axis) if reverse else x
        made = function.accumulate(x, axis, dtype=x.dtype)
        if not inclusive:
            first = np.full_like(np.take(made, [0], axis), IDENTITY[function])
            made = np.concatenate([first, np.delete(made, -1, axis)], axis)
        return np.asarray(np.flip(made, axis) if reverse else made)

    return scanned


IDENTITY: dict[Any, float] = {np.add: 0, np.multiply: 1, np.maximum: -np.inf, np.minimum: np.inf, np.logaddexp: -np.inf}
SCANS = {
    "cumsum": np.add,
    "cumprod": np.multiply,
    "cummax": np.maximum,
    "cummin": np.minimum,
    "logcumsumexp": np.logaddexp,
}


def topk(x: Array, k: int, axis: int | None = None) -> Array:
    """The largest `k`; their order is the library's, so cases give one."""
    x = np.ravel(x) if axis is None else x
    axis = -1 if axis is None else axis
    return np.take(np.sort(x, axis), range(x.shape[axis] - k, x.shape[axis]), axis)


def unique(x: Array, size: int, index: bool, inverse: bool, counts: bool, fill: Array | None) -> list[Array]:
    values, first, places, number = np.unique(np.ravel(x), True, True, True)
    missing = max(size - len(values), 0)
    filler = np.full(missing, values[0] if fill is None else fill, x.dtype)
    found = [np.concatenate([values[:size], filler])]
    if index:
        found.append(np.concatenate([first[:size], np.full(missing, first[0])]).astype(np.uint32))
    if inverse:
        found.append(np.minimum(places, size - 1).reshape(x.shape).astype(np.uint32))
    if counts:
        found.append(np.concatenate([number[:size], np.zeros(missing, int)]).astype(np.int32))
    return found


def _references() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for kind in ("", "_axis", "_axes"):
        found |= {f"mlx_{name}{kind}": _of_reduction(function, kind) for name, function in REDUCTIONS.items()}
        found |= {f"mlx_{name}{kind}": _of_spread(function, kind) for name, function in SPREADS.items()}
    for name, function in (("argmax", np.argmax), ("argmin", np.argmin)):
        found[f"mlx_{name}_axis"] = _arg(function)
        found[f"mlx_{name}"] = _of_reduction(_arg(function), "")
    return found | {f"mlx_{name}": scan(function) for name, function in SCANS.items()}


REFERENCE |= _references()
REFERENCE |= {
    "mlx_cumsum_dtype": scan(np.add),
    "mlx_cumprod_dtype": scan(np.multiply),
    "mlx_median": lambda x, axes, keep: np.median(x, axis=_axes(axes), keepdims=keep),
    "mlx_sort": lambda x: np.sort(x, axis=None),
    "mlx_sort_axis": np.sort,
    "mlx_argsort": lambda x: np.argsort(x, axis=None, kind="stable").astype(np.uint32),
    "mlx_argsort_axis": lambda x, axis: np.argsort(x, axis, kind="stable").astype(np.uint32),
    "mlx_partition": lambda x, k: np.sort(np.ravel(x)),
    "mlx_partition_axis": lambda x, k, axis: np.sort(x, axis),
    "mlx_argpartition": lambda x, k: np.argsort(np.ravel(x), kind="stable").astype(np.uint32),
    "mlx_argpartition_axis": lambda x, k, axis: np.argsort(x, axis, kind="stable").astype(np.uint32),
    "mlx_topk": topk,
    "mlx_topk_axis": topk,
    "mlx_searchsorted": lambda s, v, side: np.searchsorted(s, v, side).astype(np.uint32),
    "mlx_unique": unique,
}


def cases() -> list[Case]:
    calls = Calls()
    _reduced(calls)
    _scanned(calls)
    _sorted(calls)
    return calls.cases


def _reduced(calls: Calls) -> None:
    x = F(2, 3, 4)
    for name in REDUCTIONS:
        calls.add(f"mlx_{name}", x, False)
        calls.add(f"mlx_{name}_axis", x, 1, False)
        calls.add(f"mlx_{name}_axes", x, [0, -1], name != "softmax")
        if name != "softmax":
            calls.add(f"mlx_{name}_axis", F(2, 3, dtype="float16"), 0, True)
        calls.refused(f"mlx_{name}_axis", x, 3, False)
        if name not in ("mean", "logsumexp", "softmax"):
            calls.add(f"mlx_{name}_axis", I(3, 4, low=1, high=7), -1, False)
    for name in SPREADS:
        calls.add(f"mlx_{name}", x, False, 0)
        calls.add(f"mlx_{name}_axis", x, 1, True, 1)
        calls.add(f"mlx_{name}_axes", x, [0, 2], False, 1)
    for name in ("argmax", "argmin"):
        calls.add(f"mlx_{name}", x, False)
        calls.add(f"mlx_{name}_axis", x, 1, True)
        calls.add(f"mlx_{name}_axis", I(3, 5), -1, False)
    calls.add("mlx_median", F(3, 5), [1], False)
    calls.add("mlx_median", F(3, 4), [0, 1], True)
    calls.add("mlx_softmax_axis", F(2, 5, low=-80, high=80), -1, True)
    calls.add("mlx_logsumexp_axis", F(2, 5, low=-80, high=80), -1, False)
    calls.add("mlx_sum", np.zeros((0, 3), np.float32), False)
    calls.add("mlx_sum_axis", np.zeros((0, 3), np.float32), 0, False)
    calls.refused("mlx_max", np.zeros((0, 3), np.float32), False)


def _scanned(calls: Calls) -> None:
    for name in SCANS:
        calls.add(f"mlx_{name}", F(3, 4), 1, False, True)
        calls.add(f"mlx_{name}", F(3, 4), 0, True, True)
        calls.add(f"mlx_{name}", F(3, 4), -1, False, False)
    calls.add("mlx_cumsum", I(2, 5), 1, True, False)
    calls.add("mlx_cumsum_dtype", I(2, 5), 1, False, True, "float32", dtypes=["float32"])
    calls.add("mlx_cumprod_dtype", I(2, 3, low=1, high=5), 1, False, True, "float32", dtypes=["float32"])
    calls.add("mlx_cumsum_dtype", F(2, 5), 1, False, True, None)


def _permuted(count: int) -> Array:
    return np.array([(7 * i + 3) % count for i in range(count)], np.float32)


def _sorted(calls: Calls) -> None:
    grid = _permuted(12).reshape(3, 4)
    for dtype in (np.float32, np.int32):
        x = grid.astype(dtype)
        for name in ("sort", "argsort"):
            calls.add(f"mlx_{name}", x)
            calls.add(f"mlx_{name}_axis", x, 0)
    line = np.array([[2, 1], [0, 3]], np.float32)
    # Only the place of the k-th element is promised: of two elements that settles all.
    for name in ("partition", "argpartition"):
        calls.add(f"mlx_{name}_axis", line, 1, 1)
        calls.add(f"mlx_{name}", line[0], 1)
    calls.add("mlx_topk", grid, 1)
    calls.add("mlx_topk_axis", grid, 1, 1)
    calls.add("mlx_searchsorted", np.array([1, 2, 2, 5], np.float32), np.array([[0, 2], [3, 9]], np.float32), "left")
    calls.add("mlx_searchsorted", np.array([1, 2, 2, 5], np.int32), np.array([2, 5], np.int32), "right")
    twice = np.array([[3, 1, 3], [2, 1, 1]], np.int32)
    calls.add("mlx_unique", twice, 3, True, True, True, None, gives=4)
    calls.add("mlx_unique", twice, 5, False, False, True, np.array(9, np.int32), gives=2)
    calls.add("mlx_unique", twice, 2, False, True, False, None, gives=2)
