"""Blocks that are computed again for the gradient, with the same random numbers as the first time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ... import core as mx


def checkpointed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which keeps nothing but its arguments for the gradient.

    Trained parameters must be among the arguments. Dropout in it draws what it drew the first time: the function begins
    with a key of its own, not with wherever the sequence of keys has got to when the gradient is computed.
    """

    def replayed(key: mx.array, *args: Any, **kwargs: Any) -> Any:
        with random_numbers_from(key):
            return function(*args, **kwargs)

    def called(*args: Any, **kwargs: Any) -> Any:
        return mx.checkpoint(replayed)(mx.random.state._next(), *args, **kwargs)

    return called


@contextmanager
def random_numbers_from(key: mx.array) -> Iterator[None]:
    """This thread's random numbers from a key on; afterwards they go on where they were."""
    state = mx.random.state
    before = state[0]
    state._set(key)
    try:
        yield
    finally:
        state._set(before)
