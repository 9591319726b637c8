"""The text: what CPython's `help()` says about the language, which every CPython carries, as bytes in two parts."""

from __future__ import annotations

from pydoc_data.topics import topics

import mlxffi
from mlxffi import Array, random

from .config import UsageError

VALIDATION_SHARE = 0.1
TABLE_CORNER = "+--"


def prose() -> bytes:
    """The paragraphs of all topics, without the tables, whose lines and blanks would make the loss look too good.

    Each paragraph stands there once: topics repeat one another, and what is validated must not be trained on.
    """
    paragraphs = [paragraph.strip("\n") for name in sorted(topics) for paragraph in topics[name].split("\n\n")]
    kept = [paragraph for paragraph in paragraphs if paragraph.strip() and TABLE_CORNER not in paragraph]
    return "\n\n".join(dict.fromkeys(kept)).encode()


def split(text: bytes) -> tuple[Array, Array]:
    """The first part for training and the last for validation, as arrays of their bytes: (N,) each."""
    border = round(len(text) * (1 - VALIDATION_SHARE))
    return Array(text[:border]), Array(text[border:])


def windows(text: Array, starts: Array, context: int) -> tuple[Array, Array]:
    """The pieces of a text that begin at `starts`, (B, 1), and the same one byte later: (B, T) each."""
    positions = starts + mlxffi.arange(0, context, 1, "int32")  # (B, T)
    return mlxffi.take(text, positions), mlxffi.take(text, positions + 1)


def random_batch(text: Array, batch: int, context: int, seed: int, step: int) -> tuple[Array, Array]:
    """The tokens and targets of a training step, (B, T) each.

    They follow from the seed and the step alone, so that a resumed run goes on with the batches of an unbroken one.
    """
    key = random.key(seed << 32 | step)
    starts = random.randint(0, text.size - context, (batch, 1), "int32", key)  # (B, 1)
    return windows(text, starts, context)


def ordered_batches(text: Array, batch: int, context: int) -> list[tuple[Array, Array]]:
    """The whole text as batches of windows side by side, (B, T) each; a last batch that is not full is left out."""
    stride = batch * context
    if text.size <= stride:
        raise UsageError(
            f"--batch times --context must be less than {text.size} (the validation text), but it is {stride}"
        )
    first = mlxffi.arange(0, stride, context, "int32")  # (B,)
    offsets = range(0, text.size - stride, stride)
    return [windows(text, mlxffi.expand_dims(first + offset, 1), context) for offset in offsets]
