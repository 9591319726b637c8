"""Text from a model, token by token."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from ... import core as mx
from ..._errors import ArgumentError
from ..datasets.examples import require_ids
from .tokenizer import TextStream, Tokenizer

# As many tokens of a prompt are read at once: the room for attention scores grows with their number.
PREFILL = 512


class Generator(Protocol):
    """What generation asks of a model."""

    def __call__(self, tokens: mx.array, cache: Any = None) -> mx.array: ...

    def new_cache(self) -> Any: ...


class Piece(NamedTuple):
    """What one token adds.

    Args:
      text: whole characters, perhaps none yet.
      token: its id.
      finish_reason: with the last token "stop" or "length", else None.
    """

    text: str
    token: int
    finish_reason: str | None


class Generation(NamedTuple):
    """A generated text.

    Args:
      text: without the prompt and the token that ended it.
      tokens: with that.
      finish_reason: "stop" where a token ended it, else "length".
      prompt_tokens: the prompt's length.
      prompt_seconds: until the first token was there.
      seconds: for the rest of the tokens.
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
    """A text that follows a prompt; see `stream`, whose options it takes, too.

    Args:
      tell: is called with each part of the text as soon as it is there.
    """
    ids = prompt_ids(tokenizer, prompt)
    start = first = time.perf_counter()
    pieces: list[Piece] = []
    for piece in stream(model, tokenizer, ids, **options):
        if not pieces:
            first = time.perf_counter()
        pieces.append(piece)
        tell(piece.text)
    end = time.perf_counter()
    text, tokens = "".join(piece.text for piece in pieces), [piece.token for piece in pieces]
    return Generation(text, tokens, pieces[-1].finish_reason or "length", len(ids), first - start, end - first)


def stream(
    model: Generator,
    tokenizer: Tokenizer,
    prompt: str | Sequence[int],
    *,
    max_tokens: int = 256,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
) -> Iterator[Piece]:
    """Pieces of a text that follows a prompt, as they are generated.

    Args:
      model: a `FunctionalModel` or `ModuleModel`.
      tokenizer: the model's.
      prompt: a text, or its tokens.
      max_tokens: at most so many are generated; at least 1.
      temperature: by which logits are divided before a token is drawn; 0 takes the likeliest.
      top_p: draw from the likeliest tokens that have this probability together, 0 < top_p <= 1.
      top_k: draw from so many of the likeliest tokens; 0: from all.
      seed: of the draws.

    Raises:
      ValueError: an option is out of its range, the prompt is empty, or has a token that the model does not know.
    """
    ids = prompt_ids(tokenizer, prompt)
    require_ids(ids, getattr(model, "vocab_size", None))
    require_options(max_tokens=max_tokens, temperature=temperature, top_p=top_p, top_k=top_k)
    draw = sampler(temperature, top_p, top_k)
    return _pieces(tokenizer, _tokens(model, ids, draw, mx.random.key(seed)), max_tokens)


def require_options(*, max_tokens: int, temperature: float, top_p: float, top_k: int, seed: int = 0) -> None:
    """Raise ValueError unless options are as `stream` requires them."""
    _require(max_tokens >= 1, "max_tokens", "at least 1", max_tokens)
    _require_sampling(temperature, top_p, top_k)


def prompt_ids(tokenizer: Tokenizer, prompt: str | Sequence[int]) -> list[int]:
    """The tokens of a prompt."""
    ids = tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
    _require(bool(ids), "prompt", "at least one token", prompt)
    return ids


def _pieces(tokenizer: Tokenizer, tokens: Iterator[int], max_tokens: int) -> Iterator[Piece]:
    told = TextStream(tokenizer)
    for count, token in enumerate(tokens, 1):
        if token in tokenizer.eos_token_ids:
            yield Piece(told.finish(), token, "stop")
            return
        text = told.add(token)
        if count == max_tokens:
            yield Piece(text + told.finish(), token, "length")
            return
        yield Piece(text, token, None)


def _tokens(
    model: Generator, ids: list[int], draw: Callable[[mx.array, mx.array], mx.array], key: mx.array
) -> Iterator[int]:
    """Tokens without end. The next one is being computed while the caller has the last."""
    cache = model.new_cache()
    last = mx.array([ids], dtype=mx.int32)
    if cache is not None:
        last = _read(model, last, cache)
    key, now = mx.random.split(key)
    token = draw(model(last, cache)[:, -1], now)  # [1]
    while True:
        # Without a cache, everything is read again.
        last = token[:, None] if cache is not None else mx.concatenate([last, token[:, None]], axis=1)
        key, now = mx.random.split(key)
        following = draw(model(last, cache)[:, -1], now)
        mx.async_eval(token, following)
        yield int(token.item())
        token = following


def _read(model: Generator, prompt: mx.array, cache: Any) -> mx.array:
    """Let a cache read all of a prompt, int32 [1, length], but its last token, which is returned."""
    length = prompt.shape[1]
    for start in range(0, length - 1, PREFILL):
        model(prompt[:, start : min(start + PREFILL, length - 1)], cache)
        # Logits of the prompt are never asked for, so they are never computed.
        mx.eval([block.state for block in cache])
    return prompt[:, -1:]


# --- drawing ---


def sampler(temperature: float, top_p: float = 1.0, top_k: int = 0) -> Callable[[mx.array, mx.array], mx.array]:
    """A function of logits [batch, vocabulary] and a key that draws int32 [batch]; see `stream` for its options."""
    _require_sampling(temperature, top_p, top_k)

    def draw(logits: mx.array, key: mx.array) -> mx.array:
        if temperature == 0:
            return mx.argmax(logits, axis=-1).astype(mx.int32)
        scaled = logits.astype(mx.float32) / temperature
        if 0 < top_k < logits.shape[-1]:
            least = mx.topk(scaled, top_k, axis=-1).min(axis=-1, keepdims=True)
            scaled = mx.where(scaled < least, -mx.inf, scaled)
        if top_p < 1:
            scaled = _nucleus(scaled, top_p)
        return mx.random.categorical(scaled, key=key).astype(mx.int32)

    return draw


def _nucleus(logits: mx.array, top_p: float) -> mx.array:
    """Logits of the likeliest tokens that have a probability together; the others at -inf. Holtzman et al. 2020."""
    order = mx.argsort(-logits, axis=-1)
    probabilities = mx.softmax(mx.take_along_axis(logits, order, axis=-1), axis=-1)
    before = mx.cumsum(probabilities, axis=-1) - probabilities  # of the likelier ones
    kept = mx.put_along_axis(mx.zeros(logits.shape, dtype=mx.bool_), order, before < top_p, axis=-1)
    return mx.where(kept, logits, -mx.inf)


def _require_sampling(temperature: float, top_p: float, top_k: int) -> None:
    _require(temperature >= 0, "temperature", "0 or more", temperature)
    _require(0 < top_p <= 1, "top_p", "0 < top_p <= 1", top_p)
    _require(top_k >= 0, "top_k", "0 or more", top_k)


def _require(holds: bool, name: str, what: str, got: Any) -> None:
    if not holds:
        raise ArgumentError(f"[generate] {name}: expected {what}, got {got!r}")
