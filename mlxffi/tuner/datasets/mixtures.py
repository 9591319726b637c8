"""Parts of datasets, and datasets that are drawn from in given shares."""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from typing import Any

from ..._errors import ArgumentError
from .. import checks
from .kinds import ConcatenatedDataset, Dataset, about
from .records import fingerprint_of, place_of


class WeightedDataset(ConcatenatedDataset):
    """Datasets of which each has its share of every epoch, which is as long as all of them are together.

    The records of one come in a random order, all of them before any of them comes again, also from one epoch to the
    next: a dataset with more than its share of the records repeats them, one with less goes on where it was left.

    Args:
      data: datasets, of any kinds.
      weights: a number above 0 for each; their shares are these by their sum.

    Raises:
      ValueError: a weight is none, there are not as many as datasets, or one is so small that no record is drawn.
    """

    def __init__(self, data: Sequence[Dataset], weights: Sequence[float]):
        super().__init__(data)
        if len(weights) != len(self._data):
            raise ArgumentError(
                f"[WeightedDataset] weights: expected {len(self._data)}, one for each dataset, got {weights}"
            )
        self._weights = [checks.positive("WeightedDataset", "weights", weight) for weight in weights]
        self._counts = _apportioned(self._weights, len(self))
        if 0 in self._counts:
            weight = self._weights[self._counts.index(0)]
            raise ArgumentError(
                f"[WeightedDataset] weights: expected such that each dataset has a record in {len(self)}, got {weight}"
            )

    def draws(self, seed: int | None, epoch: int) -> array[int]:
        """The records of an epoch by index, one dataset after the other.

        Args:
          seed: of the order; None for that of the datasets.
          epoch: from 0.

        Returns:
          Indices; a record stands among them as often as its dataset's weight asks for.
        """
        found = array("q")
        for part, count in enumerate(self._counts):
            found.extend(self._drawn(part, seed, epoch * count, count))
        return found

    @property
    def shares(self) -> list[float]:
        """The part of an epoch that each dataset has."""
        return [count / len(self) for count in self._counts]

    @property
    def about(self) -> list[str]:
        """A line for each file, with the share of an epoch that it has beside others of its dataset."""
        pairs = zip(self._data, self.shares, strict=True)
        return [f"{line}; {share:.0%} of an epoch" for data, share in pairs for line in about(data)]

    @property
    def fingerprint(self) -> str:
        """That of the datasets and their shares."""
        return f"{self._counts} {super().fingerprint}"

    def _drawn(self, part: int, seed: int | None, start: int, count: int) -> array[int]:
        """So many draws of a dataset, of which the first is the one of this number since the beginning."""
        size, found = len(self._data[part]), array("q")
        before = self._ends[part] - size
        while count:
            number, place = divmod(start, size)
            order = array("q", range(before, before + size))
            if seed is not None:
                random.Random(f"{seed}/{part}/{number}").shuffle(order)
            taken = order[place : place + count]
            found.extend(taken)
            start, count = start + len(taken), count - len(taken)
        return found


class SlicedDataset:
    """Consecutive records of a dataset.

    Args:
      data: the dataset.
      begin: the first record.
      end: the one after the last.
    """

    def __init__(self, data: Dataset, begin: int, end: int):
        self._data, self._range = data, range(begin, end)

    def __len__(self) -> int:
        return len(self._range)

    def __getitem__(self, index: int) -> Any:
        return self._data[self._range[index]]

    def process(self, record: Any) -> Any:
        """The Example of a record; see `Dataset`."""
        return self._data.process(record)

    def where(self, index: int) -> str:
        """Where a record came from, for errors; see `place_of`."""
        return place_of(self._data, self._range[index])

    @property
    def about(self) -> list[str]:
        """A line for each file, and which records of them are meant."""
        *lines, last = about(self._data) or ["data"]
        return [*lines, f"{last}; records {self._range.start + 1:,} to {self._range.stop:,}"]

    @property
    def fingerprint(self) -> str:
        """That of the dataset, and which records are meant."""
        return f"{self._range} {fingerprint_of(self._data)}"


def sliced(data: Dataset, begin: str | None, end: str | None) -> Dataset:
    """A slice of a dataset between two ends, each a number, a percentage or None.

    Args:
      data: of which to take a part.
      begin, end: such as "100", "-10" or "80%"; None for the dataset's own beginning or end.

    Returns:
      The records from `begin` to before `end`; `data` itself where both are None.

    Raises:
      ValueError: no record is left.
    """
    if begin is None and end is None:
        return data
    found = range(len(data))[_place(begin, len(data)) : _place(end, len(data))]
    if not found:
        raise ArgumentError(f"split: expected records in [{begin or ''}:{end or ''}] of {len(data)}, got none")
    return SlicedDataset(data, found.start, found.stop)


def _place(text: str | None, size: int) -> int | None:
    if text is None:
        return None
    return round(int(text[:-1]) * size / 100) if text.endswith("%") else int(text)


def _apportioned(weights: list[float], total: int) -> list[int]:
    """So many records in these shares, whole ones; those that are left over go to the largest remainders."""
    exact = [weight / sum(weights) * total for weight in weights]
    counts = [int(share) for share in exact]
    rest = sorted(range(len(exact)), key=lambda part: counts[part] - exact[part])
    for part in rest[: total - sum(counts)]:
        counts[part] += 1
    return counts
