"""Elementwise operations that only the next one needs: computed together, with the bits of one after the other."""

import numpy as np
import pytest
from helpers import computed_by_any_number_of_threads, error_of

from mlxffi import core as mx

# Of more numbers than a block has, in rows of an odd length and in some that are worth no block of their own.
SHAPES = [(131, 257), (40001,), (5003, 1, 7)]
OF_ONE = [mx.abs, mx.negative, mx.square, mx.sign]
OF_TWO = [mx.add, mx.subtract, mx.multiply, mx.maximum, mx.minimum]
OF_REALS = [mx.floor, mx.tanh, mx.sqrt, mx.exp, mx.trunc, mx.isinf, mx.isfinite]


def leaves(dtype, shape):
    """Arrays that broadcast to a shape, of every layout."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *shape)) * 3
    x[0].flat[::97] = np.resize([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e30], len(x[0].flat[::97]))
    turned = np.ascontiguousarray(np.swapaxes(x[0], 0, -1))
    found = [mx.array(x[0]), mx.array(x[1]), mx.array(x[0][..., :1]), mx.array(x[0][:1]), mx.array(2.5)]
    found.append(mx.swapaxes(mx.array(turned), 0, -1))
    if dtype not in (mx.float32, mx.float16, mx.bfloat16):
        found = [mx.nan_to_num(a, 7, 11, -11) for a in found]
    found = [mx.clip(a, -100, 100).astype(dtype) if dtype == mx.int32 else a.astype(dtype) for a in found]
    mx.eval(found)
    return found


def grown(dtype, shape, seed, after):
    """A random tree of operations, with `after` called of each result."""
    rng = np.random.default_rng(seed)
    of_one = OF_ONE + (OF_REALS if dtype not in (mx.int32, mx.complex64) else [])
    of_two = OF_TWO if dtype != mx.complex64 else OF_TWO[:3]
    if dtype == mx.complex64:
        of_one = [mx.abs, mx.negative, mx.square, mx.conjugate]
    given = leaves(dtype, shape)
    results = [after(given[0] + given[1])]
    for _ in range(12):
        kind, last, other = rng.integers(3), results[-1], given[rng.integers(len(given))]
        if kind == 0:
            made = of_one[rng.integers(len(of_one))](last)
        elif kind == 1:
            made = of_two[rng.integers(len(of_two))](last, other)
        else:
            made = mx.where(mx.equal(last, other), other, given[0])
        results.append(after(made.astype(dtype)))
    return results[-1]


def evaluated(array):
    mx.eval(array)
    return array


def bits(array):
    array = array.view(mx.uint16) if array.dtype in (mx.bfloat16, mx.float16) else array
    return np.array(array).tobytes()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16, mx.int32, mx.complex64], ids=str)
def test_chains_have_the_bits_of_their_operations(dtype, shape):
    for seed in range(12):
        together = grown(dtype, shape, seed, lambda array: array)
        assert bits(evaluated(together)) == bits(grown(dtype, shape, seed, evaluated)), seed


def test_what_a_program_holds_on_the_way_is_computed_too():
    x = mx.array(np.arange(40000, dtype=np.float32) % 1000)
    held = x + 1
    result = mx.square(held * 2) - held
    mx.eval(result)
    expected = np.arange(40000) % 1000 + 1
    np.testing.assert_array_equal(np.array(held), expected)
    np.testing.assert_array_equal(np.array(result), 4 * expected**2 - expected)


@pytest.mark.parametrize("name", ["trunc", "isinf", "isfinite", "isposinf", "isneginf", "nan_to_num"])
def test_composed_functions_are_numpys(name):
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 0.5, -0.5, 1.5, -1.5, 1e30, -1e30, 3e-39]
    x = np.tile(np.array(special, np.float32), 5000)
    found, expected = np.array(getattr(mx, name)(mx.array(x))), getattr(np, name)(x)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


def test_nothing_on_the_way_takes_memory():
    x = mx.array(np.full(1 << 18, 0.5, np.float32))
    mx.eval(x)
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    # One after the other, the first two wait for each other.
    y = (x + 1) * (x - 1) + x * 2
    mx.eval(y)
    assert mx.get_peak_memory() - before < 1.5 * x.nbytes


def test_chains_are_the_same_with_any_number_of_threads():
    computed_by_any_number_of_threads("""
import numpy as np
from mlxffi import core as mx
x = mx.array(np.random.default_rng(0).normal(size=(500, 1001)).astype(np.float32))
print(np.array(mx.tanh(x * x[0] + x[:, :1]) * 0.5 + mx.abs(x)).astype(float).tobytes().hex())
""")


def test_failures_leave_a_chain_as_it_was():
    x = mx.array(np.arange(20000, dtype=np.float32))
    singular = mx.linalg.inv(mx.zeros((2, 2)), stream=mx.cpu)
    result = mx.square(x + 1) * 2 + singular.sum()
    for _ in range(2):
        assert "Inverse" in str(error_of(lambda: mx.eval(result), RuntimeError))
