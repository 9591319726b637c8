"""Text from a trained network, one byte after the other."""

from __future__ import annotations

from collections.abc import Sequence

import mlxffi
from mlxffi import Array, random

from . import model
from .config import Config

PROMPT = b"The "
TEMPERATURE = 0.8  # below 1 the likely bytes become likelier still


def sample(parameters: Sequence[Array], config: Config, length: int) -> str:
    """The prompt and `length` more bytes, as text; bytes that are no UTF-8 show as replacement characters."""

    def draw(inputs: list[Array]) -> list[Array]:
        tokens, last, key, *weights = inputs
        scores = mlxffi.take_axis(model.logits(weights, tokens, config), last, 1)  # (1, 256)
        return [random.categorical(scores / TEMPERATURE, -1, key)]

    compiled = mlxffi.compile(draw)
    written = PROMPT
    for position in range(length):
        # One shape for all positions, so that the function is traced once: the causal mask hides what fills it up.
        window = written[-config.context :]
        tokens = Array([list(window.ljust(config.context, b"\0"))], "uint8")  # (1, T)
        key = random.key(config.seed << 32 | position)
        (token,) = compiled([tokens, Array(len(window) - 1), key, *parameters])
        written += bytes([token.item()])
    return written.decode("utf-8", "replace")
