"""Derivatives that are wrong or missing in mlx.core: each with the right value."""

import numpy as np
import pytest

import mlxffi.core as mx


def gradients(function, *inputs):
    return [mx.grad(lambda *a: function(*a).sum(), argnums=i)(*inputs).tolist() for i in range(len(inputs))]


def test_the_tangent_of_addmm_has_alpha_and_beta():
    c, a, b = mx.array([[1.0]]), mx.array([[2.0]]), mx.array([[3.0]])
    one = mx.ones((1, 1))
    assert mx.jvp(lambda c, a: mx.addmm(c, a, b, alpha=0.5, beta=10.0), [c, a], [one, one])[1][0].item() == 11.5


def test_the_gradient_of_a_complex_power():
    def value(x):
        z = x.astype(mx.complex64) * (0.3 + 0.2j)
        return mx.real(z**3) + 2 * mx.imag(z**3)

    slope = 3 * 1.5**2 * (0.3 + 0.2j) ** 3
    np.testing.assert_allclose(mx.grad(value)(mx.array(1.5)).item(), slope.real + 2 * slope.imag, rtol=1e-5)


def test_the_gradient_of_a_complex_cumulative_product():
    x = mx.array([1.0, 2.0])

    def value(x):
        return mx.imag(mx.cumprod(x.astype(mx.complex64) * (1 + 1j), axis=0)).sum()

    # Im((1+i) a) + Im((1+i)^2 a b) = a + 2 a b
    np.testing.assert_allclose(mx.grad(value)(x).tolist(), [5.0, 2.0], rtol=1e-6)


def test_the_second_derivative_of_the_magnitude_of_a_complex_number():
    def value(y):
        return mx.abs(mx.array(1 + 0j) + y.astype(mx.complex64) * 1j)

    # sqrt(1 + y^2)'' = (1 + y^2)^(-3/2)
    np.testing.assert_allclose(mx.grad(mx.grad(value))(mx.array(0.5)).item(), 1.25**-1.5, rtol=1e-5)


def test_the_gradients_of_a_remainder():
    a, b = mx.array([5.0]), mx.array([3.0])
    assert gradients(lambda a, b: mx.divmod(a, b)[1], a, b) == [[1.0], [-1.0]]


@pytest.mark.parametrize("n", [5, 7])
def test_the_derivatives_of_an_inverse_real_transform_of_odd_length(n):
    z = mx.array(np.arange(4) + 1j, dtype=mx.complex64)
    tangent = mx.jvp(lambda z: mx.fft.irfft(z, n=n), [z], [z])[1][0]
    np.testing.assert_allclose(np.array(tangent), np.fft.irfft(np.arange(4) + 1j, n=n), rtol=1e-5, atol=1e-6)


def test_the_gradient_of_what_fills_a_margin():
    assert gradients(lambda a, v: mx.pad(a, 1, constant_values=v), mx.ones((2, 2)), mx.array(3.0)) == [
        [[1.0, 1.0], [1.0, 1.0]],
        12.0,
    ]


@pytest.mark.parametrize(
    "through", [lambda x: x.astype(mx.int32).astype(mx.float32), lambda x: mx.floor_divide(x, 1.0)]
)
def test_a_step_has_no_slope(through):
    assert gradients(through, mx.array([1.5, 2.7])) == [[0.0, 0.0]]


def test_powers_at_zero():
    zero = mx.array(0.0)
    assert mx.grad(lambda x: x**0)(zero).item() == 0
    assert mx.grad(lambda x: x ** mx.array(0.0))(zero).item() == 0
    assert mx.grad(lambda y: mx.power(zero, y))(mx.array(2.0)).item() == 0
    assert mx.grad(lambda x: x**1.0)(zero).item() == 1


def test_of_repeated_places_the_last_that_is_written_has_the_gradient():
    def written(v):
        x = mx.zeros((3,))
        x[mx.array([0, 0])] = v
        return x

    assert gradients(written, mx.array([5.0, 6.0])) == [[0.0, 1.0]]


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_the_gradients_of_equal_extremes_add_up_to_one(name):
    found = gradients(lambda x, v: getattr(x.at[mx.array([0])], name)(v), mx.array([5.0]), mx.array([5.0]))
    assert found == [[0.5], [0.5]]


@pytest.mark.parametrize("name", ["max", "min"])
def test_both_modes_agree_on_equal_extremes(name):
    x, t = mx.array([1.0, 1.0]), mx.array([2.0, 4.0])
    assert mx.jvp(getattr(mx, name), [x], [t])[1][0].item() == 3.0
    assert gradients(getattr(mx, name), x) == [[0.5, 0.5]]


def test_the_second_derivative_of_a_product_with_zeros():
    x = mx.array([0.0, 2.0, 3.0])
    assert mx.grad(lambda x: mx.grad(mx.prod)(x)[0])(x).tolist() == [0.0, 3.0, 2.0]


def test_the_gradients_of_products_of_updates():
    x, v = mx.array([0.0, 2.0]), mx.array([3.0, 4.0, 5.0])
    found = gradients(lambda x, v: x.at[mx.array([0, 0, 1])].multiply(v), x, v)
    assert found == [[12.0, 5.0], [0.0, 0.0, 2.0]]


def test_a_second_derivative_of_products_of_updates_is_an_error_by_name():
    def twice(x):
        return mx.grad(lambda x: x.at[mx.array([0])].multiply(x).sum())(x).sum()

    with pytest.raises(RuntimeError, match="scatter_prod"):
        mx.grad(twice)(mx.array([2.0]))


def test_the_gradient_of_a_half_row_that_is_looked_up_a_thousand_times():
    table = mx.zeros((2, 1), dtype=mx.bfloat16)
    found = mx.grad(lambda t: t[mx.zeros((1000,), dtype=mx.int32)].sum())(table)
    assert found.tolist() == [[1000.0], [0.0]]


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
@pytest.mark.parametrize("order", [1, -1])
def test_the_gradient_of_what_is_looked_up_and_used_besides(order, dtype):
    rng = np.random.default_rng(0)
    table, weights = rng.integers(-8, 8, (5, 3)) / 4, rng.integers(-8, 8, (5, 3)) / 4
    rows, columns = np.array([3, 0, 3, 3]), np.array([[2], [0], [1], [1], [2]])

    def loss(t):
        parts = [t[mx.array(rows)].sum(), mx.take_along_axis(t, mx.array(columns), 1).square().sum()]
        parts.append((t * t * mx.array(weights).astype(dtype)).sum())
        return sum(parts[::order])

    wanted = 2 * table * weights
    np.add.at(wanted, rows, 1.0)
    np.put_along_axis(wanted, columns, np.take_along_axis(wanted + 2 * table, columns, 1), 1)
    start = mx.array(table).astype(dtype)
    for gradient in (mx.grad(loss), mx.compile(mx.grad(loss))):
        found = gradient(start)
        assert found.dtype == dtype
        np.testing.assert_array_equal(np.array(found.astype(mx.float32)), wanted.astype(np.float32))
    twice = mx.grad(lambda t: mx.grad(loss)(t).sum())(start)
    slopes = 2 * weights
    np.put_along_axis(slopes, columns, np.take_along_axis(slopes + 2, columns, 1), 1)
    np.testing.assert_array_equal(np.array(twice.astype(mx.float32)), slopes.astype(np.float32))


def test_the_gradient_of_what_fills_an_array():
    assert gradients(lambda v: mx.full((2, 3), v), mx.array(5.0)) == [6.0]
    assert gradients(lambda v: mx.full((2, 3), v), mx.array([1.0, 2.0, 3.0])) == [[2.0, 2.0, 2.0]]


def test_the_gradient_of_a_mask_of_blocks():
    a, b = mx.ones((64, 32)), mx.ones((32, 32))
    mask = mx.array([[2.0], [3.0]])
    found = mx.grad(lambda m: mx.block_masked_mm(a, b, 32, m).sum())(mask)
    assert found.tolist() == [[32.0 * 32 * 32]] * 2


FORWARD = {
    "conv1d": (mx.conv1d, (1, 5, 2), (3, 3, 2)),
    "cumprod": (lambda a: mx.cumprod(a, axis=0), (4,)),
    "cummax": (lambda a: mx.cummax(a, axis=0), (4,)),
    "sort": (lambda a: mx.sort(a, axis=0), (4,)),
    "scatter": (lambda a, v: a.at[mx.array([2, 0, 2])].add(v), (4,), (3,)),
    "scatter_max": (lambda a, v: a.at[mx.array([2, 0, 2])].maximum(v), (4,), (3,)),
    "gather_mm": (lambda a, b: mx.gather_mm(a, b, None, mx.array([1, 0])), (2, 3, 4), (2, 4, 3)),
}


@pytest.mark.parametrize("name", FORWARD)
def test_tangents_that_mlx_lacks(name):
    function, *shapes = FORWARD[name]
    rng = np.random.default_rng(0)
    points, tangents = ([mx.array(rng.normal(size=s).astype(np.float32)) for s in shapes] for _ in range(2))
    tangent = mx.jvp(lambda *a: [function(*a)], points, tangents)[1][0]
    pulled = mx.vjp(lambda *a: [function(*a)], points, [mx.ones(tangent.shape)])[1]
    expected = sum((g * t).sum().item() for g, t in zip(pulled, tangents, strict=True))
    np.testing.assert_allclose(tangent.sum().item(), expected, rtol=1e-4, atol=1e-5)


MATRICES = {
    "inv": mx.linalg.inv,
    "cholesky": lambda a: mx.linalg.cholesky(a @ a.T + mx.eye(3, dtype=a.dtype)),
    "det": mx.linalg.det,
    "slogdet": lambda a: mx.linalg.slogdet(a)[1],
    "pinv": mx.linalg.pinv,
    "qr": lambda a: mx.linalg.qr(a)[1],
    "svd": lambda a: mx.linalg.svd(a)[1],
    "eigh": lambda a: mx.linalg.eigh(a @ a.T)[0],
    "solve": lambda a: mx.linalg.solve(a, mx.ones((3, 1), dtype=a.dtype)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_gradients_of_linear_algebra(name):
    start = np.random.default_rng(2).normal(size=(3, 3)) + 2 * np.eye(3)
    direction = np.random.default_rng(3).normal(size=(3, 3))

    def value(a):
        return mx.sin(MATRICES[name](a)).sum()

    def at(step):
        return value(mx.array(start + step * direction, dtype=mx.float64)).item()

    found = np.array(mx.grad(value)(mx.array(start, dtype=mx.float64)))
    np.testing.assert_allclose((found * direction).sum(), (at(1e-5) - at(-1e-5)) / 2e-5, rtol=1e-6, atol=1e-8)
