"""The operations whose results are truth values, indices or codes: the sweep maps them, and differentiates nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from catalogue import Case, Values, normal
from checks import array

import mlxffi.core as mx

COMPARISONS = "equal not_equal greater greater_equal less less_equal isclose logical_and logical_or logical_xor"
OF_BITS = "bitwise_and bitwise_or bitwise_xor left_shift right_shift"
OF_ONE = "isfinite isinf isnan isneginf isposinf logical_not"
OF_AN_AXIS = "all any argmax argmin argsort count_nonzero"


def wholes(*shape: int, seed: int = 0) -> Values:
    """Few enough different ones that some are alike."""
    return np.random.default_rng([seed, *shape]).integers(0, 4, size=shape).astype(np.int32)


def _pairs() -> Iterator[Case]:
    for names, dtype in ((COMPARISONS, np.float64), (OF_BITS, np.int32)):
        for name in names.split():
            for shapes in (((2, 3), (2, 3)), ((2, 3), (3,)), ((3,), (2, 3)), ((), (2, 3)), ((), ())):
                inputs = tuple(wholes(*shape, seed=i).astype(dtype) for i, shape in enumerate(shapes))
                yield Case(name, getattr(mx, name), inputs)
    for name in ("allclose", "array_equal"):
        yield Case(name, getattr(mx, name), (wholes(2), wholes(2, seed=1)))


def _others() -> Iterator[Case]:
    special = np.array([[np.nan, np.inf, -np.inf], [0.0, 1.0, -0.0]])
    for name in OF_ONE.split():
        yield Case(name, getattr(mx, name), (special,))
    yield Case("bitwise_invert", mx.bitwise_invert, (wholes(2, 3),))
    for name in OF_AN_AXIS.split():
        for axis in (0, 1, -1, None):
            yield Case(name, partial(getattr(mx, name), axis=axis), (wholes(3, 4).astype(np.float64),), f"axis {axis}")
    for axis in (0, -1):
        yield Case("argpartition", partial(_of_smallest, axis=axis), (normal(4, 5),), f"axis {axis}")
    yield Case("searchsorted", partial(mx.searchsorted, array(np.sort(normal(6)))), (normal(2, 3, seed=1),))
    yield Case("view", lambda a: mx.view(a, mx.int32), (wholes(2, 4),))
    yield Case("to_fp8", mx.to_fp8, (normal(2, 3).astype(np.float32),))
    yield Case("from_fp8", lambda a: mx.from_fp8(a, mx.float32), (np.arange(6, dtype=np.uint8).reshape(2, 3),))


def _of_smallest(a: mx.array, axis: int) -> mx.array:
    """What the indices pick: their order among the smallest is the operation's own."""
    picked = mx.take_along_axis(a, mx.argpartition(a, 2, axis=axis), axis)
    return mx.sort(mx.split(picked, [2], axis)[0], axis)


def step_cases() -> list[Case]:
    """All of them."""
    return [replace(case, mapped_only=True) for case in (*_pairs(), *_others())]
