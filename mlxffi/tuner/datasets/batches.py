"""Batches of a dataset, in an order that can be resumed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any, NoReturn, Protocol

from ..._errors import ArgumentError
from .. import checks
from .examples import (
    Batch,
    Example,
    ExampleGroup,
    as_example,
    collated,
    collated_groups,
    require_ids,
    sequences_of,
    targets_of,
)
from .kinds import CacheDataset, Dataset
from .plans import Plan, Row, Settings, Window
from .records import fingerprint_of, place_of, placed

# What need not be the same when a run is taken up again: batches are the same on any number of processes.
FREE = ("rank", "world")


class Examples(Protocol):
    """Examples, (tokens, offset) or tokens by index: a CacheDataset, a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Batches(Iterator[Batch]):
    """The batches that a training run takes; made by `iterate_batches`.

    `truncated` is the number of Examples so far that were truncated at `max_seq_length`, and `without_targets` the
    number that have no target. A warning names the first of each that was truncated.
    """

    def __init__(self, dataset: Examples | Dataset, settings: Settings, vocab_size: int | None = None):
        self._dataset: Any = CacheDataset(dataset) if isinstance(dataset, Dataset) else dataset
        self._settings, self._vocab_size = settings, vocab_size
        self._plan = Plan(len(dataset), self._length, settings, getattr(self._dataset, "draws", None))
        self._window, self._given = Window(), 0
        # The batches of the window and what they leave over, once planned.
        self._planned: tuple[list[list[Row]], tuple[int, ...]] | None = None
        self.truncated = self.without_targets = 0
        self._has_warned_of_lost = False

    @property
    def epoch(self) -> int:
        """Which pass over the dataset the next batch belongs to, or the last one did, from 0."""
        return self._window.epoch

    def __next__(self) -> Batch:
        batches, left = self._plans()
        while self._given == len(batches):
            following = self._plan.after(self._window, left)
            if following is None:
                raise StopIteration
            self._window, self._given, self._planned = following, 0, None
            batches, left = self._plans()
        own = self._own(batches[self._given])
        examples = {record: self._example(record) for row in own for record in row}
        self._given += 1
        self._require_known(examples)
        self._note_truncated(examples)
        return self._collated([[examples[record] for record in row] for row in own])

    def _collated(self, rows: list[list[Any]]) -> Batch:
        most, packed = self._settings.max_seq_length, self._settings.pack
        # An empty batch cannot tell what the other processes have.
        like = next((row[0] for row in rows if row), None) or self._example(0)
        if not isinstance(like, ExampleGroup):
            return collated(rows, most, packed)
        if packed:
            raise ArgumentError("[iterate_batches] pack: expected single sequences, got records of several to compare")
        return collated_groups([row[0] if row else None for row in rows], most, len(like.sequences))

    def count(self, epochs: int) -> int:
        """The number of batches in some epochs; with packing, rows are packed to find out.

        Args:
          epochs: at least 1.

        Returns:
          The number.
        """
        size, rows = self._settings.batch_size, epochs * len(self._dataset)
        return self._count_packed(epochs) if self._settings.pack else -(-rows // size)

    def _count_packed(self, epochs: int) -> int:
        count, window = 0, Window()
        while True:
            batches, left = self._plan.batches(window)
            count += len(batches)
            following = self._plan.after(window, left)
            if following is None or following.epoch == epochs:
                return count + bool(left)
            window = following

    def state(self) -> dict[str, Any]:
        """The position of the next batch, for `restore` of other Batches of the same dataset and settings.

        Returns:
          What JSON can hold.
        """
        window = {"epoch": self._window.epoch, "window": self._window.number, "carried": list(self._window.carried)}
        return {**window, "given": self._given, "settings": self._fixed()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state: the batches that follow are the same.

        Args:
          state: from `state()`.

        Raises:
          ValueError: the state is not one, or belongs to another number of records or other settings; nothing changes.
        """
        window, given = self._checked(state)
        before = self._window, self._given, self._planned
        self._window, self._given, self._planned = window, given, None
        if given > len(self._plans()[0]):
            self._window, self._given, self._planned = before
            _refuse("given", f"at most the {given} batches of its window", given)

    def _plans(self) -> tuple[list[list[Row]], tuple[int, ...]]:
        if self._planned is None:
            self._planned = self._plan.batches(self._window)
        return self._planned

    def _fixed(self) -> dict[str, Any]:
        settings = {key: value for key, value in asdict(self._settings).items() if key not in FREE}
        return {**settings, "records": len(self._dataset), "data": self._fingerprint}

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint_of(self._dataset)

    def _checked(self, state: Mapping[str, Any]) -> tuple[Window, int]:
        settings = state.get("settings") if isinstance(state, Mapping) else None
        if not isinstance(settings, Mapping):
            _refuse("settings", "those of the batches", settings)
        for key, value in self._fixed().items():
            if settings.get(key) != value:
                _refuse(key, f"{value}, as these batches have", settings.get(key))
        return _window_of(state, len(self._dataset)), _natural(state, "given")

    # --- Examples ---

    def _example(self, record: int) -> Example | ExampleGroup:
        if isinstance(self._dataset, CacheDataset):
            return self._dataset[record]
        with placed(place_of(self._dataset, record)):
            return as_example(self._dataset[record])

    def _length(self, record: int) -> int:
        if isinstance(self._dataset, CacheDataset):
            return self._dataset.itemlen(record)
        return _longest(self._example(record))

    def _own(self, rows: list[Row]) -> list[Row]:
        """This process's rows of a batch; where the last ones do not go round, the other processes have empty ones."""
        rank, world = self._settings.rank, self._settings.world
        return rows[rank::world] + [[]] * (rank >= len(rows) % world > 0)

    def _require_known(self, examples: Mapping[int, Example | ExampleGroup]) -> None:
        """Raise where a token has no row in the model's embedding, which would be read beyond its end."""
        for record, item in examples.items() if self._vocab_size is not None else ():
            with placed(place_of(self._dataset, record)):
                for example in sequences_of(item):
                    require_ids(example.tokens, self._vocab_size)

    def _note_truncated(self, examples: Mapping[int, Example | ExampleGroup]) -> None:
        most = self._settings.max_seq_length
        longer = [record for record, item in examples.items() if _longest(item) > most]
        empty = [record for record, item in examples.items() if _is_lost(item, most)]
        lost = next((record for record in empty if record in longer), None)
        if lost is not None and not self._has_warned_of_lost:
            place = place_of(self._dataset, lost)
            warnings.warn(f"{place}: no target is left of what max_seq_length={most} cuts off", stacklevel=3)
            self._has_warned_of_lost = True
        self.without_targets += len(empty)
        if longer and not self.truncated:
            found = f"{place_of(self._dataset, longer[0])}: {_longest(examples[longer[0]])} tokens"
            warnings.warn(f"{found} are cut off at max_seq_length={most}, as are all longer records", stacklevel=3)
        self.truncated += len(longer)


def _longest(item: Example | ExampleGroup) -> int:
    return max(len(example.tokens) for example in sequences_of(item))


def _is_lost(item: Example | ExampleGroup, most: int) -> bool:
    """Whether a sequence has no target among its first tokens."""
    return not all(any(targets_of(example, min(most, len(example.tokens)))) for example in sequences_of(item))


def iterate_batches(
    dataset: Examples | Dataset,
    batch_size: int,
    max_seq_length: int,
    *,
    loop: bool = False,
    seed: int | None = 0,
    rank: int = 0,
    world: int = 1,
    pack: bool = False,
    drop_last: bool = False,
    window: int = 64,
    vocab_size: int | None = None,
) -> Batches:
    """The batches of a dataset, each record in one of them per epoch (of a WeightedDataset, as often as it is drawn).

    Args:
      dataset: a CacheDataset, any other dataset (whose Examples are then cached), or a list of Examples.
      batch_size: rows of a batch over all processes, a multiple of `world`.
      max_seq_length: at least 2; longer Examples are cut off, with a warning. Rows are padded with the id 0 to
        1 + 32 k tokens for the smallest such k, but to no more than this.
      loop: whether to begin anew after the last record. Every batch is then full: the records that an epoch leaves
        over come first in the next.
      seed: of the order, which depends on nothing else; each epoch has its own. Records of about one length then share
        a batch. None: the dataset's own order.
      rank: of this process, which takes the rows rank, rank + world, ... of each batch.
      world: how many processes there are. Each gets as many batches, and as many rows in each.
      pack: whether rows hold several Examples, which `Batch.segments` tells apart.
      drop_last: whether to drop the last batch where it is not full, if not `loop`.
      window: how many batches of records are sorted by length together, and tokenized ahead.
      vocab_size: of the model; ids beyond it are refused. None: unknown.

    Returns:
      an iterator over `Batch` with `state()` and `restore(state)`.

    Raises:
      ValueError: an argument is not as above, or the dataset has no record, or fewer than a batch has to have: one that
        loops, or drops the last batch, needs `batch_size`. From the iterator: a record cannot be tokenized.
    """
    checks.capable("iterate_batches", "dataset", dataset, "__len__", "__getitem__")
    settings = Settings(batch_size, max_seq_length, loop, seed, rank, world, pack, drop_last, window)
    return Batches(dataset, settings, vocab_size)


# --- states ---


def _window_of(state: Mapping[str, Any], records: int) -> Window:
    carried = state.get("carried")
    if not isinstance(carried, list) or not all(type(item) is int and 0 <= item < records for item in carried):
        _refuse("carried", f"a list of numbers in 0..{records - 1}", carried)
    return Window(_natural(state, "epoch"), _natural(state, "window"), tuple(carried))


def _natural(state: Mapping[str, Any], key: str) -> int:
    value = state.get(key)
    if type(value) is not int or value < 0:
        _refuse(key, "a number from 0 on", value)
    return value


def _refuse(key: str, expected: str, found: object) -> NoReturn:
    raise ArgumentError(f"[restore] state: {key}: expected {expected}, got {found!r}")
