"""The arrays of one size, for each library: what a row works on is made once."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

# The edge of the matrices of which there are many, and of one that has fewer numbers than such.
EDGE, SMALL_EDGE = 64, 32


def is_torch(module: Any) -> bool:
    return bool(module.__name__ == "torch")


# The arrays of one size and type are those of all its rows.
@functools.lru_cache(1)
def _numbers(size: int) -> Any:
    columns = min(size, 1024)
    return np.random.default_rng(0).uniform(0.05, 0.95, (2, size // columns, columns)).astype(np.float32)


def made(module: Any, numbers: Any) -> Any:
    """A library's array of numpy's."""
    if module is np:
        return numbers
    if is_torch(module):
        return module.from_numpy(numbers.copy())
    array = module.array(numbers)
    module.eval(array)
    return array


@functools.lru_cache(4)
def arrays(module: Any, size: int, half: bool) -> Any:
    """Two matrices of numbers between 0 and 1."""
    found = [made(module, part) for part in _numbers(size)]
    if half:
        found = [part.to(module.bfloat16) if is_torch(module) else part.astype(module.bfloat16) for part in found]
    if module is not np and not is_torch(module):
        module.eval(found)
    return found


@functools.lru_cache(16)
def indices(module: Any, below: int, count: int) -> Any:
    """Random places."""
    dtype = np.int64 if is_torch(module) else np.int32
    return made(module, np.random.default_rng(0).integers(0, below, count).astype(dtype))


@functools.lru_cache(16)
def ints(module: Any, *shape: int, below: int = 1000) -> Any:
    """Random positive integers."""
    return made(module, np.random.default_rng(1).integers(1, below, shape).astype(np.int32))


@functools.lru_cache(8)
def bools(module: Any, *shape: int) -> Any:
    return made(module, np.random.default_rng(2).random(shape) < 0.5)


@functools.lru_cache(8)
def complexes(module: Any, *shape: int) -> Any:
    rng = np.random.default_rng(3)
    return made(module, (rng.random(shape) + 1j * rng.random(shape)).astype(np.complex64))


@functools.lru_cache(8)
def matrices(module: Any, size: int) -> Any:
    """Symmetric matrices with positive eigenvalues, as many as have so many numbers."""
    edge = EDGE if size >= EDGE**2 else SMALL_EDGE
    parts = np.random.default_rng(4).random((size // edge**2, edge, edge)).astype(np.float32)
    return made(module, parts + parts.swapaxes(1, 2) + 2 * edge * np.eye(edge, dtype=np.float32))


@functools.lru_cache(2)
def sorted_row(module: Any) -> Any:
    return made(module, np.linspace(0, 1, 1000, dtype=np.float32))


def size(x: Any) -> int:
    return math.prod(x.shape)


def along(module: Any, x: Any) -> Any:
    """Random places along the rows of an array."""
    return indices(module, x.shape[1], size(x)).reshape(x.shape)


def cast(x: Any, dtype: Any) -> Any:
    return x.to(dtype) if hasattr(x, "to") else x.astype(dtype)


def square(x: Any) -> Any:
    """The numbers as one square matrix."""
    return x.reshape(math.isqrt(size(x)), -1)


def threes(x: Any) -> Any:
    return x.reshape(-1)[: size(x) // 3 * 3].reshape(-1, 3)


def signal(module: Any, x: Any) -> Any:
    """Eight signals with 16 channels, which PyTorch has before the places."""
    return x.reshape(8, 16, -1) if is_torch(module) else x.reshape(8, -1, 16)


def images(module: Any, x: Any) -> Any:
    """Square images with 16 channels."""
    edge = math.isqrt(size(x) // 16)
    return x.reshape(1, 16, edge, edge) if is_torch(module) else x.reshape(1, edge, edge, 16)


@functools.lru_cache(2)
def of_type(module: Any, dtype: str, *shape: int) -> Any:
    """Positive numbers that every type but bool holds."""
    numbers = made(module, np.random.default_rng(6).integers(1, 100, shape).astype(np.float32))
    found = cast(numbers, getattr(module, dtype))
    if module is not np and not is_torch(module):
        module.eval(found)
    return found


@functools.lru_cache(4)
def filters(module: Any, *window: int) -> Any:
    """Of 16 channels, for as many."""
    shape = (16, 16, *window) if is_torch(module) else (16, *window, 16)
    return made(module, np.random.default_rng(5).random(shape, np.float32))


def put_along(x: Any, places: Any, y: Any) -> Any:
    result = x.copy()
    np.put_along_axis(result, places, y, 1)
    return result


def added(module: Any, x: Any, places: Any, y: Any) -> Any:
    """The array with rows of another added to some of its own."""
    if is_torch(module):
        return x.index_add(0, places, y)
    if module is not np:
        return x.at[places].add(y)
    result = x.copy()
    np.add.at(result, places, y)
    return result


def with_slice(module: Any, x: Any, y: Any) -> Any:
    """The array with columns of another in place of some of its own."""
    copied = module.array(x) if not is_torch(module) else x.clone()
    copied[:, 1:-1] = y[:, 1:-1]
    return copied


def numpy_softmax(x: Any) -> Any:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# What expressions of rows may name.
HELPERS = {
    function.__name__: function
    for function in (
        *(indices, ints, bools, complexes, matrices, sorted_row, filters, of_type),
        *(size, along, cast, square, threes, signal, images, put_along, added, with_slice, numpy_softmax),
    )
} | {"rng": np.random.default_rng(0)}
