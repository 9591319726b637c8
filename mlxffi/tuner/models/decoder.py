"""Llama, Mistral, Qwen2, Qwen3 and Gemma 3 as one function of a parameter tree.

Read `hidden` first: embedding, blocks, norm; `logits` adds the output layer. A block is attention and an MLP, each
after a norm and beside a residual connection. Nothing here has state, so gradients, compilation and adapters ask
nothing of the decoder: a linear layer is `layers.linear` of a node of the tree, whatever that node holds.

Shapes: batch B, length T of this call, keys K (those cached before included), heads H, heads of keys G, features of a
head D, hidden size C, vocabulary V.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from ... import core as mx
from ..._errors import ArgumentError
from ...blocks import DecoderBlock
from ...fused import geglu, heads, paced, swiglu
from ..layers import as_linear, embedding, linear, on_cpu, operand
from ..trees import Tree, taken_apart
from .cache import KVCache
from .checkpointing import checkpointed, drops
from .config import SLIDING, DecoderConfig
from .joined import split
from .rope import Rope, Turns

Mask: TypeAlias = "str | mx.array | None"
Positions: TypeAlias = "int | mx.array | Turns"
Made = TypeVar("Made", mx.array, "list[mx.array]")


def logits(
    config: DecoderConfig,
    parameters: Tree,
    tokens: mx.array,
    *,
    segments: mx.array | None = None,
    training: bool = False,
    checkpoint: bool = False,
    cache: Sequence[KVCache] | None = None,
    noise: float = 0.0,
) -> mx.array:
    """The logits for the token that follows each token.

    Args:
      config: the decoder.
      parameters: a tree as `parameters.shapes` describes it; linear layers and the embedding may be quantized and may
        carry adapters.
      tokens: int [B, T].
      segments: int [B, T] where rows hold several documents: tokens see those of their own segment only, whose
        positions begin at 0.
      training: whether dropout of adapters is active.
      checkpoint: compute each block again for the gradient instead of keeping what it computed.
      cache: from `new_cache`: the tokens are the next ones after those it has seen.
      noise: in training, embeddings are moved by uniform noise in +-noise / sqrt(T C), from `mlxffi.core.random`'s
        state (Jain et al. 2023, NEFTune, where it is alpha).

    Returns:
      floating point [B, T, V].

    Raises:
      ValueError: both segments and a cache are given.
    """
    options = {"training": training, "checkpoint": checkpoint, "noise": noise}
    x = hidden(config, parameters, tokens, segments=segments, cache=cache, **options)  # type: ignore[arg-type]
    node = output_layer(config, parameters)
    return (as_linear if config.tied else linear)(node, x, training=training)


def output_layer(config: DecoderConfig, parameters: Tree) -> Tree:
    """The node that computes logits from hidden states: the embedding's if the two are tied.

    Args:
      config: the decoder.
      parameters: its tree.

    Returns:
      A node whose weight, unpacked, is [V, C].
    """
    root = _root(config, parameters)
    return root["model"]["embed_tokens"] if config.tied else root["lm_head"]


def hidden(
    config: DecoderConfig,
    parameters: Tree,
    tokens: mx.array,
    *,
    segments: mx.array | None = None,
    training: bool = False,
    checkpoint: bool = False,
    cache: Sequence[KVCache] | None = None,
    noise: float = 0.0,
) -> mx.array:
    """The input of the output layer.

    Args:
      config, parameters, tokens, segments, training, checkpoint, cache, noise: as in `logits`.

    Returns:
      floating point [B, T, C].

    Raises:
      ValueError: both segments and a cache are given.
    """
    if segments is not None and cache is not None:
        raise ArgumentError("[logits] segments: packed rows are read whole, without a cache; got both")
    model, length = _root(config, parameters)["model"], tokens.shape[1]
    x = embedding(model["embed_tokens"], tokens, training=training)  # [B, T, C]
    if config.gemma:
        x = x * _embedding_scale(config).astype(x.dtype)
    if training and noise:
        x = _noisy(x, noise)
    positions = _positions(segments, cache)
    turns: dict[str, Positions] = {}  # blocks of a type share theirs
    masks: dict[int | None, Mask] = {}  # by window
    run = checkpointed(_block) if checkpoint and cache is None else _block
    own = training and not on_cpu()
    for layer, node in enumerate(model["layers"]):
        window, kept = config.window(layer), cache[layer].kept if cache else 0
        if window not in masks:
            masks[window] = _mask(length, kept, window, segments)
        if (kind := config.layer_types[layer]) not in turns:
            turns[kind] = _rope(config, layer).turns(positions, length, config.head_dim) if own else positions
        x, node = _paced(x, node) if own else (x, node)
        x = run(config, layer, node, x, turns[kind], masks[window], cache[layer] if cache else None, training)
    x, _ = _paced(x, None) if own else (x, None)
    return _norm(config, model["norm"], x)


# How many places a GPU's host may be ahead: with one, it can be late where a block has little to do; what lies between
# two places takes memory of its own.
AHEAD = 2


def _paced(x: mx.array, node: Tree) -> tuple[mx.array, Tree]:
    """The same input and parameters of a block, or of a part of it, which a GPU's host does not come to long before the
    GPU does.
    """
    arrays, put_back = taken_apart((x, node))
    found: tuple[mx.array, Tree] = put_back(paced(arrays, AHEAD))
    return found


def new_cache(config: DecoderConfig) -> list[KVCache]:
    """An empty cache for each block.

    Args:
      config: the decoder.

    Returns:
      As many caches as blocks.
    """
    return [KVCache(config.window(layer)) for layer in range(config.num_layers)]


def _root(config: DecoderConfig, parameters: Tree) -> Tree:
    return parameters if config.branch is None else parameters[config.branch]


# --- what tokens see ---


def _positions(segments: mx.array | None, cache: Sequence[KVCache] | None) -> int | mx.array:
    """The position of the first token, or int32 [B, T] those of all: how far each is from its segment's beginning."""
    if segments is None:
        return cache[0].length if cache else 0
    index = mx.arange(segments.shape[1], dtype=mx.int32)
    begins = mx.concatenate([mx.ones_like(segments[:, :1]), segments[:, 1:] != segments[:, :-1]], axis=1)
    return index - mx.cummax(mx.where(begins, index, 0), axis=1)


def _mask(length: int, kept: int, window: int | None, segments: mx.array | None) -> Mask:
    """Which keys each query sees: "causal", None for all, or bool [B or 1, 1, T, K].

    The named masks come first, since for them no scores are computed that nobody sees.
    """
    if segments is None and (window is None or kept + length <= window):
        return "causal" if length > 1 else None
    distance = mx.arange(kept, kept + length)[:, None] - mx.arange(kept + length)  # [T, K]
    seen = distance >= 0
    if window is not None:
        seen = seen & (distance < window)
    if segments is not None:
        seen = seen & (segments[:, None, :, None] == segments[:, None, None, :])
    return seen


# --- a block ---


def _block(
    config: DecoderConfig,
    layer: int,
    node: Tree,
    x: mx.array,
    positions: Positions,
    mask: Mask,
    cache: KVCache | None,
    training: bool,
) -> mx.array:
    """[B, T, C] to [B, T, C]."""
    if cache is not None and _is_step(config, x, mask, cache, training):
        block = cache.block_of(node, lambda: _as_one(config, layer, node))
        if block is not None:
            return cache.stepped(block, x, config)
    y = _attention(config, layer, node["self_attn"], node["input_layernorm"], x, positions, mask, cache, training)
    if not config.gemma:
        x = x + y
        return x + _mlp(config, node["mlp"], node["post_attention_layernorm"], x, training)
    x = _clipped_sum(x, _norm(config, node["post_attention_layernorm"], y))
    y = _mlp(config, node["mlp"], node["pre_feedforward_layernorm"], x, training)
    return _clipped_sum(x, _norm(config, node["post_feedforward_layernorm"], y))


# Tokens of all rows up to which one kernel has a block.
FEW = 8
LAYERS = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj"}
GATED = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
# Layers of one input, by the name of the one that they are while they are joined.
JOINED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}


def _is_step(config: DecoderConfig, x: mx.array, mask: Mask, cache: KVCache, training: bool) -> bool:
    """Whether x [B, T, C] are a few tokens that see all before them."""
    batch, length, _ = x.shape
    few = 0 < batch * length <= FEW and not isinstance(mask, mx.array)
    return few and not training and not config.gemma and cache.grows(length) and on_cpu()


def _as_one(config: DecoderConfig, layer: int, node: Tree) -> DecoderBlock | None:
    """A block as one kernel has it; None where there is none of its kind."""
    attention, mlp, rope = node["self_attn"], node["mlp"], _rope(config, layer)
    of_layers = {name: operand(attention[path]) for name, path in LAYERS.items()}
    of_layers |= {name: operand(mlp[path]) for name, path in GATED.items()}
    linears = {name: linear for name, linear in of_layers.items() if linear is not None}
    if len(linears) < len(of_layers) or config.activation != "silu" or rope.magnitude != 1 or rope.context is not None:
        return None
    norms = {"attention_norm": node["input_layernorm"], "mlp_norm": node["post_attention_layernorm"]}
    if config.query_key_norm:
        norms |= {"query_norm": attention["q_norm"], "key_norm": attention["k_norm"]}
    return DecoderBlock(
        linears,
        {name: norm["weight"] for name, norm in norms.items()},
        heads=config.num_heads,
        key_heads=config.num_kv_heads,
        eps=config.norm_eps,
        attention_scale=config.attention_scale,
        rope_base=rope.theta,
        rope_scale=rope.scale,
        rope_freqs=None if rope.periods is None else mx.array(rope.periods),
    )


def _rope(config: DecoderConfig, layer: int) -> Rope:
    return config.local_rope if config.layer_types[layer] == SLIDING else config.rope


def _attention(
    config: DecoderConfig,
    layer: int,
    node: Tree,
    norm: Tree,
    x: mx.array,
    positions: Positions,
    mask: Mask,
    cache: KVCache | None,
    training: bool,
) -> mx.array:
    """[B, T, C] to [B, T, C], of a norm: Vaswani et al. 2017; H / G queries share a key, Ainslie et al. 2023."""
    if isinstance(positions, Turns) and "qkv_proj" in node:
        q, k, v = _joined_heads(config, node, norm, x, positions, training)
    else:
        rope, found = _rope(config, layer), _projections(node, "qkv_proj", _norm(config, norm, x), training)
        q, k, v = found if len(found) > 1 else split(found[0], node["qkv_proj"]["widths"], -1)
        q = _turned(config, node.get("q_norm"), q, rope, positions)  # [B, H, T, D]
        k = _turned(config, node.get("k_norm"), k, rope, positions)  # [B, G, T, D]
        v = _heads(config, v)  # [B, G, T, D]
    if cache is not None:
        k, v = cache.extended(k, v)  # [B, G, K, D]
    y = mx.fast.scaled_dot_product_attention(q, k, v, scale=config.attention_scale, mask=mask)  # [B, H, T, D]
    return _lean(_joined, node["o_proj"], y, training=training)


def _projections(node: Tree, name: str, x: mx.array, training: bool) -> list[mx.array]:
    """[B, T, C] to [B, T, features] for each of the layers that can be joined under a name, or for all as one."""
    return [linear(node[path], x, training=training) for path in ([name] if name in node else JOINED[name])]


def _heads(config: DecoderConfig, y: mx.array, norm: Tree | None = None) -> mx.array:
    """[B, T, heads D] to [B, heads, T, D], with a norm over D."""
    y = y.reshape(*y.shape[:2], -1, config.head_dim)
    return (y if norm is None else _norm(config, norm, y)).transpose(0, 2, 1, 3)


def _turned(config: DecoderConfig, norm: Tree | None, y: mx.array, rope: Rope, positions: Positions) -> mx.array:
    """`_heads` of queries or keys, rotated."""
    norm = norm if config.query_key_norm else None
    if not isinstance(positions, Turns):
        return rope(_heads(config, y, norm), positions)
    weight = None if norm is None else _norm_weight(config, norm)
    count = y.shape[-1] // config.head_dim
    found: mx.array = heads(y, *positions.tables(), weight, None, count, 0, config.norm_eps)[0]
    return found.transpose(0, 2, 1, 3)


# Tokens of a batch from which on GPUs keep of a block its two inputs and attention's: less memory, more time.
MANY = 8192


def _joined_heads(
    config: DecoderConfig, node: Tree, norm: Tree, x: mx.array, turns: Turns, training: bool
) -> list[mx.array]:
    """[B, T, C] to [B, H, T, D], [B, G, T, D] and [B, G, T, D]: what `_heads` and rotations make of a joined layer."""
    nodes = {name: node[name] for name in ("qkv_proj", "q_norm", "k_norm") if name in node}
    if x.shape[0] * x.shape[1] < MANY:
        return _turned_heads({**nodes, "norm": norm}, config, x, turns.tables(), training)
    return _lean(_turned_heads, {**nodes, "norm": norm}, config, x, turns.tables(), training=training)


def _turned_heads(
    nodes: Tree, config: DecoderConfig, x: mx.array, tables: tuple[mx.array, mx.array], training: bool
) -> list[mx.array]:
    y = linear(nodes["qkv_proj"], _norm(config, nodes["norm"], x), training=training)
    q_norm, k_norm = (
        _norm_weight(config, nodes[name]) if config.query_key_norm else None for name in ("q_norm", "k_norm")
    )
    found = heads(y, *tables, q_norm, k_norm, config.num_heads, config.num_kv_heads, config.norm_eps)
    return [one.transpose(0, 2, 1, 3) for one in found]


def _lean(function: Callable[..., Made], node: Tree, *inputs: Any, training: bool) -> Made:
    """A function of a layer and inputs, of which GPUs keep nothing else for the gradient: what it makes of them for the
    layer is made again, which costs less there than keeping it.
    """
    if not training or on_cpu():
        return function(node, *inputs, training)
    found: Made = checkpointed(function, drops(node))(node, *inputs, training)
    return found


def _joined(node: Tree, y: mx.array, training: bool) -> mx.array:
    """[B, H, T, D] to [B, T, C]."""
    batch, _, length, _ = y.shape
    return linear(node, y.transpose(0, 2, 1, 3).reshape(batch, length, -1), training=training)


def _mlp(config: DecoderConfig, node: Tree, norm: Tree, x: mx.array, training: bool) -> mx.array:
    """[B, T, C] to [B, T, C], of a norm: Shazeer 2020, GLU variants improve transformer."""
    if x.shape[0] * x.shape[1] >= MANY:
        x, node = _paced(x, node) if training and not on_cpu() else (x, node)
        return _lean(_whole_mlp, {"mlp": node, "norm": norm}, config, x, training=training)
    unit, halves = _halves(config, node, norm, x, training)
    return _lean(_gated, node["down_proj"], unit, halves, training=training)


def _whole_mlp(nodes: Tree, config: DecoderConfig, x: mx.array, training: bool) -> mx.array:
    unit, halves = _halves(config, nodes["mlp"], nodes["norm"], x, training)
    return _gated(nodes["mlp"]["down_proj"], unit, halves, training)


def _halves(config: DecoderConfig, node: Tree, norm: Tree, x: mx.array, training: bool) -> Any:
    """The unit of an MLP, and [B, T, intermediate size] of gate and up."""
    halves = _projections(node, "gate_up_proj", _norm(config, norm, x), training)
    return (swiglu if config.activation == "silu" else geglu), halves


def _gated(node: Tree, unit: Callable[..., mx.array], halves: list[mx.array], training: bool) -> mx.array:
    """[B, T, intermediate size] twice, or twice as many features, to [B, T, C]."""
    return linear(node, unit(*halves), training=training)


# --- element by element ---


def _norm(config: DecoderConfig, node: Tree, x: mx.array) -> mx.array:
    """Zhang and Sennrich 2019, RMSNorm, over the last axis."""
    return mx.fast.rms_norm(x, _norm_weight(config, node), config.norm_eps)


def _norm_weight(config: DecoderConfig, node: Tree) -> mx.array:
    weight: mx.array = node["weight"]
    return weight + 1 if config.gemma else weight


def _clipped_sum(x: mx.array, y: mx.array) -> mx.array:
    """x + y; Gemma's residual stream leaves the range of float16, where it stays at the largest number."""
    if x.dtype != mx.float16:
        return x + y
    largest = mx.finfo(mx.float16).max
    return mx.clip(x.astype(mx.float32) + y.astype(mx.float32), -largest, largest).astype(mx.float16)


def _embedding_scale(config: DecoderConfig) -> mx.array:
    """sqrt(C) as Gemma was trained with it: rounded to bfloat16, whatever dtype the parameters have now."""
    return mx.array(math.sqrt(config.hidden_size), dtype=mx.bfloat16)


def _noisy(x: mx.array, alpha: float) -> mx.array:
    """[B, T, C] with uniform noise."""
    bound = alpha / math.sqrt(x.shape[1] * x.shape[2])
    return x + mx.random.uniform(-bound, bound, x.shape).astype(x.dtype)
