"""Convolutions of signals with one filter, and dot products of rows, by kernels of our own."""

import numpy as np
import pytest

import mlxffi.core as mx


@pytest.fixture(autouse=True)
def cpu():
    with mx.stream(mx.cpu):
        yield


def numbers(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize(("length", "size"), [(1, 1), (5, 2), (3, 9), (2048, 5), (500, 64), (2049, 2049), (70_000, 33)])
def test_convolutions_of_one_signal(length, size, mode):
    x, w = numbers(length), numbers(size)
    expected = np.convolve(x.astype(np.float64), w.astype(np.float64), mode)
    found = np.array(mx.convolve(mx.array(x), mx.array(w), mode))
    assert (np.abs(found - expected) <= 1e-6 * np.convolve(abs(x), abs(w), mode)).all()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("padding", [0, 3, ([5], [0]), ([0], [12])])
def test_signals_with_one_filter(padding, flip):
    x, w = numbers(3, 3000, 1), numbers(1, 7, 1)
    low, high = (padding, padding) if isinstance(padding, int) else (padding[0][0], padding[1][0])
    padded = np.pad(x[..., 0].astype(np.float64), ((0, 0), (low, high)))
    turned = w[0, :: 1 if flip else -1, 0].astype(np.float64)
    expected = np.stack([np.convolve(row, turned, "valid") for row in padded])[..., None]
    for given in (mx.array(x), mx.array(np.ascontiguousarray(np.swapaxes(x, 0, 1))).swapaxes(0, 1)):
        found = mx.conv_general(given, mx.array(w), padding=padding, flip=flip)
        np.testing.assert_allclose(np.array(found), expected, rtol=0, atol=1e-5)
    in_steps = mx.conv_general(mx.array(x), mx.array(w), stride=2, padding=padding, flip=flip)
    np.testing.assert_allclose(np.array(in_steps), expected[:, ::2], rtol=0, atol=1e-5)


def test_gradients_of_a_convolution():
    x, w = numbers(600), numbers(9)
    weights = numbers(592).astype(np.float64)
    factors = mx.array(weights.astype(np.float32))
    gradients = mx.grad(lambda x, w: (mx.convolve(x, w, "valid") * factors).sum(), argnums=(0, 1))
    of_x, of_w = gradients(mx.array(x), mx.array(w))
    np.testing.assert_allclose(np.array(of_x), np.convolve(weights, w[::-1].astype(np.float64)), rtol=0, atol=1e-4)
    expected = [np.dot(weights, x[8 - i : 600 - i].astype(np.float64)) for i in range(9)]
    np.testing.assert_allclose(np.array(of_w), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("length", [1, 15, 16, 1000, 200_000])
@pytest.mark.parametrize("rows", [1, 2, 37])
def test_products_with_vectors(rows, length):
    x, y = numbers(rows, length), numbers(length)
    a, b, wide = mx.array(x), mx.array(y), x.astype(np.float64)
    expected, error = wide @ y.astype(np.float64), 2e-6 * length**0.5
    turned = mx.array(np.ascontiguousarray(x.T)).T
    apart = mx.array(np.repeat(y, 2))[::2]
    for found in (a @ b, turned @ b, a @ apart, (a[:, None] @ b[:, None])[:, 0, 0]):
        np.testing.assert_allclose(np.array(found), expected, rtol=0, atol=error)
    np.testing.assert_allclose(np.array(mx.inner(a[0], b)), expected[0], rtol=0, atol=error)
    found = mx.einsum("ij,ij->i", a, a[::-1])
    np.testing.assert_allclose(np.array(found), (wide * wide[::-1]).sum(1), rtol=1e-6, atol=error)
    gradients = mx.grad(lambda a, b: (a @ b).sum(), argnums=(0, 1))(a, b)
    np.testing.assert_array_equal(np.array(gradients[0]), np.broadcast_to(y, x.shape))
    np.testing.assert_allclose(np.array(gradients[1]), wide.sum(0), rtol=0, atol=1e-5 * rows)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 3, 4), (1, 40, 7), (33, 17, 65), (100, 100, 100), (129, 200, 130)])
def test_products_of_small_matrices(sizes, batch):
    m, k, n = sizes
    x, y, error = numbers(*batch, m, k), numbers(*batch, k, n), 1e-5 * k**0.5
    expected = x.astype(np.float64) @ y.astype(np.float64)
    a, b = mx.array(x), mx.array(y)
    a_turned, b_turned = (mx.array(np.ascontiguousarray(v.swapaxes(-1, -2))).swapaxes(-1, -2) for v in (x, y))
    apart = mx.array(np.repeat(y, 2, -1))[..., ::2]
    for left, right in ((a, b), (a_turned, b), (a, b_turned), (a_turned, b_turned), (a, apart)):
        np.testing.assert_allclose(np.array(left @ right), expected, rtol=0, atol=error)
    one = y.reshape(-1, k, n)[0]
    found = np.array(a @ mx.array(one))
    np.testing.assert_allclose(found, x.astype(np.float64) @ one.astype(np.float64), rtol=0, atol=error)
    c = numbers(n)
    found = mx.addmm(mx.array(c), a, b, alpha=0.5, beta=-2)
    np.testing.assert_allclose(np.array(found), 0.5 * expected - 2 * c.astype(np.float64), rtol=0, atol=error)
    np.testing.assert_array_equal(np.array(mx.array(c)), c)
