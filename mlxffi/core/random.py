"""Random numbers, as mlx.core.random has them: from keys, or from each thread's own sequence of keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from .._errors import ArgumentError
from .._ffi import ffi, graph
from ._arguments import as_array
from ._array import array
from ._checks import ArrayLike, dtype_number, misfit, require_array, sizes
from ._device import StreamOrDevice, stream_handle
from ._dtype import Dtype, float32, int32
from ._trees import Holder

own = array._own

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
        state = self._get()
        first, second = ffi.new("intptr_t *"), ffi.new("intptr_t *")
        graph.glue_random_split(first, second, state._h, 0)
        self._thread.key = own(first[0])
        return own(second[0])

    def __getitem__(self, index: int) -> array:
        return (self._get(),)[index]

    def __iter__(self) -> Iterator[array]:
        return iter((self._get(),))

    def __len__(self) -> int:
        return 1


_state = _RandomState()


def __getattr__(arg: str, /) -> Any:
    if arg == "state":
        return _state
    raise AttributeError(f"module {__name__!r} has no attribute {arg!r}")


def seed(seed: int) -> None:
    """Begin this thread's sequence of keys anew."""
    _state._set(key(seed))


def key(seed: int) -> array:
    """The key of a seed."""
    try:
        return own(graph.glue_random_key(seed))
    except OverflowError as error:
        raise misfit(error) from None


def split(key: array, num: int = 2, stream: StreamOrDevice = None) -> array:
    """`num` new keys of one key."""
    key = require_array(key, "key")
    try:
        return own(graph.glue_random_split_num(key._h, num, 0 if stream is None else stream_handle(stream)))
    except OverflowError as error:
        raise misfit(error) from None


def _key(key: array | None) -> array:
    if key is None:
        return _state._next()
    return key if type(key) is array else require_array(key, "key")


def _number(dtype: Dtype | None, usual: Dtype) -> int:
    return usual.number if dtype is None else dtype_number(dtype)


# --- draws ---


def uniform(
    low: ArrayLike = 0,
    high: ArrayLike = 1,
    shape: Sequence[int] = [],
    dtype: Dtype | None = float32,
    key: array | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Numbers of the uniform distribution from `low` up to `high`, which are broadcast to the shape."""
    drawn, where, number, shape = _key(key), stream_handle(stream), _number(dtype, float32), sizes(shape)
    low, high = as_array(low), as_array(high)
    return own(graph.glue_random_uniform(low._h, high._h, shape, len(shape), number, drawn._h, where))


def normal(
    shape: Sequence[int] = [],
    dtype: Dtype | None = float32,
    loc: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    key: array | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Numbers of the normal distribution around `loc` (None: 0) with the deviation `scale` (None: 1)."""
    drawn, where, number, shape = _key(key), stream_handle(stream), _number(dtype, float32), sizes(shape)
    middle = None if loc is None else _in_dtype(loc, number, where)
    width = None if scale is None else _in_dtype(scale, number, where)
    handles = (0 if middle is None else middle._h, 0 if width is None else width._h)
    return own(graph.glue_random_normal_broadcast(shape, len(shape), number, *handles, drawn._h, where))


def _in_dtype(value: Any, number: int, where: int) -> array:
    given = as_array(value)
    return own(graph.glue_astype(given._h, number, where))


def multivariate_normal(
    mean: array,
    cov: array,
    shape: Sequence[int] = [],
    dtype: Dtype | None = float32,
    key: array | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Vectors of the joint normal distribution of a mean and a covariance."""
    mean, cov, shape = require_array(mean, "mean"), require_array(cov, "cov"), sizes(shape)
    number, drawn, where = _number(dtype, float32), _key(key), 0 if stream is None else stream_handle(stream)
    return own(graph.glue_random_multivariate_normal(mean._h, cov._h, shape, len(shape), number, drawn._h, where))


def randint(
    low: ArrayLike,
    high: ArrayLike,
    shape: Sequence[int] = [],
    dtype: Dtype | None = int32,
    key: array | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Integers from `low` up to `high` and without it, which are broadcast to the shape."""
    drawn, where, number, shape = _key(key), stream_handle(stream), _number(dtype, int32), sizes(shape)
    low, high = as_array(low), as_array(high)
    return own(graph.glue_random_randint(low._h, high._h, shape, len(shape), number, drawn._h, where))


def bernoulli(
    p: ArrayLike = 0.5,
    shape: Sequence[int] | None = None,
    key: array | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Booleans that are true with the probability `p`; `shape` None takes that of `p`."""
    p, drawn, where = as_array(p), _key(key), 0 if stream is None else stream_handle(stream)
    shape = p.shape if shape is None else sizes(shape)
    return own(graph.glue_random_bernoulli(p._h, shape, len(shape), drawn._h, where))


def truncated_normal(
    lower: ArrayLike,
    upper: ArrayLike,
    shape: Sequence[int] | None = None,
    dtype: Dtype | None = float32,
    key: array | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Numbers of the normal distribution between two bounds; `shape` None takes that of the bounds."""
    lower, upper = as_array(lower), as_array(upper)
    number, drawn, where = _number(dtype, float32), _key(key), 0 if stream is None else stream_handle(stream)
    if shape is None:
        shape = own(graph.glue_add(lower._h, upper._h, where)).shape
    shape = sizes(shape)
    return own(graph.glue_random_truncated_normal(lower._h, upper._h, shape, len(shape), number, drawn._h, where))


def gumbel(
    shape: Sequence[int] = [],
    dtype: Dtype | None = float32,
    key: array | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Numbers of the standard Gumbel distribution."""
    shape, number, drawn, where = sizes(shape), _number(dtype, float32), _key(key), stream_handle(stream)
    return own(graph.glue_random_gumbel(shape, len(shape), number, drawn._h, where))


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
    logits, drawn, where = require_array(logits, "logits"), _key(key), 0 if stream is None else stream_handle(stream)
    if shape is not None and num_samples is not None:
        raise ArgumentError("[categorical] At most one of shape or num_samples can be specified.")
    if shape is not None:
        shape = sizes(shape)
        return own(graph.glue_random_categorical_shape(logits._h, axis, shape, len(shape), drawn._h, where))
    if num_samples is not None:
        return own(graph.glue_random_categorical_num_samples(logits._h, axis, num_samples, drawn._h, where))
    return own(graph.glue_random_categorical(logits._h, axis, drawn._h, where))


def laplace(
    shape: Sequence[int] = [],
    dtype: Dtype | None = float32,
    loc: float = 0.0,
    scale: float = 1.0,
    key: array | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Numbers of the Laplace distribution around `loc` with the width `scale`."""
    shape, number, drawn, where = sizes(shape), _number(dtype, float32), _key(key), stream_handle(stream)
    return own(graph.glue_random_laplace(shape, len(shape), number, loc, scale, drawn._h, where))


def permutation(x: int | array, axis: int = 0, key: array | None = None, stream: StreamOrDevice = None) -> array:
    """The parts of an array along an axis, or the numbers up to `x`, in random order."""
    where = 0 if stream is None else stream_handle(stream)
    if isinstance(x, array):
        drawn = _key(key)
        return own(graph.glue_random_permutation(x._h, axis, drawn._h, where))
    if not isinstance(x, int) and not hasattr(x, "__index__"):
        raise TypeError(f"x: expected an int or an array, got {type(x).__name__}")
    drawn = _key(key)
    return own(graph.glue_random_permutation_arange(x, drawn._h, where))
