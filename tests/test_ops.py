"""Operations give what mlx.core gives: the same values, dtypes, shapes and classes of exceptions.

Values are the same to the bit but for ROUNDED, which ours computes in wider types or by functions of its own
(docs/differences.md).
"""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlxffi as m
from mlxffi import fast, fft, linalg, random

# After mlxffi, which puts its own BLAS in the place of that of mlx.core.
mx = pytest.importorskip("mlx.core")

FEW = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("int8", "uint8", "int32", "int64", "uint32", "uint64")
ALL = (*FLOATS, *INTEGERS, "bool", "complex64")
REAL = (*FLOATS, *INTEGERS, "bool")
SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)

# An array may reach an operation as a view: whole, transposed, every other row, backwards, or one row repeated.
LAYOUTS = {
    "plain": (lambda a: a, lambda a: a),
    "transposed": (m.transpose, mx.transpose),
    "strided": (
        lambda a: m.slice(a, [0] * a.ndim, a.shape, [2] * a.ndim),
        lambda a: a[tuple(slice(None, None, 2) for _ in range(a.ndim))],
    ),
    "flipped": (m.flip, lambda a: a[tuple(slice(None, None, -1) for _ in range(a.ndim))]),
    "broadcast": (lambda a: m.broadcast_to(a, [2, *a.shape]), lambda a: mx.broadcast_to(a, [2, *a.shape])),
}


# --- making and comparing arrays of both libraries ---


@st.composite
def values(draw, dtypes=ALL, shapes=SHAPES, low=-3, high=3):
    """Numbers that every dtype holds, its name, and a layout."""
    dtype = draw(st.sampled_from(dtypes))
    shape = draw(shapes)
    low = max(low, 0) if dtype.startswith("u") else low
    size = math.prod(shape)
    numbers = draw(st.lists(st.integers(low * 2, high * 2), min_size=size, max_size=size))
    halves = [number // 2 if dtype in INTEGERS else number / 2 for number in numbers]
    return np.array(halves).reshape(shape), dtype, draw(st.sampled_from(sorted(LAYOUTS)))


def ours(value):
    numbers, dtype, layout = value
    flat = m.Array(numbers.ravel().tolist(), dtype)
    return LAYOUTS[layout][0](m.reshape(flat, numbers.shape))


def theirs(value):
    numbers, dtype, layout = value
    kind = mx.bool_ if dtype == "bool" else getattr(mx, dtype)
    return LAYOUTS[layout][1](mx.array(numbers.ravel().tolist(), kind).reshape(numbers.shape))


def outcome(call):
    """What a call gives: (dtype, shape, elements) of each result, or the exception."""
    try:
        results = call()
        results = list(results) if isinstance(results, (list, tuple)) else [results]
        return [(str(a.dtype).rpartition(".")[2], tuple(a.shape), np.array(a.tolist(), object)) for a in results]
    except Exception as error:
        return error.with_traceback(None)  # whose frames hold arrays


ROUNDED = {
    "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "attention", "cos", "cosh", "cumsum",
    "det", "erf", "erfinv", "exp", "expm1", "hanning", "layer_norm", "log", "log10", "log1p", "log2", "logaddexp",
    "logcumsumexp", "logsumexp", "mean", "packed", "power", "rms_norm", "rope", "rsqrt", "sigmoid", "sin", "sinh",
    "softmax", "std", "tan", "tanh", "truncated_normal", "var",
}  # fmt: skip
# What MLX's rounding makes of each type; of float64, that of float32.
ROUNDING = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 4e-6, "float64": 1e-5, "complex64": 1e-6}


def is_same(mine, other, rounding):
    return mine == other or (mine != mine and other != other) or abs(mine - other) <= rounding * (1 + abs(other))


def require_same(mine, other, name=""):
    expected = outcome(other)
    found = outcome(mine)
    if isinstance(expected, Exception):
        assert isinstance(found, type(expected)), f"expected {expected!r}, got {found!r}"
        assert isinstance(found, m.Error)
        return
    assert not isinstance(found, Exception), repr(found)
    assert [result[:2] for result in found] == [result[:2] for result in expected]
    for result, wanted in zip(found, expected, strict=True):
        rounding = ROUNDING.get(wanted[0], 0) if name in ROUNDED else 0
        same = [is_same(a, b, rounding) for a, b in zip(result[2].flat, wanted[2].flat, strict=True)]
        assert all(same), f"expected {wanted[2]}, got {result[2]}"


def on_cpu(function):
    """A function of mlx.core that computes on the CPU only."""
    return lambda *arrays: function(*arrays, stream=mx.cpu)


# --- one array, under the same name on both sides ---

UNARY = [
    "abs", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "argmax", "argmin", "argsort", "atleast_1d",
    "atleast_2d", "atleast_3d", "ceil", "conj", "cos", "cosh", "cumsum", "degrees", "erf", "erfinv", "exp", "expm1",
    "flatten", "floor", "imag", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "log", "log10", "log1p", "log2",
    "logical_not", "negative", "ones_like", "radians", "real", "reciprocal", "rsqrt", "sigmoid", "sign", "sin", "sinh",
    "sort", "sqrt", "square", "squeeze", "stop_gradient", "tan", "tanh", "transpose", "tril", "triu", "zeros_like",
]  # fmt: skip
RENAMED = {"conj": "conjugate", "argsort": "argsort_axis", "sort": "sort_axis"}
EXTRA = {"argsort": (-1,), "sort": (-1,), "cumsum": (0,)}


@pytest.mark.parametrize("name", UNARY)
@given(data=st.data())
@FEW
def test_functions_of_one_array(name, data):
    value = data.draw(values())
    mine = getattr(m, RENAMED.get(name, name))
    require_same(
        lambda: mine(ours(value), *EXTRA.get(name, ())),
        lambda: getattr(mx, name)(theirs(value), *EXTRA.get(name, ())),
        name,
    )


DIVISIONS = ["divide", "divmod", "floor_divide", "remainder"]
BINARY = [
    *DIVISIONS, "add", "arctan2", "equal", "greater", "greater_equal", "kron", "less", "less_equal", "logaddexp",
    "logical_and", "logical_or", "maximum", "minimum", "multiply", "not_equal", "power", "subtract",
]  # fmt: skip


@pytest.mark.parametrize("name", BINARY)
@given(data=st.data())
@FEW
def test_functions_of_two_arrays(name, data):
    # An integer divided by 0 ends the process in MLX, and a negative integer power is not defined.
    kinds = FLOATS if name in DIVISIONS else (*FLOATS, "complex64", "int32", "bool")
    low = 0 if name == "power" else -3
    shape = data.draw(st.lists(st.integers(0, 3), max_size=2).map(tuple))
    first = data.draw(values(kinds, st.just(shape), low))
    second = data.draw(values(kinds, st.sampled_from([shape, (), shape[1:]]), low))
    require_same(
        lambda: getattr(m, name)(ours(first), ours(second)),
        lambda: getattr(mx, name)(theirs(first), theirs(second)),
        name,
    )


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"])
@given(data=st.data())
@FEW
def test_functions_of_two_integers(name, data):
    first, second = (data.draw(values(("int32", "uint8", "bool", "float32"), st.just((2, 3)), 0)) for _ in range(2))
    require_same(
        lambda: getattr(m, name)(ours(first), ours(second)), lambda: getattr(mx, name)(theirs(first), theirs(second))
    )


# --- Python numbers ---


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "power", "maximum", "equal", "less"])
@pytest.mark.parametrize("number", [2, 0.5, True, 1 + 2j], ids=str)
def test_a_number_takes_the_arrays_dtype_as_in_mlx(name, number):
    mine, other = getattr(m, name), getattr(mx, name)
    for dtype in ALL:
        value = (np.array([0, 1, 3]), dtype, "plain")
        require_same(lambda: mine(ours(value), number), lambda: other(theirs(value), number))  # noqa: B023
        require_same(lambda: mine(number, ours(value)), lambda: other(number, theirs(value)))  # noqa: B023


@pytest.mark.parametrize("index", [0, -1, 2])
def test_a_number_as_index_stays_an_integer(index):
    a = m.Array([[1.5, 2.5, 3.5]], "float16")
    assert m.take_axis(a, index, 1).tolist() == [[1.5, 2.5, 3.5][index]]
    assert m.slice_dynamic(a, abs(index) % 3, [1], [1, 1]).tolist() == [[[1.5, 2.5, 3.5][abs(index) % 3]]]


def test_a_number_as_condition_or_fill_keeps_its_kind():
    a = m.Array([1.0, 2.0])
    assert m.where(True, a, 0.0).tolist() == [1.0, 2.0]
    assert m.full_like(m.Array([1, 2]), 0.5, "float32").tolist() == [0.5, 0.5]


# --- reductions: ours by axis, theirs by keyword ---

REDUCTIONS = ("all", "any", "logsumexp", "max", "mean", "min", "prod", "softmax", "std", "sum", "var")


@pytest.mark.parametrize("name", REDUCTIONS)
@given(data=st.data())
@FEW
def test_reductions_over_all_one_and_several_axes(name, data):
    value = data.draw(values((*REAL, "complex64"), st.tuples(*[st.integers(1, 3)] * 3)))
    keepdims = () if name == "softmax" else (data.draw(st.booleans()),)
    keyword = {"keepdims": keepdims[0]} if keepdims else {}
    theirs_of = getattr(mx, name)
    require_same(lambda: getattr(m, name)(ours(value), *keepdims), lambda: theirs_of(theirs(value), **keyword), name)
    require_same(
        lambda: getattr(m, f"{name}_axis")(ours(value), -1, *keepdims),
        lambda: theirs_of(theirs(value), axis=-1, **keyword),
        name,
    )
    require_same(
        lambda: getattr(m, f"{name}_axes")(ours(value), [0, 2], *keepdims),
        lambda: theirs_of(theirs(value), axis=[0, 2], **keyword),
        name,
    )


# --- calls spelled out on both sides ---

CALLS = {
    "addmm": (lambda a: m.addmm(a, a, a, 0.5, 2.0), lambda a: mx.addmm(a, a, a, 0.5, 2.0)),
    "allclose": (lambda a: m.allclose(a, a), lambda a: mx.allclose(a, a)),
    "array_equal": (lambda a: m.array_equal(a, a), lambda a: mx.array_equal(a, a)),
    "as_strided": (lambda a: m.as_strided(a, [2, 2], [2, 1], 1), lambda a: mx.as_strided(a, [2, 2], [2, 1], 1)),
    "clip": (lambda a: m.clip(a, 1, 2), lambda a: mx.clip(a, 1, 2)),
    "concatenate": (lambda a: m.concatenate_axis([a, a], 1), lambda a: mx.concatenate([a, a], 1)),
    "cumprod": (lambda a: m.cumprod(a, 1, True, False), lambda a: mx.cumprod(a, 1, reverse=True, inclusive=False)),
    "cummax": (lambda a: m.cummax(a, 0), lambda a: mx.cummax(a, 0)),
    "diag": (lambda a: m.diag(a, 1), lambda a: mx.diag(a, 1)),
    "diagonal": (lambda a: m.diagonal(a, -1), lambda a: mx.diagonal(a, -1)),
    "einsum": (lambda a: m.einsum("ij,kj->ki", [a, a]), lambda a: mx.einsum("ij,kj->ki", a, a)),
    "expand_dims": (lambda a: m.expand_dims_axes(a, [0, 2]), lambda a: mx.expand_dims(a, [0, 2])),
    "take_along_axis": (
        lambda a: m.take_along_axis(a, [[1], [0], [2]], 1),
        lambda a: mx.take_along_axis(a, mx.array([[1], [0], [2]]), 1),
    ),
    "inner": (lambda a: m.inner(a, a), lambda a: mx.inner(a, a)),
    "logcumsumexp": (lambda a: m.logcumsumexp(a, 1), lambda a: mx.logcumsumexp(a, 1)),
    "matmul": (lambda a: m.matmul(a, a), lambda a: mx.matmul(a, a)),
    "median": (lambda a: m.median(a, [1]), lambda a: mx.median(a, axis=1)),
    "meshgrid": (lambda a: m.meshgrid([a, a], True), lambda a: mx.meshgrid(a, a, sparse=True)),
    "moveaxis": (lambda a: m.moveaxis(a, 0, 1), lambda a: mx.moveaxis(a, 0, 1)),
    "outer": (lambda a: m.outer(a, a), lambda a: mx.outer(a, a)),
    "pad": (lambda a: m.pad(a, [1], [2], [1], 2), lambda a: mx.pad(a, [(0, 0), (2, 1)], constant_values=2)),
    "pad edge": (lambda a: m.pad_symmetric(a, 1, 0, "edge"), lambda a: mx.pad(a, 1, mode="edge")),
    "partition": (lambda a: m.sort(m.partition(a, 2)), lambda a: mx.sort(mx.partition(a, 2, None), None)),
    "put_along_axis": (
        lambda a: m.put_along_axis(a, [[1], [0], [2]], 7, 1),
        lambda a: mx.put_along_axis(a, mx.array([[1], [0], [2]]), mx.array(7), 1),
    ),
    "repeat": (lambda a: m.repeat_axis(a, 2, 1), lambda a: mx.repeat(a, 2, 1)),
    "reshape": (lambda a: m.reshape(a, [-1]), lambda a: mx.reshape(a, [-1])),
    "roll": (lambda a: m.roll_axes(a, [1, 2], [0, 1]), lambda a: mx.roll(a, (1, 2), (0, 1))),
    "round": (lambda a: m.round(a, 1), lambda a: mx.round(a, 1)),
    "searchsorted": (
        lambda a: m.searchsorted([0.0, 1.0, 2.0], m.astype(a, "float32")),
        lambda a: mx.searchsorted(mx.array([0.0, 1.0, 2.0]), a.astype(mx.float32)),
    ),
    "slice": (lambda a: m.slice(a, [2, 0], [-4, 3], [-1, 2]), lambda a: a[2::-1, 0:3:2]),
    "split": (lambda a: m.split_sections(a, [1, 2], 1), lambda a: mx.split(a, [1, 2], 1)),
    "stack": (lambda a: m.stack_axis([a, a], 1), lambda a: mx.stack([a, a], 1)),
    "swapaxes": (lambda a: m.swapaxes(a, 0, 1), lambda a: mx.swapaxes(a, 0, 1)),
    "take": (lambda a: m.take_axis(a, [2, 0, -1], 1), lambda a: mx.take(a, mx.array([2, 0, -1]), 1)),
    "tensordot": (lambda a: m.tensordot(a, a, [0], [1]), lambda a: mx.tensordot(a, a, [[0], [1]])),
    "tile": (lambda a: m.tile(a, [2, 1]), lambda a: mx.tile(a, [2, 1])),
    "topk": (lambda a: m.sort_axis(m.topk_axis(a, 2, 1), 1), lambda a: mx.sort(mx.topk(a, 2, 1), 1)),
    "trace": (lambda a: m.trace(a, 0, 0, 1, a.dtype), lambda a: mx.trace(a, dtype=a.dtype)),
    "unflatten": (lambda a: m.unflatten(a, 1, [1, -1]), lambda a: mx.unflatten(a, 1, [1, -1])),
    "view": (lambda a: m.view(m.contiguous(a), "uint8"), lambda a: mx.view(mx.contiguous(a), mx.uint8)),
    "where": (lambda a: m.where(m.greater(a, 0), a, 1), lambda a: mx.where(a > 0, a, 1)),
    "astype": (lambda a: m.astype(a, "float16"), lambda a: a.astype(mx.float16)),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
@given(data=st.data())
@FEW
def test_calls(name, data):
    numbers, dtype, layout = data.draw(values((*REAL, "complex64"), st.just((3, 3))))
    value = numbers, dtype, "flipped" if layout == "broadcast" else layout
    value = value if layout != "strided" else (np.pad(numbers, ((0, 2), (0, 2))), dtype, layout)
    mine, other = CALLS[name]
    require_same(lambda: mine(ours(value)), lambda: other(theirs(value)), name)


MAKERS = {
    "arange": (lambda: m.arange(1, 7, 2, "float16"), lambda: mx.arange(1, 7, 2, mx.float16)),
    "eye": (lambda: m.eye(3, 4, 1), lambda: mx.eye(3, 4, 1)),
    "full": (lambda: m.full([2, 2], 7, "int8"), lambda: mx.full([2, 2], 7, mx.int8)),
    "identity": (lambda: m.identity(3), lambda: mx.identity(3)),
    "linspace": (lambda: m.linspace(0, 1, 5), lambda: mx.linspace(0, 1, 5)),
    "ones": (lambda: m.ones([2, 0]), lambda: mx.ones([2, 0])),
    "tri": (lambda: m.tri(3, 4, 1), lambda: mx.tri(3, 4, 1)),
    "zeros": (lambda: m.zeros(3, "bool"), lambda: mx.zeros(3, mx.bool_)),
    "hanning": (lambda: m.hanning(5), lambda: mx.hanning(5)),
    "fftfreq": (lambda: fft.fftfreq(5), lambda: mx.fft.fftfreq(5)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_makers(name):
    require_same(*MAKERS[name], name)


# --- the other modules ---

MATRIX = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, -1.0], [0.5, -1.0, 5.0]])
MATRICES = {
    "cholesky": (linalg.cholesky, on_cpu(mx.linalg.cholesky)),
    "det": (linalg.det, mx.linalg.det),
    "eigh": (linalg.eigh, on_cpu(mx.linalg.eigh)),
    "eigvals": (linalg.eigvals, on_cpu(mx.linalg.eigvals)),
    "inv": (linalg.inv, on_cpu(mx.linalg.inv)),
    "lu": (linalg.lu, on_cpu(mx.linalg.lu)),
    "norm": (lambda a: linalg.norm_matrix(a, "fro"), lambda a: mx.linalg.norm(a, "fro")),
    "norm l2": (linalg.norm_l2, mx.linalg.norm),
    "pinv": (linalg.pinv, on_cpu(mx.linalg.pinv)),
    "qr": (linalg.qr, on_cpu(mx.linalg.qr)),
    "slogdet": (linalg.slogdet, mx.linalg.slogdet),
    "solve": (lambda a: linalg.solve(a, a), lambda a: mx.linalg.solve(a, a, stream=mx.cpu)),
    "svd": (linalg.svd, on_cpu(mx.linalg.svd)),
    "cross": (lambda a: linalg.cross(a, a), lambda a: mx.linalg.cross(a, a)),
    "fft": (lambda a: fft.fft(a, 3, -1), lambda a: mx.fft.fft(a)),
    "fft2": (lambda a: fft.fft2(a, [3, 3], [0, 1]), lambda a: mx.fft.fft2(a)),
    "ifft": (lambda a: fft.ifft(a, 5, 0, "ortho"), lambda a: mx.fft.ifft(a, 5, 0, "ortho")),
    "irfft": (lambda a: fft.irfft(a, 4, -1), lambda a: mx.fft.irfft(a, 4)),
    "rfft": (lambda a: fft.rfft(a, 3, -1), lambda a: mx.fft.rfft(a)),
    "fftshift": (lambda a: fft.fftshift(a, [0, 1]), lambda a: mx.fft.fftshift(a, [0, 1])),
    "layer_norm": (
        lambda a: fast.layer_norm(a, m.diag(a), None, 1e-5),
        lambda a: mx.fast.layer_norm(a, mx.diag(a), None, 1e-5),
    ),
    "rms_norm": (lambda a: fast.rms_norm(a, None, 1e-5), lambda a: mx.fast.rms_norm(a, None, 1e-5)),
    "rope": (
        lambda a: fast.rope(m.reshape(a, [1, 3, 3]), 2, False, 100.0, 1.0, 1),
        lambda a: mx.fast.rope(a.reshape(1, 3, 3), 2, traditional=False, base=100.0, scale=1.0, offset=1),
    ),
    "attention": (
        lambda a: fast.scaled_dot_product_attention(*[m.reshape(a, [1, 1, 3, 3])] * 3, 0.5),
        lambda a: mx.fast.scaled_dot_product_attention(*[a.reshape(1, 1, 3, 3)] * 3, scale=0.5),
    ),
}


@pytest.mark.parametrize("name", MATRICES)
def test_functions_of_a_matrix(name):
    mine, other = MATRICES[name]
    for dtype in ("float32", "float64", "float16", "int32", "complex64"):
        value = MATRIX.astype(int) if dtype == "int32" else MATRIX, dtype, "transposed"
        require_same(lambda: mine(ours(value)), lambda: other(theirs(value)), name)  # noqa: B023


CONVOLUTIONS = {
    "conv1d": ((2, 5, 4), (2, 3, 4)),
    "conv2d": ((1, 4, 5, 2), (3, 2, 2, 2)),
    "conv3d": ((1, 3, 3, 3, 2), (2, 2, 2, 2, 2)),
    "conv_transpose1d": ((2, 5, 4), (2, 3, 4)),
    "conv_transpose2d": ((1, 4, 5, 2), (3, 2, 2, 2)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name):
    rng = np.random.default_rng(0)
    x, w = ((rng.integers(-4, 4, size) / 2, "float32", "plain") for size in CONVOLUTIONS[name])
    require_same(lambda: getattr(m, name)(ours(x), ours(w)), lambda: getattr(mx, name)(theirs(x), theirs(w)))


def test_quantization():
    rng = np.random.default_rng(0)
    w, x = ((rng.normal(size=(4, 64)).astype(np.float32), "float32", "plain") for _ in range(2))
    require_same(lambda: m.quantize(ours(w), 32, 4), lambda: mx.quantize(theirs(w), 32, 4))
    require_same(
        lambda: m.quantized_matmul(ours(x), *m.quantize(ours(w)), True),
        lambda: mx.quantized_matmul(theirs(x), *mx.quantize(theirs(w)), transpose=True),
        "packed",
    )
    require_same(lambda: m.dequantize(*m.quantize(ours(w))), lambda: mx.dequantize(*mx.quantize(theirs(w))), "packed")


DRAWS = {
    "bernoulli": (lambda k: random.bernoulli(0.5, [3, 4], k), lambda k: mx.random.bernoulli(0.5, [3, 4], k)),
    "categorical": (
        lambda k: random.categorical_num_samples(m.Array([[0.0, 1.0]]), -1, 5, k),
        lambda k: mx.random.categorical(mx.array([[0.0, 1.0]]), num_samples=5, key=k),
    ),
    "gumbel": (lambda k: random.gumbel([3], key=k), lambda k: mx.random.gumbel([3], key=k)),
    "laplace": (lambda k: random.laplace([3], key=k), lambda k: mx.random.laplace([3], key=k)),
    "normal": (
        lambda k: random.normal([3, 2], "float16", 1.0, 2.0, k),
        lambda k: mx.random.normal([3, 2], mx.float16, 1.0, 2.0, k),
    ),
    "permutation": (lambda k: random.permutation_arange(7, k), lambda k: mx.random.permutation(7, key=k)),
    "randint": (lambda k: random.randint(-5, 9, [4], key=k), lambda k: mx.random.randint(-5, 9, [4], key=k)),
    "split": (lambda k: random.split_num(k), lambda k: mx.random.split(k)),
    "truncated_normal": (
        lambda k: random.truncated_normal(-1.0, 1.0, [3], key=k),
        lambda k: mx.random.truncated_normal(-1.0, 1.0, [3], key=k),
    ),
    "uniform": (lambda k: random.uniform(-1.0, 1.0, [3], key=k), lambda k: mx.random.uniform(-1.0, 1.0, [3], key=k)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_random_numbers_of_a_key(name):
    mine, other = DRAWS[name]
    for seed in (0, 7, 2**63):
        key, their_key = random.key(seed), mx.random.key(seed)
        require_same(partial(mine, key), partial(other, their_key), name)


# --- errors ---

ERRORS = {
    "shapes": (lambda: m.add(m.ones([2]), m.ones([3])), lambda: mx.add(mx.ones([2]), mx.ones([3]))),
    "axis": (lambda: m.sum_axis(m.ones([2]), 1), lambda: mx.sum(mx.ones([2]), axis=1)),
    "matmul": (lambda: m.matmul(m.ones([2, 3]), m.ones([2, 3])), lambda: mx.matmul(mx.ones([2, 3]), mx.ones([2, 3]))),
    "reshape": (lambda: m.reshape(m.ones([3]), [2]), lambda: mx.reshape(mx.ones([3]), [2])),
    "concatenate": (lambda: m.concatenate([]), lambda: mx.concatenate([])),
    "einsum": (lambda: m.einsum("i,j", [m.ones([2])]), lambda: mx.einsum("i,j", mx.ones([2]))),
    "bits": (lambda: m.bitwise_and(1.5, 2.5), lambda: mx.bitwise_and(mx.array(1.5), mx.array(2.5))),
    "singular": (
        lambda: m.eval(linalg.inv(m.zeros([2, 2]))), lambda: mx.eval(mx.linalg.inv(mx.zeros([2, 2]), stream=mx.cpu))
    ),
    "rope": (lambda: fast.rope(m.ones([2]), 2, False, 10.0), lambda: mx.fast.rope(
        mx.ones([2]), 2, traditional=False, base=10.0, scale=1.0, offset=0)),
    "fft": (lambda: fft.fft(m.ones([2]), 2, 3), lambda: mx.fft.fft(mx.ones([2]), axis=3)),
    "key": (lambda: random.normal([2], key=m.ones([3])), lambda: mx.random.normal([2], key=mx.ones([3]))),
    "sections": (lambda: m.split(m.ones([3]), 2, 0), lambda: mx.split(mx.ones([3]), 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_have_the_class_that_mlx_gives_them(name):
    mine, other = ERRORS[name]
    assert isinstance(outcome(other), Exception)
    require_same(mine, other)


def test_an_unknown_dtype_is_a_type_error():
    with pytest.raises(TypeError, match=r"dtype: expected one of bool, .*, got 'float33'"):
        m.zeros([2], "float33")


def test_an_unknown_norm_names_those_that_there_are():
    with pytest.raises(ValueError, match=r"norm: expected one of backward, ortho, forward, got 'both'"):
        fft.fft(m.ones([2]), 2, 0, "both")
