"""Random numbers: equal keys give equal numbers, everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .elementwise import erf, erfinv
from .operation import Calls
from .program import REFERENCE, Case
from .tensors import Array, F

Ints = Sequence[int]
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
WORD = 0xFFFFFFFF


def threefry(key: Array, count: tuple[int, int]) -> tuple[int, int]:
    """Two words of the Threefry generator, of 20 rounds (Salmon and others, Parallel random numbers, 2011)."""
    first, second = int(key[0]), int(key[1])
    keys = (first, second, first ^ second ^ 0x1BD11BDA)
    a, b = (count[0] + first) & WORD, (count[1] + second) & WORD
    for turn in range(5):
        for rotation in ROTATIONS[turn % 2]:
            a = (a + b) & WORD
            b = (b << rotation | b >> (32 - rotation)) & WORD
            b ^= a
        a = (a + keys[(turn + 1) % 3]) & WORD
        b = (b + keys[(turn + 2) % 3] + turn + 1) & WORD
    return a, b


def words(key: Array, count: int) -> Array:
    """`count` random words: those of the second half of the counters follow those of the first."""
    half = (count + 1) // 2
    pairs = [threefry(key, (i, half + i if half + i < count else 0)) for i in range(half)]
    return np.array([a for a, _ in pairs] + [b for _, b in pairs], np.uint32)[:count]


def bits(shape: Ints, width: int, key: Array) -> Array:
    count = math.prod(shape)
    data = words(key, -(-count * width // 4)).tobytes()[: count * width]
    return np.frombuffer(data, f"u{width}").reshape(shape)


def unit(shape: Ints, key: Array) -> Array:
    """Uniform in [0, 1)."""
    return np.minimum(bits(shape, 4, key) / WORD, float(np.nextafter(np.float32(1), np.float32(0))))


def uniform(low: Array, high: Array, shape: Ints, _dtype: str, key: Array) -> Array:
    return np.asarray(low + (high - low) * unit(shape, key))


def normal(shape: Ints, key: Array) -> Array:
    low = float(np.nextafter(np.float32(-1), np.float32(0)))
    return math.sqrt(2) * erfinv(low + (1 - low) * unit(shape, key))


def gumbel(shape: Ints, key: Array) -> Array:
    return -np.log(-np.log(unit(shape, key)))


def truncated(low: Array, high: Array, shape: Ints, _dtype: str, key: Array) -> Array:
    a, b = erf(low / math.sqrt(2)), erf(high / math.sqrt(2))
    return np.clip(math.sqrt(2) * erfinv(a + (b - a) * unit(shape, key)), low, high)


def laplace(shape: Ints, _dtype: str, loc: float, scale: float, key: Array) -> Array:
    low = float(np.nextafter(np.float32(-1), np.float32(0)))
    u = low + (1 - low) * unit(shape, key)
    return loc + scale * np.sign(u) * np.log1p(-np.abs(u))


def split(key: Array, count: int) -> Array:
    return words(key, 2 * count).reshape(count, 2)


def categorical(logits: Array, axis: int, shape: Ints, key: Array) -> Array:
    """The class whose logit and Gumbel noise add up to most."""
    rest = np.moveaxis(logits, axis, -1)
    noisy = rest + gumbel([*shape, rest.shape[-1]], key)
    return np.asarray(np.argmax(noisy, -1)).astype(np.uint32)


def categorical_samples(logits: Array, axis: int, count: int, key: Array) -> Array:
    noise = gumbel([*logits.shape, count], key)
    return np.asarray(np.argmax(logits[..., None] + noise, axis)).astype(np.uint32)


REFERENCE |= {
    "mlx_random_key": lambda seed: np.array([seed >> 32, seed & WORD], np.uint32),
    "mlx_random_bits": bits,
    "mlx_random_split": lambda key: list(split(key, 2)),
    "mlxffi_random_next": lambda key: list(split(key, 2)),
    "mlx_random_split_num": split,
    "mlx_random_uniform": uniform,
    "mlx_random_bernoulli": lambda p, shape, key: unit(shape, key) < p,
    "mlx_random_gumbel": lambda shape, dtype, key: gumbel(shape, key),
    "mlx_random_normal": lambda shape, dtype, loc, scale, key: loc + scale * normal(shape, key),
    "mlx_random_normal_broadcast": lambda shape, dtype, loc, scale, key: (
        (0 if loc is None else loc) + (1 if scale is None else scale) * normal(shape, key)
    ),
    "mlx_random_laplace": laplace,
    "mlx_random_truncated_normal": truncated,
    "mlx_random_randint": lambda low, high, shape, dtype, key: np.floor(uniform(low, high, shape, dtype, key)),
    "mlx_random_permutation_arange": lambda count, key: np.argsort(bits([count], 4, key), kind="stable").astype(
        np.uint32
    ),
    "mlx_random_permutation": lambda x, axis, key: np.take(
        x, np.argsort(bits([x.shape[axis]], 4, key), kind="stable"), axis
    ),
    "mlx_random_categorical": lambda logits, axis, key: categorical(
        logits, axis, np.moveaxis(logits, axis, -1).shape[:-1], key
    ),
    "mlx_random_categorical_shape": lambda logits, axis, shape, key: categorical(logits, axis, shape, key),
    "mlx_random_categorical_num_samples": categorical_samples,
    # The covariance of every case is 0: its factor may have either sign.
    "mlx_random_multivariate_normal": lambda mean, cov, shape, dtype, key: np.broadcast_to(
        mean, [*shape, mean.shape[-1]]
    ),
}


def cases() -> list[Case]:
    calls = Calls()
    key = np.array([0, 7], np.uint32)
    low, high = np.array(-1, np.float32), np.array([1, 2, 3], np.float32)
    float32: dict[str, Any] = {"dtypes": ["float32"], "rtol": 1e-4, "atol": 1e-5}
    calls.add("mlx_random_key", 7)
    calls.add("mlx_random_key", 2**40 + 5)
    for width in (1, 2, 4):
        calls.add("mlx_random_bits", [3, 3], width, key)
    calls.add("mlx_random_split", key, gives=2)
    calls.add("mlxffi_random_next", key, gives=2)
    calls.add("mlx_random_split_num", key, 3)
    calls.add("mlx_random_uniform", low, high, [2, 3], "float32", key, **float32)
    calls.add("mlx_random_bernoulli", np.array(0.25, np.float32), [4, 3], key)
    calls.add("mlx_random_gumbel", [2, 3], "float32", key, **float32)
    calls.add("mlx_random_normal", [2, 3], "float32", 1.0, 0.5, key, **float32)
    calls.add("mlx_random_normal_broadcast", [2, 3], "float32", high, None, key, **float32)
    calls.add("mlx_random_laplace", [2, 3], "float32", 1.0, 0.5, key, **float32)
    calls.add("mlx_random_truncated_normal", low, high, [2, 3], "float32", key, **float32)
    calls.add("mlx_random_randint", np.array(0, np.int32), np.array(10, np.int32), [6], "int32", key, dtypes=["int32"])
    calls.add("mlx_random_permutation_arange", 7, key)
    calls.add("mlx_random_permutation", F(5, 2), 0, key)
    calls.add("mlx_random_categorical", F(3, 4), -1, key)
    calls.add("mlx_random_categorical_shape", F(3, 4), 1, [2, 3], key)
    calls.add("mlx_random_categorical_num_samples", F(3, 4), 1, 5, key)
    calls.add("mlx_random_multivariate_normal", F(3), np.zeros((3, 3), np.float32), [2], "float32", key, **float32)
    return calls.cases
