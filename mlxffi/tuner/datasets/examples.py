"""What a dataset gives for a record, and what the trainer takes at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...core import array


class Example(NamedTuple):
    """A tokenized record.

    Args:
      tokens: ids.
      offset: how many tokens at the beginning are no targets (the prompt).
      mask: for each token whether it is a target; None for all from `offset` on.
    """

    tokens: Sequence[int]
    offset: int = 0
    mask: Sequence[bool] | None = None


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
