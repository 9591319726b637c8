"""Losses agree with float64 numpy, also at the extremes, and refuse what they cannot make sense of."""

import math
import re

import numpy as np
import pytest
from helpers import check_grads, error_of, numbers

import mlxffi as m
from mlxffi.losses import cross_entropy_loss, masked_cross_entropy_loss, mse_loss

SHAPES = [(), (4,), (2, 3), (2, 1, 3)]
WIDE = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}


def cross_entropies(logits, targets):
    """logsumexp(logits) - logits[target] in float64."""
    top = logits.max(-1, keepdims=True)
    chosen = np.take_along_axis(logits, targets[..., None], -1)
    return (np.log(np.exp(logits - top).sum(-1, keepdims=True)) + top - chosen)[..., 0]


def sample(shape, classes=5, dtype="float32", seed=0):
    """Logits and targets as Arrays, and the same (rounded to the dtype) for numpy."""
    rng = np.random.default_rng(seed)
    logits = m.Array(rng.normal(size=(*shape, classes)).tolist(), dtype)
    targets = rng.integers(0, classes, shape)
    return logits, m.Array(targets.tolist()), numbers(logits), targets


# --- values ---


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", WIDE)
def test_cross_entropy_is_the_mean_over_all_targets(shape, dtype):
    logits, targets, x, t = sample(shape, dtype=dtype)
    loss = cross_entropy_loss(logits, targets)
    assert loss.dtype.name == WIDE[dtype]
    assert loss.shape == ()
    assert loss.item() == pytest.approx(cross_entropies(x, t).mean(), rel=1e-5)


@pytest.mark.parametrize("shape", SHAPES[1:])
@pytest.mark.parametrize("mask_dtype", ["bool", "int32", "float32", "float16"])
def test_masked_cross_entropy_is_the_mean_over_what_the_mask_selects(shape, mask_dtype):
    logits, targets, x, t = sample(shape)
    mask = np.random.default_rng(1).integers(0, 2, shape)
    mask.flat[0] = 1
    loss = masked_cross_entropy_loss(logits, targets, m.Array(mask.tolist(), mask_dtype))
    assert loss.item() == pytest.approx(cross_entropies(x, t)[mask == 1].mean(), rel=1e-5)


def test_masked_cross_entropy_takes_weights():
    logits, targets, x, t = sample((3,))
    weights = np.array([0.5, 2.0, 0.25])
    loss = masked_cross_entropy_loss(logits, targets, m.Array(weights.tolist()))
    assert loss.item() == pytest.approx((cross_entropies(x, t) * weights).sum() / weights.sum(), rel=1e-5)


def test_a_full_mask_changes_nothing():
    logits, targets, _, _ = sample((2, 3))
    masked = masked_cross_entropy_loss(logits, targets, m.ones([2, 3], "bool"))
    assert masked.item() == pytest.approx(cross_entropy_loss(logits, targets).item(), rel=1e-6)


@pytest.mark.parametrize("dtype", WIDE)
def test_mse_is_the_mean_of_the_squares(dtype):
    p, t = ([[0.5, -1.5], [2.0, 3.0]], [[1.0, -1.0], [2.5, 0.0]])
    loss = mse_loss(m.Array(p, dtype), m.Array(t, dtype))
    assert loss.dtype.name == WIDE[dtype]
    assert loss.item() == np.mean((np.array(p) - t) ** 2)


def test_values_of_the_go_port():
    assert cross_entropy_loss(m.Array([[1.0, 2.0, 3.0]]), m.Array([2])).item() == pytest.approx(0.4076059)
    assert mse_loss(m.Array([1.0, 2.0]), m.Array([1.5, 2.5])).item() == 0.25
    matrix = m.Array([[1.0, 2.0], [3.0, 4.0]])
    assert m.sum_all(matrix).item() == 10.0
    assert m.mean_all(m.Array([[2.0, 4.0], [6.0, 8.0]])).item() == 5.0
    assert m.ones_like(matrix).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert m.log(m.Array(math.e)).item() == pytest.approx(1.0)


@pytest.mark.parametrize("mse_dtype", ["int32", "bool", "uint8"])
def test_mse_of_integers_is_in_float32(mse_dtype):
    loss = mse_loss(m.Array([0, 1, 1], mse_dtype), m.Array([1, 1, 1], mse_dtype))
    assert (loss.dtype.name, loss.item()) == ("float32", pytest.approx(1 / 3))


# --- extremes ---


@pytest.mark.parametrize(
    ("logits", "target", "expected"),
    [
        ([1e4, -1e4, 0.0], 0, 0.0),
        ([1e4, -1e4, 0.0], 1, 2e4),
        ([-1e4, -1e4, -1e4], 2, math.log(3)),
        ([0.0, 0.0, 0.0], 1, math.log(3)),
        ([1e4, 1e4], 0, math.log(2)),
        ([5.0], 0, 0.0),
    ],
)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_extreme_logits(logits, target, expected, dtype):
    loss = cross_entropy_loss(m.Array([logits], dtype), m.Array([target]))
    assert loss.item() == pytest.approx(expected, rel=1e-3 if dtype == "float16" else 1e-6)
    masked = masked_cross_entropy_loss(m.Array([logits], dtype), m.Array([target]), m.Array([1]))
    assert masked.item() == loss.item()


def test_a_shift_of_all_logits_changes_nothing():
    logits, targets, _, _ = sample((2, 3))
    loss = cross_entropy_loss(logits, targets).item()
    assert cross_entropy_loss(m.add(logits, m.Array(100.0)), targets).item() == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_are_summed_in_float32(dtype):
    # In the half type itself a sum of 4096 such losses would stand still long before its end.
    logits, targets, x, t = sample((4096,), classes=8, dtype=dtype)
    mask = m.ones([4096], dtype)
    expected = cross_entropies(x, t).mean()
    assert cross_entropy_loss(logits, targets).item() == pytest.approx(expected, rel=1e-5)
    assert masked_cross_entropy_loss(logits, targets, mask).item() == pytest.approx(expected, rel=1e-5)
    assert mse_loss(logits, m.zeros_like(logits)).item() == pytest.approx((x**2).mean(), rel=1e-4)


# --- gradients ---


def test_gradients_agree_with_differences():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))
    targets, mask = [[1, 0, 3], [2, 2, 0]], [[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    check_grads(lambda inputs: [cross_entropy_loss(inputs[0], targets)], [x])
    check_grads(lambda inputs: [masked_cross_entropy_loss(inputs[0], targets, mask)], [x])
    weights = rng.random((2, 3)) + 0.5
    check_grads(lambda inputs: [masked_cross_entropy_loss(inputs[0], targets, inputs[1])], [x, weights])
    check_grads(lambda inputs: [mse_loss(*inputs)], [x, y])


@pytest.mark.parametrize("dtype", WIDE)
def test_gradients_have_the_dtype_of_the_logits(dtype):
    logits, targets, _, _ = sample((2, 3), dtype=dtype)
    with m.value_and_grad(lambda inputs: [cross_entropy_loss(*inputs)]) as function:
        _, (gradient,) = function(logits, targets)
    assert (gradient.dtype, gradient.shape) == (logits.dtype, logits.shape)


def test_masked_targets_get_no_gradient():
    logits, targets, _, _ = sample((3,))
    _, (gradient,) = m.vjp(
        lambda inputs: [masked_cross_entropy_loss(inputs[0], targets, [1, 0, 1])], [logits], [m.Array(1.0)]
    )
    rows = numbers(gradient)
    assert (rows[1] == 0).all()
    assert (rows[[0, 2]] != 0).all()


# --- what is refused ---


@pytest.mark.parametrize("mask", [[0, 0], [0.0, 0.0], [False, False]])
def test_a_mask_of_zeros_is_an_error_where_it_is_known(mask):
    logits, targets, _, _ = sample((2,))
    message = r"\[masked_cross_entropy_loss\] mask: expected at least one target that counts, got all zeros"
    with pytest.raises(ValueError, match=message):
        masked_cross_entropy_loss(logits, targets, m.Array(mask))
    known = m.Array(mask)
    for transform in (m.value_and_grad, m.compile, m.checkpoint):
        function = transform(lambda inputs: [masked_cross_entropy_loss(inputs[0], targets, known)])
        with pytest.raises(ValueError, match=message):
            function(logits) if transform is m.value_and_grad else function([logits])


def test_a_mask_that_is_traced_is_not_looked_at():
    logits, targets, _, _ = sample((2,))
    step = m.compile(lambda inputs: [masked_cross_entropy_loss(*inputs)])
    ones, zeros = (step([logits, targets, m.Array(mask)])[0].item() for mask in ([1.0, 1.0], [0.0, 0.0]))
    assert ones == pytest.approx(cross_entropy_loss(logits, targets).item(), rel=1e-6)
    assert math.isnan(zeros)


REFUSED = {
    "logits are integers": (
        lambda: cross_entropy_loss([[1, 2]], [0]),
        r"\[cross_entropy_loss\] logits: expected floating point with a last axis of classes, got int32 \[1, 2\]",
    ),
    "logits have no axes": (
        lambda: cross_entropy_loss(m.Array(1.0), 0), r"logits: expected .* classes, got float32 \[\]"
    ),
    "targets are floats": (
        lambda: cross_entropy_loss([[1.0, 2.0]], [0.0]), r"targets: expected integers, got float32"
    ),
    "targets have another shape": (
        lambda: cross_entropy_loss(m.ones([2, 3, 4]), m.zeros([3, 2], "int32")),
        r"targets: expected the shape of logits without its last axis, \[2, 3\], got \[3, 2\]",
    ),
    "there are no targets": (
        lambda: cross_entropy_loss(m.ones([0, 4]), m.zeros([0], "int32")),
        r"logits: expected at least one element, got shape \[0, 4\]",
    ),
    "the mask has another shape": (
        lambda: masked_cross_entropy_loss(m.ones([2, 3]), m.zeros([2], "int32"), m.ones([1])),
        r"\[masked_cross_entropy_loss\] mask: expected the shape of targets, \[2\], got \[1\]",
    ),
    "the mask is complex": (
        lambda: masked_cross_entropy_loss(m.ones([2, 3]), m.zeros([2], "int32"), m.ones([2], "complex64")),
        r"mask: expected real numbers, got complex64",
    ),
    "predictions have another shape": (
        lambda: mse_loss(m.ones([2, 3]), m.ones([3])),
        r"\[mse_loss\] targets: expected the shape of predictions, \[2, 3\], got \[3\]",
    ),
    "predictions are complex": (
        lambda: mse_loss(m.ones([2], "complex64"), m.ones([2])), r"predictions: expected real numbers, got complex64"
    ),
    "there are no predictions": (
        lambda: mse_loss(m.ones([0]), m.ones([0])), r"predictions: expected at least one element, got shape \[0\]"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_an_error_names_the_argument_what_was_required_and_what_came(case):
    call, message = REFUSED[case]
    error = error_of(call, ValueError)
    assert isinstance(error, m.Error)
    assert re.search(message, str(error))
