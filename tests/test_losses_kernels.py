"""The fused losses agree with float64 numpy: values and gradients, on every dtype and on awkward rows."""

import numpy as np
import pytest
from helpers import needs_own_mlxc
from hypothesis import given, settings
from hypothesis import strategies as st
from losses_oracle import (
    GRADIENT_ERROR,
    LOSS_ERROR,
    WIDE,
    array_of,
    as_numpy,
    cross_entropy,
    cross_entropy_gradient,
    js,
    js_gradients,
    kl,
    kl_gradients,
    require_close,
)

import mlxffi as m
from mlxffi.losses import reference

# The reference, which stands in over another mlx-c, is not as exact.
pytestmark = needs_own_mlxc

INF = np.inf
SIZES = [1, 2, 7, 15, 16, 17, 63, 64, 65, 1000, 2049, 4100]
DIVERGENCES = {"kl": (m.kl_div_loss, kl, kl_gradients), "js": (m.js_div_loss, js, js_gradients)}
ROWS = {
    "normal": [[0.5, -1.0, 2.0, 0.1]],
    "all equal": [[3.0, 3.0, 3.0, 3.0]],
    "large": [[1e4, -1e4, 0.0, 9.99e3]],
    "far below 0": [[-1e4, -1e4 + 1, -1e4 - 8, -1e4]],
    "one-hot": [[0.0, -INF, -INF, -INF]],
    "some impossible": [[-INF, 1.0, -INF, 0.5]],
    "subnormal": [[0.0, -95.0, -88.0, -103.0]],
}


def gradients_of(fn, arrays, cotangent):
    return m.vjp(lambda inputs: [fn(*inputs)], arrays, [cotangent])[1]


def check_cross_entropy(values, targets, dtype, smoothing=0.0):
    logits, x = array_of(values, dtype)
    targets = np.asarray(targets)
    cotangent, c = array_of(np.random.default_rng(5).normal(size=targets.shape), WIDE[dtype])
    goal = m.Array(targets.astype(np.int32))
    loss = lambda x: m.cross_entropy(x, goal, label_smoothing=smoothing)  # noqa: E731
    require_close(loss(logits), cross_entropy(x, targets, smoothing), LOSS_ERROR[dtype])
    (gradient,) = gradients_of(loss, [logits], cotangent)
    assert (gradient.dtype, gradient.shape) == (logits.dtype, logits.shape)
    require_close(gradient, cross_entropy_gradient(x, targets, c, smoothing), GRADIENT_ERROR[dtype])


def check_divergence(name, q_values, p_values, dtype, temperature=1.0, slack=1.0):
    fused, definition, gradients = DIVERGENCES[name]
    (q, x), (p, y) = array_of(q_values, dtype), array_of(p_values, dtype)
    cotangent, c = array_of(np.random.default_rng(5).normal(size=x.shape[:-1]), WIDE[dtype])
    require_close(fused(q, p, temperature=temperature), definition(x, y, temperature), LOSS_ERROR[dtype])
    both = lambda q, p: fused(q, p, temperature=temperature, teacher_gradient=True)  # noqa: E731
    for found, expected in zip(gradients_of(both, [q, p], cotangent), gradients(x, y, c, temperature), strict=True):
        assert found.dtype == q.dtype
        require_close(found, expected, slack * GRADIENT_ERROR[dtype])


# --- random rows ---


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", WIDE)
def test_cross_entropy_of_random_rows(size, dtype):
    rng = np.random.default_rng(size)
    targets = rng.integers(0, size, (3, 2))
    for smoothing in (0.0, 0.1, 1.0):
        check_cross_entropy(rng.normal(size=(3, 2, size)) * 3, targets, dtype, smoothing)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("name", DIVERGENCES)
def test_divergences_of_random_rows(name, size, dtype):
    rng = np.random.default_rng(size)
    q, p = rng.normal(size=(2, 3, 2, size)) * 3
    for temperature in (1.0, 2.5):
        check_divergence(name, q, p, dtype, temperature)


@given(
    batch=st.lists(st.integers(0, 3), max_size=3), size=st.integers(1, 70), scale=st.sampled_from([0.01, 1.0, 30.0]),
    seed=st.integers(0, 9), dtype=st.sampled_from(list(WIDE)),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_shape(batch, size, scale, seed, dtype):
    rng = np.random.default_rng(seed)
    q, p = rng.normal(size=(2, *batch, size)) * scale
    check_cross_entropy(q, rng.integers(0, size, batch), dtype, 0.2)
    # A gradient holds the difference of two logarithms of that size, of which float32 keeps seven digits.
    check_divergence("kl", q, p, dtype, slack=max(1.0, scale / 3))
    check_divergence("js", q, p, dtype, slack=max(1.0, scale / 3))


# --- extremes ---


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("dtype", WIDE)
def test_cross_entropy_of_extreme_rows(row, dtype):
    for target in range(4):
        check_cross_entropy(ROWS[row], [target], dtype)
        check_cross_entropy(ROWS[row], [target], dtype, 0.5)


@pytest.mark.parametrize("p_row", ROWS)
@pytest.mark.parametrize("q_row", ROWS)
@pytest.mark.parametrize("name", DIVERGENCES)
def test_divergences_of_extreme_rows(name, q_row, p_row):
    q, p = np.array(ROWS[q_row]), np.array(ROWS[p_row])
    definition = DIVERGENCES[name][1]
    for dtype in ("float32", "float64"):
        if np.isfinite(definition(q, p)).all():
            check_divergence(name, q, p, dtype)
        else:
            # exp(-88) is a probability in float64 and 0 in float32.
            expected = 0 if (q_row, p_row, dtype) == ("one-hot", "subnormal", "float32") else INF
            assert m.kl_div_loss(array_of(q, dtype)[0], array_of(p, dtype)[0]).tolist() == [expected]


@pytest.mark.parametrize("bad", [np.nan, INF])
def test_what_is_not_a_logit_makes_its_row_nan_and_no_other(bad):
    values = np.zeros((3, 40))
    values[1, 37] = bad
    logits, _ = array_of(values)
    plain, _ = array_of(np.ones((3, 40)))
    targets = m.Array([0, 1, 2])
    calls = {
        "cross-entropy": lambda x: m.cross_entropy(x, targets, label_smoothing=0.1),
        "kl of q": lambda x: m.kl_div_loss(x, plain),
        "kl of p": lambda x: m.kl_div_loss(plain, x, teacher_gradient=True),
        "js of q": lambda x: m.js_div_loss(x, plain),
        "js of p": lambda x: m.js_div_loss(plain, x, teacher_gradient=True),
    }
    for name, call in calls.items():
        assert np.isnan(as_numpy(call(logits))).tolist() == [False, True, False], name
        (gradient,) = gradients_of(call, [logits], m.ones([3]))
        assert np.isnan(as_numpy(gradient)).any(-1).tolist() == [False, True, False], name


def test_a_row_without_possible_classes_has_no_loss():
    nothing, _ = array_of([[-INF, -INF]])
    plain, _ = array_of([[0.0, 1.0]])
    losses = [m.cross_entropy(nothing, [0]), m.kl_div_loss(nothing, plain), m.js_div_loss(plain, nothing)]
    assert all(np.isnan(as_numpy(loss)).all() for loss in losses)


@pytest.mark.parametrize("target", [-1, 4, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_a_target_that_is_no_class_has_a_loss_of_nan(target, dtype):
    logits, _ = array_of(np.zeros((2, 4)))
    targets = m.Array([1, target], dtype)
    assert np.isnan(as_numpy(m.cross_entropy(logits, targets))).tolist() == [False, True]
    (gradient,) = gradients_of(lambda x: m.cross_entropy(x, targets), [logits], m.ones([2]))
    assert np.isnan(as_numpy(gradient)).all(-1).tolist() == [False, True]
    assert np.isnan(as_numpy(reference.cross_entropy(logits, targets))).tolist() == [False, True]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"])
def test_targets_of_every_integer_dtype(dtype):
    logits, x = array_of(np.random.default_rng(0).normal(size=(3, 5)))
    losses = m.cross_entropy(logits, m.Array([4, 0, 2], dtype), ignore_index=4)
    expected = cross_entropy(x, np.array([4, 0, 2]))
    require_close(losses, [0, *expected[1:]], 1e-6)


# --- what must hold exactly ---


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("name", DIVERGENCES)
def test_identical_inputs_have_no_divergence_and_no_gradient(name, dtype):
    values = np.random.default_rng(1).normal(size=(3, 1000)) * 5
    values[1] += 1e3
    logits, _ = array_of(values, dtype)
    loss = lambda q, p: DIVERGENCES[name][0](q, p, teacher_gradient=True)  # noqa: E731
    assert as_numpy(loss(logits, logits)).tolist() == [0, 0, 0]
    for gradient in gradients_of(loss, [logits, m.copy(logits)], m.ones([3], WIDE[dtype])):
        assert not as_numpy(gradient).any()


def test_divergences_are_never_negative():
    q = np.random.default_rng(2).normal(size=(200, 64))
    for name in DIVERGENCES:
        for noise in (1e-7, 1e-5, 1e-3):
            found = DIVERGENCES[name][0](array_of(q)[0], array_of(q * (1 + noise))[0])
            assert (as_numpy(found) >= 0).all()


def test_js_of_nearly_equal_distributions_keeps_its_digits():
    q = np.random.default_rng(2).normal(size=(50, 1000))
    (found, x), (_, y) = array_of(q), array_of(q + np.random.default_rng(3).normal(size=q.shape) * 1e-2)
    expected = js(x, y)
    np.testing.assert_allclose(as_numpy(m.js_div_loss(found, array_of(y)[0])), expected, rtol=2e-3)


def test_js_is_symmetric_and_at_most_log_2():
    q, p = array_of(np.random.default_rng(3).normal(size=(20, 300)))[0], array_of(np.eye(20, 300) * 1e3)[0]
    there, back = as_numpy(m.js_div_loss(q, p)), as_numpy(m.js_div_loss(p, q))
    np.testing.assert_array_equal(there, back)
    far = m.js_div_loss(array_of([[1e4, 0.0]])[0], array_of([[0.0, 1e4]])[0])
    assert far.item() == pytest.approx(np.log(2), rel=1e-6)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_gradients_of_a_row_add_up_to_zero(name):
    q, p = np.random.default_rng(4).normal(size=(2, 20, 5000)) * 3
    loss = lambda q, p: DIVERGENCES[name][0](q, p, teacher_gradient=True)  # noqa: E731
    for gradient in gradients_of(loss, [array_of(q)[0], array_of(p)[0]], m.ones([20])):
        values = as_numpy(gradient)
        assert (np.abs(values.sum(-1)) < 1e-7 + 3e-6 * np.abs(values).sum(-1)).all()


def test_rows_are_independent():
    rng = np.random.default_rng(5)
    q, p = rng.normal(size=(2, 9, 333))
    targets = rng.integers(0, 333, 9)
    one = slice(4, 5)
    calls = [
        (lambda q, p, t: m.cross_entropy(q, t), targets),
        (lambda q, p, t: m.kl_div_loss(q, p), targets),
        (lambda q, p, t: m.js_div_loss(q, p), targets),
    ]
    for call, t in calls:
        whole = as_numpy(call(array_of(q)[0], array_of(p)[0], m.Array(t)))
        alone = as_numpy(call(array_of(q[one])[0], array_of(p[one])[0], m.Array(t[one])))
        np.testing.assert_array_equal(alone, whole[one])


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_teacher_gets_no_gradient_unless_asked(name):
    q, p = (array_of(values)[0] for values in np.random.default_rng(6).normal(size=(2, 3, 8)))
    _, gradient = gradients_of(DIVERGENCES[name][0], [q, p], m.ones([3]))
    assert not as_numpy(gradient).any()
    _, gradient = gradients_of(lambda q, p: DIVERGENCES[name][0](q, p, teacher_gradient=True), [q, p], m.ones([3]))
    assert as_numpy(gradient).all()


@pytest.mark.parametrize("dtype", WIDE)
def test_a_large_vocabulary(dtype):
    rng = np.random.default_rng(8)
    q, p = rng.normal(size=(2, 2, 262_144))
    check_cross_entropy(q, rng.integers(0, 262_144, 2), dtype, 0.1)
    check_divergence("kl", q, p, dtype)
    check_divergence("js", q, p, dtype)


def test_more_elements_than_32_bits_count():
    rows = 2**31 // 262_144 + 2
    row, x = array_of(np.random.default_rng(9).normal(size=(1, 262_144)))
    losses = m.cross_entropy(m.broadcast_to(row, [rows, 262_144]), m.zeros([rows], "int32"))
    expected = cross_entropy(x, np.array([0]))[0]
    np.testing.assert_allclose(losses.tolist(), [expected] * rows, rtol=1e-6)
