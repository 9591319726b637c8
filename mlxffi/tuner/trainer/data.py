"""Where a run's batches come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from ..._errors import ArgumentError
from .. import checks
from ..datasets.batches import Examples, iterate_batches
from ..datasets.examples import Batch
from ..datasets.kinds import CacheDataset, Dataset
from ..distributed import World
from .args import TrainingArgs


@runtime_checkable
class Source(Protocol):
    """Batches without end, in an order that can be taken up at any position: `Batches`, `FixedBatches`."""

    def __next__(self) -> Batch: ...

    def state(self) -> dict[str, Any]:
        """The position of the next batch, as JSON can hold it."""
        ...

    def restore(self, state: Any, /) -> None:
        """Continue from a position.

        Args:
          state: what `state` gave, perhaps read back from JSON.

        Raises:
          ValueError: it is no such position.
        """
        ...


class FixedBatches(Iterator[Batch]):
    """A list of batches, in its own order, again and again.

    Args:
      batches: of this process.

    Raises:
      ValueError: there are none.
    """

    def __init__(self, batches: Sequence[Batch]):
        if not batches:
            raise ArgumentError("batches: expected at least one, got none")
        self._batches, self._given = batches, 0

    def __next__(self) -> Batch:
        found = self._batches[self._given % len(self._batches)]
        self._given += 1
        return found

    def count(self, epochs: int) -> int:
        """How many batches there are in some epochs.

        Args:
          epochs: at least 0.

        Returns:
          A number of batches.
        """
        return epochs * len(self._batches)

    def state(self) -> dict[str, int]:
        """How many batches were given."""
        return {"batches": self._given}

    def restore(self, state: Any) -> None:
        """Continue after that many batches; see `Source`."""
        given = state.get("batches") if isinstance(state, dict) else None
        if type(given) is not int or given < 0:
            raise ArgumentError(f"[restore] state: expected how many batches were given, got {state!r}")
        self._given = given


TrainSet: TypeAlias = "Source | Sequence[Batch] | Examples | Dataset"
ValidSet: TypeAlias = "Sequence[Batch] | Examples | Dataset"


class Data:
    """The batches of a run.

    Args:
      train_set: a dataset or a list of examples, from which batches are made as `args` say, the same on any number of
        processes; or batches of this process: a `Source`, or a list, which is gone through again and again.
      valid_set: a dataset, a list of examples, or a list of batches of this process; if it is empty, nothing is
        validated.
      args: how batches are made.
      world: the processes that share each batch.
      vocab_size: of the model, None where it is unknown.
    """

    def __init__(
        self,
        train_set: TrainSet,
        valid_set: ValidSet | None,
        args: TrainingArgs,
        world: World,
        vocab_size: int | None = None,
    ):
        if valid_set is not None:
            checks.capable("train", "valid_set", valid_set, "__len__", "__getitem__")
        self._args, self._world, self._vocab_size = args, world, vocab_size
        self._source = self._train_source(train_set)
        self._validation: Any = None
        # Records are tokenized once, not for each validation.
        self._valid_set: Any = CacheDataset(valid_set) if isinstance(valid_set, Dataset) else valid_set

    def next(self) -> Batch:
        """The next batch to train on."""
        return next(self._source)

    def position(self) -> Any:
        """Where `next` is in the data, as JSON can hold it."""
        return self._source.state()

    def restore(self, position: Any) -> None:
        """Let `next` continue from a position.

        Args:
          position: of the source.

        Raises:
          ValueError: it is no such position.
        """
        self._source.restore(position)

    def iterations(self) -> int:
        """How many iterations the run has: `iters`, or as many as `epochs` passes over the records.

        Raises:
          ValueError: `epochs` of a source that does not know how many batches make one.
        """
        if self._args.epochs is None:
            return self._args.iters
        if not hasattr(self._source, "count"):
            raise ArgumentError(
                "epochs: expected records or a list of batches, got a source without an end; give iters"
            )
        found: int = self._source.count(self._args.epochs)
        return found

    @property
    def validates(self) -> bool:
        """Whether there is something to validate on."""
        return self._args.val_batches != 0 and self._valid_set is not None and len(self._valid_set) > 0

    def validation(self) -> Iterable[Batch]:
        """The batches of a validation: the same in the same order each time, the last with what is left."""
        has_batches = _holds_batches(self._valid_set)
        self._validation = self._valid_set if has_batches else self._batches(self._valid_set, loop=False)
        found: Iterable[Batch] = self._validation
        return found

    @property
    def without_targets(self) -> int:
        """How many records of the last validation had no target; 0 where batches were given."""
        return getattr(self._validation, "without_targets", 0)

    def _train_source(self, train_set: Any) -> Source:
        if isinstance(train_set, Source):
            return train_set
        if not hasattr(train_set, "__len__"):
            came = type(train_set).__name__
            raise ArgumentError(f"[train] train_set: expected records, batches or a source of batches, got {came}")
        return FixedBatches(train_set) if _holds_batches(train_set) else self._batches(train_set, loop=True)

    def _batches(self, dataset: Any, loop: bool) -> Any:
        args, world = self._args, self._world
        return iterate_batches(
            dataset,
            args.batch_size,
            args.max_seq_length,
            loop=loop,
            seed=args.seed,
            rank=world.rank,
            world=world.size,
            pack=args.pack,
            vocab_size=self._vocab_size,
        )


def _holds_batches(items: Any) -> bool:
    return len(items) > 0 and isinstance(items[0], Batch)
