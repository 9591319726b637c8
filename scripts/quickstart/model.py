"""The network: a decoder-only transformer over bytes, as pure functions of a flat list of parameters.

Shapes in comments: B sequences in a batch, T bytes in a sequence, W features of a byte, H heads, D = W / H.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import mlxffi
from mlxffi import Array, fast, random

from .config import Config

VOCABULARY = 256  # every byte is a token
NORM_EPS = 1e-5
ROTARY_BASE = 10_000.0


# --- parameters ---


def block_shapes(width: int) -> dict[str, tuple[int, ...]]:
    """The parameters of one block, in the order in which `block` takes them."""
    return {
        "attention_norm": (width,),
        "queries_keys_values": (width, 3 * width),
        "attention_out": (width, width),
        "mlp_norm": (width,),
        "mlp_in": (width, 4 * width),
        "mlp_out": (4 * width, width),
    }


def parameter_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """All parameters, in the order of the flat list."""
    blocks = {
        f"blocks.{layer}.{name}": shape
        for layer in range(config.layers)
        for name, shape in block_shapes(config.width).items()
    }
    ends = {"final_norm": (config.width,), "head": (config.width, VOCABULARY)}
    return {"embedding": (VOCABULARY, config.width), **blocks, **ends}


def initial_parameters(config: Config) -> list[Array]:
    """Ones for the norms and normal numbers for the matrices."""
    shapes = parameter_shapes(config)
    keys = mlxffi.unstack(random.split_num(random.key(config.seed), len(shapes)))
    return [initial(name, shape, key) for (name, shape), key in zip(shapes.items(), keys, strict=True)]


def initial(name: str, shape: tuple[int, ...], key: Array) -> Array:
    """One fresh parameter."""
    if len(shape) == 1:
        return mlxffi.ones(shape, "float32")
    # A head near zero makes all bytes about as likely, so that the first loss is ln 256 = 5.5 nats. The inverse root of
    # the number of inputs gives a product the variance of what goes into it.
    scales = {"embedding": 1.0, "head": 0.02}
    return random.normal(shape, "float32", 0.0, scales.get(name, 1 / math.sqrt(shape[0])), key)


# --- forward ---


def attention(x: Array, queries_keys_values: Array, out: Array, heads: int) -> Array:
    """Causal self-attention with rotary positions: (B, T, W) -> (B, T, W)."""
    features = x.shape[-1] // heads
    parts = mlxffi.split(x @ queries_keys_values, 3, -1)  # 3 of (B, T, W)
    queries, keys, values = (split_heads(part, heads) for part in parts)  # (B, H, T, D) each
    queries, keys = (fast.rope(part, features, False, ROTARY_BASE) for part in (queries, keys))
    mixed = fast.scaled_dot_product_attention(queries, keys, values, 1 / math.sqrt(features), "causal")  # (B, H, T, D)
    return join_heads(mixed) @ out


def split_heads(x: Array, heads: int) -> Array:
    """(B, T, W) -> (B, H, T, D)."""
    return mlxffi.transpose_axes(mlxffi.unflatten(x, -1, (heads, -1)), (0, 2, 1, 3))


def join_heads(x: Array) -> Array:
    """(B, H, T, D) -> (B, T, W)."""
    return mlxffi.flatten(mlxffi.transpose_axes(x, (0, 2, 1, 3)), 2, 3)


def mlp(x: Array, weights_in: Array, weights_out: Array) -> Array:
    """Two layers with the square of ReLU between them (So et al. 2021, "Primer"): (B, T, W) -> (B, T, W)."""
    hidden = mlxffi.maximum(x @ weights_in, 0.0)  # (B, T, 4 W)
    return mlxffi.square(hidden) @ weights_out


def block(inputs: Sequence[Array], heads: int) -> list[Array]:
    """One layer: attention, then the MLP, each added to what it reads: (B, T, W) -> (B, T, W)."""
    x, attention_norm, queries_keys_values, attention_out, mlp_norm, mlp_in, mlp_out = inputs
    x = x + attention(fast.rms_norm(x, attention_norm, NORM_EPS), queries_keys_values, attention_out, heads)
    return [x + mlp(fast.rms_norm(x, mlp_norm, NORM_EPS), mlp_in, mlp_out)]


def logits(parameters: Sequence[Array], tokens: Array, config: Config) -> Array:
    """Scores for the byte that follows each byte: (B, T) -> (B, T, 256)."""
    embedding, *blocks, final_norm, head = parameters
    x = mlxffi.take_axis(embedding, tokens, 0)  # (B, T, W)
    # A checkpointed block keeps no intermediate values: the backward pass computes them again. Its parameters are
    # arguments because only what a checkpoint takes as an argument gets a gradient.
    checkpointed = mlxffi.checkpoint(partial(block, heads=config.heads))
    size = len(blocks) // config.layers
    for start in range(0, len(blocks), size):
        (x,) = checkpointed([x, *blocks[start : start + size]])
    return fast.rms_norm(x, final_norm, NORM_EPS) @ head


def loss(parameters: Sequence[Array], tokens: Array, targets: Array, config: Config) -> Array:
    """The mean cross-entropy, in nats per byte: ()."""
    mean: Array = mlxffi.cross_entropy_loss(logits(parameters, tokens, config), targets)
    return mean
