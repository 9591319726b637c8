"""Copies to where numbers lie otherwise: padding, slices that are put, and arrays in the order of their axes."""

import numpy as np
import pytest

import mlxffi.core as mx

DTYPES = [np.float32, np.float16, np.int64, np.bool_, np.complex64, np.uint8]
# Parts of squares, whole ones, long rows, and rows of a few numbers.
SHAPES = [(3,), (2, 3), (16, 64), (65, 130), (3, 70_001), (70_001, 3), (5, 33, 4), (2, 3, 4, 5), (1, 1)]
VIEWS = {
    "rows": lambda a: a,
    "turned": lambda a: mx.array(np.array(a.T)).T,
    "every second": lambda a: mx.repeat(a, 2, axis=-1)[..., ::2],
    "backwards": lambda a: mx.array(np.array(a)[..., ::-1])[..., ::-1],
    "repeated": lambda a: mx.broadcast_to(a[..., :1], a.shape),
}


def numbers(shape, dtype=np.float32):
    return (np.random.default_rng(0).normal(size=shape) * 9).astype(dtype)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_in_the_order_of_axes(shape, view):
    a = VIEWS[view](mx.array(numbers(shape)))
    np.testing.assert_array_equal(np.array(mx.contiguous(a)), np.array(a))
    axes = (*range(1, a.ndim), 0)
    np.testing.assert_array_equal(np.array(mx.contiguous(a.transpose(axes))), np.array(a).transpose(axes))


@pytest.mark.parametrize("dtype", DTYPES)
def test_types(dtype):
    a = numbers((130, 67), dtype)
    np.testing.assert_array_equal(np.array(mx.contiguous(mx.array(a).T)), a.T)
    np.testing.assert_array_equal(np.array(mx.tile(mx.array(a), (2, 3))), np.tile(a, (2, 3)))
    np.testing.assert_array_equal(np.array(mx.repeat(mx.array(a), 3, axis=1)), np.repeat(a, 3, 1))
    np.testing.assert_array_equal(np.array(mx.pad(mx.array(a), 2)), np.pad(a, 2))


def test_columns_may_stay():
    a = mx.array(numbers((3, 4))).T
    np.testing.assert_array_equal(np.array(mx.contiguous(a, allow_col_major=True)), np.array(a))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("shape", [(4096,), (64, 64), (8, 8, 64), (2, 2048), (1, 64, 1, 64)])
def test_other_shapes(shape, view):
    a = VIEWS[view](mx.array(numbers((16, 4, 64))))
    np.testing.assert_array_equal(np.array(a.reshape(shape)), np.array(a).reshape(shape))
    turned = a.transpose(1, 0, 2)
    np.testing.assert_array_equal(np.array(turned.reshape(shape)), np.array(turned).reshape(shape))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("width", [(0, 0), (1, 0), (0, 3), (2, 5)])
@pytest.mark.parametrize("shape", SHAPES)
def test_padding(shape, width, view):
    a = VIEWS[view](mx.array(numbers(shape)))
    found = mx.pad(a, width, constant_values=7)
    np.testing.assert_array_equal(np.array(found), np.pad(np.array(a), width, constant_values=7))


def test_padding_of_some_axes():
    a = numbers((2, 3, 4))
    found = mx.pad(mx.array(a), ((0, 0), (1, 2), (0, 0)))
    np.testing.assert_array_equal(np.array(found), np.pad(a, ((0, 0), (1, 2), (0, 0))))


@pytest.mark.parametrize("where", [np.s_[1:-1], np.s_[::2], np.s_[:, 3:40], np.s_[::-3, ::2], np.s_[5], np.s_[:, 7]])
@pytest.mark.parametrize("view", VIEWS)
def test_slices_that_are_put(where, view):
    a = VIEWS[view](mx.array(numbers((65, 130))))
    expected = np.array(a)
    new = -numbers(expected[where].shape)
    expected[where] = new
    kept = mx.array(a)
    a[where] = mx.array(new)
    np.testing.assert_array_equal(np.array(a), expected)
    assert not np.array_equal(np.array(kept), expected)


def test_a_slice_of_an_array_into_itself():
    a = mx.array(np.arange(100_000, dtype=np.float32))
    a[1:] = a[:-1]
    np.testing.assert_array_equal(np.array(a), np.maximum(np.arange(100_000) - 1, 0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 16, 17, 300])
def test_the_same_row_again_and_again(length, dtype):
    x = numbers((2, length)).astype(dtype)
    for rows in (1, 2, 3, 999):
        found = mx.contiguous(mx.broadcast_to(mx.array(x)[:, None], (2, rows, length)))
        np.testing.assert_array_equal(np.array(found), np.repeat(x[:, None], rows, 1))
        np.testing.assert_array_equal(np.array(mx.tile(mx.array(x), (1, rows))), np.tile(x, (1, rows)))
