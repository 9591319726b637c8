"""Blocks that are computed again for the gradient, with the same random numbers as the first time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from ... import core as mx
from ...core._binding import abi
from ..trees import Tree, taken_apart


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
        # Of what is computed again it gives gradients, which frozen and packed weights, tokens and masks do not have.
        constants = [None if _is_followed(item) else item for item in arrays]

        def again(given: list[mx.array]) -> Any:
            following = iter(given)
            found = [next(following) if constant is None else constant for constant in constants]
            args, kwargs = put_back(found)
            with nullcontext() if key is None else random_numbers_from(key):
                return function(*args, **kwargs)

        followed = [item for item, constant in zip(arrays, constants, strict=True) if constant is None]
        return mx.checkpoint(again)(followed) if followed else again([])

    return called


def drops(node: Tree) -> bool:
    """Whether an adapter has dropout.

    Args:
      node: of a layer, or a dictionary of nodes.

    Returns:
      True where one has.
    """
    own = any(adapter["scaling"].dropout for adapter in node.get("adapters", ()))
    return own or any(drops(item) for item in node.values() if isinstance(item, dict))


def _is_followed(item: mx.array) -> bool:
    """Whether somebody differentiates by an array or by what it was made of."""
    return bool(mx.issubdtype(item.dtype, mx.floating) and abi.array_is_tracer(item))


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
