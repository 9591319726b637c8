"""Numbers that are looked up and written at points, with an index along each of the first axes, and along an axis."""

import numpy as np
import pytest
from helpers import computed_by_any_number_of_threads

import mlxffi.core as mx

DTYPES = ["bool_", "int8", "float16", "float32", "float64", "complex64"]
SHAPE = (7, 11, 5)


@pytest.fixture(autouse=True)
def cpu():
    with mx.stream(mx.cpu):
        yield


def given(dtype, shape=SHAPE):
    a = mx.array(np.random.default_rng(0).integers(0, 2 if dtype == "bool_" else 60, shape)).astype(getattr(mx, dtype))
    return np.array(a), a


def points(shape, *count):
    rng = np.random.default_rng(1)
    return tuple(rng.integers(-size, size, count) for size in shape)


@pytest.mark.parametrize("kind", ["int8", "int32", "int64"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_lookups_at_points(dtype, kind):
    x, a = given(dtype)
    for axes in (2, 3):
        for count in ((3000,), (3, 50), (1,)):
            places = points(SHAPE[:axes], *count)
            at = tuple(mx.array(place.astype(kind)) for place in places)
            np.testing.assert_array_equal(np.array(a[at]), x[places])
    rows, columns = points(SHAPE[:2], 40)
    found = a[mx.array(rows)[:, None], mx.array(columns)]
    np.testing.assert_array_equal(np.array(found), x[rows[:, None], columns])
    found = a[:, mx.array(columns % 11), mx.array(columns % 5)]
    np.testing.assert_array_equal(np.array(found), x[:, columns % 11, columns % 5])


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_are_put_at_points(dtype):
    x, a = given(dtype)
    for axes in (1, 2, 3):
        places = points(SHAPE[:axes], 30)
        at = tuple(mx.array(place) for place in places)
        numbers = np.random.default_rng(2).integers(0, 2, (30, *SHAPE[axes:])).astype(x.dtype)
        expected, changed, kept = x.copy(), a + 0 if dtype != "bool_" else mx.array(x), a
        for i, point in enumerate(zip(*places, strict=True)):
            expected[point] = numbers[i]
        changed[at] = mx.array(numbers)
        np.testing.assert_array_equal(np.array(changed), expected)
        np.testing.assert_array_equal(np.array(kept), x)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [SHAPE, (300,), (40, 3)])
def test_numbers_are_added_at_points(shape, dtype):
    x, a = given(dtype, shape)
    for axes in range(1, len(shape) + 1):
        places = points(shape[:axes], 70)
        numbers = np.random.default_rng(2).integers(0, 3, (70, *shape[axes:])).astype(x.dtype)
        expected = x.copy()
        np.add.at(expected, places, numbers)
        at = tuple(mx.array(place) for place in places)
        np.testing.assert_array_equal(np.array(a.at[at].add(mx.array(numbers))), expected)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32"])
@pytest.mark.parametrize("shape", [SHAPE, (300,), (6, 40)])
def test_extremes_at_points(shape, dtype):
    x, a = given(dtype, shape)
    for axes in range(1, len(shape) + 1):
        places = points(shape[:axes], 70)
        numbers = np.random.default_rng(2).integers(0, 60, (70, *shape[axes:])).astype(x.dtype)
        at = a.at[tuple(mx.array(place) for place in places)]
        for name, extreme in (("maximum", np.maximum), ("minimum", np.minimum)):
            expected = x.copy()
            extreme.at(expected, places, numbers)
            np.testing.assert_array_equal(np.array(getattr(at, name)(mx.array(numbers))), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis"), [((900,), 0), ((41, 120), 1), ((41, 120), 0), ((3, 7, 600), 1)])
def test_the_last_number_for_a_place_along_an_axis_stays(shape, axis, dtype):
    x, a = given(dtype, shape)
    rng = np.random.default_rng(1)
    places = rng.integers(-shape[axis], shape[axis], shape)
    numbers = rng.integers(0, 2, shape).astype(x.dtype)
    expected = np.moveaxis(x.copy(), axis, 0)
    others = np.indices(expected.shape[1:])
    for index, row in zip(np.moveaxis(places, axis, 0), np.moveaxis(numbers, axis, 0), strict=True):
        expected[(index, *others)] = row
    for kind in ("int16", "int32", "int64"):
        found = mx.put_along_axis(a, mx.array(places.astype(kind)), mx.array(numbers), axis=axis)
        np.testing.assert_array_equal(np.array(found), np.moveaxis(expected, 0, axis))
    np.testing.assert_array_equal(np.array(a), x)


def test_derivatives_at_points_and_along_an_axis():
    x, a = given("float32", (30, 40))
    rows, columns = points((30, 40), 500)
    at = mx.array(rows), mx.array(columns)
    weights = np.random.default_rng(3).integers(-3, 4, 500).astype(np.float32)
    expected = np.zeros_like(x)
    np.add.at(expected, (rows, columns), weights)
    gradient = mx.grad(lambda a: (a[at] * mx.array(weights)).sum())
    np.testing.assert_array_equal(np.array(gradient(a)), expected)
    places = np.random.default_rng(4).integers(0, 40, (30, 90))
    counts = np.stack([np.bincount(row, minlength=40) for row in places])
    for dtype in (mx.float32, mx.float16, mx.float64):
        found = mx.grad(lambda a: mx.take_along_axis(a, mx.array(places), axis=1).sum())(a.astype(dtype))
        np.testing.assert_array_equal(np.array(found), counts)


PROGRAM = """
import numpy as np
from mlxffi import core as mx
rng = np.random.default_rng(0)
x, y = (rng.normal(size=(300, 1000)).astype(np.float32) for _ in range(2))
along, rows, columns = rng.integers(0, 1000, (300, 1000)), rng.integers(0, 300, 300_000), rng.integers(0, 1000, 300_000)
with mx.stream(mx.cpu):
    a, b, at, points = mx.array(x), mx.array(y), mx.array(along), (mx.array(rows), mx.array(columns))
    results = [mx.put_along_axis(a, at, b, axis=1), mx.put_along_axis(a.T, at.T, b.T, axis=0), a[points]]
    results += [a.at[points].add(mx.array(1.0)), mx.grad(lambda a: (mx.take_along_axis(a, at, axis=1) * b).sum())(a)]
    results += [a.reshape(-1) @ b.reshape(-1), a @ b[0], mx.cumsum(a.reshape(-1)), mx.arange(0.0, 1e5, 0.1)]
    results.append(mx.convolve(a.reshape(-1), b[0, :77]))
    for result in results:
        print(np.array(result).astype(float).tobytes().hex())
"""


def test_any_number_of_threads_gives_the_same():
    computed_by_any_number_of_threads(PROGRAM)
