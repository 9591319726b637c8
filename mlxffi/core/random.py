"""Random numbers, as mlx.core.random has them: from keys, or from each thread's own sequence of keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from .._errors import ArgumentError
from ._arguments import ArrayLike, as_array
from ._array import array
from ._binding import abi, native
from ._device import StreamOrDevice
from ._dtype import Dtype, float32
from ._trees import Holder
from .generated.random import *  # noqa: F403
from .generated.random import key as key

# --- the state ---


class _RandomState(Holder):
    """Each thread's current key, as a sequence of one array; `compile` takes it as captured state."""

    __slots__ = ("_thread",)
    __module__ = "mlxffi.core.random"

    def __init__(self) -> None:
        self._thread = threading.local()

    def _get(self) -> array:
        found = getattr(self._thread, "key", None)
        if found is None:
            found = key(time.time_ns() & 0xFFFFFFFFFFFF)
            self._set(found)
        return found

    def _set(self, value: array) -> None:
        self._thread.key = value

    def _next(self) -> array:
        """A key that has not been given before."""
        self._thread.key, given = abi.random_next(self._get())
        return given

    def __getitem__(self, index: int) -> array:
        return (self._get(),)[index]

    def __iter__(self) -> Iterator[array]:
        return iter((self._get(),))

    def __len__(self) -> int:
        return 1


_state = _RandomState()
native.configure(next_key=_state._next)


def __getattr__(arg: str, /) -> Any:
    if arg == "state":
        return _state
    raise AttributeError(f"module {__name__!r} has no attribute {arg!r}")


def seed(seed: int) -> None:
    """Begin this thread's sequence of keys anew."""
    _state._set(key(seed))


def _key(key: array | None) -> array:
    return _state._next() if key is None else key


# --- draws ---


def normal(
    shape: Sequence[int] = [],
    dtype: Dtype | None = float32,
    loc: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    key: array | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Numbers of the normal distribution around `loc` (None: 0) with the deviation `scale` (None: 1)."""
    dtype = float32 if dtype is None else dtype
    middle = None if loc is None else abi.astype(as_array(loc), dtype, stream)
    width = None if scale is None else abi.astype(as_array(scale), dtype, stream)
    return abi.random_normal_broadcast(shape, dtype, middle, width, _key(key), stream)


def bernoulli(
    p: ArrayLike = 0.5,
    shape: Sequence[int] | None = None,
    key: array | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Booleans that are true with the probability `p`; `shape` None takes that of `p`."""
    p = as_array(p)
    return abi.random_bernoulli(p, p.shape if shape is None else shape, _key(key), stream)


def truncated_normal(
    lower: ArrayLike,
    upper: ArrayLike,
    shape: Sequence[int] | None = None,
    dtype: Dtype | None = float32,
    key: array | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Numbers of the normal distribution between two bounds; `shape` None takes that of the bounds."""
    lower, upper, dtype = as_array(lower), as_array(upper), float32 if dtype is None else dtype
    if shape is None:
        shape = abi.add(lower, upper, stream).shape
    return abi.random_truncated_normal(lower, upper, shape, dtype, _key(key), stream)


def categorical(
    logits: array,
    axis: int = -1,
    shape: Sequence[int] | None = None,
    num_samples: int | None = None,
    key: array | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Classes, drawn with the probabilities of which `logits` are the logarithms along an axis.

    Args:
      shape: of the result, to which the other axes are broadcast; num_samples: how many draws for each distribution.

    Raises:
      ValueError: both are given.
    """
    if shape is not None and num_samples is not None:
        raise ArgumentError("[categorical] At most one of shape or num_samples can be specified.")
    drawn = _key(key)
    if shape is not None:
        return abi.random_categorical_shape(logits, axis, shape, drawn, stream)
    if num_samples is not None:
        return abi.random_categorical_num_samples(logits, axis, num_samples, drawn, stream)
    return abi.random_categorical(logits, axis, drawn, stream)


def permutation(x: int | array, axis: int = 0, key: array | None = None, stream: StreamOrDevice = None) -> array:
    """The parts of an array along an axis, or the numbers up to `x`, in random order."""
    if isinstance(x, array):
        return abi.random_permutation(x, axis, _key(key), stream)
    return abi.random_permutation_arange(x, _key(key), stream)
