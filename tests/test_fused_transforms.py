"""The fused layers under every transform, from memory of every shape, on several threads, and what they refuse."""

import numpy as np
import pytest
from helpers import BASELINE, REFERENCE_BLAS, check_grads, computed_alike, error_of, needs_own_mlxc, together
from losses_oracle import CPU, array_of, as_numpy, require_close

import mlxffi as m
from mlxffi import fused
from mlxffi._ffi import graph

RNG = np.random.default_rng(5)
MASK = RNG.normal(size=(3, 4)).tolist()
# What is called, and the shapes of its inputs.
LAYERS = {
    "rms_norm": (lambda x, w: fused.rms_norm(x, w, 1e-5), [(2, 3, 6), (6,)]),
    "rms_norm, no weight": (lambda x: fused.rms_norm(x, None, 1e-5), [(2, 3, 6)]),
    "rope": (lambda x: fused.rope(x, 4, base=100.0, offset=3), [(2, 3, 6)]),
    "rope, neighbours": (lambda x: fused.rope(x, 6, traditional=True, scale=0.5), [(2, 3, 6)]),
    "swiglu": (fused.swiglu, [(2, 3, 6)] * 2),
    "geglu": (fused.geglu, [(2, 3, 6)] * 2),
    "attention": (lambda *v: fused.attention(*v, scale=0.5), [(2, 2, 3, 4), (2, 1, 4, 4), (2, 1, 4, 4)]),
    "attention, causal": (lambda *v: fused.attention(*v, scale=0.5, causal=True), [(2, 2, 3, 4), *[(2, 2, 4, 4)] * 2]),
    "attention, mask": (
        lambda *v: fused.attention(*v, scale=0.5, mask=m.Array(MASK, v[0].dtype)),
        [(2, 2, 3, 4), (2, 1, 4, 4), (2, 1, 4, 5)],
    ),
    "lora_linear": (lambda *v: fused.lora_linear(*v, 2.0), [(2, 3, 6), (5, 6), (6, 2), (2, 5)]),
    "swiglu, halves": (fused.swiglu, [(2, 3, 6)]),
    "geglu, halves": (fused.geglu, [(2, 3, 6)]),
    "heads": (
        lambda *v: m.concatenate_axis(fused.heads(*v, 2, 1, 1e-5), -2),
        [(2, 3, 16), (3, 2), (3, 2, 2), (4,), (4,)],
    ),
}
POINTS = {name: [RNG.normal(size=shape) for shape in shapes] for name, (_, shapes) in LAYERS.items()}


def points(name, dtype="float32"):
    return [array_of(values, dtype)[0] for values in POINTS[name]]


def as_function(name):
    return lambda inputs: [LAYERS[name][0](*inputs)]


def with_gradients(fn, arrays):
    """The outputs of a function, and its gradients by cotangents that differ from each other."""
    wanted = [m.sin(m.reshape(m.arange(0, o.size, 1, "float32"), o.shape)) for o in fn(arrays)]
    cotangents = [m.astype(one, o.dtype, stream=CPU) for one, o in zip(wanted, fn(arrays), strict=True)]
    outputs, gradients = m.vjp(fn, arrays, cotangents)
    return [as_numpy(array) for array in [*outputs, *gradients]]


# --- derivatives ---


@pytest.mark.parametrize("name", LAYERS)
def test_derivatives_agree_with_differences(name):
    check_grads(as_function(name), POINTS[name])


def third(fn, dtype, name):
    """A third derivative in both modes, as numpy has it."""
    first = lambda inputs: m.vjp(fn, inputs, [m.ones_like(fn(inputs)[0])])[1]  # noqa: E731
    second = lambda inputs: m.vjp(first, inputs, points(name, dtype))[1]  # noqa: E731
    return m.jvp(second, points(name, dtype), points(name, dtype))[1]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_higher_derivatives(name, dtype):
    """Those of float32 are those of float64, which `check_grads` saw; halves have some."""
    found = third(as_function(name), dtype, name)
    assert all(array.dtype.name == dtype for array in found)
    if dtype == "float32":
        for one, other in zip(found, third(as_function(name), "float64", name), strict=True):
            scale = 1 + np.abs(as_numpy(other)).max()
            np.testing.assert_allclose(as_numpy(one), as_numpy(other), rtol=0, atol=1e-4 * scale)
    assert all(np.isfinite(as_numpy(array)).all() for array in found)


@pytest.mark.parametrize("name", ["rms_norm", "swiglu", "attention", "lora_linear"])
def test_gradients_of_some_inputs(name):
    expected = with_gradients(as_function(name), points(name))[1:]
    for place in range(len(expected)):
        others = points(name)

        def alone(inputs, place=place, others=others):
            return as_function(name)([*others[:place], inputs[0], *others[place + 1 :]])

        found = with_gradients(alone, [others[place]])[1]
        np.testing.assert_allclose(found, expected[place], rtol=1e-5, atol=1e-6)


# --- transforms ---


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("wrap", [m.compile, m.checkpoint])
def test_compile_and_checkpoint_change_nothing(name, wrap):
    unchanged(name, wrap)


# MLX's own rope, which stands in over another mlx-c, cannot infer its shapes, and no slice can.
@needs_own_mlxc
@pytest.mark.parametrize("name", [name for name in LAYERS if name != "heads"])
def test_shapeless_compile_changes_nothing(name):
    unchanged(name, lambda fn: m.compile(fn, shapeless=True))


def unchanged(name, wrap):
    expected = with_gradients(as_function(name), points(name))
    found = with_gradients(wrap(as_function(name)), points(name))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("which", ["all", "first", "last"])
def test_vmap_is_the_function_of_each_part(name, which):
    """Forward and backward, also where some inputs belong to all parts."""
    count, fn = len(POINTS[name]), LAYERS[name][0]
    mapped = {"all": range(count), "first": [0], "last": [count - 1]}[which]
    batches = [RNG.normal(size=(3, *values.shape)) for values in POINTS[name]]
    arrays = [array_of(b if i in mapped else b[0])[0] for i, b in enumerate(batches)]

    def both(inputs):
        outputs, gradients = m.vjp(lambda v: [fn(*v)], inputs, [m.ones_like(fn(*inputs))])
        return [*outputs, *gradients]

    found = m.vmap(both, in_axes=[0 if i in mapped else -1 for i in range(count)])(arrays)
    for part in range(3):
        alone = [array_of(b[part] if i in mapped else b[0])[0] for i, b in enumerate(batches)]
        for one, other in zip(found, both(alone), strict=True):
            np.testing.assert_allclose(as_numpy(one)[part], as_numpy(other), rtol=1e-4, atol=1e-5)


@needs_own_mlxc
@pytest.mark.parametrize("name", LAYERS)
def test_what_is_exported_has_the_same_values(name, tmp_path):
    """By MLX's own operations, which every reader of the file knows."""
    expected = as_numpy(as_function(name)(points(name))[0])
    m.export_function(tmp_path / "layer", as_function(name), points(name))
    (found,) = m.import_function(tmp_path / "layer")(points(name))
    np.testing.assert_allclose(as_numpy(found), expected, rtol=1e-5, atol=1e-6)


# --- memory ---


def reversed_in_memory(array):
    """The same values, the last axis of which lies backwards in memory."""
    return m.flip_axis(m.contiguous(m.flip_axis(array, array.ndim - 1)), array.ndim - 1)


VIEWS = {
    "transposed": lambda a: m.transpose(m.contiguous(m.transpose(a))),
    "last axis backwards": reversed_in_memory,
    "a part of a larger array": lambda a: m.slice(
        m.pad_symmetric(a, 1, 7.0, "constant"), [1] * a.ndim, [n + 1 for n in a.shape], [1] * a.ndim
    ),
    "repeated along the first axis": lambda a: m.broadcast_to(
        m.slice(a, [0] * a.ndim, [1, *a.shape[1:]], [1] * a.ndim), a.shape
    ),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_arrays_may_lie_anywhere(name, view, dtype):
    views = [VIEWS[view](array) for array in points(name, dtype)]
    m.eval(*views)
    plain = [array_of(as_numpy(array), dtype)[0] for array in views]
    results = [with_gradients(as_function(name), arrays) for arrays in (views, plain)]
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", LAYERS)
def test_cotangents_of_any_stride(name):
    arrays = points(name)
    shape = as_function(name)(arrays)[0].shape
    for cotangent in (m.broadcast_to(m.Array(2.0), shape), reversed_in_memory(m.add(m.zeros(shape), 2.0))):
        plain = m.add(m.zeros(shape), 2.0)
        found, expected = (m.vjp(as_function(name), arrays, [c])[1] for c in (cotangent, plain))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(as_numpy(one), as_numpy(other), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", LAYERS)
def test_inputs_that_nobody_else_needs_may_become_results(name):
    expected = with_gradients(as_function(name), points(name))
    arrays = points(name)

    def made(inputs):
        return as_function(name)([m.multiply(array, 1.0) for array in inputs])

    for one, other in zip(with_gradients(made, arrays), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
    for array, values in zip(arrays, points(name), strict=True):
        np.testing.assert_array_equal(as_numpy(array), as_numpy(values))


@pytest.mark.parametrize("name", ["rms_norm", "rope", "swiglu", "geglu"])
@pytest.mark.parametrize("shape", [(0, 3, 6), (2, 0, 6)])
def test_an_empty_batch(name, shape):
    arrays = [m.zeros(shape if len(values.shape) == 3 else values.shape) for values in POINTS[name]]
    (value,), gradients = m.vjp(as_function(name), arrays, [m.zeros(shape)])
    assert value.eval().shape == shape
    assert [gradient.eval().shape for gradient in gradients] == [array.shape for array in arrays]


@needs_own_mlxc
def test_the_heads_of_a_position_lie_side_by_side():
    """What comes after attention puts them so; that takes no copy."""
    arrays = [array_of(np.ones((2, 3, 5, 4)))[0] for _ in range(3)]
    joined = m.transpose_axes(fused.attention(*arrays, scale=1.0), [0, 2, 1, 3]).eval()
    strides = graph.glue_array_strides(joined._h)
    assert [strides[axis] for axis in range(4)] == [60, 12, 4, 1]


# --- threads ---


def layers_of_a_model(arrays):
    x, weight, a, b = arrays
    h = fused.rms_norm(fused.lora_linear(x, weight, a, b, 2.0), None, 1e-5)
    heads = fused.rope(m.transpose_axes(m.reshape(h, [2, -1, 4, 16]), [0, 2, 1, 3]), 16)
    return [fused.swiglu(fused.attention(heads, heads, heads, scale=0.25, causal=True), heads)]


def large():
    shapes = [(2, 150, 48), (64, 48), (48, 4), (4, 64)]
    return [array_of(np.random.default_rng(3).normal(size=shape))[0] for shape in shapes]


def test_two_threads_at_once():
    expected, results, arrays = with_gradients(layers_of_a_model, large()), [], large()
    m.eval(*arrays)

    def run(_):
        for _ in range(5):
            outputs, gradients = m.vjp(layers_of_a_model, arrays, [m.ones([2, 4, 150, 16])])
            results.append([np.array(array.tolist()) for array in [*outputs, *gradients]])

    assert together(run, 4) == []
    np.testing.assert_array_equal(results[0][0], expected[0])
    for found in results:
        for one, other in zip(found, results[0], strict=True):
            np.testing.assert_array_equal(one, other)


PROGRAM = """
import numpy as np
import mlxffi as m
from test_fused_transforms import large, layers_of_a_model
cpu = m.default_stream(m.Device("cpu"))
for dtype in ("float32", "bfloat16"):
    arrays = [m.astype(array, dtype, stream=cpu) for array in large()]
    outputs, gradients = m.vjp(layers_of_a_model, arrays, [m.ones([2, 4, 150, 16], dtype)])
    for array in [*outputs, *gradients]:
        print(np.array(array.tolist()).tobytes().hex())
"""


@needs_own_mlxc
def test_every_instruction_set_and_number_of_threads_gives_the_same():
    computed_alike(PROGRAM, 2e-2, BASELINE, REFERENCE_BLAS)


def test_a_stream_may_be_named():
    stream = m.Stream(m.Device("cpu"))
    for name, (fn, _) in LAYERS.items():
        expected = as_numpy(fn(*points(name)))
        named = {
            "rms_norm": lambda x, w: fused.rms_norm(x, w, 1e-5, stream=stream),
            "swiglu": lambda x, u: fused.swiglu(x, u, stream=stream),
            "geglu": lambda x, u: fused.geglu(x, u, stream=stream),
            "attention": lambda *v: fused.attention(*v, scale=0.5, stream=stream),
            "lora_linear": lambda *v: fused.lora_linear(*v, 2.0, stream=stream),
        }.get(name, fn)
        require_close(named(*points(name)), expected, 1e-6)


# --- what is refused ---


@needs_own_mlxc
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fused.swiglu(m.zeros([2, 3]), m.zeros([3])), "`up`: expected the shape and dtype of gate"),
        (lambda: fused.geglu(m.zeros([2], "int32"), m.zeros([2])), "`gate`: expected floating point"),
        (lambda: fused.swiglu(1.0, 1.0), "`gate`: expected floating point of one axis or more"),
        (
            lambda: fused.attention(*[m.zeros([1, 1, 2, 4])] * 3, scale=1.0, causal=True, mask=m.zeros([2, 2])),
            "`mask`: expected no array beside causal",
        ),
        (
            lambda: fused.lora_linear(m.zeros([2, 4]), m.zeros([3, 4]), m.zeros([5, 2]), m.zeros([2, 3]), 1.0),
            "`a`: expected float32 (4, ...)",
        ),
        (
            lambda: fused.lora_linear(m.zeros([2, 4]), m.zeros([3, 5]), m.zeros([4, 2]), m.zeros([2, 3]), 1.0),
            "`weight`: expected as many columns as x has features",
        ),
    ],
)
def test_what_is_refused(call, message):
    assert message in str(error_of(call, ValueError))


@pytest.mark.parametrize("options", [{"bits": 0}, {"bits": -4}, {"group_size": 0}])
def test_a_packing_of_no_size_is_refused_by_name(options):
    scales = m.ones([3, 1])
    (name, number), packed = next(iter(options.items())), {"scales": scales, "biases": scales, **options}
    arrays = m.ones([2, 64]), m.zeros([3, 8], "uint32"), m.ones([64, 1]), m.ones([1, 3])
    error = error_of(lambda: fused.lora_linear(*arrays, 1.0, **packed), ValueError)
    assert f"`{name}`: expected 1 or more, got {number}" in str(error)


def test_what_no_kernel_takes_is_composed():
    """A weight of another dtype, causal queries behind all keys, an axis of no elements: MLX's operations."""
    mixed = fused.rms_norm(m.ones([2, 4], "float16"), m.ones([4]), 1e-5)
    assert (mixed.dtype.name, mixed.tolist()) == ("float32", [[pytest.approx(1, abs=1e-3)] * 4] * 2)
    behind = fused.attention(m.ones([1, 1, 5, 4]), *[m.ones([1, 1, 2, 4])] * 2, scale=1.0, causal=True)
    np.testing.assert_allclose(behind.tolist(), np.ones((1, 1, 5, 4)), rtol=1e-6)
    nothing = fused.lora_linear(m.ones([2, 4]), m.ones([3, 4]), m.zeros([4, 0]), m.zeros([0, 3]), 1.0)
    assert nothing.tolist() == [[4.0] * 3] * 2


@needs_own_mlxc
def test_errors_of_mlx_come_through():
    assert "rms_norm" in str(error_of(lambda: fused.rms_norm(1.0, None, 1e-5), ValueError))
    assert "rope" in str(error_of(lambda: fused.rope(m.zeros([1, 2, 4]), 8, base=None), ValueError))
    uneven = [m.zeros([1, 3, 2, 4]), *[m.zeros([1, 2, 2, 4])] * 2]
    assert "heads" in str(error_of(lambda: fused.attention(*uneven, scale=1.0), ValueError))
