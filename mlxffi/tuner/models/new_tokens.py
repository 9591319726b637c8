"""Tokens that a model gets before it is fine-tuned: in its tokenizer, its embedding and its output layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ... import core as mx
from .. import layers
from ..layers import Node
from ..lora.adapter import map_layers
from ..lora.targets import OUTPUT_LAYER
from ..trees import Tree
from .config import DecoderConfig
from .tokenizer import Tokenizer

EMBEDDING = "embed_tokens"


class Extended(NamedTuple):
    """A model with new tokens.

    Args:
      architecture: the decoder, with the new number of tokens.
      parameters: its parameters.
      tables: the new ids by the name of each layer that has rows for them.
    """

    architecture: DecoderConfig
    parameters: Tree
    tables: dict[str, tuple[int, ...]]


def with_new_tokens(
    architecture: DecoderConfig, parameters: Tree, tokenizer: Tokenizer, tokens: Sequence[str]
) -> Extended:
    """A model that knows new tokens, whose rows begin as the mean of those of the tokens before them.

    An embedding that is quantized is unpacked. One that has spare rows after its tokens' grows only when they run out.

    Args:
      architecture: the decoder.
      parameters: its parameters.
      tokenizer: gets the tokens, too.
      tokens: texts that it does not have as tokens.

    Returns:
      The decoder, its parameters and the new ids; `parameters` stays as it is, `tokenizer` has the tokens.

    Raises:
      ValueError: one is a token already, stands twice, or is no text.
    """
    ids = tokenizer.add_tokens(tokens)
    tables: dict[str, tuple[int, ...]] = {}

    def extended(path: str, node: Node) -> Node:
        name = path.rpartition(".")[2]
        if name not in (EMBEDDING, OUTPUT_LAYER):
            return node
        tables[name] = tuple(ids)
        plain = layers.dequantized(node)
        return {key: _with_means(item, ids) if isinstance(item, mx.array) else item for key, item in plain.items()}

    made = map_layers(extended, parameters)
    return Extended(replace(architecture, vocab_size=max(architecture.vocab_size, ids[-1] + 1)), made, tables)


def _with_means(value: mx.array, ids: Sequence[int]) -> mx.array:
    """An array in which consecutive rows are the mean of all rows before them."""
    before, after = value[: ids[0]], value[ids[-1] + 1 :]
    mean = mx.mean(before.astype(mx.float32), axis=0, keepdims=True).astype(value.dtype)
    missing = ids[-1] + 1 - before.shape[0]
    return mx.concatenate([before, mx.broadcast_to(mean, (missing, *mean.shape[1:])), after], axis=0)
