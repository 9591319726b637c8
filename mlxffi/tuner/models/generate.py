"""Text generation, token by token."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any, NamedTuple, Protocol

from ... import core as mx
from ..._errors import ArgumentError, OperationError
from ..datasets.examples import require_ids
from .sampling import Options, StopStrings, penalized
from .tokenizer import TextStream, Tokenizer

# As many tokens of a prompt are read at once: the room for attention scores grows with their number.
PREFILL = 512


class Generator(Protocol):
    """What generation needs from a model."""

    def __call__(self, tokens: mx.array, cache: Any = None) -> mx.array: ...

    def new_cache(self) -> Any:
        """An empty cache; None if the model has none."""


class Piece(NamedTuple):
    """What one token adds to a text.

    Args:
      text: whole characters; may be empty.
      token: the token's id.
      finish_reason: "stop" or "length" for the last token, else None.
    """

    text: str
    token: int
    finish_reason: str | None


class Generation(NamedTuple):
    """A generated text.

    Args:
      text: the text without the prompt and without the token or stop string that ended it.
      tokens: the tokens, including those.
      finish_reason: "stop" if a token or a stop string ended it, else "length".
      prompt_tokens: the length of the prompt.
      prompt_seconds: time until the first token.
      seconds: time for the other tokens.
    """

    text: str
    tokens: list[int]
    finish_reason: str
    prompt_tokens: int
    prompt_seconds: float
    seconds: float

    @property
    def prompt_tokens_per_second(self) -> float:
        """How fast the prompt was read."""
        return self.prompt_tokens / self.prompt_seconds

    @property
    def tokens_per_second(self) -> float:
        """How fast tokens followed the first one; 0 where none did."""
        return (len(self.tokens) - 1) / self.seconds if len(self.tokens) > 1 else 0.0


def generate(
    model: Generator,
    tokenizer: Tokenizer,
    prompt: str | Sequence[int],
    *,
    tell: Callable[[str], object] = lambda text: None,
    **options: Any,
) -> Generation:
    """Generate a continuation of a prompt; see `stream`.

    Args:
      model: a `FunctionalModel` or `ModuleModel`.
      tokenizer: the model's.
      prompt: a text, or its tokens.
      tell: called with each part of the text as it is generated.
      options: those of `Options`.

    Returns:
      The text, its tokens, and timings.
    """
    return Session(model, tokenizer).generate(prompt, Options(**options), tell)


def stream(model: Generator, tokenizer: Tokenizer, prompt: str | Sequence[int], **options: Any) -> Iterator[Piece]:
    """Generate a continuation of a prompt piece by piece.

    Args:
      model: a `FunctionalModel` or `ModuleModel`.
      tokenizer: the model's.
      prompt: a text, or its tokens.
      options: those of `Options`.

    Yields:
      A piece per token.

    Raises:
      ValueError: an option is out of range, the prompt is empty, or it has a token that the model does not know.
      RuntimeError: the model's logits are NaN.
    """
    return Session(model, tokenizer).stream(prompt, Options(**options))


def prompt_ids(tokenizer: Tokenizer, prompt: str | Sequence[int]) -> list[int]:
    """The tokens of a prompt.

    Args:
      tokenizer: the model's.
      prompt: a text, or its tokens.

    Returns:
      Token ids, at least one.

    Raises:
      ValueError: there is none.
    """
    ids = tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
    if not ids:
        raise ArgumentError(f"[generate] prompt: expected at least one token, got {prompt!r}")
    return ids


class Session:
    """A model that keeps its cache: if a prompt begins like the previous text, only the rest is processed.

    Args:
      model: a `FunctionalModel` or `ModuleModel`.
      tokenizer: the model's.
    """

    def __init__(self, model: Generator, tokenizer: Tokenizer):
        self._model, self._tokenizer = model, tokenizer
        self._cache = model.new_cache()
        # The tokens whose keys and values the cache holds.
        self._read: list[int] = []

    def generate(
        self, prompt: str | Sequence[int], options: Options, tell: Callable[[str], object] = lambda text: None
    ) -> Generation:
        """Generate a continuation of a prompt; see the function `generate`.

        Args:
          prompt: a text, or its tokens.
          options: how to generate.
          tell: called with each part of the text as it is generated.

        Returns:
          The text, its tokens, and timings.
        """
        ids = prompt_ids(self._tokenizer, prompt)
        start = first = time.perf_counter()
        pieces: list[Piece] = []
        for piece in self.stream(ids, options):
            if not pieces:
                first = time.perf_counter()
            pieces.append(piece)
            tell(piece.text)
        end = time.perf_counter()
        text, tokens = "".join(piece.text for piece in pieces), [piece.token for piece in pieces]
        return Generation(text, tokens, pieces[-1].finish_reason or "length", len(ids), first - start, end - first)

    def stream(self, prompt: str | Sequence[int], options: Options) -> Iterator[Piece]:
        """Generate a continuation piece by piece; see the function `stream`.

        Args:
          prompt: a text, or its tokens.
          options: how to generate.

        Yields:
          A piece per token.
        """
        ids = prompt_ids(self._tokenizer, prompt)
        require_ids(ids, getattr(self._model, "vocab_size", None))
        return self._pieces(self._tokens(ids, options), options)

    def _pieces(self, tokens: Iterator[int], options: Options) -> Iterator[Piece]:
        told, stop = TextStream(self._tokenizer), StopStrings(options.stop)
        for count, token in enumerate(tokens, 1):
            is_end = token in self._tokenizer.eos_token_ids
            is_last = is_end or count == options.max_tokens
            text = "" if is_end else told.add(token)
            text, is_stopped = stop.add(text + told.finish() if is_last else text)
            if is_stopped or is_last:
                reason = "stop" if is_stopped or is_end else "length"
                yield Piece(text if is_stopped else text + stop.rest(), token, reason)
                return
            yield Piece(text, token, None)

    # --- tokens ---

    def _tokens(self, ids: list[int], options: Options) -> Iterator[int]:
        """Tokens without end. The next one is being computed while the caller has the last."""
        try:
            yield from self._following(ids, options)
        except GeneratorExit:
            raise
        except BaseException:
            # In the middle of a token, nobody knows what the cache holds.
            self._forget()
            raise

    def _following(self, ids: list[int], options: Options) -> Iterator[int]:
        draw, size = options.sampler(), options.repetition_context_size
        key, recent = mx.random.key(options.seed), mx.array(ids[-size:], dtype=mx.int32)
        last = self._begun(ids)
        token: mx.array | None = None
        while True:
            logits = self._model(last, self._cache)[:, -1]
            if token is None:
                _require_numbers(logits)
            if options.repetition_penalty != 1:
                logits = penalized(logits, recent, options.repetition_penalty)
            key, now = mx.random.split(key)
            following = draw(logits, now)  # [1]
            if token is not None:
                mx.async_eval(token, following)
                self._read.append(int(token.item()))
                yield self._read[-1]
            token = following
            recent = mx.concatenate([recent, token])[-size:]
            # Without a cache, everything is read again.
            last = token[:, None] if self._cache is not None else mx.concatenate([last, token[:, None]], axis=1)

    def _begun(self, ids: list[int]) -> mx.array:
        """Let the cache read what it lacks of a prompt but its last token; what the model is to be called with."""
        if self._cache is None:
            return mx.array([ids], dtype=mx.int32)
        self._keep(len([*takewhile(lambda pair: pair[0] == pair[1], zip(self._read, ids[:-1], strict=False))]))
        prompt = mx.array([ids[len(self._read) :]], dtype=mx.int32)
        last = _read(self._model, prompt, self._cache)
        self._read = list(ids)
        return last

    def _keep(self, count: int) -> None:
        """Let the cache hold that many of the first tokens that it has read, or none if it cannot go back."""
        excess = len(self._read) - count
        if excess and all(block.is_trimmable() for block in self._cache):
            for block in self._cache:
                block.trim(excess)
            self._read = self._read[:count]
        elif excess:
            self._forget()

    def _forget(self) -> None:
        self._cache, self._read = self._model.new_cache(), []


def _require_numbers(logits: mx.array) -> None:
    """Raise where the first logits are NaN, as all others would be."""
    if mx.isnan(logits).any().item():
        raise OperationError(
            "[generate] logits: expected numbers, got NaN: weights of model or adapter are not finite, or overflow"
        )


def _read(model: Generator, prompt: mx.array, cache: Any) -> mx.array:
    """Let a cache read all of a prompt, int32 [1, length], but its last token, which is returned."""
    length = prompt.shape[1]
    for start in range(0, length - 1, PREFILL):
        model(prompt[:, start : min(start + PREFILL, length - 1)], cache)
        # Logits of the prompt are never asked for, so they are never computed.
        mx.eval([block.state for block in cache])
    return prompt[:, -1:]
