"""Reductions of large arrays on the CPU: values, types, layouts, and places of extremes."""

import numpy as np
import pytest
from helpers import computed

from mlxffi import core as mx

REDUCTIONS = ["sum", "prod", "max", "min"]
AXES = [None, 0, 1, 2, (0, 1), (1, 2), (0, 2)]


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("shape", [(5, 1033, 7), (3, 41, 2100), (1, 33, 4100), (2, 70000, 1), (1, 67, 301)])
def test_reductions(name, shape, axes):
    x = np.random.default_rng(0).uniform(0.99, 1.01, shape).astype(np.float32)
    x[0, 0, 0] = 1.5
    found = np.array(getattr(mx, name)(mx.array(x), axis=axes))
    expected = getattr(np, name)(x.astype(np.float64), axis=axes)
    np.testing.assert_allclose(found, expected, rtol=0 if name in ("max", "min") else 2e-5 if name == "prod" else 4e-6)


FOLDS = """
import numpy as np
from mlxffi import core as mx
x = mx.array(np.random.default_rng(0).uniform(0.9, 1.1, 20000).astype(np.float32))
for size in (1, 15, 16, 17, 24, 63, 64, 100, 127, 128, 1000, 20000):
    for dtype in (mx.float32, mx.float16, mx.bfloat16, mx.float64):
        row = x[:size].astype(dtype, stream=mx.cpu)
        folds = [mx.sum(row, stream=mx.cpu), mx.mean(row, stream=mx.cpu), mx.prod(row[:200], stream=mx.cpu)]
        print(np.array([fold.astype(mx.float32, stream=mx.cpu).item() for fold in folds]).tobytes().hex())
"""


def test_folds_are_the_same_to_the_bit_on_every_processor():
    for one, other in zip(computed(FOLDS, MLXFFI_SIMD="baseline"), computed(FOLDS), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32"])
def test_reductions_of_integers_wrap(dtype):
    x = np.random.default_rng(0).integers(0, 2**31 - 1, (37, 1025)).astype(dtype)
    a = mx.array(x)
    for axis in (0, 1, None):
        np.testing.assert_array_equal(np.array(mx.sum(a, axis=axis)), x.sum(axis, dtype=dtype))
        np.testing.assert_array_equal(np.array(mx.max(a, axis=axis)), x.max(axis))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_of_halves_are_rounded_once(dtype):
    ones = mx.ones((33, 4097), dtype=getattr(mx, dtype))
    for axis, expected in [(0, 33), (1, 4097), (None, 33 * 4097)]:
        expected = mx.array(float(min(expected, 65504 * 4))).astype(ones.dtype).astype(mx.float32).item()
        assert np.unique(np.array(mx.sum(ones, axis=axis).astype(mx.float32))).tolist() == [expected]


def test_nan_is_an_extreme_and_truth_is_found():
    x = np.zeros((40, 1000), np.float32)
    x[7, 999] = np.nan
    for name in ("max", "min"):
        assert np.flatnonzero(np.isnan(np.array(getattr(mx, name)(mx.array(x), axis=1)))).tolist() == [7]
        assert np.isnan(getattr(mx, name)(mx.array(x)).item())
    truth = mx.array(np.isnan(x))
    assert mx.argmax(truth).item() == 7999
    assert mx.argmin(truth).item() == 0
    assert np.flatnonzero(np.array(mx.argmax(truth, axis=1))).tolist() == [7]
    assert np.flatnonzero(np.array(mx.any(truth, axis=0))).tolist() == [999]
    assert mx.all(mx.logical_not(truth), axis=1).sum().item() == 39


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint8", "int16", "int64", "float64"])
@pytest.mark.parametrize("length", [1, 5, 255, 256, 257, 511, 513, 1024, 2500])
def test_places_of_extremes_at_any_place_of_a_row(length, dtype):
    at = np.unique(
        np.clip([0, 1, 14, 17, 63, 127, 128, 255, 256, 257, 511, 512, length - 2, length - 1], 0, length - 1)
    )
    rng = np.random.default_rng(0)
    x = rng.integers(20, 90, (len(at), length)).astype(np.float32)
    with mx.stream(mx.cpu):
        for name, extreme in [
            ("argmax", 100),
            ("argmin", 3),
            *[("argmax", np.nan), ("argmin", np.nan)] * ("float" in dtype),
        ]:
            for row, place in zip(x, at, strict=True):
                row[place:] = np.where(rng.random(length - place) < 0.5, extreme, row[place:])
                row[:place] = np.clip(np.nan_to_num(row[:place], nan=50), 20, 90)
                row[place] = extreme
            found = np.array(getattr(mx, name)(mx.array(x).astype(getattr(mx, dtype)), axis=1))
            np.testing.assert_array_equal(found, at, err_msg=f"{name} {extreme}")


def test_places_of_extremes_of_numbers_in_order():
    x = np.arange(5000, dtype=np.float32)
    for numbers in (x, x[::-1]):
        a = mx.array(numbers.copy())
        assert [mx.argmax(a).item(), mx.argmin(a).item()] == [numbers.argmax(), numbers.argmin()]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int32", "uint8", "float64"])
def test_places_of_extremes(dtype):
    x = np.random.default_rng(0).integers(0, 100, (41, 1300)).astype(np.float32)
    with mx.stream(mx.cpu):
        a = mx.array(x).astype(getattr(mx, dtype))
        for view, values in [(a, x), (a.T, x.T)]:
            for axis in (0, 1):
                np.testing.assert_array_equal(np.array(mx.argmax(view, axis=axis)), values.argmax(axis))
                np.testing.assert_array_equal(np.array(mx.argmin(view, axis=axis)), values.argmin(axis))
        assert mx.argmax(a).item() == x.argmax()


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_of_views(name):
    x = np.random.default_rng(0).uniform(0.99, 1.01, (40, 50, 7)).astype(np.float32)
    views = (lambda v: v[::2, ::-1], lambda v: v.transpose(2, 0, 1), lambda v: v[3:4, 1:2], lambda v: v[..., ::3])
    for view in views:
        for axes in AXES:
            found = np.array(getattr(mx, name)(view(mx.array(x)), axis=axes))
            expected = getattr(np, name)(view(x).astype(np.float64), axis=axes)
            np.testing.assert_allclose(found, expected, rtol=0 if name in ("max", "min") else 2e-4)


@pytest.mark.parametrize("dtype", ["int32", "float16", "float32", "float64"])
def test_traces(dtype):
    x = np.random.default_rng(0).integers(-9, 9, (30, 40, 20))
    a = mx.array(x).astype(getattr(mx, dtype))
    for offset in (-29, -3, 0, 5, 39):
        np.testing.assert_array_equal(np.array(mx.trace(a, offset)), np.trace(x, offset))
        np.testing.assert_array_equal(np.array(mx.trace(a, offset % 20, 2, 0)), np.trace(x, offset % 20, 2, 0))
