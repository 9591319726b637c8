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


def total(fun):
    return lambda a: fun(a).sum()


# What asks for the derivatives of a function at a matrix, and evaluates nothing else.
TRANSFORMS = {
    "grad": lambda fun, a: mx.grad(total(fun))(a),
    "value_and_grad": lambda fun, a: mx.value_and_grad(total(fun))(a)[1],
    "vjp": lambda fun, a: mx.vjp(fun, [a], [mx.ones(a.shape)])[1][0],
    "jvp": lambda fun, a: mx.jvp(fun, [a], [mx.ones(a.shape)])[1][0],
    "grad of grad": lambda fun, a: mx.grad(total(mx.grad(total(fun))))(a),
    "jvp of grad": lambda fun, a: mx.jvp(mx.grad(total(fun)), [a], [mx.ones(a.shape)])[1][0],
    "vmap": lambda fun, a: mx.vmap(fun)(mx.stack([mx.eye(2), a])),
    "vmap of grad": lambda fun, a: mx.vmap(mx.grad(total(fun)))(mx.stack([mx.eye(2), a])),
    "grad of vmap": lambda fun, a: mx.grad(total(mx.vmap(fun)))(mx.stack([mx.eye(2), a])),
    "compile of grad": lambda fun, a: mx.compile(mx.grad(total(fun)))(a),
    "grad of compile": lambda fun, a: mx.grad(mx.compile(total(fun)))(a),
    "grad of checkpoint": lambda fun, a: mx.grad(mx.checkpoint(total(fun)))(a),
}
SINGULAR, INDEFINITE = [[1.0, 0.0], [2.0, 0.0]], [[1.0, 2.0], [2.0, 1.0]]
REFUSED = {
    "cholesky": (mx.linalg.cholesky, INDEFINITE),
    "upper cholesky": (lambda a: mx.linalg.cholesky(a, upper=True), INDEFINITE),
    "cholesky_inv": (lambda a: mx.linalg.cholesky_inv(mx.linalg.cholesky(a)), INDEFINITE),
    "inv": (mx.linalg.inv, SINGULAR),
    "tri_inv": (mx.linalg.tri_inv, SINGULAR),
    "solve": (lambda a: mx.linalg.solve(a, mx.ones((2, 2))), SINGULAR),
    "solve_triangular": (lambda a: mx.linalg.solve_triangular(a, mx.ones((2, 2))), SINGULAR),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", REFUSED)
def test_derivatives_of_what_has_no_value_are_errors_whenever_they_are_read(name, transform):
    fun, matrix = REFUSED[name]
    result = TRANSFORMS[transform](fun, mx.array(matrix))
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"not positive definite|Inverse"):
            mx.eval(result)
    with pytest.raises(RuntimeError):
        mx.async_eval(result)
    with pytest.raises(RuntimeError):
        result.tolist()


def test_gradients_of_the_flat_layer_are_errors_where_there_is_no_value():
    (gradient,) = mlxffi.grad(lambda a: [mlxffi.sum(mlxffi.linalg.cholesky(a[0]))])(mlxffi.Array(INDEFINITE))
    for _ in range(2):
        with pytest.raises(mlxffi.Error, match="matrix 0 of 1 is not positive definite"):
            gradient.eval()


def test_imported_functions_refuse_what_they_refused_before(tmp_path):
    path = str(tmp_path / "gradient.mlxfn")
    mx.export_function(path, mx.grad(total(mx.linalg.cholesky)), mx.eye(2))
    gradient = mx.import_function(path)
    np.testing.assert_allclose(np.array(gradient(mx.eye(2))[0]), [[0.5, 0.0], [1.0, 0.5]])
    with pytest.raises(RuntimeError, match="not positive definite"):
        mx.eval(gradient(mx.array(INDEFINITE)))


def decompositions(a):
    for fun in (mx.linalg.svd, mx.linalg.qr, mx.linalg.eigh, mx.linalg.eig):
        yield from fun(a)
    yield from (mx.linalg.svd(a, compute_uv=False), mx.linalg.eigvalsh(a), mx.linalg.eigvals(a), mx.linalg.pinv(a))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", [mx.float32, mx.float64])
def test_a_matrix_that_is_not_finite_has_nan_for_its_parts(dtype, bad):
    good = np.array([[3.0, 1.0], [1.0, 2.0]])
    batch = mx.array(np.stack([[[1.0, 0.0], [bad, 1.0]], good], axis=-1), dtype).transpose(2, 0, 1)
    for part, expected in zip(decompositions(batch), decompositions(mx.array(good, dtype)), strict=True):
        assert np.isnan(np.array(part)[0]).all()
        np.testing.assert_array_equal(np.array(part)[1], np.array(expected))


def test_the_gradient_of_singular_values_is_nan_where_they_are():
    batch = np.array([[[1.0, np.inf], [0.0, 1.0]], [[3.0, 0.0], [1.0, 2.0]]])
    u, _, vt = np.linalg.svd(batch[1])
    gradient = mx.grad(total(lambda a: mx.linalg.svd(a, compute_uv=False)))(mx.array(batch, mx.float64))
    assert np.isnan(np.array(gradient)[0]).all()
    np.testing.assert_allclose(np.array(gradient)[1], u @ vt, atol=1e-12)


def test_eigenvalues_are_those_of_the_triangle_that_is_read():
    a = np.array([[2.0, np.nan], [1.0, 3.0]])
    expected = np.linalg.eigvalsh(a)
    for values in (mx.linalg.eigvalsh(mx.array(a)), mx.linalg.eigvalsh(mx.array(a.T), UPLO="U")):
        np.testing.assert_allclose(np.array(values), expected, atol=1e-6)
    assert np.isnan(np.array(mx.linalg.eigvalsh(mx.array(a), UPLO="U"))).all()


@pytest.mark.parametrize("name", ["L", "U", "l", "u"])
def test_the_gradient_of_eigenvalues_is_in_the_triangle_that_is_read(name):
    """Which MLX takes to be the upper one for each name but L."""
    a = mx.array([[2.0, 5.0], [1.0, 3.0]])
    gradient = np.array(mx.grad(lambda m: mx.linalg.eigvalsh(m, UPLO=name)[1])(a))
    for i, j in ((0, 1), (1, 0)):
        step = np.zeros((2, 2))
        step[i, j] = 1e-2
        above, below = (mx.linalg.eigvalsh(a + sign * mx.array(step), UPLO=name)[1].item() for sign in (1, -1))
        np.testing.assert_allclose(gradient[i, j], (above - below) / 2e-2, atol=1e-3)


@pytest.mark.parametrize("upper", [False, True])
def test_mapped_inverses_read_one_triangle(upper):
    a = np.array([[2.0, 5.0], [3.0, 4.0]])
    batch = mx.array(np.stack([a, 2 * a, a.T], axis=1))
    for fun in (mx.linalg.tri_inv, mx.linalg.cholesky_inv):
        mapped = mx.vmap(lambda m, fun=fun: fun(m, upper), in_axes=1)(batch)
        expected = [np.array(fun(batch[:, i], upper)) for i in range(3)]
        np.testing.assert_allclose(np.array(mapped), np.stack(expected), rtol=1e-6)


def test_the_vectors_of_a_complex_matrix():
    a = np.array([[1 + 1j, 2], [0.5j, 3]], np.complex64)
    values, vectors = map(np.array, mx.linalg.eig(mx.array(a)))
    np.testing.assert_allclose(a @ vectors, vectors * values, atol=1e-5)


@pytest.mark.parametrize("dtype", [mx.float32, mx.float64])
@pytest.mark.parametrize("size", [1, 2, 300])
def test_what_goes_over_the_factors_of_lu_stays_inside_them(size, dtype):
    a = mx.random.normal((size, size), key=mx.random.key(0)).astype(dtype, stream=mx.cpu)
    for _ in range(20):
        factors, _ = mx.linalg.lu_factor(a, stream=mx.cpu)
        mx.eval(factors)
        absolute = mx.abs(factors, stream=mx.cpu)
        np.testing.assert_array_equal(np.array(absolute), np.abs(np.array(factors)))
