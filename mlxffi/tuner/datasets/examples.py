"""Examples, which a dataset makes of records, and batches of them, which the trainer takes at a time."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from ... import core as mx
from ..._errors import ArgumentError


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


class ExampleGroup(NamedTuple):
    """The sequences of a record that a loss compares: a chosen and a rejected one, for instance.

    Args:
      sequences: as many as the other groups of a dataset have.
      label: whether the first is desirable, where records say so.
    """

    sequences: tuple[Example, ...]
    label: bool = True


def sequences_of(item: Example | ExampleGroup) -> tuple[Example, ...]:
    """The sequences of a group; for an Example, itself.

    Args:
      item: of a dataset.

    Returns:
      One Example or more.
    """
    return item.sequences if isinstance(item, ExampleGroup) else (item,)


def as_example(item: Any) -> Example | ExampleGroup:
    """An Example made from an Example, a pair (tokens, offset), or tokens alone; or a group of such.

    Args:
      item: what a dataset gave.

    Returns:
      An Example, or an ExampleGroup whose `label` is a bool.

    Raises:
      ValueError: it has no tokens, an offset below 0, or a mask of another length.
    """
    if isinstance(item, ExampleGroup):
        return ExampleGroup(tuple(map(_single, item.sequences)), bool(item.label))
    return _single(item)


def _single(item: Any) -> Example:
    pair = isinstance(item, tuple) and item and hasattr(item[0], "__len__")
    tokens, offset, mask = Example(*item) if pair else Example(item)
    if isinstance(tokens, str) or not hasattr(tokens, "__len__"):
        raise ArgumentError(f"tokens: expected a sequence of ints, got {tokens!r}")
    if not len(tokens):
        raise ArgumentError("tokens: expected at least one, got none")
    if offset < 0:
        raise ArgumentError(f"offset: expected a number from 0 on, got {offset}")
    if mask is not None and len(mask) != len(tokens):
        raise ArgumentError(f"mask: expected {len(tokens)} items, one for each token, got {len(mask)}")
    return Example(tokens, offset, None if mask is None else bytes(map(bool, mask)))


def require_ids(tokens: Sequence[int], vocab_size: int | None) -> None:
    """Raise ArgumentError unless a model with `vocab_size` tokens knows all of these.

    Args:
      tokens: ids; at least one.
      vocab_size: tokens that the model has; None for any number.

    Raises:
      ValueError: an id is below 0, or not below `vocab_size`.
    """
    if vocab_size is None:
        return
    wrong = next((token for token in (min(tokens), max(tokens)) if not 0 <= token < vocab_size), None)
    if wrong is not None:
        raise ArgumentError(
            f"tokens: the tokenizer gives the id {wrong}, and the model has {vocab_size} tokens, 0 to {vocab_size - 1}"
        )


class Groups(NamedTuple):
    """What a batch knows of the groups in it. Its rows are the first sequences of all groups, then the second ones.

    Args:
      lengths: int32 [rows]: how many tokens each row has without padding.
      labels: float32 [groups]: 1 for desirable, else 0.
      reference: float32 [rows]: log-probabilities of a row's targets by a reference; None until a loss has asked it.
      divergence: float32 []: how far the model is from the reference on the whole; None for losses without it.
    """

    lengths: mx.array
    labels: mx.array
    reference: mx.array | None = None
    divergence: mx.array | None = None


class Batch(NamedTuple):
    """Examples of one width.

    Args:
      tokens: int32 [batch, width]; the model reads all but the last and is asked for all but the first.
      weights: float32 [batch, width - 1]: 1 where `tokens[:, 1:]` is a target, else 0 (prompt, padding).
      segments: int32 [batch, width] where rows hold several documents: 1, 2, ... for each, 0 for padding; else None.
      groups: where rows belong to groups; else None.
    """

    tokens: mx.array
    weights: mx.array
    segments: mx.array | None = None
    groups: Groups | None = None

    @property
    def inputs(self) -> mx.array:
        """The tokens that the model reads: int32 [batch, width - 1]."""
        return self.tokens[:, :-1]

    @property
    def input_segments(self) -> mx.array | None:
        """The segments of those: int32 [batch, width - 1]."""
        return None if self.segments is None else self.segments[:, :-1]


# --- rows of one width, and which of their tokens are targets ---


# Few widths, so that few shapes have to be compiled; one more than a multiple, because targets are one to the left.
PAD_TO = 32


def collated(rows: Sequence[Sequence[Example]], max_seq_length: int, segments: bool = False) -> Batch:
    """Rows of Examples as a batch, padded with the id 0 to the width of the longest.

    Args:
      rows: the Examples of each row, one after the other; longer ones than `max_seq_length` are cut off.
      max_seq_length: the most tokens of a row.
      segments: whether to number the Examples of each row.

    Returns:
      arrays as `Batch` has them. The target at place t of an Example counts where offset <= t < its length, its mask
      says so, and t > 0: what begins an Example does not follow from what stands before it in the row.
    """
    lengths = [[min(len(example.tokens), max_seq_length) for example in row] for row in rows]
    width = _width(max(map(sum, lengths)), max_seq_length)
    tokens, numbers, targets = array("i"), array("i"), bytearray()
    for row, row_lengths in zip(rows, lengths, strict=True):
        padding = width - sum(row_lengths)
        row_targets = b"".join(map(targets_of, row, row_lengths)) + bytes(padding)
        targets += row_targets[1:]
        for number, (example, length) in enumerate(zip(row, row_lengths, strict=True), 1):
            _extend(tokens, example.tokens[:length])
            numbers.extend(array("i", [number]) * length)
        tokens.extend(array("i", [0]) * padding)
        numbers.extend(array("i", [0]) * padding)
    weights = _matrix(targets, "B", len(rows)).astype(mx.float32)
    return Batch(_matrix(tokens, "i", len(rows)), weights, _matrix(numbers, "i", len(rows)) if segments else None)


def _extend(tokens: array[int], more: Sequence[int]) -> None:
    try:
        tokens.extend(more)
    except (TypeError, OverflowError) as error:
        raise ArgumentError(f"tokens: expected ints of 32 bits: {error}") from None


def collated_groups(groups: Sequence[ExampleGroup | None], max_seq_length: int, sequences: int) -> Batch:
    """Groups as a batch; see `Groups`.

    Args:
      groups: None for one without tokens, which fills a batch up.
      max_seq_length: as of `collated`.
      sequences: how many a group has.

    Returns:
      A batch with a row for each sequence: first those of all groups' first place, then those of the second.

    Raises:
      ValueError: one is no group, or has another number of sequences.
    """
    for item in groups:
        if item is not None and len(sequences_of(item)) != sequences:
            raise ArgumentError(f"[iterate_batches] dataset: expected {sequences} sequences in each record")
    rows = [[] if group is None else [group.sequences[place]] for place in range(sequences) for group in groups]
    lengths = array("i", [sum(min(len(example.tokens), max_seq_length) for example in row) for row in rows])
    labels = array("f", [group is not None and group.label for group in groups])
    return collated(rows, max_seq_length)._replace(groups=Groups(mx.array(lengths), mx.array(labels)))


def _width(longest: int, most: int) -> int:
    # A row without tokens is as wide as one with a single token.
    return min(1 + -(-max(longest, 1) // PAD_TO) * PAD_TO, most)


def targets_of(example: Example, length: int) -> bytes:
    """1 for each token that is a target, else 0.

    Args:
      example: its tokens and targets.
      length: how many of its tokens count; the first is no target.

    Returns:
      That many bytes.
    """
    start = min(max(example.offset, 1), length)
    counted = b"\1" * (length - start) if example.mask is None else bytes(example.mask[start:length])
    return bytes(start) + counted


def _matrix(elements: array[int] | bytearray, letter: str, rows: int) -> mx.array:
    """Elements, row by row, as an array of two axes."""
    flat = memoryview(elements).cast("B")
    return mx.array(flat.cast(letter, [rows, len(elements) // rows]))  # type: ignore[call-overload]
