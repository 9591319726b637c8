"""Random numbers, as mlx.core.random has them: from keys, or from each thread's own sequence of keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

from .._errors import ArgumentError
from ._arguments import ArrayLike, as_array
from ._array import array
from ._binding import abi, native
from ._device import StreamOrDevice
from ._dtype import Dtype, float32
from ._trees import Holder
from .generated.random import *  # noqa: F403
from .generated.random import key as key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
    """Restart the calling thread's random numbers.

    Args:
      seed: an integer of 64 bits.
    """
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
    """Normally distributed numbers.

    Args:
      shape: the shape of the result.
      dtype: the dtype of the result; None: float32.
      loc: the mean, which broadcasts to the shape; None: 0.
      scale: the standard deviation, which broadcasts to the shape; None: 1.
      key: uint32 [2]; None: the thread's next key.

    Returns:
      [*shape].
    """
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
    """Random booleans.

    Args:
      p: the probability of True, in 0..1.
      shape: the shape of the result; None: that of `p`.
      key: uint32 [2]; None: the thread's next key.

    Returns:
      bool [*shape].
    """
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
    """Numbers from the standard normal distribution between two bounds.

    Args:
      lower: the lower bound, which broadcasts to the shape.
      upper: the upper bound, which broadcasts to the shape.
      shape: the shape of the result; None: that of the bounds.
      dtype: the dtype of the result; None: float32.
      key: uint32 [2]; None: the thread's next key.

    Returns:
      [*shape].
    """
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
    """Class indices, drawn from categorical distributions.

    Args:
      logits: unnormalised log-probabilities along `axis`.
      axis: the axis of the classes.
      shape: the shape of the result, to which the other axes broadcast.
      num_samples: how many to draw from each distribution, along a new last axis.
      key: uint32 [2]; None: the thread's next key.

    Returns:
      uint32.

    Raises:
      ValueError: both `shape` and `num_samples` are given.
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
    """A random permutation of an array along an axis, or of the integers below a number.

    Args:
      x: the array, or the number.
      axis: the axis that is permuted.
      key: uint32 [2]; None: the thread's next key.

    Returns:
      The shape and dtype of the array, or uint32 [x].
    """
    if isinstance(x, array):
        return abi.random_permutation(x, axis, _key(key), stream)
    return abi.random_permutation_arange(x, _key(key), stream)
