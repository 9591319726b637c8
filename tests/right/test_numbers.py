"""Numbers that mlx.core rounds to a narrower type, lets overflow or stick: against float64 numpy."""

import math

import numpy as np
import pytest

import mlxffi.core as mx

WIDE = {
    "exp": np.exp,
    "sin": np.sin,
    "cos": np.cos,
    "erf": np.vectorize(math.erf),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "log": lambda x: np.log(np.abs(x) + 1),
}
X = np.linspace(-3, 3, 101)


def wide(values):
    return mx.array(values, dtype=mx.float64)


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("layout", ["row", "column", "broadcast"])
def test_float64_functions_are_float64(name, layout):
    x = X if layout == "broadcast" else X[:100].reshape(4, 25)
    given = wide(np.abs(x) + 1 if name == "log" else x)
    if layout == "column":
        given, x = mx.swapaxes(given, 0, 1), x.T
    if layout == "broadcast":
        given, x = mx.broadcast_to(given, (2, 101)), np.stack([x, x])
    np.testing.assert_allclose(np.array(getattr(mx, name)(given)), WIDE[name](x), rtol=1e-14)


def test_the_inverse_error_function_of_float64():
    y = np.concatenate([np.linspace(-0.999, 0.999, 99), [1e-300, 1 - 1e-12]])
    found = np.array(mx.erfinv(wide(y)))
    np.testing.assert_allclose(np.vectorize(math.erf)(found), y, rtol=1e-14)
    np.testing.assert_array_equal(np.array(mx.erfinv(wide([1.0, -1.0, 2.0]))), [np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
def test_distributions_of_float64(axis):
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    sums = np.exp(x).sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(np.array(mx.softmax(wide(x), axis=axis)), np.exp(x) / sums, rtol=1e-13)
    found = np.array(mx.logsumexp(wide(x), axis=axis, keepdims=True))
    np.testing.assert_allclose(found, np.log(sums), rtol=1e-13)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("inclusive", [False, True])
def test_cumulative_sums_of_exponentials_of_float64(reverse, inclusive):
    x = np.random.default_rng(0).normal(size=(3, 7))
    sums = np.logaddexp.accumulate(x[:, ::-1] if reverse else x, axis=1)
    if not inclusive:
        sums = np.concatenate([np.full((3, 1), -np.inf), sums[:, :-1]], axis=1)
    found = mx.logcumsumexp(wide(x), axis=1, reverse=reverse, inclusive=inclusive)
    np.testing.assert_allclose(np.array(found), sums[:, ::-1] if reverse else sums, rtol=1e-13)


def test_logaddexp_of_float64():
    a, b = np.array([0.1, np.inf, -np.inf, 700.0]), np.array([0.2, 1.0, -np.inf, -700.0])
    np.testing.assert_allclose(np.array(mx.logaddexp(wide(a), wide(b))), np.logaddexp(a, b), rtol=1e-14)


def test_rows_of_logsumexp_that_have_infinities():
    rows = np.array([[-np.inf, -np.inf], [np.inf, 1.0], [-np.inf, 2.0]], np.float32)
    assert mx.logsumexp(mx.array(rows), axis=1).tolist() == [-np.inf, np.inf, 2.0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("axis", [0, 1])
def test_logsumexp_of_a_nan_beside_an_infinity(dtype, axis):
    rows = np.full((2, 70), 0.5)
    rows[0, [3, 41]], rows[1, [3, 41]] = [np.inf, np.nan], [np.inf, -np.inf]
    x = mx.array(rows if axis else rows.T, dtype=getattr(mx, dtype))
    np.testing.assert_array_equal(np.array(mx.logsumexp(x, axis=axis).astype(mx.float32)), [np.nan, np.inf])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", ["cummax", "cummin"])
@pytest.mark.parametrize("reverse", [False, True])
def test_running_extremes_keep_a_nan(name, dtype, reverse):
    x = np.random.default_rng(0).integers(-9, 9, (3, 37)).astype(np.float64)
    x[0, 20], x[1, 0] = np.nan, np.nan
    turned = x[:, ::-1] if reverse else x
    expected = {"cummax": np.maximum, "cummin": np.minimum}[name].accumulate(turned, axis=1)
    found = getattr(mx, name)(mx.array(x, dtype=getattr(mx, dtype)), axis=1, reverse=reverse)
    assert found.dtype == getattr(mx, dtype)
    np.testing.assert_array_equal(np.array(found.astype(mx.float32)), expected[:, ::-1] if reverse else expected)


def test_logsumexp_over_a_vocabulary():
    x = np.random.default_rng(0).normal(size=(4, 49152)).astype(np.float32)
    expected = np.log(np.exp(x.astype(np.float64)).sum(-1))
    np.testing.assert_allclose(np.array(mx.logsumexp(mx.array(x), axis=-1)), expected, rtol=2e-7)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_softmax_of_half_rows_sums_to_one(dtype):
    x = mx.array(np.random.default_rng(0).normal(size=(4, 4096)), dtype=dtype)
    sums = np.array(mx.softmax(x, axis=-1).astype(mx.float32)).sum(-1)
    np.testing.assert_allclose(sums, 1, atol=2e-3)


ROUNDED_ONCE = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "logaddexp": np.logaddexp,
}


CIRCLE = ["arccos", "arcsin", "arctan", "cos", "sin", "tan"]
HYPERBOLA = ["arccosh", "arcsinh", "arctanh", "cosh", "sinh", "tanh"]
FUNCTIONS = ["exp", "expm1", "log", "log10", "log1p", "log2", *CIRCLE, *HYPERBOLA]


def digits_off(found, expected, digits):
    """How far numbers are from exact ones, in units of the last of their binary digits."""
    last_digit = 2.0 ** (np.floor(np.log2(np.abs(expected))) - digits + 1)
    return (np.abs(np.array(found.astype(mx.float64, mx.cpu)) - expected) / last_digit).max()


@pytest.mark.skipif(mx.default_device() != mx.cpu, reason="about kernels of CPUs")
@pytest.mark.parametrize("size", [100, 1 << 17])
@pytest.mark.parametrize(("dtype", "digits"), [(mx.float16, 11), (mx.bfloat16, 8)])
@pytest.mark.parametrize("name", ROUNDED_ONCE)
def test_functions_of_halves_are_rounded_once(name, dtype, digits, size):
    rng = np.random.default_rng(0)
    x = [mx.array(rng.uniform(0.01, 4, size), dtype=dtype) for _ in range(1 + (name == "logaddexp"))]
    expected = ROUNDED_ONCE[name](*(np.array(part.astype(mx.float64, mx.cpu)) for part in x))
    assert digits_off(getattr(mx, name)(*x), expected, digits) <= 0.501


@pytest.mark.skipif(mx.default_device() != mx.cpu, reason="about kernels of CPUs")
@pytest.mark.parametrize("size", [100, 1 << 17])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_float32_are_near_in_any_size(name, size):
    x = np.random.default_rng(0).uniform(0.01, 0.99, size).astype(np.float32) + (name == "arccosh")
    expected = getattr(np, name)(x.astype(np.float64))
    assert digits_off(getattr(mx, name)(mx.array(x)), expected, 24) <= 0.51


@pytest.mark.skipif(mx.default_device() != mx.cpu, reason="about kernels of CPUs")
def test_normal_numbers_are_near_exact_ones():
    key, lowest = mx.random.key(3), float(np.nextafter(np.float32(-1), np.float32(0)))
    drawn = mx.random.uniform(lowest, 1.0, (1_000_000,), key=key).astype(mx.float64, mx.cpu)
    expected = np.sqrt(2) * np.array(mx.erfinv(drawn, stream=mx.cpu))
    found = np.array(mx.random.normal((1_000_000,), key=key))
    assert ((found == 0) == (expected == 0)).all()
    some = found != 0
    assert digits_off(mx.array(found[some]), expected[some], 24) <= 1.5


@pytest.mark.skipif(mx.default_device() != mx.cpu, reason="about kernels of CPUs")
@pytest.mark.parametrize("size", [1, 17, 1 << 15])
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_what_is_no_number_keeps_its_sign(dtype, size):
    for sign in (1, -1):
        x = np.full(size, np.copysign(np.float32("nan"), np.float32(sign)))
        bits = np.array(mx.array(x).astype(dtype).view(mx.uint16))
        assert ((bits >> 15) == (sign < 0)).all()


@pytest.mark.parametrize("shape", [(2**22,), (2, 2**21), (2, 2, 2**20)])
def test_long_sums_do_not_stick(shape):
    x = mx.full(shape, 0.3)
    exact = float(np.float32(0.3))
    np.testing.assert_allclose(mx.sum(x).item(), exact * 2**22, rtol=1e-7)
    np.testing.assert_allclose(mx.mean(x).item(), exact, rtol=1e-7)
    np.testing.assert_allclose(np.array(mx.sum(x, axis=-1)), exact * shape[-1], rtol=1e-7)
    gradient = mx.grad(lambda x: mx.mean(x))(x)
    assert (gradient.shape, gradient.max().item()) == (shape, 2.0**-22)


# Rows, columns, both; few columns and many, a few rows over.
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((20_001, 3), 0), ((3, 20_001, 5), 1), ((17_001, 1030), 0), ((2, 3, 17_000, 70), 2), ((20_000, 2, 3), (0, 2)),
     ((200, 4, 300), (0, 2)), ((200, 300, 4), (0, 1)), ((5, 200, 300), (1, 2)), ((17_000, 1), -2)],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
def test_long_sums_along_any_axes(shape, axis, dtype):
    x = mx.array(np.random.default_rng(0).normal(size=shape) + 0.5, dtype=dtype)
    exact = np.array(x.astype(mx.float32)).astype(np.float64)
    tolerance = {mx.float32: 2e-7, mx.float16: 1e-3, mx.bfloat16: 8e-3}[dtype]
    for given in (x, mx.swapaxes(mx.contiguous(mx.swapaxes(x, 0, -1)), 0, -1)):
        for function, expected in ((mx.sum, exact.sum(axis)), (mx.mean, exact.mean(axis)), (mx.var, exact.var(axis))):
            found = function(given, axis=axis)
            assert found.dtype == dtype
            np.testing.assert_allclose(
                np.array(found.astype(mx.float32)), expected, rtol=tolerance, atol=tolerance * 10
            )
    assert mx.sum(x, axis=axis, keepdims=True).shape == exact.sum(axis, keepdims=True).shape


# Of halves with few numbers to each mean: as if summed in float64, but for a tie in the last digit.
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((300, 700), 0), ((300, 700), 1), ((40, 30, 50), (0, 2)), ((9, 5000), 0), ((5000, 9), -1), ((3, 64, 200), 1)],
)
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_means_of_halves_are_rounded_once(shape, axis, dtype):
    x = mx.array(np.random.default_rng(0).uniform(1, 2, shape), dtype=dtype)
    wide = np.array(x.astype(mx.float32)).astype(np.float64)
    digit = 2.0**-10 if dtype == mx.float16 else 2.0**-7
    for given in (x, mx.swapaxes(mx.contiguous(mx.swapaxes(x, 0, -1)), 0, -1)):
        found = mx.mean(given, axis=axis)
        assert found.dtype == dtype
        assert np.abs(np.array(found.astype(mx.float32)) - wide.mean(axis)).max() <= 0.501 * digit
    gradient = mx.grad(lambda x: (mx.mean(x, axis=axis).astype(mx.float32) * 2).sum())(x)
    count = wide.size // wide.mean(axis).size
    np.testing.assert_allclose(np.array(gradient.astype(mx.float32)), 2 / count, rtol=digit)
    one = mx.vmap(lambda x: mx.mean(x, axis=-1))(x)
    assert np.abs(np.array(one.astype(mx.float32)) - wide.mean(-1)).max() <= 0.501 * digit


def test_long_statistics_do_not_stick():
    x = mx.full((2**21, 2), 0.3)
    exact = float(np.float32(0.3))
    np.testing.assert_allclose(np.array(mx.sum(x, axis=0)), exact * 2**21, rtol=1e-7)
    np.testing.assert_allclose(mx.std(mx.concatenate([x, -x])).item(), exact, rtol=1e-6)
    np.testing.assert_allclose(mx.var(x, axis=0, ddof=1).tolist(), [0, 0], atol=1e-12)
    np.testing.assert_allclose(mx.linalg.norm(x).item(), exact * 2**11, rtol=1e-6)
    np.testing.assert_allclose(np.array(mx.linalg.norm(x, ord=1, axis=0)), exact * 2**21, rtol=1e-7)
    np.testing.assert_allclose(mx.linalg.norm(x, ord="fro").item(), exact * 2**11, rtol=1e-6)
    doubled = mx.vmap(lambda x: mx.sum(x, axis=0))(mx.stack([x, 2 * x]))
    np.testing.assert_allclose(np.array(doubled), [[exact * 2**21] * 2, [exact * 2**22] * 2], rtol=1e-7)
    tangent = mx.jvp(lambda x: mx.sum(x, axis=0), [x], [x])[1][0]
    np.testing.assert_allclose(np.array(tangent), exact * 2**21, rtol=1e-7)


def test_the_gradient_of_a_bias_does_not_stick():
    weights = mx.full((2**21, 2), 0.3)
    gradient = mx.grad(lambda bias: (weights * bias).sum())(mx.ones((2,)))
    np.testing.assert_allclose(np.array(gradient), float(np.float32(0.3)) * 2**21, rtol=1e-7)


def test_long_running_sums_do_not_stick():
    x = mx.full((2**20,), 1.0001)
    exact = float(np.float32(1.0001))
    np.testing.assert_allclose(mx.cumsum(x)[-1].item(), exact * 2**20, rtol=1e-7)
    np.testing.assert_allclose(mx.cumsum(x, reverse=True)[0].item(), exact * 2**20, rtol=1e-7)
    x = mx.full((2**15,), 1.0001)
    np.testing.assert_allclose(mx.cumprod(x)[-1].item(), exact**2**15, rtol=1e-6)


@pytest.mark.parametrize(("dtype", "expected"), [(mx.float16, 5000), (mx.bfloat16, 4992)])
def test_half_sums_do_not_stick(dtype, expected):
    assert mx.cumsum(mx.ones((5000,), dtype=dtype))[-1].item() == expected
    grown = mx.cumprod(mx.full((256,), 1.01, dtype=dtype))[-1].item()
    np.testing.assert_allclose(grown, mx.array(1.01, dtype=dtype).item() ** 256, rtol=4e-3)
    places = mx.zeros((5000,), dtype=mx.int32)
    assert mx.zeros((1,), dtype=dtype).at[places].add(mx.ones((5000,), dtype=dtype)).item() == expected


# Without groups in three dimensions, where MLX has none.
@pytest.mark.parametrize(("kernel", "groups"), [((3,), 1), ((3,), 2), ((3, 2), 1), ((3, 2), 2), ((2, 2, 2), 1)])
def test_convolutions_of_float64_are_those_of_float32(kernel, groups):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *(6 for _ in kernel), 4))
    w = rng.normal(size=(6, *kernel, 4 // groups))
    options = {"stride": 2, "padding": 1, "kernel_dilation": 2, "groups": groups}
    for flip in (False, True):
        found = mx.conv_general(wide(x), wide(w), flip=flip, **options)
        expected = mx.conv_general(mx.array(x, dtype=mx.float32), mx.array(w, dtype=mx.float32), flip=flip, **options)
        assert found.dtype == mx.float64
        np.testing.assert_allclose(np.array(found), np.array(expected), atol=1e-4)


def test_a_convolution_of_float64_to_the_last_digits():
    x, w = np.random.default_rng(0).normal(size=(2, 9))
    found = mx.conv1d(wide(x).reshape(1, 9, 1), wide(w).reshape(1, 9, 1), padding=8)
    np.testing.assert_allclose(np.array(found).ravel(), np.convolve(x, w[::-1]), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolutions_of_float64_are_those_of_float32(groups):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 5, 4)), rng.normal(size=(6, 3, 4 // groups))
    options = {"stride": 2, "padding": 1, "dilation": 2, "output_padding": 1, "groups": groups}
    narrow = [mx.array(a, dtype=mx.float32) for a in (x, w)]
    found, expected = mx.conv_transpose1d(wide(x), wide(w), **options), mx.conv_transpose1d(*narrow, **options)
    np.testing.assert_allclose(np.array(found), np.array(expected), atol=1e-4)


def test_normalisation_of_float64():
    x, w = np.random.default_rng(0).normal(size=(2, 4)), np.random.default_rng(1).normal(size=4)
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + np.float32(1e-5)) * w
    found = mx.vmap(lambda x: mx.fast.rms_norm(x, wide(w), 1e-5))(wide(x))
    np.testing.assert_allclose(np.array(found), expected, rtol=1e-13)
    centred = x - x.mean(-1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + np.float32(1e-5)) * w + 1
    found = mx.fast.layer_norm(wide(x), wide(w), wide(np.ones(4)), 1e-5)
    np.testing.assert_allclose(np.array(found), expected, rtol=1e-12)


@pytest.mark.parametrize("masked", ["", "causal", "bool", "added", "sinks"])
def test_attention_of_float64(masked):
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(2, 4, 5, 8)), rng.normal(size=(2, 2, 7, 8)), rng.normal(size=(2, 2, 7, 3))
    mask, options = np.zeros((5, 7)), {}
    if masked == "causal":
        mask, options = np.where(np.arange(7) <= np.arange(2, 7)[:, None], 0, -np.inf), {"mask": "causal"}
    elif masked in ("bool", "added"):
        seen = rng.normal(size=(5, 7)) > -1
        mask = np.where(seen, 0, -np.inf) if masked == "bool" else rng.normal(size=(5, 7))
        options = {"mask": mx.array(seen) if masked == "bool" else wide(mask)}
    extra = np.zeros((2, 4, 5, 0))
    if masked == "sinks":
        sinks = rng.normal(size=4)
        extra, options = np.broadcast_to(sinks[:, None, None], (2, 4, 5, 1)), {"sinks": wide(sinks)}
    scores = q @ k.repeat(2, axis=1).swapaxes(-1, -2) * 0.25 + mask
    weights = np.exp(np.concatenate([scores, extra], axis=-1))
    weights = (weights / weights.sum(-1, keepdims=True))[..., :7]
    found = mx.fast.scaled_dot_product_attention(wide(q), wide(k), wide(v), scale=0.25, **options)
    np.testing.assert_allclose(np.array(found), weights @ v.repeat(2, axis=1), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("traditional", [False, True])
def test_rotations_of_float64(traditional):
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 8))
    angles = (np.arange(5) + 300)[:, None] * 10000.0 ** (-np.arange(4) / 4)
    pairs = (slice(0, None, 2), slice(1, None, 2)) if traditional else (slice(0, 4), slice(4, 8))
    first, second = (x[..., pair] for pair in pairs)
    expected = np.empty_like(x)
    expected[..., pairs[0]] = first * np.cos(angles) - second * np.sin(angles)
    expected[..., pairs[1]] = first * np.sin(angles) + second * np.cos(angles)
    found = mx.fast.rope(wide(x), 8, traditional=traditional, base=10000.0, scale=1.0, offset=300)
    np.testing.assert_allclose(np.array(found), expected, rtol=1e-11, atol=1e-13)


def test_the_determinant_of_float64():
    a = np.random.default_rng(0).normal(size=(3, 5, 5))
    np.testing.assert_allclose(np.array(mx.linalg.det(wide(a))), np.linalg.det(a), rtol=1e-12)
    x = wide(a[0])
    step = mx.zeros((5, 5), dtype=mx.float64).at[1, 2].add(1e-6)
    slope = (mx.linalg.det(x + step) - mx.linalg.det(x - step)).item() / 2e-6
    np.testing.assert_allclose(mx.grad(mx.linalg.det)(x)[1, 2].item(), slope, rtol=1e-7)


# --- statistics ---


def test_means_of_integers_and_halves_do_not_overflow():
    assert mx.mean(mx.array([2**30] * 4)).item() == 2**30
    assert mx.var(mx.array([2**20, 0])).item() == 2**38
    assert mx.std(mx.array([2**20, 0])).item() == 2**19
    assert mx.mean(mx.full((70000,), 10.0, dtype=mx.float16)).item() == 10
    found = mx.var(mx.array([-200.0, 200.0] * 4, dtype=mx.float16))
    assert (found.item(), found.dtype) == (40000.0, mx.float16)


def test_group_statistics_of_float16():
    x = mx.array(np.random.default_rng(0).normal(size=(64, 1024)) * 30, dtype=mx.float16)
    np.testing.assert_allclose(mx.std(x).item(), np.array(x, dtype=np.float64).std(), rtol=1e-3)


def test_integers_do_not_wrap():
    assert not mx.allclose(mx.array([-(2**31)]), mx.array([2**31 - 1])).item()
    np.testing.assert_allclose(mx.linalg.norm(mx.array([2**20, 2**20])).item(), 2**20.5, rtol=1e-6)
    np.testing.assert_allclose(mx.linalg.norm(mx.array([200, 200], dtype=mx.uint8)).item(), 200 * 2**0.5, rtol=1e-6)


def test_the_norm_of_halves():
    assert mx.linalg.norm(mx.array([300.0, 400.0], dtype=mx.float16)).item() == 500
    assert mx.linalg.norm(mx.array([[300.0, 400.0]], dtype=mx.float16), ord=2, axis=1).tolist() == [500]


def test_complex_powers_of_zero():
    zero = mx.array([0j, 0j, 0j])
    assert mx.power(zero, mx.array([0j, 2 + 0j, 1 + 1j])).tolist() == [1, 0, 0]


# --- random numbers ---


def test_integers_of_a_far_range():
    found = np.array(mx.random.randint(10**9, 10**9 + 100, (2000,), key=mx.random.key(0)))
    assert set(found.tolist()) == set(range(10**9, 10**9 + 100))
    wide_range = np.array(mx.random.randint(-(2**31), 2**31 - 1, (2000,), key=mx.random.key(1)))
    assert len(set(wide_range.tolist())) > 1990
    assert wide_range.min() < -(2**30) < 2**30 < wide_range.max()


@pytest.mark.parametrize(("low", "high", "dtype"), [
    (-(2**63), 2**63 - 1, np.int64), (-(2**62), 2**63 - 1, np.int64), (0, 2**64 - 1, np.uint64),
])  # fmt: skip
def test_integers_of_most_of_what_the_type_has(low, high, dtype):
    first, end = mx.array(dtype(low)), mx.array(dtype(high))
    found = np.array(mx.random.randint(first, end, (2000,), first.dtype, mx.random.key(2)))
    quarter = (high - low) // 4
    assert len(set(found.tolist())) == 2000
    assert low <= int(found.min()) < low + quarter < high - quarter < int(found.max()) < high


def test_unsigned_integers_past_those_with_a_sign():
    low, high = (mx.array(np.uint64(2**64 - back)) for back in (100, 50))
    found = np.array(mx.random.randint(low, high, (2000,), mx.uint64, mx.random.key(0)))
    assert set(found.tolist()) == set(range(2**64 - 100, 2**64 - 50))


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 1.0), (0.1, 0.3), (-3.0, 0.0), (1.0, 1.0), (1.0, -1.0)])
@pytest.mark.parametrize("draw", [mx.random.uniform, mx.random.truncated_normal])
def test_bounds_that_are_known_and_others_give_the_same_numbers(draw, dtype, bounds):
    def drawn(low, high):
        return draw(low, high, (2000,), dtype=dtype, key=mx.random.key(3))

    known, others = drawn(*bounds), mx.compile(drawn)(*map(mx.array, bounds))
    # Compiled, the normal distribution's functions are MLX's.
    rtol, atol = (0, 0) if draw is mx.random.uniform else (1e-5, 1e-6)
    np.testing.assert_allclose(np.array(known.astype(mx.float32)), np.array(others.astype(mx.float32)), rtol, atol)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32])
@pytest.mark.parametrize("bounds", [(0, 1), (1, 2), (-2, -1), (-1, 0)])
def test_uniform_numbers_leave_out_the_end(dtype, bounds):
    found = mx.random.uniform(*bounds, (20000,), dtype=dtype, key=mx.random.key(0))
    assert bounds[0] <= found.min().item()
    assert found.max().item() < bounds[1]


@pytest.mark.parametrize(("low", "high"), [(8.0, 9.0), (-9.0, -8.0), (4.0, 5.0), (12.0, 30.0)])
def test_normal_numbers_of_a_far_interval(low, high):
    found = np.array(mx.random.truncated_normal(low, high, (20000,), key=mx.random.key(0)), dtype=np.float64)
    assert low <= found.min() < found.max() <= high
    near, size = min(abs(low), abs(high)), np.abs(found)
    # E[x] = (pdf(a) - pdf(b)) / (cdf(b) - cdf(a))
    a, b = near, max(abs(low), abs(high))
    density = [math.exp((a * a - x * x) / 2) / math.sqrt(2 * math.pi) for x in (a, b)]
    weight = (math.erfc(a / 2**0.5) - math.erfc(b / 2**0.5)) / 2 * math.exp(a * a / 2)
    np.testing.assert_allclose(size.mean(), (density[0] - density[1]) / weight, rtol=2e-3)


@pytest.mark.parametrize("rows", [2, 33, 100])
def test_a_row_of_a_product_alone_and_beside_others(rows):
    rng = np.random.default_rng(rows)
    x, w = (rng.normal(size=shape).astype(np.float32) for shape in ((rows, 256), (256, 64)))
    whole = np.array(mx.array(x) @ mx.array(w))
    exact, sizes = x.astype(np.float64) @ w, np.abs(x) @ np.abs(w)
    for row in range(rows):
        alone = np.array(mx.array(x[row : row + 1]) @ mx.array(w))[0]
        for found in (alone, whole[row]):
            assert (np.abs(found - exact[row]) < 1e-6 * sizes[row]).all()


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("size", [5, 9001])
def test_quotients_of_integers_are_rounded_down_and_wrap_around(dtype, size):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 120, size).astype(dtype)
    y = rng.integers(1, 9, size).astype(dtype)
    if np.dtype(dtype).kind == "i":
        x, y = x * rng.choice([-1, 1], size).astype(dtype), y * rng.choice([-1, 1], size).astype(dtype)
    quotients, rests = mx.divmod(mx.array(x), mx.array(y))
    np.testing.assert_array_equal(np.array(rests + 0), x % y)
    np.testing.assert_array_equal(np.array(quotients), x // y)
    np.testing.assert_array_equal(np.array(mx.array(x) // mx.array(y)), x // y)
    np.testing.assert_array_equal(np.array(mx.array(x) % mx.array(y)), x % y)
    assert not np.array(mx.array(x) // 0).any()
    np.testing.assert_array_equal(np.array(mx.array(x) % 0), x)
    # Beside an operation without a kernel of ours.
    shifted = mx.compile(lambda a, b: (a // b) << 0)
    np.testing.assert_array_equal(np.array(shifted(mx.array(x), mx.array(y))), x // y)
    assert not np.array(shifted(mx.array(x), mx.array(0 * y))).any()
    if dtype in ("int8", "int16"):
        least = mx.full((size,), np.iinfo(dtype).min, dtype=getattr(mx, dtype))
        assert np.unique(np.array(least // -1)).tolist() == [np.iinfo(dtype).min]
        assert not np.array(least % -1).any()


@pytest.mark.parametrize(("start", "step"), [(0, 0.1), (-5.5, 0.3), (7, -0.001)])
@pytest.mark.parametrize("dtype", [mx.float32, mx.float64, mx.float16, mx.bfloat16])
def test_the_step_of_a_range_is_not_added_up(start, step, dtype):
    exact = start + step * np.arange(100_000)
    found = mx.arange(start, start + step * 99_999.5, step, dtype=dtype)
    unit = {mx.float64: 2.0**-51, mx.float32: 2.0**-23, mx.float16: 2.0**-10, mx.bfloat16: 2.0**-7}[dtype]
    error = np.abs(np.array(found.astype(mx.float64)) - exact)
    assert (error <= unit * np.maximum(np.abs(exact), 1)).all()
