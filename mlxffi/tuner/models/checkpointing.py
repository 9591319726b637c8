"""Blocks that are computed again for the gradient, with the same random numbers as the first time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from ... import core as mx
from ..layers.again import computed_again
from ..trees import taken_apart


def checkpointed(function: Callable[..., Any], draws: bool = True) -> Callable[..., Any]:
    """The same function, but it keeps only its arguments for the gradient.

    Trained parameters must be among the arguments. Dropout in it drops what it dropped the first time: the function
    begins with a key of its own, not with wherever the sequence of keys has got to when the gradient is computed.

    Args:
      function: of arrays and trees of them.
      draws: whether it draws random numbers; a key for a function that does not would be nodes for nothing.

    Returns:
      A function with the same arguments and results.
    """

    def called(*args: Any, **kwargs: Any) -> Any:
        key = mx.random.state._next() if draws else None
        arrays, put_back = taken_apart((args, kwargs))
        # For what a checkpoint takes it computes gradients, which packed weights, tokens and masks do not have.
        constants = [None if mx.issubdtype(item.dtype, mx.floating) else item for item in arrays]

        def again(given: list[mx.array]) -> Any:
            following = iter(given)
            found = [next(following) if constant is None else constant for constant in constants]
            args, kwargs = put_back(found)
            with nullcontext() if key is None else random_numbers_from(key):
                return function(*args, **kwargs)

        floating = [item for item, constant in zip(arrays, constants, strict=True) if constant is None]
        return computed_again(again)(floating)

    return called


@contextmanager
def random_numbers_from(key: mx.array) -> Iterator[None]:
    """Let this thread draw random numbers from a key; afterwards it continues where it was.

    Args:
      key: uint32 [2].

    Returns:
      A context without a value.
    """
    state = mx.random.state
    before = state[0]
    state._set(key)
    try:
        yield
    finally:
        state._set(before)
