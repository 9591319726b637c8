"""Examples that are made once."""

from __future__ import annotations

from array import array
from typing import Any

from ..._errors import ArgumentError
from .examples import Example, as_example
from .kinds import Dataset
from .places import place_of, placed

# 1 GiB of int32.
MAX_TOKENS = 1 << 28


class CacheDataset:
    """The Examples of a dataset, each made when it is first asked for.

    Args:
      data: a dataset.
      max_tokens: as many are kept; beyond, those that were made first are dropped, and made anew when needed. Numbers
        of tokens are always kept.

    Raises:
      ValueError: `data` is no dataset. When an Example is made: a record cannot be processed; the message names it.
    """

    def __init__(self, data: Dataset, max_tokens: int = MAX_TOKENS):
        if not isinstance(data, Dataset):
            raise ArgumentError(f"[CacheDataset] data: expected a dataset with process, got {type(data).__name__}")
        self._data = data
        self._max_tokens = max_tokens
        self._kept: dict[int, Example] = {}
        self._kept_tokens = 0
        self._lengths = array("q", [-1]) * len(data)

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Example:
        index = range(len(self))[index]
        found = self._kept.get(index)
        return self._made(index) if found is None else found

    def itemlen(self, index: int) -> int:
        """How many tokens an Example has."""
        if self._lengths[index] < 0:
            self[index]
        return self._lengths[index]

    def where(self, index: int) -> str:
        """Where a record came from, for errors."""
        return place_of(self._data, index)

    def _made(self, index: int) -> Example:
        with placed(self.where(index)):
            made = _compact(self._data.process(self._data[index]))
        self._lengths[index] = len(made.tokens)
        self._kept[index] = made
        self._kept_tokens += len(made.tokens)
        while self._kept_tokens > self._max_tokens:
            self._kept_tokens -= len(self._kept.pop(next(iter(self._kept))).tokens)
        return made


def _compact(item: Any) -> Example:
    """An Example in a few bytes a token, which batches can copy as they are."""
    example = as_example(item)
    return example._replace(tokens=array("i", example.tokens))
