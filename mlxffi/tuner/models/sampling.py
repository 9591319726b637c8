"""How the next token is drawn, and when a text ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ... import core as mx
from ..._errors import ArgumentError
from .. import checks

# From logits [batch, vocabulary] and a key to int32 [batch].
Draw: TypeAlias = Callable[[mx.array, mx.array], mx.array]


@dataclass(frozen=True)
class Options:
    """How a text is generated.

    Args:
      max_tokens: at most so many are generated; at least 1.
      temperature: by which logits are divided before a token is drawn; 0 takes the likeliest.
      top_p: draw from the likeliest tokens that have this probability together, 0 < top_p <= 1.
      top_k: draw from this many of the likeliest tokens; 0: from all.
      min_p: draw from tokens that have at least this part of the likeliest one's probability, 0 <= min_p <= 1.
      repetition_penalty: by which the logits of tokens that were there before are divided where they are above 0, and
        multiplied where they are below; above 0, and 1 for none.
      repetition_context_size: how many tokens, of the prompt, too, count as those before; at least 1.
      stop: texts that end the text, and are not told themselves.
      seed: of the draws.

    Raises:
      ValueError: an option is out of its range.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    repetition_context_size: int = 20
    stop: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("max_tokens", 1), ("top_k", 0), ("repetition_context_size", 1)):
            checks.count("generate", name, getattr(self, name), least)
        if checks.count("generate", "seed", self.seed, 0) >= 2**64:
            raise ArgumentError(f"[generate] seed: expected an int below 2**64, got {self.seed}")
        checks.non_negative("generate", "temperature", self.temperature)
        checks.share("generate", "top_p", self.top_p)
        checks.unit("generate", "min_p", self.min_p)
        checks.positive("generate", "repetition_penalty", self.repetition_penalty)
        if not isinstance(self.stop, (list, tuple)) or not all(isinstance(text, str) and text for text in self.stop):
            raise ArgumentError(f"[generate] stop: expected texts of at least one character, got {self.stop!r}")

    def sampler(self) -> Draw:
        """What draws tokens."""
        return sampler(self.temperature, self.top_p, self.top_k, self.min_p)


# --- drawing ---


def sampler(temperature: float, top_p: float = 1.0, top_k: int = 0, min_p: float = 0.0) -> Draw:
    """A function that draws tokens, as `Options` describes.

    Args:
      temperature: 0 takes the likeliest.
      top_p: 0 < top_p <= 1; 1 for no limit.
      top_k: at least 0; 0 for no limit.
      min_p: 0 <= min_p <= 1; 0 for no limit.

    Returns:
      A function of logits, floating point [batch, vocabulary], and a key, uint32 [2], to int32 [batch].
    """

    def draw(logits: mx.array, key: mx.array) -> mx.array:
        if temperature == 0:
            return mx.argmax(logits, axis=-1).astype(mx.int32)
        scaled = logits.astype(mx.float32) / temperature
        if 0 < top_k < logits.shape[-1]:
            least = mx.topk(scaled, top_k, axis=-1).min(axis=-1, keepdims=True)
            scaled = mx.where(scaled < least, -mx.inf, scaled)
        if top_p < 1:
            scaled = _nucleus(scaled, top_p)
        if min_p > 0:
            least = scaled.max(axis=-1, keepdims=True) + math.log(min_p)
            scaled = mx.where(scaled < least, -mx.inf, scaled)
        return mx.random.categorical(scaled, key=key).astype(mx.int32)

    return draw


def _nucleus(logits: mx.array, top_p: float) -> mx.array:
    """Logits of the likeliest tokens that have a probability together; the others at -inf. Holtzman et al. 2020."""
    order = mx.argsort(-logits, axis=-1)
    probabilities = mx.softmax(mx.take_along_axis(logits, order, axis=-1), axis=-1)
    before = mx.cumsum(probabilities, axis=-1) - probabilities  # of the likelier ones
    kept = mx.put_along_axis(mx.zeros(logits.shape, dtype=mx.bool_), order, before < top_p, axis=-1)
    return mx.where(kept, logits, -mx.inf)


def penalized(logits: mx.array, recent: mx.array, penalty: float) -> mx.array:
    """Logits in which recent tokens are less likely.

    Args:
      logits: floating point [1, vocabulary].
      recent: int32 [count].
      penalty: above 0: divides logits above 0, and multiplies those below.

    Returns:
      floating point [1, vocabulary].

    Source: Keskar et al. 2019, CTRL.
    """
    recent = recent[None]
    found = mx.take_along_axis(logits, recent, axis=-1)
    return mx.put_along_axis(logits, recent, mx.where(found < 0, found * penalty, found / penalty), axis=-1)


# --- the end of a text ---


class StopStrings:
    """Pieces of a text up to where one of several texts begins, held back where they may be its beginning.

    Args:
      stop: those texts; none ends nothing.
    """

    def __init__(self, stop: tuple[str, ...]):
        self._stop, self._held = stop, ""

    def add(self, text: str) -> tuple[str, bool]:
        """The text that can now be shown, and whether a stop string ends it.

        Args:
          text: what follows all that was added before.

        Returns:
          (text, whether it ends); the beginning of what may become a stop string is held back.
        """
        self._held += text
        places = [place for stop in self._stop if (place := self._held.find(stop)) >= 0]
        if places:
            return self._held[: min(places)], True
        kept = max((self._beginning(stop) for stop in self._stop), default=0)
        told = self._held[: len(self._held) - kept]
        self._held = self._held[len(told) :]
        return told, False

    def rest(self) -> str:
        """The text that was held back and turned out not to begin a stop string."""
        return self._held

    def _beginning(self, stop: str) -> int:
        """How much of a stop string stands at the end."""
        return next((size for size in range(len(stop) - 1, 0, -1) if self._held.endswith(stop[:size])), 0)
