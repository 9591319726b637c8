"""The fused kernels agree with float64 numpy, forward and backward: shapes, dtypes, masks, extremes."""

import fused_oracle as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from losses_oracle import array_of, require_close
from packing_oracle import packed

import mlxffi as m
from mlxffi import fused

DTYPES = ["float32", "float16", "bfloat16", "float64"]
# Relative to the largest number of a row. Products and sums are float32; the result is rounded to the dtype.
ERROR = {"float16": 1.5e-3, "bfloat16": 1.2e-2, "float32": 3e-6, "float64": 1e-12}
# Attention of halves and its gradient start from an output that was rounded.
MATRIX_ERROR = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 1e-5, "float64": 1e-6}
SIZES = [1, 2, 5, 16, 17, 64, 333]


def both(fn, inputs, expected, gradients, dtype, error):
    """Compare values and gradients; `expected` and `gradients` take the inputs rounded to the dtype."""
    arrays, numbers = zip(*(array_of(values, dtype) for values in inputs), strict=True)
    value = expected(*numbers)
    found = fn(*arrays)
    assert (found.dtype.name, found.shape) == (dtype, value.shape)
    require_close(found, value, error)
    cotangent, g = array_of(np.random.default_rng(1).normal(size=value.shape), dtype)
    _, found = m.vjp(lambda values: [fn(*values)], list(arrays), [cotangent])
    for one, other, array in zip(found, gradients(*numbers, g), arrays, strict=True):
        assert (one.dtype.name, one.shape) == (dtype, array.shape)
        require_close(one, other, error)


# --- rms_norm ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_rms_norm(size, dtype):
    rng = np.random.default_rng(size)
    x, weight = rng.normal(size=(3, 2, size)) * 3, rng.normal(size=size)
    both(
        lambda x, w: fused.rms_norm(x, w, 1e-5),
        [x, weight],
        lambda x, w: oracle.rms_norm(x, w, 1e-5),
        lambda x, w, g: oracle.rms_norm_gradients(x, w, 1e-5, g),
        dtype,
        2 * ERROR[dtype],
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_rms_norm_without_a_weight(dtype):
    both(
        lambda x: fused.rms_norm(x, None, 1e-5),
        [np.random.default_rng(0).normal(size=(4, 33))],
        lambda x: oracle.rms_norm(x, 1, 1e-5),
        lambda x, g: oracle.rms_norm_gradients(x, 1, 1e-5, g)[:1],
        dtype,
        ERROR[dtype],
    )


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1e4, 1e15])
def test_rms_norm_of_small_and_large_rows(size):
    rng = np.random.default_rng(0)
    (x, numbers), (weight, w) = array_of(rng.normal(size=(3, 20)) * size), array_of(rng.normal(size=20))
    require_close(fused.rms_norm(x, weight, 1e-6), oracle.rms_norm(numbers, w, np.float64(np.float32(1e-6))), 3e-6)


def test_many_rows_add_up_in_the_gradient_of_the_weight():
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(5000, 8)), rng.normal(size=8)
    both(
        lambda x, w: fused.rms_norm(x, w, 0.0),
        [x, weight],
        lambda x, w: oracle.rms_norm(x, w, 0.0),
        lambda x, w, g: oracle.rms_norm_gradients(x, w, 0.0, g),
        "float32",
        3e-6,
    )


# --- rope ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("traditional", [False, True])
@pytest.mark.parametrize(("dims", "features"), [(2, 2), (6, 9), (32, 32), (64, 80), (66, 66)])
@pytest.mark.parametrize("options", [{}, {"base": 500.0, "scale": 0.25, "offset": 7}, {"offset": [3, 0]}])
def test_rope(dims, features, traditional, options, dtype):
    x = np.random.default_rng(dims).normal(size=(2, 3, 37, features))
    # A rotation by the opposite angle takes a cotangent back.
    back = {**options, "scale": -options.get("scale", 1.0)}
    both(
        lambda x: fused.rope(x, dims, traditional=traditional, **options),
        [x],
        lambda x: oracle.rope(x, dims, traditional, **options),
        lambda x, g: (oracle.rope(g, dims, traditional, **back),),
        dtype,
        ERROR[dtype],
    )


def test_rope_by_frequencies():
    (x, numbers), (freqs, f) = array_of(np.ones((1, 5, 8))), array_of([1.0, 3.0, 10.0, 100.0])
    found = fused.rope(x, 8, base=None, freqs=freqs, offset=4)
    require_close(found, oracle.rope(numbers, 8, offset=4, freqs=f), 3e-6)


@pytest.mark.parametrize("offset", [0, 1000, 131_000])
def test_late_positions_lose_no_digits(offset):
    x, numbers = array_of(np.random.default_rng(0).normal(size=(1, 40, 64)))
    require_close(fused.rope(x, 64, base=1e6, offset=offset), oracle.rope(numbers, 64, base=1e6, offset=offset), 2e-6)


def test_rope_keeps_lengths():
    x, numbers = array_of(np.random.default_rng(0).normal(size=(2, 50, 64)))
    found = np.array(fused.rope(x, 64).tolist())
    np.testing.assert_allclose((found**2).sum(-1), (numbers**2).sum(-1), rtol=1e-5)


# --- gated units ---

GATES = {"swiglu": fused.swiglu, "geglu": fused.geglu}


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_gated_units(name, size, dtype):
    gate, up = np.random.default_rng(size).normal(size=(2, 3, 2, size)) * 3

    def gradients(x, u, g):
        value, slope = oracle.gate(name, x)
        return g * u * slope, g * value

    both(GATES[name], [gate, up], lambda x, u: oracle.gate(name, x)[0] * u, gradients, dtype, 2 * ERROR[dtype])


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gated_units_of_extreme_gates(name, dtype):
    x = np.array([0.0, -0.0, 1e-30, -1e-30, 20.0, -20.0, -87.0, -104.0, 88.8, 1e3, -1e3, 1e12, -1e12])
    (gate, numbers), (up, _) = array_of(x, dtype), array_of(np.ones(13), dtype)
    value, slope = oracle.gate(name, numbers)
    np.testing.assert_allclose(GATES[name](gate, up).tolist(), value, rtol=2e-6, atol=1e-36)
    _, (of_gate, _) = m.vjp(lambda v: [GATES[name](*v)], [gate, up], [up])
    np.testing.assert_allclose(of_gate.tolist(), slope, rtol=2e-6, atol=1e-30)


@pytest.mark.parametrize("name", GATES)
def test_a_nan_stays_with_its_element(name):
    gate, up = (array_of(values)[0] for values in ([1.0, np.nan, 2.0], [1.0, 1.0, np.nan]))
    assert np.isnan(GATES[name](gate, up).tolist()).tolist() == [False, True, True]


# --- attention ---


def masks(queries, keys):
    rng = np.random.default_rng(queries + keys)
    yield {}
    if queries <= keys:
        yield {"causal": True}
    boolean = rng.random((queries, keys)) < 0.7
    boolean[:, 0] = True
    yield {"mask": boolean}
    yield {"mask": rng.normal(size=(2, 1, queries, keys))}
    yield {"mask": rng.normal(size=(keys,))}


def check_attention(heads, kv_heads, queries, keys, features, width, dtype, options):
    rng = np.random.default_rng(queries)
    shapes = [(2, heads, queries, features), (2, kv_heads, keys, features), (2, kv_heads, keys, width)]
    scale, mask = 1 / np.sqrt(features), options.get("mask")
    causal = options.get("causal", False)
    given = None
    if mask is not None and mask.dtype == bool:
        given = m.Array(mask.tolist())
    elif mask is not None:
        given, mask = array_of(mask, dtype)
    both(
        lambda q, k, v: fused.attention(q, k, v, scale=scale, causal=causal, mask=given),
        [rng.normal(size=shape) for shape in shapes],
        lambda q, k, v: oracle.attention(q, k, v, scale, causal, mask),
        lambda q, k, v, g: oracle.attention_gradients(q, k, v, scale, causal, mask, g),
        dtype,
        MATRIX_ERROR[dtype],
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 9), (5, 5), (3, 70), (65, 65), (130, 140), (70, 3)])
@pytest.mark.parametrize(("heads", "kv_heads"), [(1, 1), (4, 2)])
def test_attention(heads, kv_heads, queries, keys, dtype):
    for options in masks(queries, keys):
        check_attention(heads, kv_heads, queries, keys, 16, 16, dtype, options)


# Of keys and values as a cache has them, as a projection leaves them, and of every second feature.
VIEWS_OF_KEYS = {
    "first of more": lambda a: m.slice(m.concatenate_axis([a, a * 0], 2), [0, 0, 0, 0], list(a.shape), [1, 1, 1, 1]),
    "positions before heads": lambda a: m.transpose_axes(m.contiguous(m.transpose_axes(a, [0, 2, 1, 3])), [0, 2, 1, 3]),
    "every second": lambda a: m.slice(m.repeat_axis(a, 2, 3), [0] * 4, [*a.shape[:3], 2 * a.shape[3]], [1, 1, 1, 2]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("view", VIEWS_OF_KEYS)
def test_attention_of_one_query_to_views(view, dtype):
    rng = np.random.default_rng(0)
    (q, queries), (k, keys), (v, values) = (
        array_of(rng.normal(size=(2, heads, length, 24)), dtype) for heads, length in ((6, 1), (2, 70), (2, 70))
    )
    found = fused.attention(q, VIEWS_OF_KEYS[view](k), VIEWS_OF_KEYS[view](v), scale=0.2)
    require_close(found, oracle.attention(queries, keys, values, 0.2, False, None), MATRIX_ERROR[dtype])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("features", "width"), [(1, 1), (3, 5), (2, 7), (6, 34), (64, 32), (80, 96)])
def test_attention_of_any_width(features, width, dtype):
    check_attention(6, 2, 20, 33, features, width, dtype, {"causal": True})


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("view", VIEWS_OF_KEYS)
def test_attention_of_many_queries_to_views(view, dtype):
    """Blocks of queries, one after the other, of heads that share keys; rows of pairs and others."""
    look, rng = VIEWS_OF_KEYS[view], np.random.default_rng(0)
    both(
        lambda q, k, v: fused.attention(q, look(k), look(v), scale=0.2, causal=True),
        [rng.normal(size=(2, heads, length, 24)) for heads, length in ((4, 200), (2, 230), (2, 230))],
        lambda q, k, v: oracle.attention(q, k, v, 0.2, True, None),
        lambda q, k, v, g: oracle.attention_gradients(q, k, v, 0.2, True, None, g),
        dtype,
        MATRIX_ERROR[dtype],
    )


@given(
    heads=st.sampled_from([(1, 1), (2, 1), (3, 3), (6, 2)]), queries=st.integers(1, 80), more=st.integers(0, 40),
    features=st.integers(1, 40), causal=st.booleans(),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_attention_of_any_shape(heads, queries, more, features, causal):
    check_attention(*heads, queries, queries + more, features, features, "float32", {"causal": causal})


def test_large_scores_do_not_overflow():
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 1, 2, 12, 8))
    for size in (30.0, 1e3):
        arrays, numbers = zip(*(array_of(values) for values in (q * size, k, v)), strict=True)
        found = fused.attention(*arrays, scale=1.0, causal=True)
        require_close(found, oracle.attention(*numbers, 1.0, True), 1e-4)


def test_a_query_that_sees_no_key_attends_to_all_alike_and_gives_no_gradient():
    """As MLX has it: hidden scores are the lowest number there is, not -inf."""
    rng = np.random.default_rng(0)
    mask = np.ones((4, 6), bool)
    mask[2] = False
    check_attention(2, 1, 4, 6, 8, 8, "float32", {"mask": mask})
    arrays = [array_of(rng.normal(size=(1, 1, n, 8)))[0] for n in (4, 6, 6)]
    fn = lambda v: [fused.attention(*v, scale=1.0, mask=m.Array(mask.tolist()))]  # noqa: E731
    (value,), (of_q, _, _) = m.vjp(fn, arrays, [m.ones([1, 1, 4, 8])])
    np.testing.assert_allclose(value.tolist()[0][0][2], np.mean(arrays[2].tolist()[0][0], 0), rtol=1e-5)
    assert not np.any(of_q.tolist()[0][0][2])


def test_the_gradient_of_an_additive_mask():
    rng = np.random.default_rng(0)
    q, k, v = (array_of(rng.normal(size=(1, 2, n, 4)))[0] for n in (3, 5, 5))
    mask, numbers = array_of(rng.normal(size=(3, 5)))
    fn = lambda values: [fused.attention(q, k, v, scale=0.5, mask=values[0])]  # noqa: E731
    _, (found,) = m.vjp(fn, [mask], [m.ones([1, 2, 3, 4])])
    total = lambda at: oracle.attention(*(np.array(x.tolist()) for x in (q, k, v)), 0.5, False, at).sum()  # noqa: E731
    step = 1e-5 * np.eye(15).reshape(15, 3, 5)
    expected = [(total(numbers + one) - total(numbers - one)) / 2e-5 for one in step]
    np.testing.assert_allclose(found.tolist(), np.reshape(expected, (3, 5)), atol=2e-5)


def test_nan_stays_in_its_query():
    q, k, v = np.random.default_rng(0).normal(size=(3, 1, 1, 4, 8))
    q[0, 0, 1, 3] = np.nan
    found = fused.attention(*(array_of(values)[0] for values in (q, k, v)), scale=1.0).tolist()
    assert np.isnan(found[0][0]).all(-1).tolist() == [False, True, False, False]


# --- low-rank linear layers ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [(), (1,), (3, 2), (2, 300)])
@pytest.mark.parametrize(("features", "rank", "out"), [(1, 1, 1), (12, 2, 7), (64, 8, 96)])
def test_lora_linear(batch, features, rank, out, dtype):
    rng = np.random.default_rng(rank)
    shapes = [(*batch, features), (out, features), (features, rank), (rank, out)]
    both(
        lambda *v: fused.lora_linear(*v, 1.5),
        [rng.normal(size=shape) / np.sqrt(shape[-1]) for shape in shapes],
        lambda *v: oracle.lora_linear(*v, 1.5),
        lambda x, weight, a, b, g: oracle.lora_linear_gradients(x, weight, a, b, 1.5, g),
        dtype,
        4 * MATRIX_ERROR[dtype] if "16" in dtype else MATRIX_ERROR[dtype],
    )


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("batch", [(1,), (3, 2), (2, 300)])
@pytest.mark.parametrize("scheme", [("affine", 32, 4), ("affine", 64, 8), ("affine", 32, 3), ("mxfp4", 32, 4)])
def test_lora_linear_beside_packed_weights(scheme, batch, dtype):
    rng, (mode, group, bits), features, rank, out = np.random.default_rng(0), scheme, 192, 3, 37
    (x, wide_x), (g, cotangent) = (array_of(rng.normal(size=(*batch, n)), dtype) for n in (features, out))
    (a, wide_a), (b, wide_b) = (array_of(rng.normal(size=s) / features) for s in ((features, rank), (rank, out)))
    (weight, *rest), numbers = packed((out, features), scheme, dtype)
    options = dict(zip(("scales", "biases"), rest, strict=False), group_size=group, bits=bits, mode=mode)
    (found,), gradients = m.vjp(lambda v: [fused.lora_linear(v[0], weight, v[1], v[2], 1.5, **options)], [x, a, b], [g])
    assert [array.dtype.name for array in (found, *gradients)] == [dtype, dtype, "float32", "float32"]
    require_close(found, oracle.lora_linear(wide_x, numbers, wide_a, wide_b, 1.5), ERROR[dtype])
    of_x, _, of_a, of_b = oracle.lora_linear_gradients(wide_x, numbers, wide_a, wide_b, 1.5, cotangent)
    for one, other, error in zip(gradients, (of_x, of_a, of_b), (ERROR[dtype], 1e-5, 1e-5), strict=True):
        require_close(one, other, error)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("batch", [(1,), (3, 2), (2, 300)])
@pytest.mark.parametrize(("features", "rank", "out"), [(1, 1, 1), (12, 2, 7), (65, 8, 97), (200, 4, 200)])
def test_lora_linear_with_factors_of_float32_beside_half_precision(batch, features, rank, out, dtype):
    rng = np.random.default_rng(rank)
    shapes = (*batch, features), (out, features)
    (x, wide_x), (weight, wide_weight) = (array_of(rng.normal(size=s), dtype) for s in shapes)
    (a, wide_a), (b, wide_b) = (array_of(rng.normal(size=s) / features) for s in ((features, rank), (rank, out)))
    g, cotangent = array_of(rng.normal(size=(*batch, out)), dtype)
    (found,), gradients = m.vjp(lambda v: [fused.lora_linear(v[0], weight, v[1], v[2], 1.5)], [x, a, b], [g])
    assert [array.dtype.name for array in (found, *gradients)] == [dtype, dtype, "float32", "float32"]
    require_close(found, oracle.lora_linear(wide_x, wide_weight, wide_a, wide_b, 1.5), ERROR[dtype])
    of_x, _, of_a, of_b = oracle.lora_linear_gradients(wide_x, wide_weight, wide_a, wide_b, 1.5, cotangent)
    for one, other, error in zip(gradients, (of_x, of_a, of_b), (ERROR[dtype], 1e-5, 1e-5), strict=True):
        require_close(one, other, error)
