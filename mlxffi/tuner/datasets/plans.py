"""Which records make which batches: an epoch's order, rows of one or several records, batches of rows alike in length.

An epoch is taken in windows of so many records, which are sorted by length within; so batches waste little on padding,
differ from epoch to epoch, and no more of a file than a window has to be tokenized at a time. Rows that are left over
at the end of a window come first in the next one. Each window can be planned without those before it.
"""

from __future__ import annotations

import itertools
import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn, TypeAlias

from ..._errors import ArgumentError
from .. import checks

Row: TypeAlias = "list[int]"
Draws: TypeAlias = "Callable[[int | None, int], array[int]]"


@dataclass(frozen=True)
class Settings:
    """How batches are made.

    Args:
      batch_size, max_seq_length, loop, seed, rank, world, pack, drop_last, window: as in `iterate_batches`.

    Raises:
      ValueError: a value is out of its range; the message names it.
    """

    batch_size: int
    max_seq_length: int
    loop: bool
    seed: int | None
    rank: int
    world: int
    pack: bool
    drop_last: bool
    window: int

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("max_seq_length", 2), ("world", 1), ("rank", 0), ("window", 1)):
            checks.count("iterate_batches", name, getattr(self, name), least)
        if self.seed is not None:
            checks.count("iterate_batches", "seed", self.seed, 0)
        if self.batch_size % self.world:
            _refuse("batch_size", f"a multiple of the number of processes, {self.world}", self.batch_size)
        if self.rank >= self.world:
            _refuse("rank", f"0..{self.world - 1}", self.rank)


def _refuse(name: str, expected: str, found: object) -> NoReturn:
    raise ArgumentError(f"[iterate_batches] {name}: expected {expected}, got {found}")


class Window(NamedTuple):
    """Consecutive records of an epoch's order.

    Args:
      epoch: which pass over the dataset, from 0.
      number: which window of it, from 0.
      carried: the records that earlier windows left over.
    """

    epoch: int = 0
    number: int = 0
    carried: tuple[int, ...] = ()


class Plan:
    """Batches of records by index.

    Args:
      records: how many there are.
      length_of: how many tokens a record has.
      settings: how to make batches.
      draws: the records of an epoch, as many as there are, by seed and epoch; None: each of them once.

    Raises:
      ValueError: there are fewer records than a batch has to have.
    """

    def __init__(self, records: int, length_of: Callable[[int], int], settings: Settings, draws: Draws | None = None):
        least = settings.batch_size if settings.loop or settings.drop_last else 1
        if records < least:
            wanted = f"{least} or more records for batch_size={settings.batch_size}"
            raise ArgumentError(f"[iterate_batches] dataset: expected {wanted}, got {records}")
        self._records, self._length_of, self._settings, self._draws = records, length_of, settings, draws
        self._order: tuple[int, Sequence[int]] = (-1, ())

    def batches(self, window: Window) -> tuple[list[list[Row]], tuple[int, ...]]:
        """The batches of a window, as rows of records, and the records left over.

        Args:
          window: which one, and what earlier ones left over.

        Returns:
          (batches, each of as many rows of records as a batch has sequences; indices of records for the next window).
        """
        size = self._settings.batch_size
        taken = [*window.carried, *self._new(window)]
        rows = self._rows(taken)
        whole = len(rows) // size * size
        batches = self._batches(rows[:whole], window)
        left = rows[whole:]
        if self.after(window, ()) is None:
            batches, left = batches + ([left] if left and not self._settings.drop_last else []), []
        return batches, tuple(itertools.chain.from_iterable(left))

    def after(self, window: Window, carried: tuple[int, ...]) -> Window | None:
        """The window that follows; None at the end.

        Args:
          window: the one that ends.
          carried: indices of records that it leaves over.

        Returns:
          The next of this epoch, or the first of the next epoch where the data repeat.
        """
        if (window.number + 1) * self._span < self._records:
            return Window(window.epoch, window.number + 1, carried)
        return Window(window.epoch + 1, 0, carried) if self._settings.loop else None

    @property
    def _span(self) -> int:
        return self._settings.batch_size * self._settings.window

    def _new(self, window: Window) -> Sequence[int]:
        """The records of a window itself, in the epoch's order."""
        if self._order[0] != window.epoch:
            order = array("q", range(self._records))
            if self._draws is not None:
                order = self._draws(self._settings.seed, window.epoch)
            if self._settings.seed is not None:
                self._random(window.epoch).shuffle(order)
            self._order = (window.epoch, order)
        return self._order[1][window.number * self._span : (window.number + 1) * self._span]

    def _random(self, *place: int) -> random.Random:
        """Random numbers for a place in the data, the same whatever was drawn before."""
        return random.Random("/".join(map(str, (self._settings.seed, *place))))

    def _rows(self, taken: list[int]) -> list[Row]:
        """Rows of the records, those with the earliest first: what was left over once is not left over again."""
        if not self._settings.pack:
            return [[record] for record in taken]
        lengths = [self._length(record) for record in taken]
        places = list(range(len(taken)))
        if self._settings.seed is not None:
            places.sort(key=lambda place: -lengths[place])
        rows = first_fit([lengths[place] for place in places], self._settings.max_seq_length)
        by_place = sorted(sorted(places[item] for item in row) for row in rows)
        return [[taken[place] for place in row] for row in by_place]

    def _length(self, record: int) -> int:
        return min(self._length_of(record), self._settings.max_seq_length)

    def _batches(self, rows: list[Row], window: Window) -> list[list[Row]]:
        if self._settings.seed is not None:
            rows = sorted(rows, key=lambda row: sum(map(self._length, row)))
        size = self._settings.batch_size
        batches = [rows[start : start + size] for start in range(0, len(rows), size)]
        if self._settings.seed is not None:
            self._random(window.epoch, window.number).shuffle(batches)
        return batches


# --- several documents to a row ---


def first_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Put items into rows, each into the first row that has room for it; longest items first wastes little room.

    Args:
      lengths: of the items, each at most `capacity`.
      capacity: of each row.

    Returns:
      The indices of the items in each row.

    Source: first-fit bin packing; Johnson et al. 1974, within 11/9 of the fewest rows where lengths descend.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for item, length in enumerate(lengths):
        row = next((row for row, left in enumerate(room) if left >= length), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(capacity)
        rows[row].append(item)
        room[row] -= length
    return rows
