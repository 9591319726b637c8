"""Convolutions with channels last."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .operation import Calls
from .program import REFERENCE, Case
from .tensors import Array, F

Ints = Sequence[int]


def conv(
    x: Array, w: Array, stride: Ints, low: Ints, high: Ints, spacing: Ints, gaps: Ints, groups: int, flip: bool
) -> Array:
    """Windows of an input with gaps and padding, times a kernel with gaps."""
    axes = tuple(range(1, x.ndim - 1))
    w = spread(np.flip(w, axes) if flip else w, each(spacing, axes, 1))
    widths = zip(each(low, axes, 0), each(high, axes, 0), strict=True)
    x = np.pad(spread(x, each(gaps, axes, 1)), [(0, 0), *widths, (0, 0)])
    windows = np.moveaxis(sliding_window_view(x, w.shape[1:-1], axes), x.ndim - 1, -1)
    windows = windows[every(each(stride, axes, 1))]
    kernels = [np.moveaxis(kernel, 0, -1) for kernel in np.split(w, groups)]
    parts = zip(np.split(windows, groups, -1), kernels, strict=True)
    return np.concatenate([np.tensordot(part, kernel, len(axes) + 1) for part, kernel in parts], -1)


def each(values: Ints, axes: Ints, default: int) -> list[int]:
    """A number for each axis: one stands for all, none for the default."""
    given = list(values) or [default]
    return given * len(axes) if len(given) == 1 else given


def every(steps: Ints) -> tuple[slice, ...]:
    """All of the first axis, and every so many of those that follow."""
    return (slice(None), *(slice(None, None, step) for step in steps))


def spread(x: Array, gaps: Ints) -> Array:
    """Zeros between neighbours along the inner axes."""
    sizes = [(n - 1) * gap + 1 for n, gap in zip(x.shape[1:-1], gaps, strict=True)]
    made = np.zeros((x.shape[0], *sizes, x.shape[-1]), x.dtype)
    made[every(gaps)] = x
    return made


def conv_of(axes: int) -> Callable[..., Array]:
    def convolved(x: Array, w: Array, *numbers: int) -> Array:
        stride, padding, spacing = (numbers[i * axes : (i + 1) * axes] for i in range(3))
        return conv(x, w, stride, padding, padding, spacing, [1], numbers[-1], False)

    return convolved


def conv_transpose_of(axes: int) -> Callable[..., Array]:
    """The gaps of the input are the strides of the output."""

    def convolved(x: Array, w: Array, *numbers: int) -> Array:
        stride, padding, spacing, more = (numbers[i * axes : (i + 1) * axes] for i in range(4))
        low = [d * (k - 1) - p for d, k, p in zip(spacing, w.shape[1:-1], padding, strict=True)]
        high = [before + extra for before, extra in zip(low, more, strict=True)]
        return conv(x, w, [1], low, high, spacing, stride, numbers[-1], True)

    return convolved


REFERENCE["mlx_conv_general"] = conv
REFERENCE |= {f"mlx_conv{axes}d": conv_of(axes) for axes in (1, 2, 3)}
REFERENCE |= {f"mlx_conv_transpose{axes}d": conv_transpose_of(axes) for axes in (1, 2, 3)}


def cases() -> list[Case]:
    calls = Calls()
    calls.add("mlx_conv1d", F(2, 7, 4), F(6, 3, 4, salt=1), 2, 1, 1, 1)
    calls.add("mlx_conv1d", F(2, 7, 4), F(6, 3, 2, salt=1), 1, 0, 2, 2)
    calls.add("mlx_conv2d", F(1, 5, 4, 2), F(3, 3, 2, 2, salt=1), 2, 1, 1, 0, 1, 2, 1)
    calls.add("mlx_conv3d", F(1, 3, 4, 3, 1), F(2, 2, 2, 2, 1, salt=1), 1, 2, 1, 0, 1, 0, 1, 1, 1, 1)
    calls.refused("mlx_conv2d", F(1, 5, 4, 2), F(3, 3, 2, 3), 1, 1, 0, 0, 1, 1, 1)
    calls.add("mlx_conv_general", F(1, 6, 2), F(2, 3, 2, salt=1), [2], [1], [0], [1], [2], 1, True)
    calls.add("mlx_conv_general", F(1, 4, 5, 2), F(2, 2, 3, 1, salt=1), [], [0, 1], [1, 0], [1, 1], [1, 2], 2, False)
    calls.add("mlx_conv_transpose1d", F(2, 4, 3), F(2, 3, 3, salt=1), 2, 1, 1, 1, 1)
    calls.add("mlx_conv_transpose2d", F(1, 3, 3, 2), F(2, 2, 3, 2, salt=1), 2, 1, 0, 1, 1, 1, 1, 0, 1)
    calls.add("mlx_conv_transpose3d", F(1, 2, 2, 2, 1), F(1, 2, 2, 2, 1, salt=1), 1, 2, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1)
    return calls.cases
