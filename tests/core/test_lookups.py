"""Lookups, places of extremes and running results of large arrays on the CPU, against numpy."""

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


INDICES = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("dtype", ["bool_", "int8", "float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize(
    ("shape", "axis"), [((9000,), 0), ((41, 120), 1), ((41, 120), 0), ((70, 90, 1), 1), ((5, 37, 33), -2)]
)
def test_numbers_along_any_axis(shape, axis, dtype):
    rng = np.random.default_rng(0)
    a = mx.array(rng.integers(0, 100, shape)).astype(getattr(mx, dtype))
    x = np.array(a)
    for count in (shape[axis], 500):
        places = list(shape)
        places[axis] = count
        for kind in INDICES:
            least, most = max(-shape[axis], np.iinfo(kind).min), min(shape[axis] - 1, np.iinfo(kind).max)
            indices = rng.integers(least, most + 1, places).astype(kind)
            expected = np.take_along_axis(x, indices.astype(np.int64), axis)
            # Known ones are checked at the call, others clamped as they are computed.
            for given in (mx.array(indices), mx.array(indices.reshape(-1)).reshape(places)):
                np.testing.assert_array_equal(np.array(mx.take_along_axis(a, given, axis=axis)), expected)


def test_numbers_along_an_axis_of_views_and_their_derivatives():
    rng = np.random.default_rng(0)
    x, indices = rng.normal(size=(60, 80)).astype(np.float32), rng.integers(-60, 60, (110, 80))
    a, at = mx.array(x), mx.array(indices)
    expected = np.take_along_axis(x, indices, 0)
    np.testing.assert_array_equal(np.array(mx.take_along_axis(mx.contiguous(a.T).T, at, axis=0)), expected)
    np.testing.assert_array_equal(np.array(mx.take_along_axis(a, mx.contiguous(at.T).T, axis=0)), expected)
    one = mx.take_along_axis(a[:1], mx.broadcast_to(mx.array([[-1]]), (9000, 80)), axis=0)
    np.testing.assert_array_equal(np.array(one), np.repeat(x[:1], 9000, 0))
    gradient = mx.grad(lambda a: (mx.take_along_axis(a, at, axis=0) * 3).sum())(a)
    counts = np.stack([np.bincount(indices[:, i] % 60, minlength=60) for i in range(80)], 1)
    np.testing.assert_array_equal(np.array(gradient), 3 * counts)
    tangent = mx.jvp(lambda a: mx.take_along_axis(a, at, axis=0), [a], [a * 2])[1][0]
    np.testing.assert_array_equal(np.array(tangent), 2 * expected)
    rows = mx.vmap(lambda row, at: mx.take_along_axis(row, at, axis=0), in_axes=1, out_axes=1)(a, at)
    np.testing.assert_array_equal(np.array(rows), expected)
    compiled = mx.compile(lambda a, at: mx.take_along_axis(a, at, axis=0))
    np.testing.assert_array_equal(np.array(compiled(a, at)), expected)


@pytest.mark.parametrize("kind", INDICES)
def test_many_indices_outside_get_the_nearest_number(kind):
    info, length = np.iinfo(kind), 100
    indices = np.random.default_rng(0).integers(info.min, info.max, (300, 50), info.dtype, endpoint=True)
    indices[0, :2] = info.min, info.max
    negative = indices < 0
    places = np.where(negative, indices.astype(np.float64) + length, indices).clip(0, length - 1).astype(int)
    x = np.random.default_rng(1).normal(size=(length, 50)).astype(np.float32)
    expected = np.take_along_axis(x, places, 0)
    later = mx.array(indices.reshape(-1)).reshape(300, 50)
    np.testing.assert_array_equal(np.array(mx.take_along_axis(mx.array(x), later, axis=0)), expected)
    turned = mx.array(indices.T.reshape(-1)).reshape(50, 300).T
    np.testing.assert_array_equal(np.array(mx.take_along_axis(mx.array(x), turned, axis=0)), expected)


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


@pytest.mark.parametrize("shape", [(50, 300), (16, 513), (3, 40, 700), (5000, 3), (17_000, 20)])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", ["int8", "int32", "uint64", *FLOATS])
def test_running_sums_and_products(shape, reverse, dtype):
    rng = np.random.default_rng(0)
    for name, values in (("cumsum", rng.integers(-3, 4, shape)), ("cumprod", rng.choice([-1, 1], shape))):
        a = mx.array(values).astype(getattr(mx, dtype))
        wide = np.float64 if dtype in FLOATS else dtype
        for axis in range(len(shape)):
            turned = np.flip(values, axis) if reverse else values
            expected = getattr(np, name)(turned.astype(wide), axis, dtype=wide)
            expected = mx.array(np.flip(expected, axis) if reverse else expected).astype(a.dtype)
            found = getattr(mx, name)(a, axis=axis, reverse=reverse)
            assert mx.array_equal(found, expected).item()


@pytest.mark.parametrize("shape", [(50, 300), (3, 40, 700), (5000, 3), (1, 1000), (1, 40_000), (7, 1)])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "uint64", *FLOATS])
def test_running_extremes(shape, reverse, dtype):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 250 if dtype == "uint8" else 30_000, shape)
    a = mx.array(values).astype(getattr(mx, dtype))
    if dtype in ("float32", "float64"):
        values = np.where(rng.random(shape) < 0.001, np.nan, values - 15_000)
        a = mx.array(values, dtype=getattr(mx, dtype))
    for axis in range(len(shape)):
        for name, accumulated in (("cummax", np.maximum), ("cummin", np.minimum)):
            turned = np.flip(np.array(a.astype(mx.float64)), axis) if reverse else np.array(a.astype(mx.float64))
            expected = accumulated.accumulate(turned, axis)
            found = np.array(getattr(mx, name)(a, axis=axis, reverse=reverse).astype(mx.float64))
            np.testing.assert_array_equal(found, np.flip(expected, axis) if reverse else expected)


@pytest.mark.parametrize("length", [1, 5, 1000, 20_000])
@pytest.mark.parametrize("rows", [1, 3, 9])
def test_running_results_of_few_rows(rows, length):
    x = np.random.default_rng(0).normal(size=(rows, length)).astype(np.float32)
    for reverse in (False, True):
        turned = np.flip(x, 1).astype(np.float64) if reverse else x.astype(np.float64)
        for name, accumulated in (("cumsum", np.add), ("logcumsumexp", np.logaddexp)):
            expected = accumulated.accumulate(turned, 1)
            found = np.array(getattr(mx, name)(mx.array(x), axis=1, reverse=reverse))
            np.testing.assert_allclose(found, np.flip(expected, 1) if reverse else expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("reverse", [False, True])
def test_running_logarithms_of_sums_of_any_numbers(reverse):
    """Rows in which numbers are far apart, rise far, or are none: each result is that of float64, rounded once."""
    x = np.random.default_rng(0).uniform(0, 1, (6, 3000)).astype(np.float32)
    x[1] = x[1] * 400 - 200
    x[2] = np.arange(3000) * 2
    x[3, ::7] = -np.inf
    x[4, 1500], x[5, 1000] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        expected = np.logaddexp.accumulate(np.flip(x, 1).astype(np.float64) if reverse else x.astype(np.float64), 1)
    found = np.array(mx.logcumsumexp(mx.array(x), axis=1, reverse=reverse))
    np.testing.assert_allclose(found, np.flip(expected, 1) if reverse else expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(3, 1000), (70, 513)])
def test_running_extremes_of_halves(shape, dtype):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    x[0, 400] = np.nan
    a = mx.array(x).astype(getattr(mx, dtype))
    wide = np.array(a.astype(mx.float32))
    for name, accumulated in (("cummax", np.maximum), ("cummin", np.minimum)):
        found = getattr(mx, name)(a, axis=1)
        assert found.dtype == a.dtype
        np.testing.assert_array_equal(np.array(found.astype(mx.float32)), accumulated.accumulate(wide, 1))
        expected = np.flip(accumulated.accumulate(np.flip(wide, 1), 1), 1)
        np.testing.assert_array_equal(np.array(getattr(mx, name)(a, axis=1, reverse=True).astype(mx.float32)), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("shape", "axis"), [((300, 700), 0), ((5000, 7), 0), ((3, 40, 600), 1), ((40, 3, 600), 0)])
def test_running_sums_of_halves_are_rounded_once(shape, axis, reverse, dtype):
    a = mx.array(np.random.default_rng(0).uniform(0, 1, shape)).astype(getattr(mx, dtype))
    wide = np.array(a.astype(mx.float32))
    turned = np.flip(wide, axis) if reverse else wide
    expected = np.add.accumulate(turned, axis)
    expected = mx.array(np.flip(expected, axis) if reverse else expected).astype(a.dtype)
    views = mx.swapaxes(mx.contiguous(mx.swapaxes(a, 0, -1)), 0, -1)
    for given in (a, views):
        assert mx.array_equal(mx.cumsum(given, axis=axis, reverse=reverse), expected).item()
    gradient = mx.grad(lambda a: mx.cumsum(a, axis=axis, reverse=reverse).astype(mx.float32).sum())(a)
    places = np.arange(shape[axis]) + 1 if reverse else np.arange(shape[axis], 0, -1)
    counts = np.broadcast_to(np.expand_dims(places, [i for i in range(len(shape)) if i != axis]), shape)
    assert mx.array_equal(gradient, mx.array(np.ascontiguousarray(counts)).astype(a.dtype)).item()
    tangent = mx.jvp(lambda a: mx.cumsum(a, axis=axis, reverse=reverse), [a], [a])[1][0]
    assert mx.array_equal(tangent, expected).item()
    found = mx.vmap(lambda a: mx.cumsum(a, axis=axis, reverse=reverse))(mx.stack([a, a]))
    assert mx.array_equal(found, mx.stack([expected, expected])).item()
    compiled = mx.compile(lambda a: mx.cumsum(a, axis=axis, reverse=reverse) * 2)(a)
    assert mx.array_equal(compiled, expected * 2).item()


def test_running_sums_of_floats_are_added_in_order():
    x = np.random.default_rng(0).normal(size=(130, 1030)).astype(np.float32)
    for axis in (0, 1):
        a = mx.array(x)
        expected = np.add.accumulate(x, axis)
        np.testing.assert_array_equal(np.array(mx.cumsum(a, axis=axis)), expected)
        without = np.moveaxis(np.array(mx.cumsum(a, axis=axis, inclusive=False)), axis, 0)
        np.testing.assert_array_equal(without[1:], np.moveaxis(expected, axis, 0)[:-1])
        assert not without[0].any()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [16_385, 100_003])
def test_running_sums_of_long_rows_are_rounded_once(length, reverse):
    x = np.random.default_rng(0).uniform(0, 1, (2, length)).astype(np.float32)
    turned = np.flip(x, 1) if reverse else x
    expected = np.add.accumulate(turned.astype(np.float64), 1)
    expected = np.flip(expected, 1) if reverse else expected
    for given in (mx.array(x), mx.array(np.ascontiguousarray(x.T)).T):
        np.testing.assert_allclose(np.array(mx.cumsum(given, axis=1, reverse=reverse)), expected, rtol=6e-8)
    gradient = mx.grad(lambda a: mx.cumsum(a, axis=1, reverse=reverse)[:, ::1000].sum())(mx.array(x))
    counts = np.add.accumulate(np.arange(length)[:: 1 if reverse else -1] % 1000 == 0)[:: 1 if reverse else -1]
    np.testing.assert_array_equal(np.array(gradient), np.broadcast_to(counts, x.shape))


PROGRAM = """
import numpy as np
from mlxffi import core as mx
x = np.random.default_rng(0).normal(size=(300, 1000)).astype(np.float32)
with mx.stream(mx.cpu):
    a, at = mx.array(x), mx.array(np.arange(0, 300, 7).repeat(90))
    results = [mx.take(a, at, axis=0)[::50], mx.take(a, at, axis=1)[:, ::50], mx.logcumsumexp(a, axis=1), mx.argmax(a)]
    results += [mx.take_along_axis(a, mx.argsort(a, axis=1), axis=1), mx.cumsum(a, axis=1), mx.cumprod(a, axis=0)]
    results += [a.astype(mx.bfloat16).mean(axis) for axis in (None, 0, 1)]
    results.append(mx.cumsum(a.astype(mx.bfloat16), axis=0))
    for result in (*results, a.sum(), a.sum(0), a.sum(1), a.astype(mx.bfloat16).sum(0), mx.argmin(a, axis=0)):
        print(np.array(result.astype(mx.float32)).astype(float).tobytes().hex())
"""


def test_any_number_of_threads_gives_the_same():
    computed_by_any_number_of_threads(PROGRAM)
