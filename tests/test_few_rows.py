"""Products of a few rows with a matrix on the CPU: every dtype, layout, size and transform."""

import numpy as np
import pytest
from helpers import BASELINE, computed_alike
from losses_oracle import array_of, as_numpy, require_close

import mlxffi as m

ERROR = {"float32": 3e-6, "float16": 1e-3, "bfloat16": 8e-3}
# Rows, terms, columns: from one of each to what other ways take.
SIZES = [(1, 576, 64), (1, 1, 20000), (1, 20000, 1), (2, 129, 131), (5, 1025, 33), (32, 100, 257), (33, 100, 257)]


def swapped(array):
    return m.transpose(m.contiguous(m.transpose(array)))


def every_second(array):
    return m.slice(m.repeat_axis(array, 2, 1), [0, 0], [array.shape[0], 2 * array.shape[1]], [1, 2])


VIEWS = {"rows": lambda a: a, "columns": swapped, "every second": every_second}


def factors(rows, terms, columns, dtype):
    rng = np.random.default_rng(rows)
    return array_of(rng.normal(size=(rows, terms)), dtype), array_of(rng.normal(size=(terms, columns)), dtype)


@pytest.mark.parametrize("dtype", ERROR)
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("sizes", SIZES)
def test_products_and_gradients(sizes, view, dtype):
    (a, x), (b, y) = factors(*sizes, dtype)
    g, cotangent = array_of(np.random.default_rng(1).normal(size=(sizes[0], sizes[2])), dtype)
    (found,), (of_a, of_b) = m.vjp(lambda v: [m.matmul(v[0], VIEWS[view](v[1]))], [VIEWS[view](a), b], [g])
    assert found.dtype == of_a.dtype == of_b.dtype == a.dtype
    require_close(found, x @ y, ERROR[dtype])
    require_close(of_a, cotangent @ y.T, ERROR[dtype])
    require_close(of_b, x.T @ cotangent, ERROR[dtype])


@pytest.mark.parametrize("shape", [(600,), (1, 1, 600), (2, 3, 600)])
def test_leading_axes(shape):
    a, x = array_of(np.random.default_rng(0).normal(size=shape), "bfloat16")
    b, y = array_of(np.random.default_rng(1).normal(size=(600, 100)), "bfloat16")
    g, cotangent = array_of(np.ones((*shape[:-1], 100)), "bfloat16")
    (found,), (of_a, of_b) = m.vjp(lambda v: [m.matmul(*v)], [a, b], [g])
    require_close(found, x @ y, ERROR["bfloat16"])
    require_close(of_a, cotangent @ y.T, ERROR["bfloat16"])
    require_close(of_b, x.reshape(-1, 600).T @ cotangent.reshape(-1, 100), ERROR["bfloat16"])


def test_sums_are_not_rounded():
    found = m.matmul(m.ones([1, 4096], "bfloat16"), m.ones([4096, 8], "bfloat16"))
    assert as_numpy(found).tolist() == [[4096.0] * 8]


def test_infinities_and_nan():
    a, b = m.ones([1, 200]), m.ones([200, 100])
    spoilt = m.concatenate_axis([m.full([1, 1], np.inf, "float32"), m.ones([1, 199])], 1)
    assert np.isposinf(as_numpy(m.matmul(spoilt, b))).all()
    assert np.isnan(as_numpy(m.matmul(m.multiply(spoilt, m.zeros([1, 200])), b))).all()
    assert (as_numpy(m.matmul(a, b)) == 200).all()


def test_second_order_forward_mode_and_vmap():
    (a, x), (b, y) = factors(3, 200, 100, "float32")
    cubes = lambda v: [m.power(m.matmul(v[0], b), m.Array(3.0))]  # noqa: E731
    gradient = lambda v: m.vjp(cubes, v, [m.ones([3, 100])])[1]  # noqa: E731
    require_close(m.vjp(gradient, [a], [a])[1][0], 6 * (x @ y) ** 2 @ y.T, 2e-5)
    require_close(m.jvp(lambda v: [m.matmul(*v)], [a, b], [a, b])[1][0], 2 * x @ y, 1e-5)
    require_close(m.vmap(lambda v: [m.matmul(v[0], b)], in_axes=[0])([a])[0], x @ y, 3e-6)
    mapped = m.vmap(lambda v: [m.matmul(v[0], v[1])], in_axes=[-1, 1])
    require_close(
        mapped([a, m.reshape(b, [200, 4, 25])])[0], np.stack([x @ y[:, i * 25 : i * 25 + 25] for i in range(4)]), 3e-6
    )


PROGRAM = """
import numpy as np
from test_few_rows import SIZES, VIEWS, factors
import mlxffi as m
for dtype in ("float32", "float16", "bfloat16"):
    for sizes in SIZES:
        (a, _), (b, _) = factors(*sizes, dtype)
        for view in VIEWS.values():
            print(np.array(m.astype(m.matmul(a, view(b)), "float32").tolist()).tobytes().hex())
"""


def test_every_instruction_set_and_number_of_threads_gives_the_same():
    computed_alike(PROGRAM, 8e-3, BASELINE)
