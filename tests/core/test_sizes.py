"""Sizes past what MLX counts: the right shape or an error, by arrays that are broadcast and take no memory."""

import contextlib
import math

import pytest

import mlxffi.core as mx

MOST = 2**31 - 1
HALF = 2**30


def big(*shape, dtype=mx.float32):
    return mx.broadcast_to(mx.array(1).astype(dtype), shape)


AXIS, PART, SQUARE = big(MOST), big(HALF), big(65536, 65536)
KERNEL, KEY = mx.ones((1, 3, 1)), mx.random.key(1)
COMPLEX = big(MOST, dtype=mx.complex64)
# Where the result has a shape that MLX cannot count, that shape.
CASES = {
    "view as int8": (lambda: big(HALF, dtype=mx.int64).view(mx.int8), (8 * HALF,)),
    "view as int16": (lambda: big(3, HALF, dtype=mx.int64).view(mx.int16), (3, 4 * HALF)),
    "quantize": (lambda: mx.quantize(big(2, HALF), 64, 4)[0], (2, HALF // 8)),
    "reshape": (lambda: SQUARE.reshape(-1), (2**32,)),
    "reshape of nothing": (lambda: mx.zeros(0).reshape(65536, 65536, 65536, 65536), (65536,) * 4),
    "flatten": (lambda: big(65536, 65536, 2).flatten(0, 1), (2**32, 2)),
    "unflatten": (lambda: mx.unflatten(mx.ones(4), 0, (65536, 65536, 65536, 65536)), (65536,) * 4),
    "tile": (lambda: mx.tile(PART, (4,)), (4 * HALF,)),
    "repeat": (lambda: mx.repeat(PART, 4, 0), (4 * HALF,)),
    "repeat of all": (lambda: mx.repeat(SQUARE, 2), (2**33,)),
    "concatenate": (lambda: mx.concatenate([PART] * 4), (4 * HALF,)),
    "pad": (lambda: mx.pad(AXIS, (10, 10)), (MOST + 20,)),
    "kron": (lambda: mx.kron(PART, mx.ones(4)), (4 * HALF,)),
    "outer": (lambda: mx.outer(SQUARE, mx.ones(2)), (2**32, 2)),
    "tensordot": (lambda: mx.tensordot(big(2, 65536, 65536), big(65536, 65536, 2), 2), (2, 2)),
    "einsum": (lambda: mx.einsum("ijk,kl->ijl", big(65536, 65536, 2), mx.ones((2, 3))), (65536, 65536, 3)),
    "convolve": (lambda: mx.convolve(AXIS, AXIS), (2 * MOST - 1,)),
    "conv1d": (lambda: mx.conv1d(big(1, MOST, 1), KERNEL, padding=10), (1, MOST + 18, 1)),
    "conv_transpose1d": (lambda: mx.conv_transpose1d(big(1, HALF, 1), KERNEL, stride=4), (1, 4 * HALF - 1, 1)),
    "arange": (lambda: mx.arange(0, 2**32), (2**32,)),
    "arange of floats": (lambda: mx.arange(0.0, 1.0, 1e-11), (10**11,)),
    "linspace": (lambda: mx.linspace(0, 1, 2**32), (2**32,)),
    "eye": (lambda: mx.eye(2**32), (2**32, 2**32)),
    "diag": (lambda: mx.diag(mx.ones(3), MOST), (MOST + 3, MOST + 3)),
    "irfft": (lambda: mx.fft.irfft(COMPLEX), (2 * (MOST - 1),)),
    "fft": (lambda: mx.fft.fft(mx.ones(4), n=2**32), (2**32,)),
    "dequantize": (
        lambda: mx.dequantize(big(2, HALF, dtype=mx.uint32), big(2, HALF // 8), big(2, HALF // 8), 64, 4),
        (2, 8 * HALF),
    ),
    "zeros": (lambda: mx.zeros((MOST, MOST)), (MOST, MOST)),
    "as_strided": (lambda: mx.as_strided(mx.ones(4), (2**16, 2**16), (0, 0)), (2**16, 2**16)),
    "take": (lambda: mx.take(mx.ones((2, 3)), SQUARE.astype(mx.int32), axis=0), (65536, 65536, 3)),
    "sort": (lambda: mx.sort(SQUARE, axis=None), (2**32,)),
    "cumsum": (lambda: mx.cumsum(SQUARE), (2**32,)),
    "permutation": (lambda: mx.random.permutation(2**32, key=KEY), (2**32,)),
    "keys": (lambda: mx.random.split(KEY, MOST), (MOST, 2)),
    "normal": (lambda: mx.random.normal((65536, 65536), key=KEY), (65536, 65536)),
    "vmap of tile": (lambda: mx.vmap(lambda x: mx.tile(x, (4,)))(big(2, HALF)), (2, 4 * HALF)),
    "vmap of reshape": (lambda: mx.vmap(lambda x: x.reshape(-1))(big(2, 65536, 65536)), (2, 2**32)),
    "gradient": (lambda: mx.grad(lambda x: mx.sum(x.reshape(-1)))(SQUARE), (65536, 65536)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_shape_is_right_or_refused(name):
    function, wanted = CASES[name]
    with contextlib.suppress(ValueError, OverflowError):
        made = function()
        assert (made.shape, made.size) == (wanted, math.prod(wanted))


@pytest.mark.parametrize("dtype", [mx.int8, mx.int16])
def test_view_names_what_it_takes(dtype):
    with pytest.raises(ValueError, match=r"argument `a`: expected a last axis of at most \d+ elements, got 1073741824"):
        big(HALF, dtype=mx.int64).view(dtype)


def test_view_of_what_fits():
    assert big(2**28 - 1, dtype=mx.int64).view(mx.int8).shape == (2**31 - 8,)
    assert big(8, MOST - 7, dtype=mx.int8).view(mx.int64).shape == (8, MOST // 8)


# More elements than 64 bits count: MLX takes their number for 0.
LEFT, RIGHT = big(65536, 65536, 1, 1), big(1, 1, 65536, 65536)
PRODUCTS = {
    "a sum": lambda: LEFT + RIGHT,
    "what is made of one": lambda: mx.sum(mx.exp(LEFT + RIGHT)),
    "a choice": lambda: mx.where(LEFT > 0, LEFT, RIGHT),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_more_elements_than_can_be_counted_are_not_computed(name):
    made = PRODUCTS[name]()
    for _ in range(2):
        with pytest.raises(ValueError, match="fewer than 2\\^59 elements, got shape"):
            mx.eval(made)
