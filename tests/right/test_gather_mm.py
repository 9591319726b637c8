"""gather_mm of halves on the CPU, where MLX has it for float32 alone: sums of float32, rounded once, and gradients."""

import numpy as np
import pytest

import mlxffi.core as mx

ERROR = {"float16": 1e-3, "bfloat16": 8e-3}
SHAPES = [(1, 40, 33), (3, 17, 50), (1, 1, 1), (70, 64, 96)]


@pytest.fixture(autouse=True)
def cpu():
    with mx.stream(mx.cpu):
        yield


def matrices(dtype, *shape):
    """As an array of the dtype, and what it holds."""
    array = mx.array(np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)).astype(getattr(mx, dtype))
    return array, np.array(array.astype(mx.float32)).astype(float)


def require_close(found, expected, dtype):
    np.testing.assert_allclose(
        np.array(found.astype(mx.float32)), expected, rtol=0, atol=ERROR[dtype] * np.abs(expected).max()
    )


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", ERROR)
@pytest.mark.parametrize(("rows", "terms", "columns"), SHAPES)
def test_values_and_gradients(rows, terms, columns, dtype, turned):
    a, x = matrices(dtype, 4, rows, terms)
    b, y = matrices(dtype, 3, *((columns, terms) if turned else (terms, columns)))
    left, right = [0, 3, 3, 1, 2, 0], [2, 0, 2, 2, 0, 0]

    def products(a, b):
        b = b.swapaxes(-1, -2) if turned else b
        return mx.gather_mm(a, b, mx.array(left), mx.array(right))

    y = y.swapaxes(-1, -2) if turned else y
    g, cotangent = matrices(dtype, len(left), rows, columns)
    (found,), (of_a, of_b) = mx.vjp(lambda *of: [products(*of)], [a, b], [g])
    require_close(found, x[left] @ y[right], dtype)
    expected_a, expected_b = np.zeros_like(x), np.zeros_like(y)
    for i, (one, other) in enumerate(zip(left, right, strict=True)):
        expected_a[one] += cotangent[i] @ y[other].T
        expected_b[other] += x[one].T @ cotangent[i]
    require_close(of_a, expected_a, dtype)
    require_close(of_b.swapaxes(-1, -2) if turned else of_b, expected_b, dtype)


@pytest.mark.parametrize("dtype", ERROR)
def test_one_row_for_each_of_several_experts(dtype):
    """As a mixture of experts asks: indices of the right factor alone."""
    x, numbers = matrices(dtype, 5, 1, 1, 32)
    w, weights = matrices(dtype, 4, 48, 32)
    chosen = np.random.default_rng(0).integers(0, 4, (5, 2))
    found = mx.gather_mm(x, w.swapaxes(-1, -2), rhs_indices=mx.array(chosen))
    require_close(found, numbers @ weights.swapaxes(-1, -2)[chosen], dtype)
