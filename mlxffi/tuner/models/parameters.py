"""The parameters of a decoder: their names, which are those of Hugging Face's files, and their shapes."""

from __future__ import annotations

from ... import core as mx
from .._trees import Tree, unflatten
from .config import DecoderConfig

Shape = tuple[int, ...]


def shapes(config: DecoderConfig) -> dict[str, Shape]:
    """The shape of each parameter by its path, unquantized."""
    vocabulary, hidden = config.vocab_size, config.hidden_size
    found: dict[str, Shape] = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(config.num_layers):
        found |= {f"model.layers.{layer}.{name}": shape for name, shape in _block_shapes(config).items()}
    found["model.norm.weight"] = (hidden,)
    if not config.tied:
        found["lm_head.weight"] = (vocabulary, hidden)
    return found if config.branch is None else {f"{config.branch}.{name}": shape for name, shape in found.items()}


def random_parameters(config: DecoderConfig, key: mx.array, *, std: float = 0.02, dtype: mx.Dtype = mx.float32) -> Tree:
    """Parameters of a new decoder: normal weights, norms that change nothing, biases of 0.

    Args:
      key: of the random numbers, from `mlxffi.core.random.key`.
      std: standard deviation of the weights of linear layers and of the embedding.
    """
    wanted = shapes(config)
    keys = mx.random.split(key, len(wanted))
    return unflatten(
        {
            name: _random(config, name, shape, keys[index], std, dtype)
            for index, (name, shape) in enumerate(wanted.items())
        }
    )


def _random(config: DecoderConfig, name: str, shape: Shape, key: mx.array, std: float, dtype: mx.Dtype) -> mx.array:
    if len(shape) == 2:
        return std * mx.random.normal(shape, dtype=dtype, key=key)
    neutral = 0.0 if config.gemma or name.endswith("bias") else 1.0
    return mx.full(shape, neutral, dtype=dtype)


def _block_shapes(config: DecoderConfig) -> dict[str, Shape]:
    hidden, inner = config.hidden_size, config.intermediate_size
    queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    linear = {
        "self_attn.q_proj": (queries, hidden, config.qkv_bias),
        "self_attn.k_proj": (keys, hidden, config.qkv_bias),
        "self_attn.v_proj": (keys, hidden, config.qkv_bias),
        "self_attn.o_proj": (hidden, queries, config.output_bias),
        "mlp.gate_proj": (inner, hidden, config.mlp_bias),
        "mlp.up_proj": (inner, hidden, config.mlp_bias),
        "mlp.down_proj": (hidden, inner, config.mlp_bias),
    }
    found: dict[str, Shape] = {f"{name}.weight": (out, into) for name, (out, into, _) in linear.items()}
    found |= {f"{name}.bias": (out,) for name, (out, _, biased) in linear.items() if biased}
    norms = ["input_layernorm", "post_attention_layernorm"]
    if config.gemma:
        norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    found |= {f"{name}.weight": (hidden,) for name in norms}
    if config.query_key_norm:
        found |= {f"self_attn.{name}.weight": (config.head_dim,) for name in ("q_norm", "k_norm")}
    return found
