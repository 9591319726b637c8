"""Slices that are added or put at places along the first axis, by kernels of our own where they are not narrow."""

import numpy as np
import pytest
from helpers import computed_by_any_number_of_threads

import mlxffi.core as mx

SHAPES = [(9, 16), (5, 3, 7), (4, 300), (3, 2, 521), (6, 15)]
DTYPES = ["float32", "float16", "bfloat16", "float64", "int8", "int64", "uint32"]


def given(shape, dtype):
    """An array, slices for places that are said more than once and from either end, and both as the library's."""
    rng = np.random.default_rng(0)
    least = 0 if dtype == "uint32" else -5
    x, indices = rng.integers(least, 6, shape), rng.integers(-shape[0], shape[0], (4, 6))
    slices = rng.integers(least, 6, (4, 6, *shape[1:]))
    return x, indices, slices, *(mx.array(numbers).astype(getattr(mx, dtype)) for numbers in (x, slices))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_slices_are_added(shape, dtype):
    with mx.stream(mx.cpu):
        x, indices, slices, a, b = given(shape, dtype)
        expected = x.copy()
        np.add.at(expected, indices, slices)
        for kind in (mx.int32, mx.int64):
            found = a.at[mx.array(indices).astype(kind)].add(b)
            np.testing.assert_array_equal(np.array(found.astype(mx.int32)), expected)
        np.testing.assert_array_equal(np.array(a.astype(mx.int32)), x)
        # Into memory that nobody else needs.
        found = (a + 1).at[mx.array(indices)].add(b)
        np.testing.assert_array_equal(np.array(found.astype(mx.int32)), expected + 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_slices_are_put(shape, dtype):
    with mx.stream(mx.cpu):
        x, _, slices, a, b = given(shape, dtype)
        places = np.array([shape[0] - 1, -shape[0]])
        kept, changed = a, a + 0
        changed[mx.array(places)] = b[0, :2]
        x[places] = slices[0, :2]
        np.testing.assert_array_equal(np.array(changed.astype(mx.int32)), x)
        kept[mx.array(places)] = b[0, :2]
        np.testing.assert_array_equal(np.array(kept.astype(mx.int32)), x)


def test_parts_of_slices_and_views():
    x = np.arange(12 * 40, dtype=np.float32).reshape(12, 40)
    a, places = mx.array(x), mx.array([3, 3, 0])
    for turn in (lambda v: v[:, 3:29], lambda v: v[::2, :], lambda v: v.T):
        expected = turn(x).copy()
        np.add.at(expected, [3, 3, 0], turn(x)[1:4])
        np.testing.assert_array_equal(np.array(turn(a).at[places].add(turn(a)[1:4])), expected)
    expected = x.copy()
    np.add.at(expected[:, :20], [3, 3, 0], x[1:4, 20:])
    np.testing.assert_array_equal(np.array(a.at[places, :20].add(a[1:4, 20:])), expected)


def test_gradients_of_a_lookup():
    rng = np.random.default_rng(0)
    indices, weights = rng.integers(0, 30, 500), rng.normal(size=(500, 70)).astype(np.float32)
    expected = np.zeros((30, 70))
    np.add.at(expected, indices, weights.astype(np.float64))
    found = mx.grad(lambda table: (mx.take(table, mx.array(indices), axis=0) * mx.array(weights)).sum())(
        mx.zeros((30, 70))
    )
    np.testing.assert_allclose(np.array(found), expected, rtol=1e-5, atol=1e-5)


PROGRAM = """
import numpy as np
from mlxffi import core as mx
rng = np.random.default_rng(0)
table, slices = (mx.array(rng.normal(size=(size, 900)).astype(np.float32)) for size in (700, 3000))
indices = mx.array(rng.integers(0, 700, 3000))
for dtype in (mx.float32, mx.bfloat16):
    found = table.astype(dtype).at[indices].add(slices.astype(dtype)).astype(mx.float32)
    print(np.array(found).ravel()[::7].astype(float).tobytes().hex())
"""


def test_any_number_of_threads_gives_the_same():
    computed_by_any_number_of_threads(PROGRAM)
