"""Sorting of large arrays on the CPU: the order of MLX and numpy, for all types, layouts, axes and special numbers."""

import numpy as np
import pytest
from helpers import BASELINE, computed_alike

from mlxffi import core as mx

BITS = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64"}
TYPES = ["bool_", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
FLOATS = ["float16", "bfloat16", "float32", "float64"]
# Rows side by side in a network, in whole squares and not, and rows that are sorted by their digits, also in parts.
SHAPES = [(700,), (40, 33), (17, 1, 50), (64, 64), (70, 1024), (9, 3001), (600, 1), (2, 2500), (70001,)]


@pytest.fixture(autouse=True)
def cpu():
    with mx.stream(mx.cpu):
        yield


def bits_of(a):
    return np.array(a if a.dtype == mx.bool_ else a.view(getattr(mx, BITS[a.itemsize])))


def numbers(dtype, shape, seed=0):
    """An array with many equal numbers, and the values by which it is sorted."""
    rng = np.random.default_rng(seed)
    if dtype not in FLOATS:
        low, high = (0, 2) if dtype == "bool_" else (-128, 128) if dtype.startswith("int") else (0, 250)
        scale = 1 if "8" in dtype or dtype == "bool_" else 250
        a = mx.array(rng.integers(low, high, shape) * scale).astype(getattr(mx, dtype))
        return a, np.array(a)
    values = np.where(rng.random(shape) < 0.5, rng.normal(size=shape), rng.integers(-3, 3, shape))
    for special in (np.nan, -np.nan, 0.0, -0.0, np.inf, -np.inf):
        values[rng.random(shape) < 0.03] = special
    a = mx.array(values, dtype=mx.float64).astype(getattr(mx, dtype))
    return a, np.array(a.astype(mx.float64))


def stable_order(values, axis):
    """Where the numbers in order stand: equal ones as they come, NaNs last."""
    nan = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    return np.lexsort((np.where(nan, 0, values) + values.dtype.type(0), nan), axis=axis)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TYPES + FLOATS)
def test_numbers_and_places_are_in_the_stable_order(dtype, shape):
    a, values = numbers(dtype, shape)
    for view, numbers_of in [(a, values), (mx.swapaxes(a, 0, -1), np.swapaxes(values, 0, -1)), (a[::-1], values[::-1])]:
        bits = bits_of(view)
        for axis in range(len(shape)):
            order = stable_order(numbers_of, axis)
            np.testing.assert_array_equal(np.array(mx.argsort(view, axis=axis)), order)
            np.testing.assert_array_equal(bits_of(mx.sort(view, axis=axis)), np.take_along_axis(bits, order, axis))


# Rows that are sorted, those whose key is found by counting, also in parts, and along another axis.
@pytest.mark.parametrize(
    ("shape", "axis"), [((50, 100), 1), ((3, 5000), 1), ((1000, 3), 0), ((2, 140_003), 1), ((40, 7), 1)]
)
@pytest.mark.parametrize("kth", [0, 3, -2, -1])
@pytest.mark.parametrize("dtype", TYPES + FLOATS)
def test_parts_are_those_of_the_sorted_row(dtype, shape, axis, kth):
    a, _ = numbers(dtype, shape, seed=1)
    kth = shape[axis] // 2 if kth == 3 else kth
    in_order = np.moveaxis(np.array(mx.sort(a, axis=axis).astype(mx.float64)), axis, -1)
    places = mx.argpartition(a, kth, axis=axis)
    assert (np.sort(np.moveaxis(np.array(places), axis, -1), -1) == np.arange(shape[axis])).all()
    parts = mx.partition(a, kth, axis=axis)
    # Zeros of either sign and the bits of NaNs stay.
    np.testing.assert_array_equal(np.sort(bits_of(parts), axis), np.sort(bits_of(a), axis))
    for found in (parts, mx.take_along_axis(a, places, axis=axis)):
        part = np.moveaxis(np.array(found.astype(mx.float64)), axis, -1)
        np.testing.assert_array_equal(part[:, kth], in_order[:, kth])
        np.testing.assert_array_equal(np.sort(part[:, :kth], -1), in_order[:, :kth])
        np.testing.assert_array_equal(np.sort(part, -1), in_order)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", [(50, 100), (3, 5000)])
def test_the_largest_are_those_of_the_sorted_row(dtype, shape):
    a, _ = numbers(dtype, shape, seed=1)
    in_order = np.array(mx.sort(a, axis=-1).astype(mx.float64))
    best = np.sort(np.array(mx.topk(a, 5, axis=-1).astype(mx.float64)), -1)
    np.testing.assert_array_equal(best, in_order[:, -5:])


@pytest.mark.parametrize("value", [0, 1, -1, np.inf, np.nan, 3e38])
def test_parts_of_equal_numbers(value):
    x = np.full((2, 1000), value, np.float32)
    x[1, ::7] = 5
    np.testing.assert_array_equal(np.array(mx.partition(mx.array(x), 500))[:, 500], np.sort(x)[:, 500])
    np.testing.assert_array_equal(np.sort(np.array(mx.argpartition(mx.array(x), 500))), [range(1000)] * 2)


def test_rows_of_one_number_are_in_order():
    x = np.array([[2.0, np.nan, -0.0, 1.0]], np.float32)
    for a, numbers in ((mx.array(x), x), (mx.array(x)[:, ::-1], x[:, ::-1])):
        found = mx.sort(a, axis=0)
        mx.eval(found)
        found[0, 0] = 7.0  # leaves what was sorted as it is
        np.testing.assert_array_equal(np.array(found)[:, 1:], numbers[:, 1:])
        np.testing.assert_array_equal(np.array(a), numbers)
        np.testing.assert_array_equal(np.array(mx.argsort(a, axis=0)), np.zeros((1, 4)))
        np.testing.assert_array_equal(np.array(mx.argpartition(a, 0, axis=0)), np.zeros((1, 4)))


def test_rows_without_numbers():
    assert mx.sort(mx.zeros((0, 1000))).shape == (0, 1000)
    assert mx.sort(mx.zeros((1000, 0)), axis=0).shape == (1000, 0)


def test_complex_numbers_are_sorted_by_mlx():
    x = np.random.default_rng(0).normal(size=(2, 1000)).astype(np.complex64)
    np.testing.assert_array_equal(np.array(mx.sort(mx.array(x))), np.sort(x))


def test_derivatives_and_vmap_are_those_of_mlx():
    x, w = np.random.default_rng(0).normal(size=(2, 30, 100)).astype(np.float32)
    a, weights = mx.array(x), mx.array(w)
    order = x.argsort(-1)
    expected = np.empty_like(w)
    np.put_along_axis(expected, order, w, -1)
    np.testing.assert_array_equal(np.array(mx.grad(lambda x: (mx.sort(x) * weights).sum())(a)), expected)
    _, tangents = mx.jvp(mx.sort, [a], [weights])
    np.testing.assert_array_equal(np.array(tangents[0]), np.take_along_axis(w, order, -1))
    np.testing.assert_array_equal(np.array(mx.vmap(mx.sort)(a)), np.sort(x))
    np.testing.assert_array_equal(np.array(mx.compile(lambda x: mx.argsort(x * 2))(a)), order)


PROGRAM = """
import numpy as np
from mlxffi import core as mx
for shape in [(200, 100), (3, 9000), (1, 300000)]:
    for dtype in ("float32", "bfloat16", "int8", "float64"):
        with mx.stream(mx.cpu):
            a = mx.array(np.random.default_rng(0).normal(size=shape) * 30).astype(getattr(mx, dtype))
            print(np.array(mx.sort(a).astype(mx.float64)).ravel()[::7].tobytes().hex())
            print(np.array(mx.argsort(a)).ravel()[::7].astype(float).tobytes().hex())
            print(np.array(mx.partition(a, 77).astype(mx.float64)).ravel()[::7].tobytes().hex())
            print(np.array(mx.argpartition(a, 77)).ravel()[::7].astype(float).tobytes().hex())
"""


def test_every_instruction_set_and_number_of_threads_gives_the_same():
    computed_alike(PROGRAM, 0, BASELINE)
