"""Whole quotients of floats, parts of complex numbers, and numbers in steps, by kernels of our own."""

import numpy as np
import pytest

import mlxffi.core as mx


@pytest.fixture(autouse=True)
def cpu():
    with mx.stream(mx.cpu):
        yield


SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 0.1, 3, 1e30, -1e-30, 1e-45]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_whole_quotients(dtype):
    rng = np.random.default_rng(0)
    scaled = rng.normal(size=5000) * 10.0 ** rng.integers(-5, 6, 5000)
    x = np.concatenate([scaled, np.repeat(SPECIAL, 12)]).astype(dtype)
    y = np.concatenate([rng.normal(size=5000), np.tile(SPECIAL, 12)]).astype(dtype)
    with np.errstate(all="ignore"):
        expected = np.floor(x / y)
    a, b = mx.array(x, dtype=getattr(mx, dtype.__name__)), mx.array(y, dtype=getattr(mx, dtype.__name__))
    quotient, rest = mx.divmod(a, b)
    for found in (mx.floor_divide(a, b), quotient):
        np.testing.assert_array_equal(np.array(found), expected)
        np.testing.assert_array_equal(np.signbit(np.array(found)), np.signbit(expected))
    np.testing.assert_array_equal(np.array(rest), np.array(mx.remainder(a, b)))


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_parts_of_complex_numbers(size):
    rng = np.random.default_rng(0)
    z = (rng.normal(size=size) + 1j * rng.normal(size=size)).astype(np.complex64)
    z[0] = complex(-0.0, np.nan)
    a = mx.array(z)
    np.testing.assert_array_equal(np.array(mx.conjugate(a)), z.conj())
    np.testing.assert_array_equal(np.array(mx.real(a)), z.real)
    np.testing.assert_array_equal(np.array(mx.conjugate(a[::-1])), z[::-1].conj())


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"])
def test_steps_of_integers(dtype):
    for start, stop, step in ((0, 100, 1), (3, 120, 7), (100, 1, -9), (0, 0, 1)):
        if step > 0 or not dtype.startswith("u"):
            found = mx.arange(start, stop, step, dtype=getattr(mx, dtype))
            np.testing.assert_array_equal(np.array(found), np.arange(start, stop, step, dtype))
    np.testing.assert_array_equal(np.array(mx.arange(700_000)), np.arange(700_000))
    np.testing.assert_array_equal(np.array(mx.arange(4, dtype=mx.complex64)), np.arange(4, dtype=np.complex64))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_steps_of_floats_are_rounded_once(dtype):
    for start, stop, step in ((0.0, 1000.0, 0.1), (5.0, -3.0, -0.37), (0.5, 300_000.0, 1.0)):
        if dtype == "float16" and stop > 1e4:
            continue
        found = np.array(mx.arange(start, stop, step, dtype=getattr(mx, dtype)))
        expected = start + step * np.arange(found.size, dtype=np.float64)
        # A processor may round a product and a sum in double at once.
        error = 1e-12 if dtype == "float64" else 0
        np.testing.assert_allclose(found, expected.astype(dtype), rtol=0, atol=error)


@pytest.mark.parametrize(("shape", "axis"), [((3,), 0), ((500, 3), -1), ((3, 70), 0), ((4, 3, 5), 1)])
def test_cross_products(shape, axis):
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    a, b = mx.array(x), mx.array(y)
    wide = x.astype(np.float64), y.astype(np.float64)
    expected = np.cross(*wide, axis=axis)
    np.testing.assert_allclose(np.array(mx.linalg.cross(a, b, axis=axis)), expected, rtol=0, atol=1e-6)
    found = mx.grad(lambda a: (mx.linalg.cross(a, b, axis=axis)).sum())(a)
    ones = np.ones_like(wide[0])
    np.testing.assert_allclose(np.array(found), np.cross(wide[1], ones, axis=axis), rtol=0, atol=1e-6)
