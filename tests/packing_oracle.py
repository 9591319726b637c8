"""Packed matrices and the numbers that they stand for, in numpy, from the format's definition."""

import numpy as np
from losses_oracle import array_of

import mlxffi as m

E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
SCHEMES = [
    *[("affine", group, bits) for bits in (1, 2, 3, 4, 5, 6, 8) for group in (32, 64, 128)],
    ("mxfp4", 32, 4),
    ("mxfp8", 32, 8),
    ("nvfp4", 16, 4),
]


def small_float(codes):
    """What codes of 8 bits with 4 for the exponent and 3 for the mantissa mean."""
    sign, exponent, mantissa = np.where(codes & 128, -1.0, 1.0), (codes >> 3) & 15, codes & 7
    normal = (1 + mantissa / 8) * 2.0 ** (exponent - 7.0)
    return sign * np.where(exponent == 0, mantissa / 8 * 2.0**-6, normal)


def packed_words(codes, bits):
    """Codes [..., n], one after the other from the lowest bit on, as uint32."""
    each = (codes[..., None] >> np.arange(bits)) & 1
    stream = each.reshape(*codes.shape[:-1], -1).astype(np.uint8)
    return np.packbits(stream, axis=-1, bitorder="little").view("<u4")


def packed(shape, scheme, dtype="float32", seed=0):
    """The arguments that MLX takes for a random packed matrix, and its numbers as float64."""
    mode, group, bits = scheme
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**bits, shape)
    groups = (*shape[:-1], shape[-1] // group)
    if mode == "affine":
        scales, s = array_of(rng.uniform(0.01, 0.1, groups), dtype)
        biases, b = array_of(rng.normal(size=groups), dtype)
        numbers = codes * np.repeat(s, group, -1) + np.repeat(b, group, -1)
        return [m.Array(packed_words(codes, bits)), scales, biases], numbers
    if bits == 4:
        numbers = np.array([*E2M1, *(-value for value in E2M1)])[codes]
    else:
        codes = np.where(codes & 127 == 127, 0, codes)  # which would be NaN
        numbers = small_float(codes)
    scales = rng.integers(*((1, 100) if mode == "nvfp4" else (120, 132)), groups).astype(np.uint8)
    factors = small_float(scales.astype(int)) if mode == "nvfp4" else 2.0 ** (scales - 127.0)
    return [m.Array(packed_words(codes, bits)), m.Array(scales)], numbers * np.repeat(factors, group, -1)
