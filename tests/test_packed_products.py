"""Products with packed matrices on the CPU: right for every scheme, shape, dtype, layout and transform."""

import numpy as np
import pytest
from helpers import BASELINE, REFERENCE_BLAS, computed_alike, error_of
from losses_oracle import CPU, array_of, as_numpy, require_close
from packing_oracle import SCHEMES, packed

import mlxffi as m

ERROR = {"float32": 2e-6, "float16": 1e-3, "bfloat16": 8e-3}
AFFINE = ("affine", 32, 4)


def product(x, arguments, scheme, transpose=True):
    mode, group, bits = scheme
    biases = arguments[2] if len(arguments) > 2 else None
    return m.quantized_matmul(x, *arguments[:2], biases, transpose, group, bits, mode, stream=CPU)


def wanted(x, numbers, transpose):
    return x @ (numbers.swapaxes(-1, -2) if transpose else numbers)


def shapes(transpose, rows, inner, outer):
    return (rows, inner), ((outer, inner) if transpose else (inner, outer))


@pytest.mark.parametrize("transpose", [True, False])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme(scheme, transpose):
    for rows in (1, 7, 130):
        of_x, of_w = shapes(transpose, rows, *((256, 37) if transpose else (37, 256)))
        (x, values), (arguments, numbers) = array_of(np.random.default_rng(1).normal(size=of_x)), packed(of_w, scheme)
        require_close(product(x, arguments, scheme, transpose), wanted(values, numbers, transpose), ERROR["float32"])


# Rows of x, terms, columns of the product: around what is worked on at once, and one of each.
EDGES = [(1, 32, 1), (1, 4128, 33), (2, 1056, 129), (5, 96, 8), (97, 1600, 200), (300, 64, 1), (513, 160, 321)]


@pytest.mark.parametrize("dtype", ERROR)
@pytest.mark.parametrize("transpose", [True, False])
@pytest.mark.parametrize("sizes", EDGES)
def test_every_size_and_dtype_with_gradients(sizes, transpose, dtype):
    rows, inner, outer = sizes if transpose else (sizes[0], sizes[2], sizes[1])
    of_x, of_w = shapes(transpose, rows, inner, outer)
    (x, values), (arguments, numbers) = (
        array_of(np.random.default_rng(1).normal(size=of_x), dtype),
        packed(of_w, AFFINE, dtype),
    )
    g, cotangent = array_of(np.random.default_rng(2).normal(size=(rows, outer)), dtype)
    (found,), (gradient,) = m.vjp(lambda v: [product(v[0], arguments, AFFINE, transpose)], [x], [g])
    assert found.dtype == gradient.dtype == x.dtype
    require_close(found, wanted(values, numbers, transpose), ERROR[dtype])
    require_close(gradient, wanted(cotangent, numbers, not transpose), ERROR[dtype])


@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize(("rows", "inner"), [(1, 128), (3, 1152), (4, 4096)])
def test_sums_of_bfloat16_are_not_rounded(rows, inner, group):
    scheme = ("affine", group, 4)
    (x, values), (arguments, numbers) = (
        array_of(np.random.default_rng(1).normal(size=(rows, inner)), "bfloat16"),
        packed((37, inner), scheme, "bfloat16"),
    )
    found, exact = as_numpy(product(x, arguments, scheme)), wanted(values, numbers, True)
    # Half of what the last bit of a result is worth, and what float32 leaves of the sum.
    assert (np.abs(found - exact) <= np.abs(exact) * 2**-8 + 4e-6 * np.abs(values) @ np.abs(numbers.T)).all()


# At the ends of float32's range a code cannot be multiplied where it lies in a word.
@pytest.mark.parametrize("size", [1e-37, 1e-20, 1, 1e28, 1e33])
@pytest.mark.parametrize("scheme", [("affine", group, bits) for group in (32, 64, 128) for bits in (4, 8)])
def test_few_rows_of_any_size(scheme, size):
    arguments, numbers = packed((37, 1152), scheme)
    for rows in (1, 2, 3, 4):
        x, values = array_of(size * np.random.default_rng(rows).normal(size=(rows, 1152)))
        found, exact = as_numpy(product(x, arguments, scheme)), wanted(values, numbers, True)
        assert (np.abs(found - exact) <= 3e-7 * np.abs(values).sum(-1, keepdims=True) * np.abs(numbers).max()).all()


def test_infinities_and_nan_of_few_rows():
    arguments, numbers = packed((5, 128), AFFINE, "bfloat16")
    values = np.random.default_rng(1).normal(size=(3, 128))
    values[:2, 70] = np.inf, np.nan
    x, values = array_of(values, "bfloat16")
    require_close(product(x, arguments, AFFINE), wanted(values, numbers, True), ERROR["bfloat16"])


BATCHES = [
    ((64,), (40, 64)),
    ((2, 3, 64), (40, 64)),
    ((2, 3, 64), (2, 40, 64)),
    ((1, 3, 64), (4, 40, 64)),
    ((4, 3, 64), (1, 40, 64)),
    ((5, 1, 2, 64), (3, 40, 64)),
    ((3, 64), (2, 40, 64)),
    ((64,), (2, 40, 64)),
]


@pytest.mark.parametrize(("of_x", "of_w"), BATCHES)
def test_batches(of_x, of_w):
    (x, values), (arguments, numbers) = array_of(np.random.default_rng(1).normal(size=of_x)), packed(of_w, AFFINE)
    require_close(product(x, arguments, AFFINE), wanted(values, numbers, True), ERROR["float32"])


def test_an_empty_batch():
    arguments, _ = packed((40, 64), AFFINE)
    assert as_numpy(product(m.zeros([0, 3, 64]), arguments, AFFINE)).shape == (0, 3, 40)


def test_operands_may_lie_anywhere():
    arguments, numbers = packed((40, 64), AFFINE)
    x, values = array_of(np.random.default_rng(1).normal(size=(64, 9)))
    turned = [m.transpose(m.contiguous(m.transpose(array))) for array in arguments]
    every_second = [m.slice(m.repeat_axis(array, 2, 0), [0, 0], [80, array.shape[1]], [2, 1]) for array in arguments]
    for strided in (turned, every_second):
        require_close(product(m.transpose(x), strided, AFFINE), values.T @ numbers.T, ERROR["float32"])
        half, halves = array_of(values, "bfloat16")
        require_close(product(m.transpose(half), strided, AFFINE), halves.T @ numbers.T, ERROR["float32"])


def test_numbers_are_not_rounded_to_half_precision():
    """A product of bfloat16 is that of the exact numbers, rounded once."""
    arguments, numbers = packed((8, 4096), ("affine", 64, 8), "bfloat16")
    x, values = array_of(np.random.default_rng(1).normal(size=(3, 4096)), "bfloat16")
    require_close(product(x, arguments, ("affine", 64, 8)), values @ numbers.T, 4e-3)


def test_infinities_and_nan():
    arguments, _ = packed((8, 64), AFFINE)
    x = m.Array(np.array([[np.inf] * 64, [np.nan] * 64, [1.0] * 64], np.float32))
    found = as_numpy(product(x, arguments, AFFINE))
    assert not np.isfinite(found[:2]).any()
    assert np.isfinite(found[2]).all()


# --- transforms ---


def test_gradients_of_scales_and_biases():
    arguments, numbers = packed((40, 64), AFFINE)
    x, values = array_of(np.random.default_rng(1).normal(size=(5, 64)))
    g, cotangent = array_of(np.random.default_rng(2).normal(size=(5, 40)))
    of = lambda v: [product(v[0], [arguments[0], v[1], v[2]], AFFINE)]  # noqa: E731
    _, (dx, ds, db) = m.vjp(of, [x, *arguments[1:]], [g])
    s, b = (np.repeat(as_numpy(array), 32, -1) for array in arguments[1:])
    of_numbers = cotangent.T @ values
    by_group = lambda a: a.reshape(40, 2, 32).sum(-1)  # noqa: E731
    require_close(dx, cotangent @ numbers, 1e-5)
    require_close(ds, by_group(of_numbers * (numbers - b) / s), 1e-5)
    require_close(db, by_group(of_numbers), 1e-5)


def test_packed_numbers_have_no_gradient():
    arguments, _ = packed((40, 64), ("mxfp4", 32, 4))
    of = lambda v: [product(m.ones([2, 64]), v, ("mxfp4", 32, 4))]  # noqa: E731
    assert "no gradient" in str(error_of(lambda: m.vjp(of, arguments, [m.ones([2, 40])])))


def test_forward_mode():
    arguments, numbers = packed((40, 64), AFFINE)
    (x, values), (dx, direction) = (array_of(np.random.default_rng(i).normal(size=(5, 64))) for i in range(2))
    ds, db = (m.ones_like(array) for array in arguments[1:])
    of = lambda v: [product(v[0], [arguments[0], v[1], v[2]], AFFINE)]  # noqa: E731
    _, (tangent,) = m.jvp(of, [x, *arguments[1:]], [dx, ds, db])
    s, b = (np.repeat(as_numpy(array), 32, -1) for array in arguments[1:])
    require_close(tangent, direction @ numbers.T + values @ ((numbers - b) / s + 1).T, 1e-5)


def test_second_order():
    """Of sum((x w^T)^3): the gradient along a direction, differentiated again."""
    arguments, numbers = packed((40, 64), AFFINE)
    (x, values), (u, direction) = (array_of(np.random.default_rng(i).normal(size=(3, 64))) for i in range(2))
    cubes = lambda v: [m.power(product(v[0], arguments, AFFINE), m.Array(3.0))]  # noqa: E731
    gradient = lambda v: m.vjp(cubes, v, [m.ones([3, 40])])[1]  # noqa: E731
    _, (found,) = m.vjp(gradient, [x], [u])
    require_close(found, (6 * (values @ numbers.T) * (direction @ numbers.T)) @ numbers, 1e-5)


@pytest.mark.parametrize("axes", [(0, -1), (1, -1), (0, 0), (-1, 0), (-1, 1)])
def test_vmap(axes):
    of_x, of_w = axes
    arguments, numbers = packed((4, 40, 64), AFFINE)
    x, values = array_of(np.random.default_rng(1).normal(size=(4, 5, 64)))
    if of_w < 0:
        arguments, numbers = packed((40, 64), AFFINE)
    elif of_w == 1:
        arguments = [m.moveaxis(array, 0, 1) for array in arguments]
    x, values = (m.take_axis(x, 0, 0), values[0]) if of_x < 0 else (m.moveaxis(x, 0, of_x), values)
    mapped = m.vmap(lambda v: [product(v[0], v[1:], AFFINE)], in_axes=[of_x, *[of_w] * 3])
    require_close(mapped([x, *arguments])[0], values @ numbers.swapaxes(-1, -2), ERROR["float32"])


def test_compile_and_export(tmp_path):
    arguments, numbers = packed((40, 64), AFFINE)
    x, values = array_of(np.random.default_rng(1).normal(size=(5, 64)))
    of = lambda v: [product(v[0], v[1:], AFFINE)]  # noqa: E731
    require_close(m.compile(of)([x, *arguments])[0], values @ numbers.T, ERROR["float32"])
    m.export_function(tmp_path / "product", of, [x, *arguments])
    require_close(m.import_function(tmp_path / "product")([x, *arguments])[0], values @ numbers.T, ERROR["float32"])


# --- threads and instruction sets ---

PROGRAM = """
import numpy as np
from packing_oracle import SCHEMES, packed
from losses_oracle import array_of
from test_packed_products import product
for scheme in SCHEMES[::2]:
    for rows in (1, 20, 150):
        for shape, transpose in (((300, 256), True), ((90, 640), False)):
            x, _ = array_of(np.random.default_rng(1).normal(size=(rows, 256 if transpose else 90)))
            print(np.array(product(x, packed(shape, scheme)[0], scheme, transpose).tolist()).tobytes().hex())
"""


def test_every_instruction_set_and_number_of_threads_gives_the_same():
    computed_alike(PROGRAM, 1e-5, BASELINE, REFERENCE_BLAS)
