"""Lookups, places of extremes and running logarithms of sums of large arrays on the CPU, against numpy."""

import numpy as np
import pytest
from helpers import computed_by_any_number_of_threads

from mlxffi import core as mx

FLOATS = ["float16", "bfloat16", "float32", "float64"]


@pytest.fixture(autouse=True)
def cpu():
    with mx.stream(mx.cpu):
        yield


@pytest.mark.parametrize("dtype", ["bool_", "int8", "float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("shape", [(9000,), (41, 301), (300, 1), (5, 37, 33)])
def test_slices_along_any_axis(shape, dtype):
    rng = np.random.default_rng(0)
    a = mx.array(rng.integers(0, 100, shape)).astype(getattr(mx, dtype))
    x = np.array(a)
    for axis, length in enumerate(shape):
        for places in [(700,), (30, 25)]:
            indices = rng.integers(-length, length, places)
            expected = np.take(x, indices, axis)
            for index in ("int32", "int64"):
                found = mx.take(a, mx.array(indices.astype(index)), axis=axis)
                np.testing.assert_array_equal(np.array(found), expected)
            positive = mx.array((indices % length).astype(np.uint32))
            np.testing.assert_array_equal(np.array(mx.take(a, positive, axis=axis)), expected)
            np.testing.assert_array_equal(np.array(mx.take(a, positive, axis=axis) * 1), expected * 1)
    np.testing.assert_array_equal(np.array(a[mx.array(np.arange(0, shape[0], 2).repeat(300))]), x[::2].repeat(300, 0))


def test_lookups_in_views_and_their_gradients():
    rng = np.random.default_rng(0)
    x, indices = rng.normal(size=(60, 80)).astype(np.float32), rng.integers(0, 60, 500)
    a, at = mx.array(x), mx.array(indices)
    np.testing.assert_array_equal(np.array(mx.take(a.T, at, axis=1)), x.T[:, indices])
    np.testing.assert_array_equal(np.array(mx.take(a, at[::-1], axis=0)), x[indices[::-1]])
    gradient = mx.grad(lambda a: (mx.take(a, at, axis=0) * 3).sum())(a)
    np.testing.assert_array_equal(np.array(gradient), np.repeat(3 * np.bincount(indices, minlength=60)[:, None], 80, 1))
    rows = mx.vmap(lambda row: mx.take(row, at % 80))(a)
    np.testing.assert_array_equal(np.array(rows), x[:, indices % 80])


@pytest.mark.parametrize("shape", [(300000,), (2, 150001), (700, 90), (5, 90, 130), (40, 1000, 3)])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "int64", *FLOATS])
def test_places_of_the_first_extreme(shape, dtype):
    values = np.random.default_rng(0).integers(0, 60, shape)
    for x in (values, np.where(values > 1, 5, values)):
        a = mx.array(x).astype(getattr(mx, dtype))
        for name in ("argmax", "argmin"):
            np.testing.assert_array_equal(np.array(getattr(mx, name)(a)), getattr(np, name)(x))
            for axis in range(len(shape)):
                np.testing.assert_array_equal(np.array(getattr(mx, name)(a, axis=axis)), getattr(np, name)(x, axis))


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_first_nan_is_the_place_of_both_extremes(dtype):
    x = np.zeros((300, 700))
    x[:, 3], x[200, :], x[5, 9], x[0, 7], x[8, 0], x[299, 699] = -np.inf, np.inf, np.nan, np.nan, np.nan, np.nan
    a = mx.array(x, dtype=mx.float64).astype(getattr(mx, dtype))
    for axis in (0, 1):
        for name in ("argmax", "argmin"):
            np.testing.assert_array_equal(np.array(getattr(mx, name)(a, axis=axis)), getattr(np, name)(x, axis))
    long = np.full(200000, np.nan, np.float32)
    assert mx.argmax(mx.array(long)).item() == 0
    long[:150000], long[160000] = 1, 2
    assert mx.argmax(mx.array(long)).item() == 150000


@pytest.mark.parametrize("shape", [(50, 300), (16, 513), (3, 40, 700), (5000, 3)])
@pytest.mark.parametrize("reverse", [False, True])
def test_running_logarithms_of_sums(shape, reverse):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32) * 20
    x[0, :2] = -np.inf
    for axis in range(len(shape)):
        turned = np.flip(x, axis) if reverse else x
        expected = np.logaddexp.accumulate(turned.astype(np.float64), axis)
        found = np.array(mx.logcumsumexp(mx.array(x), axis=axis, reverse=reverse))
        np.testing.assert_allclose(found, np.flip(expected, axis) if reverse else expected, rtol=1e-5, atol=1e-5)


PROGRAM = """
import numpy as np
from mlxffi import core as mx
x = np.random.default_rng(0).normal(size=(300, 1000)).astype(np.float32)
with mx.stream(mx.cpu):
    a, at = mx.array(x), mx.array(np.arange(0, 300, 7).repeat(90))
    results = [mx.take(a, at, axis=0)[::50], mx.take(a, at, axis=1)[:, ::50], mx.logcumsumexp(a, axis=1), mx.argmax(a)]
    for result in (*results, a.sum(), a.sum(0), a.sum(1), a.astype(mx.bfloat16).sum(0), mx.argmin(a, axis=0)):
        print(*np.array(result.astype(mx.float32)).ravel())
"""


def test_any_number_of_threads_gives_the_same():
    computed_by_any_number_of_threads(PROGRAM)
