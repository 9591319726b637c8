"""Arrays put together: along every axis, from any memory, on several threads, in one dtype and another."""

import numpy as np
import pytest

import mlxffi.core as mx

DTYPES = [np.float32, np.float16, np.int64, np.bool_, np.complex64, np.uint8]
VIEWS = {
    "rows": lambda a: a,
    "turned": lambda a: mx.array(np.array(a.T)).T,
    "every second": lambda a: mx.repeat(a, 2, axis=-1)[..., ::2],
    "backwards": lambda a: mx.array(np.array(a)[..., ::-1])[..., ::-1],
    "repeated": lambda a: mx.broadcast_to(a[:1], a.shape),
}


def pieces(shape, axis, lengths, dtype=np.float32):
    """Arrays of one shape but for the length of an axis."""
    rng = np.random.default_rng(0)
    shapes = [[*shape[:axis], length, *shape[axis + 1 :]] for length in lengths]
    return [(rng.normal(size=size) * 9).astype(dtype) for size in shapes]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", range(3))
def test_axes_and_dtypes(axis, dtype):
    parts = pieces([3, 5, 4], axis, [1, 6, 2], dtype)
    found = mx.concatenate([mx.array(part) for part in parts], axis=axis)
    np.testing.assert_array_equal(np.array(found), np.concatenate(parts, axis))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("axis", range(3))
def test_any_memory(axis, view):
    parts = [VIEWS[view](mx.array(part)) for part in pieces([3, 5, 4], axis, [2, 7, 1])]
    expected = np.concatenate([np.array(part) for part in parts], axis)
    np.testing.assert_array_equal(np.array(mx.concatenate(parts, axis=axis)), expected)


@pytest.mark.parametrize("view", ["rows", "turned"])
@pytest.mark.parametrize(("shape", "axis", "lengths"), [([700, 1], 1, [900, 301]), ([1, 3], 0, [400_001, 90])])
def test_long_ones_are_shared_by_threads(shape, axis, lengths, view):
    parts = pieces(shape, axis, lengths)
    found = mx.concatenate([VIEWS[view](mx.array(part)) for part in parts], axis=axis)
    np.testing.assert_array_equal(np.array(found), np.concatenate(parts, axis))


def test_empty_ones_add_nothing():
    found = mx.concatenate([mx.zeros([0, 2]), mx.ones([1, 2]), mx.zeros([0, 2])])
    np.testing.assert_array_equal(np.array(found), [[1, 1]])


def test_gradients():
    parts = pieces([3, 4], 1, [2, 5])
    weight = np.arange(21, dtype=np.float32).reshape(3, 7)
    gradients = mx.grad(lambda *of: (mx.concatenate(of, axis=1) * mx.array(weight)).sum(), [0, 1])(
        *map(mx.array, parts)
    )
    np.testing.assert_array_equal(np.array(mx.concatenate(gradients, axis=1)), weight)
