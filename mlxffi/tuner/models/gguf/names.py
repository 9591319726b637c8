"""The names and the layout of tensors in GGUF files, and those of Hugging Face's.

llama.cpp rotates neighbouring features of a head of Llama, where Hugging Face rotates feature i and i + half: the rows
of queries and keys stand in another order. Its norms of Gemma hold 1 + weight.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .... import core as mx
from ..config import DecoderConfig
from .architecture import ARCHITECTURES

# Layers outside of blocks, and in them, by their names in GGUF files.
ROOT = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
GEMMA_BLOCK = BLOCK | {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def hugging_face(layer: str, decoder: DecoderConfig) -> str:
    """The name of a layer by that in a GGUF file; one that is unknown stays as it is.

    Args:
      layer: such as "blk.0.attn_q".
      decoder: whose layer it is.

    Returns:
      Such as "model.layers.0.self_attn.q_proj".
    """
    if layer in ROOT:
        return ROOT[layer]
    block = GEMMA_BLOCK if decoder.gemma else BLOCK
    found = re.fullmatch(r"blk\.(\d+)\.(\w+)", layer)
    return f"model.layers.{found[1]}.{block[found[2]]}" if found and found[2] in block else layer


def llama_cpp(layer: str, decoder: DecoderConfig) -> str:
    """The name of a layer in a GGUF file.

    Args:
      layer: such as "model.layers.0.self_attn.q_proj".
      decoder: whose layer it is.

    Returns:
      Such as "blk.0.attn_q".
    """
    outside = {ours: theirs for theirs, ours in ROOT.items()}
    if layer in outside:
        return outside[layer]
    inside = {ours: theirs for theirs, ours in (GEMMA_BLOCK if decoder.gemma else BLOCK).items()}
    _, _, number, inner = layer.split(".", 3)
    return f"blk.{number}.{inside[inner]}"


def from_gguf(arrays: Mapping[str, mx.array], decoder: DecoderConfig) -> dict[str, mx.array]:
    """The arrays of a GGUF file with the names and in the layout of Hugging Face's.

    Args:
      arrays: by their names in the file.
      decoder: whose they are.

    Returns:
      Arrays by path; Gemma's norms, which GGUF files store with 1 added, as float32 without it.
    """
    found = {}
    for name, value in arrays.items():
        layer, _, part = name.rpartition(".")
        ours = hugging_face(layer, decoder)
        if is_norm(ours) and decoder.gemma:
            value = value.astype(mx.float32) - 1
        found[f"{ours}.{part}"] = _unpermuted(value, rotated_heads(ours, decoder))
    return found


def to_gguf(arrays: Mapping[str, mx.array], decoder: DecoderConfig) -> dict[str, mx.array]:
    """The arrays of a model with the names and in the layout of GGUF files.

    Args:
      arrays: by path.
      decoder: whose they are.

    Returns:
      Arrays by their names in a file; Gemma's norms as float32, with 1 added.
    """
    found = {}
    for name, value in arrays.items():
        layer, _, part = name.rpartition(".")
        if is_norm(layer) and decoder.gemma:
            value = value.astype(mx.float32) + 1
        found[f"{llama_cpp(layer, decoder)}.{part}"] = permuted(value, rotated_heads(layer, decoder))
    return found


def is_norm(layer: str) -> bool:
    """Whether a layer is a norm.

    Args:
      layer: its path.

    Returns:
      True if its name ends so.
    """
    return layer.endswith("norm")


def rotated_heads(layer: str, decoder: DecoderConfig) -> int | None:
    """How many heads a layer's rows form, if GGUF files have these in another order; else None.

    Args:
      layer: its path.
      decoder: whose layer it is.

    Returns:
      A number of heads for queries and keys of Llama's architecture; else None.
    """
    if ARCHITECTURES[decoder.family] != "llama":
        return None
    heads = {"q_proj": decoder.num_heads, "k_proj": decoder.num_kv_heads}
    return heads.get(layer.rpartition(".")[2])


def permuted(value: mx.array, heads: int | None) -> mx.array:
    """Rows of heads, with the two halves of each head interleaved.

    Args:
      value: [heads * head_dim, ...].
      heads: how many; None leaves the value as it is.

    Returns:
      An array of the same shape.
    """
    if heads is None:
        return value
    return value.reshape(heads, 2, -1, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)


def _unpermuted(value: mx.array, heads: int | None) -> mx.array:
    if heads is None:
        return value
    return value.reshape(heads, -1, 2, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)
