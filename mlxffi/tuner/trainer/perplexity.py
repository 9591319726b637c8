"""The loss of texts of any length, which a model reads in windows that overlap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..._errors import ArgumentError
from ..checks import count
from ..datasets.batches import Examples
from ..datasets.examples import Batch, Example, as_example, collated, require_ids, sequences_of
from ..distributed import World
from ..losses import default_loss
from ..models.functional import Tunable
from .step import evaluation, make_score


class Perplexity(NamedTuple):
    """How well a model predicts texts.

    Args:
      loss: mean over targets of all texts, in nats.
      targets: how many there are.
      texts: how many texts have some.
      without_targets: how many have none.
    """

    loss: float
    targets: int
    texts: int
    without_targets: int

    @property
    def perplexity(self) -> float:
        """exp(loss); infinite where that leaves the range of floats."""
        return math.exp(self.loss) if self.loss < 700 else math.inf


def perplexity(model: Tunable, texts: Examples, *, window: int = 2048, stride: int | None = None) -> Perplexity:
    """The loss and perplexity of texts, in which each target counts once.

    A text that is longer than a window is read in windows that begin `stride` tokens apart. A window counts the targets
    that the one before did not reach, so that all but those of the first have window - stride tokens before them, or
    more.

    Args:
      model: evaluated with its own parameters, without dropout.
      texts: Examples, or what stands for them; the first token of each is no target.
      window: how many tokens the model reads at once; at least 2.
      stride: 1 to window - 1; None for half of a window.

    Returns:
      Loss in nats per target, its exponential, and how many targets and texts were counted.

    Raises:
      ValueError: an option is out of its range, no text has a target, or a token is unknown to the model.
    """
    stride = require_stride(window, stride)
    counts: list[int] = []
    batches = _batches(model, texts, window, stride, counts)
    score = make_score(model, default_loss, compile=True)
    loss = evaluation(score, default_loss, model.trainable(), None, batches, World()).loss
    if loss is None:
        raise ArgumentError(f"[perplexity] texts: expected one with a target, got none in {len(counts)}")
    texts_with = sum(number > 0 for number in counts)
    return Perplexity(loss, sum(counts), texts_with, len(counts) - texts_with)


def require_stride(window: int, stride: int | None) -> int:
    """The stride, checked, with its default.

    Args:
      window: tokens that the model reads at once; at least 2.
      stride: tokens between the beginnings of windows; None for half of a window.

    Returns:
      An int from 1 to window - 1.

    Raises:
      ValueError: an option is out of its range.
    """
    count("perplexity", "window", window, 2)
    found = window // 2 if stride is None else count("perplexity", "stride", stride, 1)
    if found >= window:
        raise ArgumentError(f"[perplexity] stride: expected fewer tokens than a window has, {window}, got {found}")
    return found


def _batches(model: Tunable, texts: Examples, window: int, stride: int, counts: list[int]) -> Iterator[Batch]:
    """A batch for each window; the number of targets of each text is appended to a list."""
    for example in (each for index in range(len(texts)) for each in sequences_of(as_example(texts[index]))):
        require_ids(example.tokens, getattr(model, "vocab_size", None))
        counts.append(0)
        for part in windows(example, window, stride):
            batch = collated([[part]], window)
            counts[-1] += int(batch.weights.sum().item())
            yield batch


def windows(example: Example, window: int, stride: int) -> Iterable[Example]:
    """The windows in which the model reads a text, each with the targets that earlier ones did not have.

    Args:
      example: a text's tokens and targets.
      window: tokens in a part, at most.
      stride: tokens between the beginnings of parts.

    Returns:
      An Example for each part, in order; each target is in exactly one of them.
    """
    tokens, offset, mask = example
    length, counted = len(tokens), 0
    for start in range(0, max(length - window, 0) + stride, stride):
        end = min(start + window, length)
        part = None if mask is None else mask[start:end]
        yield Example(tokens[start:end], max(offset, counted) - start, part)
        counted = end
