"""The fused losses under every transform and from memory of every shape; their options; several threads at once."""

import os
import subprocess
import sys

import numpy as np
import pytest
from helpers import check_grads, computed, error_of, needs_own_mlxc, together
from losses_oracle import CPU, WIDE, array_of, as_numpy, cross_entropy, js, kl, require_close

import mlxffi as m
from mlxffi.losses import reference

RNG = np.random.default_rng(11)
TARGETS = np.array([[1, 0, 4], [2, 2, 3]])
Q, P = RNG.normal(size=(2, 2, 3, 5))
GOAL = m.Array(TARGETS)
LOSSES = {
    "cross_entropy": lambda q, p: m.cross_entropy(q, GOAL),
    "cross_entropy, all options": lambda q, p: m.cross_entropy(
        q, GOAL, weights=[[0.5, 2.0, 1.0]] * 2, ignore_index=2, label_smoothing=0.2, reduction="mean"
    ),
    "kl": lambda q, p: m.kl_div_loss(q, p, temperature=1.5),
    "kl, both": lambda q, p: m.kl_div_loss(q, p, teacher_gradient=True),
    "js": lambda q, p: m.js_div_loss(q, p),
    "js, both": lambda q, p: m.js_div_loss(q, p, temperature=0.7, teacher_gradient=True, reduction="mean"),
}


def as_function(name):
    return lambda inputs: [LOSSES[name](*inputs)]


def points(dtype="float32"):
    return [array_of(values, dtype)[0] for values in (Q, P)]


def with_gradients(fn, arrays):
    """The outputs of a function, and its gradients where every output counts as much."""
    outputs, gradients = m.vjp(fn, arrays, [m.ones_like(output) for output in fn(arrays)])
    return [as_numpy(array) for array in [*outputs, *gradients]]


# --- derivatives ---


@pytest.mark.parametrize("name", LOSSES)
def test_derivatives_agree_with_differences(name):
    if "both" in name:
        check_grads(as_function(name), [Q, P])
    else:
        check_grads(lambda inputs: [LOSSES[name](inputs[0], m.Array(P, "float64"))], [Q])


def test_derivatives_by_weights():
    weights = RNG.random((2, 3)) + 0.5
    for reduction in ("none", "sum", "mean"):
        loss = lambda inputs, how=reduction: [m.cross_entropy(inputs[0], GOAL, weights=inputs[1], reduction=how)]  # noqa: E731
        check_grads(loss, [Q, weights])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", WIDE)
def test_third_derivatives_exist(name, dtype):
    """Of half-precision logits too, whose numbers `check_grads` does not see."""

    def third(fn):
        first = lambda inputs: m.vjp(fn, inputs, [m.ones_like(fn(inputs)[0])])[1]  # noqa: E731
        second = lambda inputs: m.vjp(first, inputs, points(dtype))[1]  # noqa: E731
        return m.jvp(second, points(dtype), points(dtype))[1]

    found = third(as_function(name))
    assert all(array.dtype.name == dtype for array in found)
    assert all(np.isfinite(as_numpy(array)).all() for array in found)


def test_a_gradient_of_a_gradient_passes_the_stopped_teacher_by():
    def gradient(inputs):
        return m.vjp(lambda q: [m.kl_div_loss(q[0], inputs[1])], [inputs[0]], [m.ones([2, 3])])[1]

    found = m.vjp(gradient, points(), [points()[1]])[1]
    assert as_numpy(found[0]).any()
    assert not as_numpy(found[1]).any()


# --- transforms ---


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("wrap", [m.compile, m.checkpoint, lambda fn: m.compile(fn, shapeless=True)])
def test_compile_and_checkpoint_change_nothing(name, wrap):
    expected = with_gradients(as_function(name), points())
    found = with_gradients(wrap(as_function(name)), points())
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_a_compiled_training_step(name):
    def step(inputs):
        loss, gradients = m.vjp(as_function(name), inputs, [m.ones_like(as_function(name)(inputs)[0])])
        return [*loss, *gradients]

    for one, other in zip(m.compile(step)(points()), step(points()), strict=True):
        np.testing.assert_allclose(as_numpy(one), as_numpy(other), rtol=1e-6, atol=1e-7)


def mapped_along(array, axis):
    """A batch of arrays with their axis elsewhere; one of them where the axis is -1, which is that of all calls."""
    return m.take_axis(array, 0, 0) if axis == -1 else m.moveaxis(array, 0, axis)


def check_vmap(fn, arrays, axes):
    """vmap gives what the function gives for each part; `fn` takes arrays, the first ones with a gradient."""

    def both(inputs):
        outputs, gradients = m.vjp(lambda v: [fn(*v)], inputs, [m.ones_like(fn(*inputs))])
        return [*outputs, *gradients]

    inputs = [mapped_along(array, axis) for array, axis in zip(arrays, axes, strict=True)]
    found = m.vmap(both, in_axes=axes)(inputs)
    for i in range(2):
        parts = [m.take_axis(array, 0 if axis == -1 else i, 0) for array, axis in zip(arrays, axes, strict=True)]
        for one, other in zip(found, both(parts), strict=True):
            np.testing.assert_allclose(as_numpy(one)[i], as_numpy(other), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("axes", [[0, 0], [1, 1], [1, 0], [0, -1], [-1, 1]])
@pytest.mark.parametrize("name", ["kl, both", "js, both", "kl", "js"])
def test_vmap_of_divergences(name, axes):
    check_vmap(LOSSES[name], points(), axes)


@pytest.mark.parametrize("axes", [[0, 0], [1, 1], [1, 0], [0, -1], [-1, 0]])
def test_vmap_of_cross_entropy(axes):
    check_vmap(m.cross_entropy, [points()[0], GOAL], axes)


# --- memory ---


VIEWS = {
    "transposed": lambda a: m.transpose_axes(m.contiguous(m.transpose_axes(a, [2, 1, 0])), [2, 1, 0]),
    "batch axes swapped": lambda a: m.transpose_axes(m.contiguous(m.transpose_axes(a, [1, 0, 2])), [1, 0, 2]),
    "every second class": lambda a: m.slice(m.repeat_axis(a, 2, 2), [0, 0, 0], [2, 3, 10], [1, 1, 2]),
    "reversed": lambda a: m.flip_axis(m.contiguous(m.flip_axis(a, 2)), 2),
    "a part of a larger array": lambda a: m.slice(m.pad_symmetric(a, 1, 7.0, "constant"), [1] * 3, [3, 4, 6], [1] * 3),
    "repeated rows": lambda a: m.broadcast_to(m.slice(a, [0, 0, 0], [1, 1, 5], [1, 1, 1]), [2, 3, 5]),
    "repeated classes": lambda a: m.broadcast_to(m.slice(a, [0, 0, 0], [2, 3, 1], [1, 1, 1]), [2, 3, 5]),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", LOSSES)
def test_rows_may_lie_anywhere(name, view):
    views = [VIEWS[view](array) for array in points()]
    m.eval(*views)
    plain = [array_of(as_numpy(array))[0] for array in views]
    for one, other in zip(
        with_gradients(as_function(name), views), with_gradients(as_function(name), plain), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["cross_entropy", "kl, both", "js, both"])
def test_cotangents_of_any_stride(name):
    loss = lambda inputs: [LOSSES[name](*inputs)]  # noqa: E731
    shape = loss(points())[0].shape
    if not shape:
        cotangents = [m.Array(2.0)]
    else:
        cotangents = [m.broadcast_to(m.Array(2.0), shape), m.broadcast_to(m.Array([[2.0], [-1.0]]), shape)]
        cotangents.append(m.transpose(m.Array([[1.0, 2.0], [0.0, 3.0], [4.0, -1.0]])))
    for cotangent in cotangents:
        plain = array_of(as_numpy(cotangent))[0]
        found, expected = (m.vjp(loss, points(), [c])[1] for c in (cotangent, plain))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(as_numpy(one), as_numpy(other))


@pytest.mark.parametrize("shape", [(0, 5), (2, 0, 5), (0, 0, 1)])
def test_an_empty_batch(shape):
    logits, targets = m.zeros(shape), m.zeros(shape[:-1], "int32")
    for loss in (lambda x: m.cross_entropy(x, targets), lambda x: m.kl_div_loss(x, x), lambda x: m.js_div_loss(x, x)):
        (value,), (gradient,) = m.vjp(lambda inputs, loss=loss: [loss(inputs[0])], [logits], [m.zeros(shape[:-1])])
        assert (value.eval().shape, gradient.eval().shape) == (shape[:-1], shape)
    assert np.isnan(m.cross_entropy(logits, targets, reduction="mean").item())
    assert m.kl_div_loss(logits, logits, reduction="sum").item() == 0


@pytest.mark.parametrize("name", LOSSES)
def test_logits_that_nobody_else_needs_may_become_the_gradient(name):
    expected = with_gradients(as_function(name), points())[1:]
    q, p = points()

    def made(inputs):
        return as_function(name)([m.add(inputs[0], 0.0), m.multiply(inputs[1], 1.0)])

    for one, other in zip(with_gradients(made, [q, p])[1:], expected, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(as_numpy(q), as_numpy(points()[0]))


def test_large_gradients_are_not_given_away_while_they_live():
    """Their memory is used again once they are gone, and not before."""
    rows, classes = 64, 40_000
    targets = m.zeros([rows], "int32")
    gradient = lambda x: m.vjp(lambda v: [m.cross_entropy(v[0], targets)], [x], [m.ones([rows])])[1][0]  # noqa: E731
    xs = [m.full([rows, classes], float(k), "float32") for k in range(4)]
    kept = [gradient(m.multiply(x, m.arange(0, classes, 1, "float32") * 1e-4)) for x in xs]
    m.eval(*kept)
    sums = [as_numpy(m.sum(m.square(array))) for array in kept]
    for _ in range(4):
        m.eval(gradient(xs[0]))
    assert [as_numpy(m.sum(m.square(array))) for array in kept] == sums
    assert len({float(value) for value in sums}) == 4


# --- options ---


def test_reductions():
    q, p = points()
    each = kl(as_numpy(q), as_numpy(p))
    assert m.kl_div_loss(q, p, reduction="sum").item() == pytest.approx(each.sum(), rel=1e-5)
    assert m.kl_div_loss(q, p, reduction="mean").item() == pytest.approx(each.mean(), rel=1e-5)
    assert m.js_div_loss(q, p, reduction="mean").item() == pytest.approx(js(as_numpy(q), as_numpy(p)).mean(), rel=1e-5)
    losses = cross_entropy(as_numpy(q), TARGETS)
    counted = TARGETS != 2
    ignoring = {how: m.cross_entropy(q, GOAL, ignore_index=2, reduction=how).item() for how in ("sum", "mean")}
    assert ignoring["sum"] == pytest.approx(losses[counted].sum(), rel=1e-5)
    assert ignoring["mean"] == pytest.approx(losses[counted].mean(), rel=1e-5)
    weights = RNG.random((2, 3))
    found = m.cross_entropy(q, GOAL, ignore_index=2, weights=weights, reduction="mean").item()
    assert found == pytest.approx((losses * weights)[counted].sum() / weights[counted].sum(), rel=1e-5)
    assert np.isnan(m.cross_entropy(q, m.full([2, 3], 2, "int32"), ignore_index=2, reduction="mean").item())


@pytest.mark.parametrize("options", [{"ignore_index": -100}, {"weights": [True, False, True]}, {"weights": [2, 0, 1]}])
def test_positions_that_do_not_count_may_hold_anything(options):
    targets = m.Array([1, -100 if "ignore_index" in options else 2, 0])
    logits = m.Array([[0.5, 1.0, 2.0], [np.nan, np.inf, 0.0], [1.0, 0.0, 0.0]])
    loss = lambda inputs: [m.cross_entropy(inputs[0], targets, **options)]  # noqa: E731
    (losses,), (gradient,) = m.vjp(loss, [logits], [m.ones([3])])
    assert losses.tolist()[1] == 0
    assert gradient.tolist()[1] == [0, 0, 0]
    assert np.isfinite(as_numpy(gradient)).all()


def test_smoothing_with_an_impossible_class_is_infinite():
    logits = m.Array([[0.0, 1.0, -np.inf]])
    assert m.cross_entropy(logits, [0], label_smoothing=0.1).item() == np.inf
    assert np.isfinite(m.cross_entropy(logits, [0]).item())


@needs_own_mlxc
@pytest.mark.parametrize("dtype", WIDE)
def test_kernels_agree_with_the_reference(dtype):
    q, p = points(dtype)
    weights = m.Array(RNG.random((2, 3)), WIDE[dtype])
    pairs = [(m.kl_div_loss, reference.kl_div_loss), (m.js_div_loss, reference.js_div_loss)]
    for ours, other in pairs:
        for options in ({}, {"temperature": 2.0, "teacher_gradient": True, "reduction": "mean"}):
            found, expected = (with_gradients(lambda v, f=f, o=options: [f(*v, **o)], [q, p]) for f in (ours, other))
            for one, two in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, two, rtol=2e-2 if dtype == "bfloat16" else 4e-3, atol=1e-5)
    options = {"weights": weights, "ignore_index": 0, "label_smoothing": 0.1, "reduction": "mean"}
    found = with_gradients(lambda v: [m.cross_entropy(v[0], GOAL, **options)], [q])
    expected = with_gradients(lambda v: [reference.cross_entropy(v[0], GOAL, **options)], [q])
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-2 if dtype == "bfloat16" else 4e-3, atol=1e-5)


REFUSED = {
    "logits: expected floating point with a last axis of classes, got int32": lambda: m.cross_entropy([[1, 2]], [0]),
    "logits: expected floating point with a last axis of classes, got float32 [1, 0]": lambda: m.cross_entropy(
        m.zeros([1, 0]), [0]
    ),
    "targets: expected integers, got float32": lambda: m.cross_entropy([[1.0, 2.0]], [0.5]),
    "targets: expected the shape of logits without its last axis, [1], got [2]": lambda: m.cross_entropy(
        [[1.0, 2.0]], [0, 1]
    ),
    "weights: expected the shape of targets, [1], got [1, 1]": lambda: m.cross_entropy([[1.0]], [0], weights=[[1.0]]),
    "weights: expected real numbers, got complex64": lambda: m.cross_entropy(
        [[1.0]], [0], weights=m.ones([1], "complex64")
    ),
    "label_smoothing: expected a number from 0 to 1, got 1.5": lambda: m.cross_entropy(
        [[1.0]], [0], label_smoothing=1.5
    ),
    "label_smoothing: expected a number from 0 to 1, got 'some'": lambda: m.cross_entropy(
        [[1.0]], [0], label_smoothing="some"
    ),
    "ignore_index: expected an int of 32 bits, got 0.5": lambda: m.cross_entropy([[1.0]], [0], ignore_index=0.5),
    "temperature: expected a finite number above 0, got '1'": lambda: m.kl_div_loss([1.0], [1.0], temperature="1"),
    "ignore_index: expected an int of 32 bits, got 4294967296": lambda: m.cross_entropy(
        [[1.0]], [0], ignore_index=2**32
    ),
    "reduction: expected one of none, sum, mean, got 'max'": lambda: m.js_div_loss([[1.0]], [[1.0]], reduction="max"),
    "logits_q: expected floating point with a last axis of classes, got float32 []": lambda: m.kl_div_loss(1.0, 1.0),
    "logits_p: expected the dtype and shape of logits_q, float32 [1], got float16 [1]": lambda: m.kl_div_loss(
        [1.0], m.ones([1], "float16")
    ),
    "temperature: expected a finite number above 0, got 0": lambda: m.kl_div_loss([1.0], [1.0], temperature=0),
    "temperature: expected a finite number above 0, got nan": lambda: m.js_div_loss(
        [1.0], [1.0], temperature=float("nan")
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_refused(message):
    error = error_of(REFUSED[message], ValueError)
    assert isinstance(error, m.Error)
    assert message in str(error)


# --- threads and CPUs ---


def test_two_threads_at_once():
    q, p = (array_of(values)[0] for values in np.random.default_rng(2).normal(size=(2, 64, 3000)))
    targets = m.zeros([64], "int32")
    m.eval(q, p, targets)

    def both(inputs):
        return [m.cross_entropy(inputs[0], targets), m.kl_div_loss(*inputs), m.js_div_loss(*inputs)]

    expected, results = with_gradients(both, [q, p]), []
    assert together(lambda _: results.extend(with_gradients_here(both, [q, p]) for _ in range(5)), 4) == []
    for found in results:
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def with_gradients_here(fn, arrays):
    """`with_gradients` on a thread of its own, which has streams of its own."""
    outputs, gradients = m.vjp(fn, arrays, [m.ones_like(output) for output in fn(arrays)])
    return [np.array(array.tolist()) for array in [*outputs, *gradients]]


PROGRAM = """
import sys
import numpy as np
import mlxffi as m
q, p = (m.Array(values) for values in np.random.default_rng(0).normal(size=(2, 50, 1003)).astype("float32"))
targets = m.Array(np.arange(50) * 20)
for dtype in ("float32", "float16", "bfloat16", "float64"):
    x, y = (m.astype(array, dtype, stream=m.default_stream(m.Device("cpu"))) for array in (q, p))
    both = lambda v: [m.cross_entropy(v[0], targets), m.kl_div_loss(*v, teacher_gradient=True), m.js_div_loss(*v)]
    outputs, gradients = m.vjp(both, [x, y], [m.ones_like(output) for output in both([x, y])])
    for array in [*outputs, *gradients]:
        print(np.array(array.tolist()).tobytes().hex())
"""


@needs_own_mlxc
def test_every_instruction_set_and_number_of_threads_gives_the_same():
    expected = computed(PROGRAM)
    for count in ("1", "3", "16"):
        for one, other in zip(computed(PROGRAM, MLXFFI_NUM_THREADS=count), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    for name in instruction_sets():
        for one, other in zip(computed(PROGRAM, MLXFFI_SIMD=name), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=8e-3, atol=2e-6)


SUMS = """
import numpy as np
import mlxffi as m
pair = [m.Array(values) for values in (np.random.default_rng(4).normal(size=(2, 20, 5000)) * 3).astype("float32")]
for loss in (m.kl_div_loss, m.js_div_loss):
    for gradient in m.vjp(lambda v: [loss(*v, teacher_gradient=True)], pair, [m.ones([20])])[1]:
        values = np.array(gradient.tolist())
        print(values.sum(-1).tobytes().hex())
        print(np.abs(values).sum(-1).tobytes().hex())
"""


@needs_own_mlxc
def test_gradients_of_a_row_add_up_to_zero_with_every_instruction_set():
    for name in instruction_sets():
        lines = computed(SUMS, MLXFFI_SIMD=name)
        for total, size in zip(lines[::2], lines[1::2], strict=True):
            assert (np.abs(total) < 1e-7 + 3e-6 * size).all(), name


def instruction_sets():
    """Those that this CPU has, from the message that names them."""
    return refusal(MLXFFI_SIMD="abacus").partition("one of ")[2].partition(" on this CPU")[0].split(", ")


def refusal(**environ):
    program = "import mlxffi as m; m.cross_entropy([[1.0]], [0])"
    result = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    return result.stderr.strip().splitlines()[-1]


@needs_own_mlxc
@pytest.mark.parametrize("value", ["0", "-1", "many", "2x", "100000"])
def test_a_number_of_threads_that_cannot_be_is_refused(value):
    message = refusal(MLXFFI_NUM_THREADS=value)
    assert f'MLXFFI_NUM_THREADS: expected a number from 1 to 1024, got "{value}"' in message


@needs_own_mlxc
def test_the_program_ends_while_losses_are_computed():
    program = """
import mlxffi as m
x = m.ones([512, 20000])
m.eval(x)
losses = [m.js_div_loss(x, m.multiply(x, 2.0)) for _ in range(4)]
m.async_eval(*losses)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_stream_may_be_named():
    stream = m.Stream(m.Device("cpu"))
    q, p = points()
    require_close(m.kl_div_loss(q, p, stream=stream), kl(as_numpy(q), as_numpy(p)), 1e-5)
    require_close(m.cross_entropy(q, GOAL, stream=CPU), cross_entropy(as_numpy(q), TARGETS), 1e-5)


@needs_own_mlxc
def test_a_fused_loss_is_not_exported(tmp_path):
    """MLX can read back only what it knows; the reference can be exported."""
    q, p = points()
    for name, call in {"CrossEntropy": LOSSES["cross_entropy"], "Divergence": LOSSES["js"]}.items():
        error = error_of(lambda call=call: m.export_function(tmp_path / "loss", lambda v: [call(*v)], [q, p]))
        assert f"Fused{name}" in str(error)
    m.export_function(tmp_path / "loss", lambda v: [reference.js_div_loss(*v)], [q, p])


# With all options a loss has weights, and these have a shape.
@pytest.mark.parametrize("name", [name for name in LOSSES if "all options" not in name])
def test_second_derivatives_of_an_empty_batch(name):
    empty, targets = m.zeros([0, 5]), m.zeros([0], "int32")
    calls = {"cross_entropy": lambda q, p: m.cross_entropy(q, targets)}
    fn = lambda inputs: [m.sum(calls.get(name, LOSSES[name])(*inputs))]  # noqa: E731
    first = lambda inputs: m.vjp(fn, inputs, [m.Array(1.0)])[1]  # noqa: E731
    second = m.vjp(first, [empty, empty], [empty, empty])[1]
    forward = m.jvp(fn, [empty, empty], [empty, empty])[1]
    assert [array.eval().shape for array in [*second, *forward]] == [(0, 5), (0, 5), ()]
