"""Products of two packed operands on the CPU: float32 products of rounded numbers, as the mode rounds them."""

import numpy as np
import pytest
from helpers import error_of
from losses_oracle import CPU, array_of, as_numpy, require_close
from packing_oracle import E2M1, small_float

import mlxffi as m

ERROR = {"float32": 2e-6, "float16": 1e-3, "bfloat16": 8e-3}
GROUPS = {"nvfp4": 16, "mxfp4": 32, "mxfp8": 32}
GREATEST = 6 * 448


def pack(x, mode, scale=None):
    return m.quantize(x, None, None, mode, scale, stream=CPU)


def unpacked(arrays, mode, scale=None):
    """The numbers that packed ones stand for, float64."""
    words, scales = (np.asarray(each) for each in arrays)
    codes = words.view(np.uint8)
    if mode != "mxfp8":
        codes = np.stack([codes & 15, codes >> 4], -1).reshape(*codes.shape[:-1], -1)
    numbers = small_float(codes.astype(int)) if mode == "mxfp8" else np.array([*E2M1, *(-each for each in E2M1)])[codes]
    factors = small_float(scales.astype(int)) if mode == "nvfp4" else 2.0 ** (scales.astype(float) - 127)
    return numbers * np.repeat(factors, GROUPS[mode], -1) * (1 if scale is None else float(scale) / GREATEST)


def rounded(values, mode, dtype="float32", scale=None):
    return unpacked(pack(array_of(values, dtype)[0], mode, scale), mode, scale)


def normal(shape, dtype="float32", seed=1):
    return array_of(np.random.default_rng(seed).normal(size=shape), dtype)


@pytest.mark.parametrize("dtype", ERROR)
@pytest.mark.parametrize("mode", GROUPS)
@pytest.mark.parametrize("of_x", [(1, 128), (5, 128), (2, 3, 128), (130, 128)])
def test_products_of_rounded_numbers(of_x, mode, dtype):
    (x, values), (w, weights) = normal(of_x, dtype), normal((48, 128), dtype, 2)
    wanted = rounded(values, mode, dtype) @ rounded(weights, mode, dtype).T
    plain, packed = m.qqmm(x, w, mode=mode, stream=CPU), m.qqmm(x, *pack(w, mode), mode=mode, stream=CPU)
    assert plain.dtype == packed.dtype == x.dtype
    require_close(plain, wanted, ERROR[dtype])
    require_close(packed, wanted, ERROR[dtype])


def test_a_vector_is_a_row():
    (x, _), (w, _) = normal((1, 64)), normal((32, 64), seed=2)
    for operands in ([w], pack(w, "nvfp4")):
        row = m.qqmm(x, *operands, mode="nvfp4", stream=CPU)
        vector = m.qqmm(m.reshape(x, [64]), *operands, mode="nvfp4", stream=CPU)
        assert vector.shape == (32,)
        np.testing.assert_array_equal(as_numpy(vector), as_numpy(row)[0])


@pytest.mark.parametrize("rows", [1, 4])
def test_global_scales(rows):
    (x, values), (w, weights) = normal((rows, 64)), normal((32, 64), seed=2)
    of_x, of_w = (m.Array(np.float32(np.abs(each).max())) for each in (values, weights))
    wanted = rounded(values, "nvfp4", scale=of_x) @ rounded(weights, "nvfp4", scale=of_w).T
    require_close(m.qqmm(x, w, None, None, None, "nvfp4", of_x, of_w, stream=CPU), wanted, 2e-6)
    require_close(m.qqmm(x, *pack(w, "nvfp4", of_w), None, None, "nvfp4", of_x, of_w, stream=CPU), wanted, 2e-6)
    assert np.abs(wanted - values @ weights.T).max() < 0.3 * np.abs(wanted).max()


@pytest.mark.parametrize("of_x", [(32, 64), (2, 16, 64)])
def test_gradients_are_products_of_the_rounded_cotangent(of_x):
    (x, values), (w, weights) = normal(of_x), normal((48, 64), seed=2)
    g, cotangent = normal((*of_x[:-1], 48), seed=3)
    _, (of_values, of_weights) = m.vjp(lambda v: [m.qqmm(*v, mode="nvfp4", stream=CPU)], [x, w], [g])
    require_close(of_values, rounded(cotangent, "nvfp4") @ rounded(weights.T.copy(), "nvfp4").T, 2e-6)
    rows = [each.reshape(32, -1).T.copy() for each in (cotangent, values)]
    require_close(of_weights, rounded(rows[0], "nvfp4") @ rounded(rows[1], "nvfp4").T, 2e-6)


def test_gradients_have_the_dtypes_of_their_operands():
    (x, _), (w, _) = normal((16, 64), "bfloat16"), normal((32, 64), seed=2)
    gradients = m.grad(lambda v: [m.sum(m.qqmm(*v, mode="nvfp4", stream=CPU))], 0, 1)(x, w)
    assert [each.dtype for each in gradients] == [x.dtype, w.dtype]


def test_what_has_no_derivative_says_so():
    (x, _), (w, _) = normal((16, 64)), normal((32, 64), seed=2)
    packed = pack(w, "nvfp4")
    gradient = m.grad(lambda v: [m.sum(m.qqmm(v[0], *packed, mode="nvfp4", stream=CPU))])
    assert "a packed w gives no gradients" in str(error_of(lambda: gradient(x)))
    tangent = lambda: m.jvp(lambda v: [m.qqmm(v[0], w, mode="nvfp4", stream=CPU)], [x], [x])  # noqa: E731
    assert "have no tangents" in str(error_of(tangent))
    of_stack = m.grad(lambda v: [m.sum(m.gather_qqmm(v[0], m.expand_dims(w, 0), mode="nvfp4", stream=CPU))])
    assert "no derivative" in str(error_of(lambda: of_stack(m.expand_dims(x, 0))))


LEFT, RIGHT = [0, 2, 1, 1], [4, 0, 4, 1]


@pytest.mark.parametrize("dtype", ERROR)
@pytest.mark.parametrize("mode", GROUPS)
def test_chosen_matrices(mode, dtype):
    (x, values), (w, weights) = normal((3, 2, 64), dtype), normal((5, 40, 64), dtype, 2)
    wanted = rounded(values, mode, dtype)[LEFT] @ rounded(weights, mode, dtype)[RIGHT].swapaxes(-1, -2)
    chosen = [m.Array(np.array(each, np.uint32)) for each in (LEFT, RIGHT)]
    for operands in ([w, None], pack(w, mode)):
        found = m.gather_qqmm(x, *operands, *chosen, mode=mode, stream=CPU)
        assert found.dtype == x.dtype
        require_close(found, wanted, ERROR[dtype])


def test_global_scales_of_chosen_matrices():
    (x, values), (w, weights) = normal((4, 2, 64)), normal((5, 40, 64), seed=2)
    words, scales = pack(w, "nvfp4")
    factors = np.linspace(1, 5, 5, dtype=np.float32)
    numbers = rounded(weights, "nvfp4") * factors[:, None, None] / GREATEST
    right = m.Array(np.array(RIGHT, np.uint32))
    of_each = m.gather_qmm_global_scale(
        x, words, scales, None, None, right, True, None, None, "nvfp4", m.Array(factors), stream=CPU
    )
    require_close(of_each, values @ numbers[RIGHT].swapaxes(-1, -2), 2e-6)
    of_x = m.Array(np.float32(3))
    of_both = m.gather_qqmm(x, words, scales, None, right, None, None, "nvfp4", of_x, m.Array(factors), stream=CPU)
    require_close(of_both, rounded(values, "nvfp4", scale=of_x) @ numbers[RIGHT].swapaxes(-1, -2), 2e-6)

    def few():
        three = m.Array(factors[:3])
        m.gather_qmm_global_scale(x, words, scales, None, None, right, True, None, None, "nvfp4", three, stream=CPU)

    assert "expected a float32 for each of 5 matrices, got 3 numbers" in str(error_of(few))


def test_values_do_not_depend_on_what_lies_between():
    (x, values), (w, weights) = normal((64, 6)), normal((64, 32), seed=2)
    turned = m.qqmm(m.transpose(x), m.transpose(w), mode="mxfp4", stream=CPU)
    require_close(turned, rounded(values.T.copy(), "mxfp4") @ rounded(weights.T.copy(), "mxfp4").T, 2e-6)
    assert as_numpy(turned).shape == (6, 32)
