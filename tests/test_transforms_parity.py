"""Transforms against mlx.core, on generated shapes, dtypes and argnums: the same values, the same classes of errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlxffi as m

mx = pytest.importorskip("mlx.core")

# From two arrays to one of their common shape, by the names that both libraries have.
FUNCTIONS = {
    "product": lambda lib, a, b: lib.multiply(a, b),
    "matmul": lambda lib, a, b: lib.matmul(a, lib.transpose(b)),
    "tanh": lambda lib, a, b: lib.tanh(lib.add(a, lib.square(b))),
    "softmax": lambda lib, a, b: lib.multiply(_softmax(lib, a), b),
    "maximum": lambda lib, a, b: lib.maximum(a, b),
    "first": lambda lib, a, b: a,
    "constant": lambda lib, a, b: lib.stop_gradient(lib.add(a, b)),
}
TOLERANCE = {"float32": 1e-6, "float16": 1e-3, "bfloat16": 1e-2, "complex64": 1e-6}


def _softmax(lib, a):
    return m.softmax_axis(a, -1) if lib is m else mx.softmax(a, axis=-1)


def _sum(lib, a):
    return m.sum(a) if lib is m else mx.sum(a)


@st.composite
def cases(draw):
    name = draw(st.sampled_from(sorted(FUNCTIONS)))
    dtype = draw(st.sampled_from(sorted(TOLERANCE)))
    if dtype == "complex64" and name in ("softmax", "maximum"):
        dtype = "float32"
    shape = [draw(st.integers(0 if name == "product" else 1, 4)) for _ in range(2)]
    numbers = np.random.default_rng(draw(st.integers(0, 2**16))).normal(size=(2, *shape)).astype(np.float32)
    return FUNCTIONS[name], dtype, numbers


def ours(numbers, dtype):
    return [m.Array(part).astype(dtype) for part in numbers]


def theirs(numbers, dtype):
    return [mx.array(part).astype(getattr(mx, dtype)) for part in numbers]


def assert_same(actual, expected):
    assert len(actual) == len(expected)
    for mine, other in zip(actual, expected, strict=True):
        name = str(other.dtype).removeprefix("mlx.core.")
        assert (mine.shape, mine.dtype.name) == (other.shape, name)
        np.testing.assert_allclose(mine.tolist(), other.tolist(), rtol=TOLERANCE[name], atol=TOLERANCE[name])


@settings(max_examples=60, deadline=None)
@given(cases())
def test_vjp_and_jvp_equal_those_of_mlx_core(case):
    fn, dtype, numbers = case
    mine, other = ours(numbers, dtype), theirs(numbers, dtype)
    seeds = [fn(m, *mine)], [fn(mx, *other)]
    for found in zip(
        m.vjp(lambda x: [fn(m, *x)], mine, seeds[0] if fn is not FUNCTIONS["constant"] else []),
        mx.vjp(lambda *x: [fn(mx, *x)], other, seeds[1] if fn is not FUNCTIONS["constant"] else []),
        strict=True,
    ):
        assert_same(*found)
    for found in zip(m.jvp(lambda x: [fn(m, *x)], mine, mine), mx.jvp(lambda *x: [fn(mx, *x)], other, other), strict=True):
        assert_same(*found)


@settings(max_examples=60, deadline=None)
@given(cases(), st.lists(st.integers(0, 1), min_size=1, max_size=2, unique=True))
def test_value_and_grad_equals_that_of_mlx_core(case, argnums):
    fn, dtype, numbers = case
    found, grads = m.value_and_grad(lambda x: [_sum(m, fn(m, *x))], *argnums)(*ours(numbers, dtype))
    value, expected = mx.value_and_grad(lambda *x: _sum(mx, fn(mx, *x)), argnums=sorted(argnums))(*theirs(numbers, dtype))
    assert_same(found, [value])
    expected = expected if len(argnums) > 1 else [expected]
    assert_same([grads[argnums.index(argnum)] for argnum in sorted(argnums)], expected)


@settings(max_examples=30, deadline=None)
@given(cases())
def test_checkpoint_compile_and_vmap_equal_those_of_mlx_core(case):
    fn, dtype, numbers = case
    mine, other = ours(numbers, dtype), theirs(numbers, dtype)
    assert_same(m.checkpoint(lambda x: [fn(m, *x)])(mine), [mx.checkpoint(lambda *x: fn(mx, *x))(*other)])
    assert_same(m.compile(lambda x: [m.negative(x[0])])(mine), [mx.compile(lambda x: mx.negative(x))(other[0])])
    rows = lambda lib: lambda x, y: lib.multiply(lib.sin(x), y)
    assert_same(m.vmap(lambda x: [rows(m)(*x)], 0, 1)(mine), [mx.vmap(rows(mx), 0, 1)(*other)])


def outcome(call):
    """The result of a call, or the class of its error."""
    try:
        return [array.tolist() for part in call() for array in part]
    except Exception as error:
        return next(kind for kind in (ValueError, IndexError, TypeError, RuntimeError, object) if isinstance(error, kind))


SHAPES = st.sampled_from([[], [1], [2], [3], [2, 2], [0]])


@settings(max_examples=80, deadline=None)
@given(SHAPES, SHAPES, st.lists(SHAPES, max_size=2), st.booleans())
def test_errors_of_vjp_and_jvp_have_the_classes_of_mlx_core(left, right, seeds, reverse):
    numbers, given_seeds = [np.ones(left), np.ones(right)], [np.ones(shape) for shape in seeds]
    mine = getattr(m, "vjp" if reverse else "jvp")
    other = getattr(mx, "vjp" if reverse else "jvp")
    found = outcome(lambda: mine(lambda x: [m.add(*x)], *([_array(m, a) for a in part] for part in (numbers, given_seeds))))
    wanted = outcome(lambda: other(lambda *x: [mx.add(*x)], *([_array(mx, a) for a in part] for part in (numbers, given_seeds))))
    if reverse and len(seeds) > 1:
        # mlx.core leaves cotangents out that have no output; here they are an error.
        wanted = ValueError
    assert found == wanted


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(-3, 4), st.sampled_from([0.0, "0", None])), min_size=1, max_size=3), SHAPES)
def test_argnums_have_the_errors_of_mlx_core(argnums, shape):
    one = np.ones(shape)
    mine = lambda: m.value_and_grad(lambda x: [m.multiply(*x)], *argnums)(_array(m, one), _array(m, one))
    other = lambda: mx.value_and_grad(lambda *x: mx.multiply(*x), argnums=argnums)(_array(mx, one), _array(mx, one))
    found, wanted = outcome(lambda: mine()[:1]), outcome(lambda: [[other()[0]]])
    assert found == wanted


def _array(lib, numbers):
    return (m.Array if lib is m else mx.array)(numbers.astype(np.float32))
