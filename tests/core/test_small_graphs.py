"""Graphs of few small nodes, which the calling thread computes: the numbers are those of any other evaluation."""

import threading

import numpy as np
import pytest

import mlxffi.core as mx

SIZES = [1, 2, 15, 16, 17, 37, 1000]
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, 2.0, -2.5], np.float32)
FUNCTIONS = {
    "exp": np.exp,
    "log1p": np.log1p,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "sin": np.sin,
    "tanh": np.tanh,
    "abs": np.abs,
    "round": np.round,
    "negative": np.negative,
}
ALONG = {
    "sum": lambda a, axis: a.sum(axis),
    "max": lambda a, axis: a.max(axis),
    "argmin": lambda a, axis: a.argmin(axis),
    "sort": np.sort,
    "argsort": lambda a, axis: np.argsort(a, axis, kind="stable"),
    "cumsum": np.cumsum,
}


def numbers(size):
    return np.random.default_rng(size).normal(size=size).astype(np.float32)


def near(found, wanted):
    """Within one unit in the last place of float32, infinities and signs of zero included."""
    found, wanted = np.array(found), np.asarray(wanted, np.float32)
    np.testing.assert_allclose(found, wanted, rtol=1.2e-7, atol=1e-45)
    real = ~np.isnan(wanted)
    assert (np.signbit(found) == np.signbit(wanted))[real].all()


def in_a_large_graph(array):
    """The same array, evaluated by its stream."""
    others = [mx.zeros(1) + i for i in range(20)]
    mx.eval(*others, array)
    return array


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("size", SIZES)
def test_functions(name, size):
    for x in (numbers(size), numbers(size) * 1e-3, np.resize(SPECIAL, size)):
        with np.errstate(all="ignore"):
            near(getattr(mx, name)(mx.array(x)), FUNCTIONS[name](x.astype(np.float64)))


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "power", "arctan2", "maximum"])
def test_functions_of_two_and_their_limits(name):
    x, y = np.meshgrid(SPECIAL, SPECIAL)
    if name == "maximum":
        x, y = x[(x != y) | (x != 0)], y[(x != y) | (x != 0)]  # of zeros of both signs numpy takes either
    with np.errstate(all="ignore"):
        near(getattr(mx, name)(mx.array(x), mx.array(y)), getattr(np, name)(x.astype(np.float64), y.astype(np.float64)))


@pytest.mark.parametrize("name", ALONG)
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (17, 1), (2, 3, 4)])
def test_along_an_axis(name, shape):
    x = np.resize(np.concatenate([numbers(9), [1.0, 1.0, -1.0]]), shape).astype(np.float32)
    for axis in range(x.ndim):
        for given, array in ((x, mx.array(x)), (x.T, mx.array(x).T)):
            wanted = ALONG[name](given.astype(np.float64), axis)
            np.testing.assert_allclose(np.array(getattr(mx, name)(array, axis=axis)), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int32", "uint8"])
@pytest.mark.parametrize(
    "function",
    [
        lambda a: mx.exp(a * 0.5) + 1,
        lambda a: mx.sum(a, axis=0),
        lambda a: mx.cumsum(a, axis=1),
        lambda a: mx.partition(a, 2, axis=1),
        lambda a: mx.argpartition(a, 2, axis=1),
        lambda a: mx.take(a, mx.array([1, 0]), axis=1),
        lambda a: (a.T.reshape(-1) + a.reshape(-1)[::-1])[1:4],
        lambda a: mx.softmax(a.astype(mx.float32), axis=-1),
        lambda a: mx.where(a > 1, a, -a),
        lambda a: mx.concatenate([a, a + 1]),
    ],
)
def test_the_bits_are_those_of_a_large_graph_and_of_a_graph_being_differentiated(function, dtype):
    a = mx.array(numbers(40).reshape(5, 8) * 4 + 9).astype(getattr(mx, dtype))
    alone = function(a)
    mx.eval(alone)
    traced = []

    def kept(x):
        traced.append(function(a))
        mx.eval(traced[0])
        return x * 2

    mx.grad(kept)(mx.array(1.0))
    for other in (in_a_large_graph(function(a)), traced[0]):
        assert (alone.dtype, alone.shape) == (other.dtype, other.shape)
        assert bytes(memoryview(alone.view(mx.uint8))) == bytes(memoryview(other.view(mx.uint8)))


def test_what_others_still_need_keeps_its_numbers():
    x = mx.array([1.0, 2.0, 3.0])
    y = x * 2
    z = y + 1
    w = mx.negative(z) * y
    mx.eval(w)
    assert (x.tolist(), y.tolist(), z.tolist(), w.tolist()) == ([1, 2, 3], [2, 4, 6], [3, 5, 7], [-6, -20, -42])


def test_a_node_that_is_used_twice_and_results_of_one_operation():
    x = mx.array([7, -7, 9])
    twice = x + 1
    assert ((twice * twice) - twice).tolist() == [56, 42, 90]
    quotient, rest = mx.divmod(x, mx.array([2, 2, 0]))
    assert (rest + 1).tolist()[:2] == [2, 2]
    assert quotient.tolist()[:2] == [3, -4]


def test_an_input_that_a_stream_still_computes():
    big = mx.ones((1 << 20,))
    for _ in range(20):
        big = big * 1.0
    mx.async_eval(big)
    assert (big[:3] + 1).tolist() == [2, 2, 2]


def test_an_error_leaves_the_graph_as_it_was():
    made = []
    thread = threading.Thread(target=lambda: made.append(mx.exp(mx.zeros(3)) + 1))
    thread.start()
    thread.join()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="There is no Stream"):
            mx.eval(made[0])


def test_threads_get_the_same_bits():
    x = mx.array(numbers(1000))
    wanted = mx.logsumexp(mx.sin(x) * x).item()
    found = []

    def work():
        found.extend(mx.logsumexp(mx.sin(x) * x).item() for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {wanted}


def test_empty_arrays():
    empty = mx.zeros((0, 3))
    assert (mx.exp(empty).shape, mx.sum(empty, axis=0).tolist(), mx.sort(empty).shape) == ((0, 3), [0, 0, 0], (0, 3))
