"""Matrix products of half precision on the CPU: sums of float32, rounded once; from any memory, under transforms."""

import numpy as np
import pytest
from helpers import BASELINE, computed_alike
from losses_oracle import CPU, array_of, as_numpy, require_close

import mlxffi as m

ERROR = {"float16": 1e-3, "bfloat16": 8e-3}
# Shapes of both factors; the last two are too small to be worth it, and stay with MLX.
SHAPES = [
    ((64, 48), (48, 33)),
    ((45, 1025), (1025, 65)),
    ((270, 33), (33, 31)),
    ((2, 3, 50, 40), (40, 70)),
    ((2, 3, 40, 40), (3, 40, 40)),
    ((1, 50, 30), (4, 30, 60)),
    ((300, 20), (20, 8)),
    ((8, 700), (700, 90)),
    ((4, 64), (64, 300)),
    ((1, 5), (5, 2)),
    ((7,), (7, 3)),
]


def factors(shapes, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return [array_of(rng.normal(size=shape), dtype) for shape in shapes]


def swapped(array):
    """The same values; in memory the last two axes have changed places."""
    order = [*range(array.ndim - 2), array.ndim - 1, array.ndim - 2]
    return m.transpose_axes(m.contiguous(m.transpose_axes(array, order)), order)


VIEWS = {
    "rows": lambda a: a,
    "columns": lambda a: swapped(a) if a.ndim > 1 else a,
    "every second": lambda a: m.slice(
        m.repeat_axis(a, 2, a.ndim - 1), [0] * a.ndim, [*a.shape[:-1], 2 * a.shape[-1]], [1] * (a.ndim - 1) + [2]
    ),
}


@pytest.mark.parametrize("dtype", ERROR)
@pytest.mark.parametrize("shapes", SHAPES)
def test_products_and_gradients(shapes, dtype):
    (a, x), (b, y) = factors(shapes, dtype)
    expected = x @ y
    cotangent, g = array_of(np.random.default_rng(1).normal(size=expected.shape), dtype)
    (found,), (of_a, of_b) = m.vjp(lambda v: [m.matmul(*v)], [a, b], [cotangent])
    assert found.dtype.name == of_a.dtype.name == of_b.dtype.name == dtype
    require_close(found, expected, ERROR[dtype])
    x, y, g = (values if values.ndim > 1 else values[None] for values in (x, y, g))
    # Gradients of what was broadcast are sums in half precision, which MLX makes.
    for one, other, array in ((of_a, g @ y.swapaxes(-1, -2), a), (of_b, x.swapaxes(-1, -2) @ g, b)):
        lead = tuple(range(other.ndim - array.ndim)) if array.ndim > 1 else ()
        total = other.sum(lead) if lead else other
        for axis, size in enumerate(array.shape[:-2]):
            total = total.sum(axis, keepdims=True) if size == 1 else total
        require_close(one, total.reshape(array.shape), 4 * ERROR[dtype])


@pytest.mark.parametrize("left", VIEWS)
@pytest.mark.parametrize("right", VIEWS)
@pytest.mark.parametrize("shapes", SHAPES[:8])
def test_factors_may_lie_anywhere(shapes, left, right):
    (a, _), (b, _) = factors(shapes, "bfloat16")
    found = m.matmul(VIEWS[left](a), VIEWS[right](b))
    np.testing.assert_allclose(as_numpy(found), as_numpy(m.matmul(a, b)), rtol=8e-3, atol=1e-2)


def test_products_are_rounded_once():
    """4,096 times 1 + 2^-7 is exact in bfloat16, and would stand still at 256 if partial sums were rounded."""
    ones, one = m.ones([8, 4096], "bfloat16"), m.ones([4096, 8], "bfloat16")
    assert as_numpy(m.matmul(ones, one)).tolist() == [[4096.0] * 8] * 8


@pytest.mark.parametrize("dtype", ERROR)
@pytest.mark.parametrize("terms", [64, 65])
def test_infinities_and_nan(dtype, terms):
    a, b = (array for array, _ in factors([(40, terms), (terms, 640)], dtype))
    rows = [m.slice(a, [0, 0], [39, terms], [1, 1]), m.add(m.zeros([1, terms], dtype), np.inf)]
    found = as_numpy(m.matmul(m.concatenate_axis(rows, 0), m.abs(b)))
    assert np.isposinf(found[39]).all()
    assert np.isfinite(found[:39]).all()
    assert np.isnan(as_numpy(m.matmul(m.concatenate_axis(rows, 0), m.zeros([terms, 640], dtype)))[39]).all()


def test_what_leaves_the_range_of_float16_is_infinite():
    large = m.matmul(m.full([16, 64], 1e4, "float16"), m.full([64, 64], 1e2, "float16"))
    assert np.isinf(as_numpy(large)).all()


@pytest.mark.parametrize("axes", [[0, 0], [0, -1], [-1, 1]])
def test_vmap(axes):
    (a, x), (b, y) = factors([(3, 40, 30), (3, 30, 40)], "float16")
    b = m.moveaxis(b, 0, 1) if axes[1] == 1 else b
    one = lambda array, axis: m.take_axis(array, 0, 0) if axis == -1 else array  # noqa: E731
    found = m.vmap(lambda v: [m.matmul(*v)], in_axes=axes)([one(a, axes[0]), one(b, axes[1])])[0]
    expected = (x[0] if axes[0] == -1 else x) @ (y[0] if axes[1] == -1 else y)
    require_close(found, expected, 1e-3)


def test_higher_derivatives_and_forward_mode():
    (a, x), (b, y) = factors([(40, 30), (30, 40)], "float16")
    square = lambda v: [m.matmul(m.matmul(v[0], v[1]), v[0])]  # noqa: E731
    _, (tangent,) = m.jvp(square, [a, b], [a, b])
    require_close(tangent, 3 * x @ y @ x, 5e-3)
    gradient = lambda v: m.vjp(square, v, [a])[1]  # noqa: E731
    _, found = m.vjp(gradient, [a, b], [a, b])

    def total(u, v):
        """Of the gradients of sum(x * (u v u)) by u and v, times x and y."""
        of_u, of_v = x @ (v @ u).T + (u @ v).T @ x, u.T @ x @ u.T
        return (x * of_u).sum() + (y * of_v).sum()

    rng = np.random.default_rng(3)
    du, dv = rng.normal(size=x.shape), rng.normal(size=y.shape)
    slope = (total(x + 1e-4 * du, y + 1e-4 * dv) - total(x - 1e-4 * du, y - 1e-4 * dv)) / 2e-4
    along = (as_numpy(found[0]) * du).sum() + (as_numpy(found[1]) * dv).sum()
    assert along == pytest.approx(slope, rel=2e-2)


def test_compile_and_a_named_stream():
    (a, x), (b, y) = factors([(40, 30), (30, 40)], "bfloat16")
    require_close(m.compile(lambda v: [m.matmul(*v)])([a, b])[0], x @ y, 8e-3)
    require_close(m.matmul(a, b, stream=CPU), x @ y, 8e-3)


def test_what_is_exported_has_mlx_own_product(tmp_path):
    (a, x), (b, y) = factors([(40, 30), (30, 40)], "float16")
    m.export_function(tmp_path / "product", lambda v: [m.matmul(*v)], [a, b])
    require_close(m.import_function(tmp_path / "product")([a, b])[0], x @ y, 1e-3)


PROGRAM = """
import numpy as np
from test_half_products import SHAPES, VIEWS, factors
import mlxffi as m
for dtype in ("float16", "bfloat16"):
    for shapes in SHAPES[:6]:
        (a, _), (b, _) = factors(shapes, dtype)
        for view in VIEWS.values():
            print(np.array(m.astype(m.matmul(a, view(b)), "float32").tolist()).tobytes().hex())
"""


def test_every_instruction_set_and_number_of_threads_gives_the_same():
    computed_alike(PROGRAM, 8e-3, BASELINE)
