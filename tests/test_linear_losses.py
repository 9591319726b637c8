"""Losses over hidden states and the output layer's weight: values and gradients are those of the logits' losses."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from helpers import check_grads, error_of, needs_own_mlxc
from losses_oracle import (
    CPU,
    array_of,
    as_numpy,
    cross_entropy,
    cross_entropy_gradient,
    js,
    js_gradients,
    kl,
    kl_gradients,
)

import mlxffi as m
from mlxffi.losses import Head

RNG = np.random.default_rng(3)
# Relative to the largest number. The products are float32 for halves, too, and results are rounded to the halves.
ERROR = {"float64": 1e-11, "float32": 2e-5, "float16": 2e-3, "bfloat16": 1.6e-2}
# Over another mlx-c halves are rounded between the product and the loss.
DTYPES = ["float64", "float32", *(pytest.param(half, marks=needs_own_mlxc) for half in ("float16", "bfloat16"))]
PACKED = [("affine", 64, 4), ("affine", 32, 8), ("affine", 32, 3), ("mxfp4", 32, 4), ("mxfp8", 32, 8), ("nvfp4", 16, 4)]


def require_near(found, expected, error):
    found, expected = as_numpy(found), np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=error * max(1e-2, np.abs(expected).max(initial=0)))


def capped(x, cap):
    """Logits under a soft cap, and their derivative."""
    y = cap * np.tanh(x / cap) if cap else x
    return y, 1 - (y / cap) ** 2 if cap else np.ones_like(x)


def problem(rows, features, classes, dtype):
    h, hidden = array_of(RNG.normal(size=(rows, features)), dtype)
    w, weight = array_of(RNG.normal(size=(classes, features)) / np.sqrt(features), dtype)
    b, bias = array_of(RNG.normal(size=classes), dtype)
    targets = RNG.integers(0, classes, rows)
    return (h, w, b), (hidden, weight, bias), targets


# --- cross-entropy ---


def expected_cross_entropy(hidden, weight, bias, targets, cotangent, *, smoothing=0.0, z=0.0, cap=0.0, ignored=None):
    """The losses, and the gradients of hidden, weight and bias."""
    x, slope = capped(hidden @ weight.T + bias, cap)
    top = x.max(-1)
    sums = top + np.log(np.exp(x - top[:, None]).sum(-1))
    counted = np.ones(len(x)) if ignored is None else (targets != ignored).astype(float)
    found = (cross_entropy(x, targets, smoothing) + z * sums**2) * counted
    factor = cotangent * counted
    of_x = cross_entropy_gradient(x, targets, factor, smoothing)
    of_x = (of_x + (factor * 2 * z * sums)[:, None] * np.exp(x - sums[:, None])) * slope
    return found, of_x @ weight, of_x.T @ hidden, of_x.sum(0)


OPTIONS = {
    "plain": {},
    "smoothed": {"smoothing": 0.2},
    "capped": {"cap": 3.0},
    "z": {"z": 0.01},
    "all": {"smoothing": 0.1, "cap": 4.0, "z": 0.02, "ignored": 2},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 8, 1), (5, 3, 7), (130, 33, 300), (300, 16, 1025)])
def test_values_and_gradients(shape, dtype, options):
    (h, w, b), (hidden, weight, bias), targets = problem(*shape, dtype)
    wide = "float64" if dtype == "float64" else "float32"
    c, cotangent = array_of(RNG.normal(size=shape[0]) * (RNG.random(shape[0]) > 0.2), wide)
    goal = m.Array(targets.astype(np.int32))

    def loss(inputs):
        head = Head(inputs[1], bias=inputs[2], soft_cap=options.get("cap", 0.0))
        named = {"label_smoothing": options.get("smoothing", 0.0), "z_loss": options.get("z", 0.0)}
        return [m.linear_cross_entropy(inputs[0], head, goal, ignore_index=options.get("ignored"), **named)]

    expected = expected_cross_entropy(hidden, weight, bias, targets, cotangent, **options)
    require_near(loss([h, w, b])[0], expected[0], ERROR[wide])
    values, gradients = m.vjp(loss, [h, w, b], [c])
    require_near(values[0], expected[0], ERROR[wide])
    for found, right in zip(gradients, expected[1:], strict=True):
        assert found.dtype.name == dtype
        require_near(found, right, ERROR[dtype])


@pytest.mark.parametrize(("mode", "group", "bits"), PACKED)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_packed_weight(mode, group, bits, dtype):
    (h, w, b), (hidden, _, bias), targets = problem(150, 128, 400, dtype)
    parts = m.quantize(w, group, bits, mode)
    scales, biases = parts[1], parts[2] if mode == "affine" else None
    weight = as_numpy(m.dequantize(parts[0], scales, biases, group, bits, mode, dtype=dtype))
    head = Head(parts[0], scales, biases, b, group, bits, mode)
    c, cotangent = array_of(RNG.normal(size=150))
    loss = lambda inputs: [m.linear_cross_entropy(inputs[0], head, m.Array(targets))]  # noqa: E731
    values, gradients = m.vjp(loss, [h], [c])
    right = expected_cross_entropy(hidden, weight, bias, targets, cotangent)
    require_near(values[0], right[0], 1e-4 if dtype == "float32" else ERROR[dtype])
    require_near(gradients[0], right[1], ERROR[dtype])


@needs_own_mlxc
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_more_rows_than_a_chunk_has(dtype):
    """128 rows of so many classes are the most that is made at once."""
    (h, w, b), (hidden, weight, bias), targets = problem(150, 2, 140_000, dtype)
    wide = "float64" if dtype == "float64" else "float32"
    c, cotangent = array_of(RNG.normal(size=150), wide)
    loss = lambda v: [m.linear_cross_entropy(v[0], Head(v[1], bias=v[2]), m.Array(targets), ignore_index=3)]  # noqa: E731
    right = expected_cross_entropy(hidden, weight, bias, targets, cotangent, ignored=3)
    values, gradients = m.vjp(loss, [h, w, b], [c])
    for found, wanted in zip([*values, *gradients], right, strict=True):
        require_near(found, wanted, ERROR[dtype])


@needs_own_mlxc
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_of_odd_sizes(dtype):
    (h, w, b), (hidden, weight, bias), targets = problem(45, 33, 6001, dtype)
    c, cotangent = array_of(RNG.normal(size=45))
    loss = lambda v: [m.linear_cross_entropy(v[0], Head(w, bias=b, soft_cap=9.0), m.Array(targets))]  # noqa: E731
    right = expected_cross_entropy(hidden, weight, bias, targets, cotangent, cap=9.0)
    values, gradients = m.vjp(loss, [h], [c])
    for found, wanted in zip([*values, *gradients], right[:2], strict=True):
        require_near(found, wanted, ERROR[dtype])


@needs_own_mlxc
def test_logits_are_never_in_memory():
    classes, rows = 60_000, 1024
    hidden, weight = m.random.normal([rows, 8]), m.random.normal([classes, 8])
    targets = m.zeros([rows], "int32")
    step = lambda: m.vjp(lambda v: [m.linear_cross_entropy(v[0], weight, targets)], [hidden], [m.ones([rows])])  # noqa: E731
    m.eval(hidden, weight, targets)
    m.memory.reset_peak_memory()
    before = m.memory.active_memory()
    m.eval(*step()[1])
    assert m.memory.peak_memory() - before < rows * classes * 4 / 2


@needs_own_mlxc
def test_what_does_not_count_may_be_anything():
    (_, w, _), (hidden, weight, _), targets = problem(6, 4, 9, "float32")
    broken = m.Array(np.where(np.arange(6)[:, None] == 2, np.nan, hidden).astype(np.float32))
    weights = m.Array([1, 1, 0, 1, 1, 1])
    loss = lambda v: [m.linear_cross_entropy(v[0], v[1], m.Array(targets), weights=weights, reduction="mean")]  # noqa: E731
    values, gradients = m.vjp(loss, [broken, w], [m.Array(1.0)])
    share = np.array([1, 1, 0, 1, 1, 1]) / 5
    kept = np.where(share[:, None] > 0, hidden, 0)
    right = expected_cross_entropy(kept, weight, 0, targets, share)
    require_near(values[0], (right[0] * share).sum(), 1e-5)
    require_near(gradients[0], right[1], 1e-5)
    require_near(gradients[1], right[2], 1e-5)


def test_targets_that_are_no_class():
    (h, w, _), _, _ = problem(3, 4, 5, "float32")
    found = as_numpy(m.linear_cross_entropy(h, w, m.Array([-1, 5, 2])))
    assert np.isnan(found).tolist() == [True, True, False]


# --- divergences ---


DIVERGENCES = {
    "kl": (m.linear_kl_div_loss, kl, kl_gradients),
    "js": (m.linear_js_div_loss, js, js_gradients),
}


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("dtype", ERROR)
@pytest.mark.parametrize("cap", [0.0, 3.0])
def test_divergences_of_heads_of_different_widths(name, dtype, cap):
    fused, definition, derivative = DIVERGENCES[name]
    (h, w, b), (hidden, weight, bias), _ = problem(140, 12, 90, dtype)
    (other_h, other_w, other_b), (other, other_weight, other_bias), _ = problem(140, 20, 90, dtype)
    wide = "float64" if dtype == "float64" else "float32"
    c, cotangent = array_of(RNG.normal(size=140), wide)

    def loss(v):
        heads = Head(v[1], bias=v[2], soft_cap=cap), Head(v[4], bias=v[5])
        return [fused(v[0], heads[0], v[3], heads[1], temperature=1.5, teacher_gradient=True)]

    (x, slope), y = capped(hidden @ weight.T + bias, cap), other @ other_weight.T + other_bias
    of_x, of_y = derivative(x, y, cotangent, 1.5)
    of_x = of_x * slope
    right = [definition(x, y, 1.5), of_x @ weight, of_x.T @ hidden, of_x.sum(0)]
    right += [of_y @ other_weight, of_y.T @ other, of_y.sum(0)]
    values, gradients = m.vjp(loss, [h, w, b, other_h, other_w, other_b], [c])
    for found, wanted in zip([*values, *gradients], right, strict=True):
        require_near(found, wanted, 3 * ERROR[dtype])


def test_a_teacher_gets_no_gradient_unless_asked():
    (h, w, _), _, _ = problem(4, 3, 6, "float32")
    loss = lambda v: [m.linear_kl_div_loss(h, w, v[0], v[1])]  # noqa: E731
    for gradient in m.vjp(loss, [h * 2.0, w], [m.ones([4])])[1]:
        assert not as_numpy(gradient).any()


# --- transforms ---


LOSSES = {
    "cross-entropy": lambda v: [m.linear_cross_entropy(v[0], Head(v[1], soft_cap=2.0), [1, 0, 3], z_loss=0.1)],
    "kl": lambda v: [m.linear_kl_div_loss(v[0], v[1], v[1][:3] * 2.0, v[1], teacher_gradient=True)],
}


@pytest.mark.parametrize("name", LOSSES)
def test_derivatives_of_second_order_and_forward(name):
    check_grads(LOSSES[name], [RNG.normal(size=(3, 2)), RNG.normal(size=(5, 2))])


@pytest.mark.parametrize("wrap", [m.compile, m.checkpoint, lambda fn: m.compile(fn, shapeless=True)])
@pytest.mark.parametrize("name", LOSSES)
def test_compile_and_checkpoint_change_nothing(name, wrap):
    arrays = [array_of(RNG.normal(size=shape))[0] for shape in ((3, 2), (5, 2))]
    expected, found = (m.vjp(fn, arrays, [m.ones([3])]) for fn in (LOSSES[name], wrap(LOSSES[name])))
    for one, other in zip([*found[0], *found[1]], [*expected[0], *expected[1]], strict=True):
        np.testing.assert_allclose(as_numpy(one), as_numpy(other), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axes", [[0, -1, 0], [1, -1, -1], [-1, -1, 0], [0, 0, 0], [-1, 1, -1]])
def test_vmap_of_the_loss_and_of_its_gradient(axes):
    shapes = {0: (2, 4, 3), 1: (2, 5, 3), 2: (2, 4)}
    arrays = [array_of(RNG.normal(size=shapes[0]))[0], array_of(RNG.normal(size=shapes[1]))[0]]
    arrays.append(m.Array(RNG.integers(0, 5, shapes[2])))

    def both(v):
        loss = lambda given: [m.linear_cross_entropy(given[0], given[1], v[2])]  # noqa: E731
        outputs, gradients = m.vjp(loss, v[:2], [m.ones([4])])
        return [*outputs, *gradients]

    inputs = [array[0] if axis < 0 else m.moveaxis(array, 0, axis) for array, axis in zip(arrays, axes, strict=True)]
    found = m.vmap(both, in_axes=axes)(inputs)
    for i in range(2):
        parts = [array[0] if axis < 0 else array[i] for array, axis in zip(arrays, axes, strict=True)]
        for one, other in zip(found, both(parts), strict=True):
            np.testing.assert_allclose(as_numpy(one)[i], as_numpy(other), rtol=1e-5, atol=1e-6)


def test_any_batch_and_none():
    (h, w, _), _, targets = problem(6, 4, 9, "float32")
    whole = as_numpy(m.linear_cross_entropy(h, w, m.Array(targets)))
    found = m.linear_cross_entropy(m.reshape(h, [2, 3, 4]), w, m.Array(targets.reshape(2, 3)))
    np.testing.assert_array_equal(as_numpy(found).ravel(), whole)
    assert m.linear_cross_entropy(h[0], w, m.Array(targets[0])).shape == ()
    none = m.zeros([0, 4]), w, m.zeros([0], "int32")
    values, gradients = m.vjp(lambda v: [m.linear_cross_entropy(v[0], v[1], none[2])], list(none[:2]), [m.zeros([0])])
    assert [array.shape for array in [*values, *gradients]] == [(0,), (0, 4), (9, 4)]
    assert not as_numpy(gradients[1]).any()


PROGRAM = """
import hashlib, mlxffi as m, numpy as np
rng = np.random.default_rng(0)
h, w = (m.Array(rng.normal(size=s).astype(np.float32)) for s in ((300, 64), (5000, 64)))
t = m.Array(rng.integers(0, 5000, 300))
loss = lambda v: [m.linear_cross_entropy(v[0], v[1], t)]
values, gradients = m.vjp(loss, [h, w], [m.ones([300])])
print(hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in [*values, *gradients])).hexdigest())
"""


@needs_own_mlxc
def test_results_do_not_depend_on_the_number_of_threads():
    found = set()
    for count in ("1", "2", "5"):
        environment = {**os.environ, "MLXFFI_NUM_THREADS": count}
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1


# --- what arguments must be ---


@needs_own_mlxc
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden": m.zeros([2, 3], "int32", stream=CPU)}, "`hidden`: expected floating point"),
        ({"weight": m.zeros([5, 4])}, r"`head`: expected a weight of floating point \(classes, 3\)"),
        ({"weight": m.zeros([5])}, "`head`: expected a weight with a row"),
        ({"weight": Head(m.zeros([5, 3]), bias=m.zeros([4]))}, "`head`: expected a bias for each row"),
        ({"weight": Head(m.zeros([5, 3]), soft_cap=-1.0)}, "soft_cap"),
        ({"weight": Head(m.zeros([5, 3], "uint32"), scales=m.zeros([5, 1]))}, "a weight of uint32, packed as 4 bits"),
        ({"weight": Head(m.zeros([5, 3]), mode="none")}, "mode: expected affine, mxfp4, mxfp8 or nvfp4, got none"),
        ({"targets": m.zeros([3], "int32")}, r"`targets`: expected the shape of hidden without its last axis, \(2\)"),
        ({"targets": m.zeros([2])}, "`targets`: expected integers"),
        ({"z_loss": -1.0}, "`z_loss`: expected a finite number of 0 or more"),
        ({"label_smoothing": 2.0}, "`label_smoothing`: expected a number from 0 to 1"),
        ({"ignore_index": 2**40}, "ignore_index: expected an int of 32 bits"),
        ({"reduction": "product"}, "reduction: expected one of"),
        ({"weights": m.zeros([3])}, "`weights`: expected the shape of targets"),
    ],
)
def test_errors_name_the_argument(change, words):
    given = {"hidden": m.zeros([2, 3]), "weight": m.zeros([5, 3]), "targets": m.zeros([2], "int32"), **change}
    found = error_of(lambda: m.linear_cross_entropy(**given))
    assert re.search(words, str(found)), found


@needs_own_mlxc
def test_heads_of_a_divergence_have_as_many_classes():
    x, w = m.zeros([2, 3]), m.zeros([5, 3])
    assert "`head_p`: expected as many classes" in str(error_of(lambda: m.linear_kl_div_loss(x, w, x, m.zeros([4, 3]))))
    assert "`hidden_p`: expected the shape" in str(error_of(lambda: m.linear_kl_div_loss(x, w, m.zeros([3, 3]), w)))
