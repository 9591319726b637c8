"""What a dataset gives for a record, and what the trainer takes at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..._errors import ArgumentError
from ...core import array


class Example(NamedTuple):
    """A tokenized record.

    Args:
      tokens: ids.
      offset: how many tokens at the beginning are no targets (the prompt).
      mask: for each token whether it is a target, from `offset` on; None for all of these.
    """

    tokens: Sequence[int]
    offset: int = 0
    mask: Sequence[int] | None = None


def as_example(item: Any) -> Example:
    """An Example of what stands for one: an Example, the pair (tokens, offset), or tokens alone.

    Raises:
      ValueError: it has no tokens, an offset below 0, or a mask of another length.
    """
    pair = isinstance(item, tuple) and item and hasattr(item[0], "__len__")
    tokens, offset, mask = Example(*item) if pair else Example(item)
    if not len(tokens):
        raise ArgumentError("tokens: expected at least one, got none")
    if offset < 0:
        raise ArgumentError(f"offset: expected a number from 0 on, got {offset}")
    if mask is not None and len(mask) != len(tokens):
        raise ArgumentError(f"mask: expected {len(tokens)} items, one for each token, got {len(mask)}")
    return Example(tokens, offset, None if mask is None else bytes(map(bool, mask)))


class Batch(NamedTuple):
    """Examples of one width.

    Args:
      tokens: int32 [batch, width]; the model reads all but the last and is asked for all but the first.
      weights: float32 [batch, width - 1]: 1 where `tokens[:, 1:]` is a target, else 0 (prompt, padding).
      segments: int32 [batch, width] where rows hold several documents: 1, 2, ... for each, 0 for padding; else None.
    """

    tokens: array
    weights: array
    segments: array | None = None
