"""Products with chosen packed matrices, and packed matrices unpacked, on the CPU."""

import numpy as np
import pytest
from helpers import error_of
from losses_oracle import CPU, array_of, as_numpy, require_close
from packing_oracle import SCHEMES, packed

import mlxffi as m

ERROR = {"float32": 2e-6, "float16": 1e-3, "bfloat16": 8e-3}
AFFINE = ("affine", 32, 4)


def product(x, arguments, left, right, scheme=AFFINE, transpose=True):
    mode, group, bits = scheme
    biases = arguments[2] if len(arguments) > 2 else None
    return m.gather_qmm(x, *arguments[:2], biases, left, right, transpose, group, bits, mode, stream=CPU)


def indices(values):
    return None if values is None else m.Array(np.array(values, np.uint32))


# Shapes of x; which of its matrices, and which packed ones of 5, are multiplied.
CASES = [
    ((3, 1, 64), [0, 2, 1, 1], [4, 0, 4, 1]),
    ((4, 7, 64), None, [3, 3, 0, 1]),
    ((2, 2, 3, 64), [[3], [0]], [[0, 1, 2], [4, 4, 4]]),
    ((1, 200, 64), [0, 0], [2, 1]),
    ((300, 1, 64), None, [2] * 290 + [0] * 10),
]


@pytest.mark.parametrize("dtype", ERROR)
@pytest.mark.parametrize(("of_x", "left", "right"), CASES)
def test_chosen_matrices_with_gradients(of_x, left, right, dtype):
    x, values = array_of(np.random.default_rng(1).normal(size=of_x), dtype)
    arguments, numbers = packed((5, 40, 64), AFFINE, dtype)
    matrices = values.reshape(-1, *of_x[-2:])
    chosen_left = np.arange(len(matrices)) if left is None else np.broadcast_arrays(left, right)[0]
    chosen_right = np.broadcast_to(right, np.broadcast_shapes(np.shape(chosen_left), np.shape(right)))
    expected = matrices[chosen_left] @ numbers[chosen_right].swapaxes(-1, -2)
    g, cotangent = array_of(np.random.default_rng(2).normal(size=expected.shape), dtype)
    of = lambda v: [product(v[0], arguments, indices(left), indices(right))]  # noqa: E731
    (found,), (gradient,) = m.vjp(of, [x], [g])
    require_close(found, expected, ERROR[dtype])
    slopes = np.zeros_like(matrices)
    np.add.at(slopes, chosen_left, cotangent @ numbers[chosen_right])
    require_close(gradient, slopes.reshape(of_x), 4 * ERROR[dtype])


@pytest.mark.parametrize("transpose", [True, False])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme(scheme, transpose):
    x, values = array_of(np.random.default_rng(1).normal(size=(2, 3, 128)))
    arguments, numbers = packed((4, 64, 128) if transpose else (4, 128, 256), scheme)
    found = product(x, arguments, indices([0, 1, 1]), indices([3, 0, 3]), scheme, transpose)
    matrices = numbers[[3, 0, 3]]
    require_close(found, values[[0, 1, 1]] @ (matrices.swapaxes(-1, -2) if transpose else matrices), ERROR["float32"])


def test_an_index_of_no_matrix_is_an_error():
    arguments, _ = packed((5, 40, 64), AFFINE)
    error = error_of(lambda: product(m.ones([2, 1, 64]), arguments, indices([0, 7, 1]), indices([1, 1, 4])))
    assert isinstance(error, IndexError)
    assert "expected positions from 0 to 1 on axis 0, got 7" in str(error)


def test_forward_mode_and_packed_numbers_without_gradients():
    arguments, numbers = packed((5, 40, 64), AFFINE)
    (x, _), (dx, direction) = (array_of(np.random.default_rng(i).normal(size=(2, 1, 64))) for i in range(2))
    of = lambda v: [product(v[0], arguments, None, indices([4, 1]))]  # noqa: E731
    require_close(m.jvp(of, [x], [dx])[1][0], direction @ numbers[[4, 1]].swapaxes(-1, -2), ERROR["float32"])
    by_numbers = lambda v: [product(x, [v[0], *arguments[1:]], None, indices([4, 1]))]  # noqa: E731
    assert "gradient" in str(error_of(lambda: m.vjp(by_numbers, arguments[:1], [m.ones([2, 1, 40])])))


# --- unpacked ---


def unpacked(arguments, scheme, dtype=None):
    mode, group, bits = scheme
    biases = arguments[2] if len(arguments) > 2 else None
    return m.dequantize(*arguments[:2], biases, group, bits, mode, None, dtype, stream=CPU)


@pytest.mark.parametrize("shape", [(1, 128), (37, 256), (3, 5, 128)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_dequantize_every_scheme(scheme, shape):
    arguments, numbers = packed(shape, scheme)
    found = unpacked(arguments, scheme, None if scheme[0] == "affine" else "float32")
    require_close(found, numbers, 2e-7)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_dequantize_rounds_once(dtype):
    arguments, numbers = packed((64, 128), ("affine", 64, 8), dtype)
    found = unpacked(arguments, ("affine", 64, 8))
    np.testing.assert_array_equal(as_numpy(found), array_of(numbers, dtype)[1])


def test_dequantize_rows_of_a_table_and_gradients():
    arguments, numbers = packed((50, 64), AFFINE)
    rows = m.Array(np.array([[4, 49], [0, 4]]))
    found = unpacked([m.take_axis(array, rows, 0) for array in arguments], AFFINE)
    require_close(found, numbers[[[4, 49], [0, 4]]], 2e-7)
    g, cotangent = array_of(np.random.default_rng(2).normal(size=(50, 64)))
    _, (ds, db) = m.vjp(lambda v: [unpacked([arguments[0], *v], AFFINE)], arguments[1:], [g])
    s, b = (np.repeat(as_numpy(array), 32, -1) for array in arguments[1:])
    require_close(ds, (cotangent * (numbers - b) / s).reshape(50, 2, 32).sum(-1), 1e-5)
    require_close(db, cotangent.reshape(50, 2, 32).sum(-1), 1e-5)


def test_dequantize_mapped():
    arguments, numbers = packed((3, 50, 64), AFFINE)
    found = m.vmap(lambda v: [unpacked(v, AFFINE)], in_axes=[0, 0, 0])(arguments)[0]
    require_close(found, numbers, 2e-7)
