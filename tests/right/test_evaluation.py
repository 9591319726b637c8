"""Evaluations that fail, and matrices that have no answer."""

import numpy as np
import pytest

import mlxffi
import mlxffi.core as mx


def test_what_failed_once_fails_whenever_it_is_read():
    x = mx.linalg.inv(mx.zeros((2, 2)))
    y = x + 1
    for array in (y, x, y, y * 2):
        with pytest.raises(RuntimeError, match="Inverse"):
            mx.eval(array)
        with pytest.raises(RuntimeError, match="Inverse"):
            array.tolist()


def test_what_does_not_depend_on_a_failure_is_computed():
    x = mx.ones((2, 2)) * 3
    with pytest.raises(RuntimeError):
        mx.eval(x, mx.linalg.inv(mx.zeros((2, 2))))
    assert x.tolist() == [[3.0, 3.0], [3.0, 3.0]]


def test_an_asynchronous_failure_is_told_and_stays():
    x = mx.linalg.inv(mx.zeros((2, 2)))
    for read in (lambda: (mx.async_eval(x), x.tolist()), x.tolist, lambda: mx.eval(x)):
        with pytest.raises(RuntimeError):
            read()


@pytest.mark.skipif(mx.default_device() != mx.cpu, reason="about the memory of CPUs")
def test_an_array_without_memory_is_an_error():
    """Of more bytes than there are addresses."""
    x, y = mx.ones((2,)), mx.zeros((1 << 16, 1 << 16, 1 << 16)) + 1
    z = x + x
    for _ in range(2):
        with pytest.raises(MemoryError, match=r"\[malloc\] there is no memory for an array of 1125899906842624 bytes"):
            mx.eval(z, y)
    assert z.tolist() == [2.0, 2.0]
    flat = mlxffi.add(mlxffi.zeros([1 << 16] * 3), 1)
    for kind in (MemoryError, mlxffi.Error):
        with pytest.raises(kind, match="no memory"):
            flat.eval()


@pytest.mark.skipif(mx.default_device() != mx.cpu, reason="about the memory and kernels of CPUs")
@pytest.mark.parametrize("first", [True, False])
def test_rules_of_derivatives_hold_after_an_evaluation_that_failed(first):
    """Of an array that is large enough for a kernel of ours, which MLX has no slope for."""
    too_large = mx.zeros((1 << 16, 1 << 16, 1 << 16)) + 1

    def loss(x):
        y = x ** mx.zeros(x.shape)
        with pytest.raises(MemoryError):
            mx.eval(*((too_large, y) if first else (y, too_large)))
        return y.sum()

    assert not np.array(mx.grad(loss)(mx.zeros(1 << 15))).any()


def test_a_matrix_that_is_computed_lets_go_of_its_graph():
    before = mlxffi.memory.live_handles()
    x = mx.linalg.inv(mx.eye(2) * 2)
    mx.eval(x)
    assert x.tolist() == [[0.5, 0.0], [0.0, 0.5]]
    del x
    assert mlxffi.memory.live_handles() == before


@pytest.mark.parametrize("dtype", [mx.float32, mx.float64])
@pytest.mark.parametrize("upper", [False, True])
def test_a_matrix_that_is_not_positive_definite_has_no_cholesky_factor(dtype, upper):
    batch = mx.array([[[2.0, 0.0], [0.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]]], dtype=dtype)
    with pytest.raises(RuntimeError, match="matrix 1 of 2 is not positive definite"):
        mx.eval(mx.linalg.cholesky(batch, upper=upper))
    mx.eval(mx.linalg.cholesky(batch[0], upper=upper))


@pytest.mark.parametrize("name", ["inv", "solve", "tri_inv"])
def test_singular_matrices_are_errors(name):
    a = mx.array([[1.0, 0.0], [2.0, 0.0]])
    with pytest.raises(RuntimeError):
        mx.eval(mx.linalg.solve(a, mx.ones((2,))) if name == "solve" else getattr(mx.linalg, name)(a))


def test_a_matrix_with_nan_has_nan_for_its_singular_values():
    batch = mx.array([[[1.0, np.nan], [0.0, 1.0]], [[3.0, 0.0], [0.0, 2.0]]])
    for part, expected in zip(mx.linalg.svd(batch), (np.eye(2), [3.0, 2.0], np.eye(2)), strict=True):
        assert np.isnan(np.array(part)[0]).all()
        np.testing.assert_allclose(np.abs(np.array(part)[1]), expected, atol=1e-6)


def test_the_vectors_of_a_complex_matrix():
    a = np.array([[1 + 1j, 2], [0.5j, 3]], np.complex64)
    values, vectors = map(np.array, mx.linalg.eig(mx.array(a)))
    np.testing.assert_allclose(a @ vectors, vectors * values, atol=1e-5)
