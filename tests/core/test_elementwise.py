"""Elementwise operations of large arrays on the CPU: values, types, layouts, and what compiled functions compute."""

import math
from pathlib import Path

import mlx.core as theirs
import numpy as np
import pytest
from helpers import computed, computed_by_any_number_of_threads

from mlxffi import core as mx

# Odd, so that the last block and the last vector are parts of one.
SIZE = (1 << 17) + 4096 + 37
SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    np.inf,
    -np.inf,
    np.nan,
    1e-45,
    -1e-45,
    1e-38,
    3.4e38,
    -3.4e38,
    88.7,
    -87.4,
    -103.9,
    1e30,
    0.5,
]


def erfinv(x):
    """Of float64 numbers: by Newton's method, from below."""
    inside = np.abs(x) < 1
    size = np.where(inside, np.abs(x), 0)
    y = size * math.sqrt(math.pi) / 2
    for _ in range(40):
        y += (np.vectorize(math.erfc)(y) - (1 - size)) * math.sqrt(math.pi) / 2 * np.exp(y * y)
    # Near 0 a difference from 1 has too few digits.
    y = np.where(size < 1e-5, size * math.sqrt(math.pi) / 2, y)
    return np.copysign(np.where(inside, y, np.where(np.abs(x) == 1, np.inf, np.nan)), x)


NUMPY_LACKS = {
    "erfinv": erfinv,
    "erf": np.vectorize(math.erf),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "arctan2": np.arctan2,
    "logaddexp": np.logaddexp,
}
FUNCTIONS = [
    "exp", "expm1", "sigmoid", "sinh", "cosh", "tanh", "log", "log2", "log10", "log1p", "arcsinh", "arccosh", "arctanh",
    "sin", "cos", "tan", "arctan", "arcsin", "arccos", "erf", "erfinv", "sqrt", "rsqrt", "square", "abs", "negative",
    "floor", "ceil", "round", "sign",
]  # fmt: skip
OF_TWO = ["add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "arctan2", "logaddexp"]
COMPARISONS = ["equal", "not_equal", "greater", "greater_equal", "less", "less_equal"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def floats(seed=0, size=SIZE):
    """Numbers of every size and near 0 and 1, and those that functions treat in another way."""
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=size // 3), rng.normal(size=size // 3) * 10.0 ** rng.integers(-30, 30, size // 3)]
    parts.append(rng.uniform(-1.2, 1.2, size - sum(map(len, parts)) - len(SPECIAL)))
    numbers = np.concatenate([*parts, SPECIAL]).astype(np.float32)
    return rng.permutation(numbers)


# Two roundings make one operation.
ULPS = {"rsqrt": 1.5}


def require_ulps(found, expected, ulps, least=0.0):
    """Within so many of the last digit, that of `least` for smaller numbers; NaN, infinities and signs as in numpy."""
    with np.errstate(over="ignore"):
        nearest = expected.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(nearest))
    np.testing.assert_array_equal(np.signbit(found[~np.isnan(found)]), np.signbit(nearest[~np.isnan(found)]))
    finite = np.isfinite(nearest) & np.isfinite(found)
    np.testing.assert_array_equal(found[~finite & ~np.isnan(found)], nearest[~finite & ~np.isnan(found)])
    gap = np.abs(found[finite].astype(np.float64) - expected[finite])
    assert (gap / np.spacing(np.maximum(np.abs(nearest[finite]), np.float32(least))).astype(np.float64)).max() <= ulps


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_to_the_last_digit(name):
    x = floats()
    with np.errstate(all="ignore"):
        expected = NUMPY_LACKS.get(name, getattr(np, name, None))(x.astype(np.float64))
    if name == "sign":
        expected = np.nan_to_num(expected)  # as MLX has it
    require_ulps(np.array(getattr(mx, name)(mx.array(x))), expected, ULPS.get(name, 0.51))


@pytest.mark.parametrize("name", OF_TWO)
def test_functions_of_two_to_the_last_digit(name):
    x, y = floats(1), floats(2)
    if name == "power":
        y = np.where(np.arange(SIZE) % 3, y, np.round(y))
    with np.errstate(all="ignore"):
        expected = NUMPY_LACKS.get(name, getattr(np, name))(x.astype(np.float64), y.astype(np.float64))
    found = np.array(getattr(mx, name)(mx.array(x), mx.array(y)))
    if name in ("maximum", "minimum"):  # of two zeros, either
        found, expected = found + 0, expected + 0
    # The logarithm of a sum near 1 is a difference.
    require_ulps(found, expected, 0.51, 0.1 if name == "logaddexp" else 0.0)


def test_powers_of_special_numbers():
    x, y = (part.ravel().astype(np.float32) for part in np.meshgrid([*SPECIAL, 2, -2, -8], [*SPECIAL, 2, 3, -3, 1 / 3]))
    times = 4096 // len(x) + 1
    with np.errstate(all="ignore"):
        expected = np.power(x.astype(np.float64), y.astype(np.float64))
    found = np.array(mx.power(mx.array(np.tile(x, times)), mx.array(np.tile(y, times))))
    require_ulps(found, np.tile(expected, times), 0.51)


@pytest.mark.parametrize("exponent", [2.0, 3.0, -1.0, 0.5, 1.5, 0.0])
@pytest.mark.parametrize("size", [SIZE, 101])
def test_powers_with_one_exponent(exponent, size):
    x = floats(3)[:size]
    with np.errstate(all="ignore"):
        # Of an array: numpy takes roots for a single 0.5, of -inf, too.
        expected = np.power(x.astype(np.float64), np.full(size, exponent))
    require_ulps(np.array(mx.power(mx.array(x), exponent)), expected, 0.51)


@pytest.mark.parametrize("name", ["isfinite", "isinf", "isnan"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "complex64", "int32", "bool_"])
def test_what_is_finite(name, dtype):
    x = np.array([*SPECIAL, 2 + 1j * np.inf, complex(np.nan, 1), 3e38 + 3e38j], np.complex64)
    if dtype != "complex64":
        x = np.array([0, 1]) if dtype in ("int32", "bool_") else x.real
    found = [getattr(library, name)(library.array(x).astype(getattr(library, dtype))) for library in (mx, theirs)]
    np.testing.assert_array_equal(*map(np.array, found))
    if dtype in ("float32", "complex64"):
        np.testing.assert_array_equal(np.array(found[0]), getattr(np, name)(x))


FUNCTIONS_PROGRAM = f"""
import numpy as np
from mlxffi import core as mx
x = mx.array(np.random.default_rng(0).normal(size=5003).astype(np.float32))
for name in {FUNCTIONS[:21]}:
    print(np.array(getattr(mx, name)(x)).astype(float).tobytes().hex())
"""


@pytest.mark.parametrize("kernels", ["baseline", "avx2"])
def test_functions_to_the_last_digit_with_other_kernels(kernels):
    if kernels == "avx2" and " avx2 " not in Path("/proc/cpuinfo").read_text():
        pytest.skip("needs AVX2")
    x = np.random.default_rng(0).normal(size=5003).astype(np.float32).astype(np.float64)
    for name, found in zip(FUNCTIONS, computed(FUNCTIONS_PROGRAM, MLXFFI_SIMD=kernels), strict=False):
        with np.errstate(all="ignore"):
            expected = NUMPY_LACKS.get(name, getattr(np, name, None))(x)
        require_ulps(found.astype(np.float32), expected, 0.51)


def complex_numbers(seed):
    """Numbers, and every pair of special ones."""
    rng = np.random.default_rng(seed)
    special = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 3e38, 1e-40], np.float32)
    parts = rng.normal(size=(2, 4001)).astype(np.float32)
    parts[:, :162] = np.stack([special[rng.integers(0, 9, 162)], special[rng.integers(0, 9, 162)]])
    numbers = np.empty(4001, np.complex64)
    numbers.real, numbers.imag = parts
    return numbers


def parts_of(x):
    """Bits of the parts, the same for every NaN."""
    parts = np.array(x).view(np.float32)
    return np.where(np.isnan(parts), np.float32(np.nan), parts).view(np.uint32)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "square", "negative"])
def test_complex_numbers_are_those_of_c(name):
    # Slices hold whole vectors and parts of one.
    x, y = complex_numbers(0), complex_numbers(1)
    for size in (4001, 7, 1):
        given = [x[:size], y[:size]] if name in ("add", "subtract", "multiply") else [x[:size]]
        found, expected = (getattr(of, name)(*map(of.array, given)) for of in (mx, theirs))
        np.testing.assert_array_equal(parts_of(found), parts_of(expected))


def test_complex_products_of_numbers():
    x, y = (complex_numbers(seed)[200:] for seed in range(2))
    found, expected = np.array(mx.multiply(mx.array(x), mx.array(y))), x.astype(np.complex128) * y
    assert (np.abs(found - expected) <= 2e-7 * np.abs(x) * np.abs(y)).all()


def test_complex_sizes():
    x = complex_numbers(2)
    with np.errstate(over="ignore"):
        expected = np.hypot(x.real.astype(np.float64), x.imag)
    require_ulps(np.array(mx.abs(mx.array(x))), expected, 0.51)


def test_complex_numbers_are_chosen_and_converted():
    x, y = complex_numbers(3), complex_numbers(4)
    chosen = np.arange(x.size) % 3 == 0
    found = mx.where(mx.array(chosen), mx.array(x), mx.array(y))
    np.testing.assert_array_equal(parts_of(found), parts_of(np.where(chosen, x, y)))
    np.testing.assert_array_equal(np.array(mx.array(x).astype(mx.float32)), x.real)
    wide = np.array(mx.array(x.real.copy()).astype(mx.complex64))
    np.testing.assert_array_equal(wide.real, x.real)
    np.testing.assert_array_equal(wide.imag, np.zeros(x.size))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_shifts(dtype):
    rng = np.random.default_rng(0)
    x = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, SIZE, dtype=dtype, endpoint=True)
    by = rng.integers(0, np.iinfo(dtype).bits, SIZE).astype(dtype)
    a, b = mx.array(x, dtype=getattr(mx, dtype)), mx.array(by, dtype=getattr(mx, dtype))
    np.testing.assert_array_equal(np.array(mx.left_shift(a, b)), np.left_shift(x, by))
    np.testing.assert_array_equal(np.array(mx.right_shift(a, b)), np.right_shift(x, by))


def test_remainders_of_floats_are_exact():
    x, y = floats(1), floats(2)
    x[:1000], y[:1000] = np.arange(1000) - 500, np.arange(1000) % 11 - 5
    with np.errstate(invalid="ignore"):
        expected = np.remainder(x, y)
    found = np.array(mx.remainder(mx.array(x), mx.array(y)))
    np.testing.assert_array_equal(found, expected)
    half = mx.array(x[:1000]).astype(mx.bfloat16)
    np.testing.assert_array_equal(np.array((half % 7).astype(mx.float32)), np.array(half.astype(mx.float32)) % 7)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["exp", "tanh", "erf", "sqrt", "add", "multiply", "maximum", "power"])
def test_halves_are_rounded_once(name, dtype):
    of_two = name in OF_TWO
    x, y = (mx.array(floats(seed)).astype(getattr(mx, dtype)) for seed in (1, 2))
    if of_two:
        wide = getattr(mx, name)(x.astype(mx.float32), y.astype(mx.float32))
        found = getattr(mx, name)(x, y)
    else:
        wide, found = getattr(mx, name)(x.astype(mx.float32)), getattr(mx, name)(x)
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(np.array(found.astype(mx.float32)), np.array(wide.astype(x.dtype).astype(mx.float32)))


@pytest.mark.parametrize("dtype", [*INTEGERS, "bool_", "float64"])
def test_other_types(dtype):
    kind = np.dtype(dtype.rstrip("_"))
    rng = np.random.default_rng(0)
    if kind.kind in "iu":
        x, y = rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, (2, SIZE), dtype=kind, endpoint=True)
        y[: SIZE // 2] = x[: SIZE // 2]
    else:
        x, y = (
            part.astype(kind)
            for part in (rng.normal(size=(2, SIZE)) if kind.kind == "f" else rng.integers(0, 2, (2, SIZE)))
        )
    names = [*COMPARISONS, "maximum", "minimum"]
    names += ["logical_and", "logical_or"] if kind.kind == "b" else ["add", "subtract", "multiply"]
    with mx.stream(mx.cpu), np.errstate(over="ignore"):
        a, b = mx.array(x, dtype=getattr(mx, dtype)), mx.array(y, dtype=getattr(mx, dtype))
        for name in names:
            np.testing.assert_array_equal(np.array(getattr(mx, name)(a, b)), getattr(np, name)(x, y), err_msg=name)
        for name in {
            "b": ["logical_not"],
            "i": ["negative", "abs", "square"],
            "u": ["square"],
            "f": ["negative", "abs", "sqrt", "floor", "ceil", "round"],
        }[kind.kind]:
            with np.errstate(invalid="ignore"):
                np.testing.assert_array_equal(np.array(getattr(mx, name)(a)), getattr(np, name)(x), err_msg=name)
        chosen = mx.where(mx.array(x != y), a, b)
        np.testing.assert_array_equal(np.array(chosen), np.where(x != y, x, y))


@pytest.mark.parametrize("source", [*INTEGERS, "bool_", "float32", "float64", "float16"])
@pytest.mark.parametrize("target", [*INTEGERS, "bool_", "float32", "float64", "float16"])
def test_conversions(source, target):
    kind = np.dtype(source.rstrip("_"))
    numbers = np.random.default_rng(0).uniform(0, 1.9 if kind.kind == "b" else 126, SIZE)
    numbers = np.round(numbers * 8) / 8  # as float16 has them
    x = (numbers if kind.kind in "bu" or target.startswith("u") else numbers * 2 - 126).astype(kind)
    with mx.stream(mx.cpu):
        found = np.array(mx.array(x, dtype=getattr(mx, source)).astype(getattr(mx, target)))
    np.testing.assert_array_equal(found, x.astype(target.rstrip("_")))


@pytest.mark.parametrize("dtype", [*INTEGERS, "float32", "float64"])
@pytest.mark.parametrize("size", [1, 7, 31, 33, 63, 100, 129])
def test_rows_of_any_length_become_fewer_bytes(size, dtype):
    x = np.random.default_rng(size).integers(0, 100, size).astype(dtype)
    with mx.stream(mx.cpu):
        a = mx.array(x, dtype=getattr(mx, dtype))
        for name in COMPARISONS:
            np.testing.assert_array_equal(np.array(getattr(mx, name)(a, 50)), getattr(np, name)(x, 50), err_msg=name)
        for target in ("bool_", "uint8", "int16"):
            np.testing.assert_array_equal(np.array(a.astype(getattr(mx, target))), x.astype(target.rstrip("_")))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_keeps_signs_and_what_is_no_number(dtype):
    limit = 2.0 ** np.finfo(dtype).nmant
    near = [0.0, 0.3, 0.5, 0.7, 1.0, 1.5, 2.5, 1e30, np.finfo(dtype).tiny, limit, limit - 0.5, limit / 2 + 0.5, np.inf]
    x = np.tile(np.array([*near, *np.negative(near), np.nan], dtype), 3)
    with mx.stream(mx.cpu):
        for name in ("floor", "ceil", "round"):
            found, expected = np.array(getattr(mx, name)(mx.array(x, dtype=getattr(mx, dtype)))), getattr(np, name)(x)
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


@pytest.mark.parametrize("shape", [(), (3,), (1, 1024), (5, 1, 7), (300, 1025)])
@pytest.mark.parametrize("dtype", ["bool_", "uint8", "int16", "bfloat16", "float32", "int64", "complex64"])
def test_full(dtype, shape):
    kind = "float32" if dtype == "bfloat16" else dtype.rstrip("_")
    one, row = np.array(1, kind), np.arange(shape[-1] if shape else 1).astype(kind)
    for values in (one, row if shape else one):
        found = mx.full(shape, mx.array(values).astype(getattr(mx, dtype)))
        assert found.dtype == getattr(mx, dtype)
        expected = mx.array(values).astype(getattr(mx, dtype)).astype(getattr(mx, kind if kind != "bool" else dtype))
        expected = np.broadcast_to(np.array(expected), shape)
        np.testing.assert_array_equal(np.array(found.astype(mx.float32) if dtype == "bfloat16" else found), expected)
    assert np.array(mx.argmax(mx.array(np.zeros((1, 9), np.float32)), axis=0)).tolist() == [0] * 9


LAYOUTS = {
    "transposed": lambda x: x.T,
    "every second": lambda x: x[:, ::2],
    "backwards": lambda x: x[::-1, ::-1],
    "a part": lambda x: x[1:, 3:],
    "permuted": lambda x: x[:120, :126].reshape(30, 4, 9, 14).transpose(2, 0, 3, 1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_any_layout(layout, dtype):
    x = np.round(np.random.default_rng(0).normal(size=(123, 131)) * 2).astype(np.float32)
    y = np.ascontiguousarray(LAYOUTS[layout](x))
    view = LAYOUTS[layout](mx.array(x).astype(getattr(mx, dtype)))
    for found, expected in [(view + 1, y + 1), (view * view, y * y), (view - mx.array(y).astype(view.dtype), y - y)]:
        expected = expected.astype(np.int8) if dtype == "int8" else expected
        np.testing.assert_array_equal(np.array(found.astype(mx.float32)), expected.astype(np.float32))


@pytest.mark.parametrize(
    "shapes",
    [
        ((70, 80), (80,)),
        ((70, 80), (70, 1)),
        ((4096, 3), (3,)),
        ((1, 90), (90, 1)),
        ((5, 1, 33, 40), (7, 1, 40)),
        ((9000,), ()),
    ],
)
def test_broadcast(shapes):
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    np.testing.assert_array_equal(np.array(mx.array(x) + mx.array(y)), x + y)
    np.testing.assert_array_equal(np.array(mx.array(y) - mx.array(x)), y - x)


def turned(part):
    """The same numbers, which lie column after column."""
    return part if isinstance(part, np.ndarray) else mx.contiguous(part.swapaxes(-1, -2)).swapaxes(-1, -2)


BESIDE_ROWS = {
    "a row": lambda x, part: x[..., :1, 3:],
    "a column": lambda x, part: x[..., :1],
    "other rows": lambda x, part: x[..., 3:],
    "turned": lambda x, part: turned(part),
    "backwards": lambda x, part: part[..., ::-1],
    "a number": lambda x, part: x[:1, :1, 1:2],
}


@pytest.mark.parametrize("other", BESIDE_ROWS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("shape", [(2, 3, 255), (2, 3, 256), (1, 2, 2049), (3, 2, 5000)])
def test_parts_of_rows(shape, dtype, other):
    """Rows that are short of a block, and longer."""
    x = np.random.default_rng(0).integers(-9, 9, (*shape[:2], shape[2] + 3)).astype(np.float32)
    a = mx.array(x).astype(getattr(mx, dtype))
    y, b = BESIDE_ROWS[other](x, x[..., :-3]), BESIDE_ROWS[other](a, a[..., :-3])
    found = a[..., :-3] + b, mx.where(a[..., :-3] > b, a[..., :-3], -b)
    expected = x[..., :-3] + y, np.where(x[..., :-3] > y, x[..., :-3], -y)
    for one, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.array(one.astype(mx.float32)), wanted)


def test_results_take_the_memory_of_what_nobody_needs():
    x = mx.array(floats())
    expected = -np.abs(np.array(x)) + 1
    np.testing.assert_array_equal(np.array(-mx.abs(x) + 1), expected)
    np.testing.assert_array_equal(np.array(-mx.abs(x) + 1), expected)


def test_gradients_are_those_of_mlx():
    x = np.random.default_rng(0).uniform(0.1, 0.9, SIZE).astype(np.float32)

    def loss(a):
        y = mx.exp(a) * mx.sin(a)
        mx.eval(y)  # the graph is kept
        return mx.sum(y + mx.power(a, 3))

    wide = x.astype(np.float64)
    expected = np.exp(wide) * (np.sin(wide) + np.cos(wide)) + 3 * wide**2
    np.testing.assert_allclose(np.array(mx.grad(loss)(mx.array(x))), expected, rtol=1e-6)
    second = mx.grad(lambda a: mx.sum(mx.grad(loss)(a)))(mx.array(x))
    np.testing.assert_allclose(np.array(second), 2 * np.exp(wide) * np.cos(wide) + 6 * wide, rtol=2e-6)
    tangent = mx.jvp(lambda a: mx.exp(a), [mx.array(x)], [mx.ones(SIZE)])[1][0]
    np.testing.assert_allclose(np.array(tangent), np.exp(wide), rtol=1e-6)


# --- compiled functions ---


def require_equal(found, expected, error):
    """The same types, and values within an error."""
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        one, other = (np.array(array.astype(mx.float32)) for array in (one, other))
        np.testing.assert_allclose(one, other, rtol=error, atol=error)


def chain(x, y):
    """Several results, constants, a comparison, a choice and a cast."""
    gate = x * mx.sigmoid(x) * y
    low = mx.maximum(gate, -0.5).astype(mx.bfloat16) * 2
    return mx.where(gate > 0, mx.exp(-gate), gate), low, (x + y).astype(mx.int32)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    "shapes", [((3,), (3,)), ((5000,), ()), ((90, 80), (80,)), ((33, 1), (1, 200)), ((0, 4), (4,))]
)
def test_compiled_functions_give_what_the_function_gives(shapes, dtype):
    rng = np.random.default_rng(0)
    x, y = (mx.array(rng.normal(size=shape).astype(np.float32)).astype(getattr(mx, dtype)) for shape in shapes)
    # MLX's own functions, which small arrays keep, round halves at every step.
    error = 3e-7 if dtype == "float32" else 2e-2
    require_equal(mx.compile(chain)(x, y), chain(x, y), error)


def test_one_shapeless_trace_serves_all_shapes():
    compiled = mx.compile(chain, shapeless=True)
    for shape in [(3,), (70,), (5000,)]:
        x = mx.array(np.random.default_rng(0).normal(size=shape).astype(np.float32))
        require_equal(compiled(x, x), chain(x, x), 3e-7)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [1, 5, 2049, 300_000])
def test_numbers_that_are_one_for_the_whole_array(size, dtype):
    """What a fused function makes of scalars alone is made once, not for each element, also where it is an output."""

    @mx.compile
    def scaled(a, step):
        factor = mx.rsqrt(1 - 0.9 ** step.astype(mx.float32)).astype(a.dtype)
        return a * factor + mx.exp(factor), mx.broadcast_to(factor, a.shape)

    a = np.random.default_rng(size).normal(size=size)
    found, factors = scaled(mx.array(a).astype(getattr(mx, dtype)), mx.array(3, mx.uint64))
    factor, error = 1 / np.sqrt(1 - 0.9**3), 1e-6 if dtype == "float32" else 1.2e-2
    np.testing.assert_allclose(np.array(factors.astype(mx.float32)), factor, rtol=error)
    np.testing.assert_allclose(
        np.array(found.astype(mx.float32)), a * factor + np.exp(factor), rtol=error, atol=5 * error
    )


PROGRAM = """
import numpy as np
from mlxffi import core as mx
x = mx.array(np.random.default_rng(0).normal(size=(1301, 811)).astype(np.float32))
results = [mx.exp(x), x.T + 1, x * x[0], mx.compile(lambda a: mx.tanh(a) * a + a[:1])(x), x.astype(mx.bfloat16) * 3]
results += [x + x[:, :1], x[:, 2:] * x[:, :-2], x[:811, :] + x[:811, :811].T]
for result in results:
    print(np.array(result.astype(mx.float32)).ravel()[::17].astype(float).tobytes().hex())
"""


def test_every_instruction_set_and_number_of_threads_gives_the_same():
    expected = computed_by_any_number_of_threads(PROGRAM)
    for one, other in zip(computed(PROGRAM, MLXFFI_SIMD="baseline"), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-7)
