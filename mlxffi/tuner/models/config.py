"""What a decoder is made of, read from the config.json of a Hugging Face directory.

Families differ in what they call things and in what they leave unsaid; here each difference is a field. What the
decoder cannot do is refused by name, since a model that runs but is slightly another one is found out late.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..._errors import ArgumentError
from .. import checks
from .rope import Rope, positive_number, ropes_from_dict

FULL, SLIDING = "full_attention", "sliding_attention"
FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text")

# A model that also sees: its decoder stands in a part of config.json, and its parameters in a branch of the tree.
SEEING, TEXT_PART, TEXT_BRANCH = "gemma3", "text_config", "language_model"

# Options that change what is computed in a way that the decoder does not have, where they are not as here.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "attn_logit_softcapping": (None,),
    "final_logit_softcapping": (None,),
    "use_bidirectional_attention": (None, False),
    "rope_traditional": (None, False),
    "partial_rotary_factor": (None, 1.0),
    "num_local_experts": (None, 0, 1),
    "num_experts": (None, 0, 1),
    "no_rope_layers": (None, []),
}
ACTIVATIONS = {"silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu_tanh"}


@dataclass(frozen=True)
class DecoderConfig:
    """The shape of a decoder, and which of the families' variants it has.

    Args:
      family: one of `FAMILIES`.
      vocab_size: tokens, V.
      hidden_size: features of a token between blocks, C.
      num_layers: how many blocks.
      intermediate_size: features inside the MLP.
      num_heads, num_kv_heads: heads of queries, and of keys and values.
      head_dim: features of a head.
      norm_eps: added to mean squares in norms.
      layer_types: for each block "full_attention" or "sliding_attention".
      sliding_window: how many tokens, its own included, a token sees in blocks of the second type.
      rope, local_rope: the position encodings of blocks of the first and of the second type.
      attention_scale: the factor of the scores before the softmax.
      qkv_bias, output_bias, mlp_bias: which linear layers have a bias.
      query_key_norm: whether queries and keys are normalised head by head.
      activation: of the gate, "silu" or "gelu_tanh".
      gemma: norms scale by 1 + weight and also follow attention and MLP; embeddings are scaled by
        sqrt(hidden_size).
      tied: whether the embedding is the output layer, too.
      branch: of the parameter tree, where the decoder is a part of a model.
    """

    family: str
    vocab_size: int
    hidden_size: int
    num_layers: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    norm_eps: float
    layer_types: tuple[str, ...]
    sliding_window: int | None
    rope: Rope
    local_rope: Rope
    attention_scale: float
    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool
    query_key_norm: bool
    activation: str
    gemma: bool
    tied: bool
    branch: str | None

    def window(self, layer: int) -> int | None:
        """How many tokens a token sees in a block; None for all before it.

        Args:
          layer: which block, from 0.

        Returns:
          A number of tokens, the token itself included; None for all before it.
        """
        return self.sliding_window if self.layer_types[layer] == SLIDING else None

    @staticmethod
    def from_dict(config: Mapping[str, Any]) -> DecoderConfig:
        """The decoder that a config.json describes.

        Args:
          config: what config.json says.

        Returns:
          The decoder.

        Raises:
          ValueError: the model type is unknown, a field is missing or of the wrong type, or it asks for something that
            the decoder does not have; the message names it.
        """
        checks.instance("DecoderConfig.from_dict", "config", config, Mapping)
        family = config.get("model_type")
        if family not in (*FAMILIES, SEEING):
            raise ArgumentError(
                f"config.json: model_type: {family!r} is none of {', '.join((*FAMILIES, SEEING))}; other architectures "
                "of mlx_lm are trained through ModuleModel"
            )
        text = text_part(config)
        _require_neutral(text)
        return _read(_with_defaults(text), TEXT_BRANCH if family == SEEING else None)


def text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a config.json that describes the decoder.

    Args:
      config: what config.json says.

    Returns:
      `config` itself, or the part for texts of a model that also sees images.

    Raises:
      ValueError: the part for it is missing.
    """
    if config.get("model_type") != SEEING:
        return config
    part = config.get(TEXT_PART)
    if not isinstance(part, dict):
        raise ArgumentError(f"config.json: {TEXT_PART}: expected an object, got {part!r}")
    unsaid = {"vocab_size": 262208, "num_attention_heads": 8, "num_key_value_heads": 4}
    outside = {key: config[key] for key in ("vocab_size", "tie_word_embeddings") if config.get(key) is not None}
    return {**unsaid, **part, **outside, "model_type": "gemma3_text"}


def _require_neutral(config: Mapping[str, Any]) -> None:
    for name, neutral in NEUTRAL.items():
        if config.get(name) not in neutral:
            raise ArgumentError(f"config.json: {name}: {config[name]!r} is not supported, only {neutral[-1]!r} is")


# What transformers takes for a field that a config.json leaves out.
_SHARED = {"rms_norm_eps": 1e-6, "hidden_act": "silu"}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "qwen2": {"attention_bias": True, "attention_output_bias": False, "max_window_layers": 28},
    "qwen3": {"max_window_layers": 28, "head_dim": 128},
    "gemma3_text": {
        "hidden_size": 1152,
        "num_hidden_layers": 26,
        "intermediate_size": 6912,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "vocab_size": 262144,
        "query_pre_attn_scalar": 256,
        "sliding_window": 512,
        "sliding_window_pattern": 6,
        "rope_theta": 1e6,
        "rope_local_base_freq": 1e4,
    },
}


def _with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    stated = {name: value for name, value in config.items() if value is not None}
    if "hidden_activation" in stated or stated["model_type"] == "gemma3_text":
        stated["hidden_act"] = stated.get("hidden_activation", "gelu_pytorch_tanh")
    if "_sliding_window_pattern" in stated:
        stated.setdefault("sliding_window_pattern", stated["_sliding_window_pattern"])
    return {**_SHARED, **_DEFAULTS.get(stated["model_type"], {}), **stated}


def _read(config: dict[str, Any], branch: str | None) -> DecoderConfig:
    family, gemma = config["model_type"], config["model_type"] == "gemma3_text"
    heads, hidden = _whole(config, "num_attention_heads"), _whole(config, "hidden_size")
    config.setdefault("head_dim", hidden // heads)
    config.setdefault("num_key_value_heads", heads)
    layers, head_dim = _whole(config, "num_hidden_layers"), _whole(config, "head_dim")
    rope, local_rope = ropes_from_dict(config, head_dim)
    kv_heads = _whole(config, "num_key_value_heads")
    if heads % kv_heads:
        raise ArgumentError(
            f"config.json: num_key_value_heads: {kv_heads} does not divide num_attention_heads, which is {heads}"
        )
    types = _layer_types(config, layers)
    bias = _flag(config, "attention_bias", False)
    return DecoderConfig(
        family=family,
        vocab_size=_whole(config, "vocab_size"),
        hidden_size=hidden,
        num_layers=layers,
        intermediate_size=_whole(config, "intermediate_size"),
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        norm_eps=positive_number(config, "rms_norm_eps"),
        layer_types=types,
        sliding_window=_whole(config, "sliding_window") if SLIDING in types else None,
        rope=rope,
        local_rope=local_rope,
        attention_scale=(positive_number(config, "query_pre_attn_scalar") if gemma else head_dim) ** -0.5,
        qkv_bias=bias,
        output_bias=_flag(config, "attention_output_bias", bias),
        mlp_bias=_flag(config, "mlp_bias", False),
        query_key_norm=family in ("qwen3", "gemma3_text"),
        activation=_activation(config["hidden_act"]),
        gemma=gemma,
        tied=_flag(config, "tie_word_embeddings", True),
        branch=branch,
    )


def _whole(config: Mapping[str, Any], name: str, least: int = 1) -> int:
    value = config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ArgumentError(f"config.json: {name}: expected an integer of at least {least}, got {value!r}")
    return value


def _flag(config: Mapping[str, Any], name: str, default: bool) -> bool:
    value = config.get(name, default)
    if not isinstance(value, bool):
        raise ArgumentError(f"config.json: {name}: expected true or false, got {value!r}")
    return value


def _activation(name: Any) -> str:
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ArgumentError(f"config.json: hidden_act: {name!r} is not supported, only {', '.join(ACTIVATIONS)} are")
    return ACTIVATIONS[name]


def _layer_types(config: Mapping[str, Any], layers: int) -> tuple[str, ...]:
    """Which blocks see a window only: as listed, or by the rule of the family."""
    listed = config.get("layer_types")
    if listed is not None:
        if not isinstance(listed, list) or len(listed) != layers or not all(item in (FULL, SLIDING) for item in listed):
            raise ArgumentError(
                f"config.json: layer_types: expected {layers} times {FULL!r} or {SLIDING!r}, got {listed!r}"
            )
        return tuple(listed)
    return tuple(SLIDING if _slides(config, layer) else FULL for layer in range(layers))


def _slides(config: Mapping[str, Any], layer: int) -> bool:
    if config["model_type"] == "gemma3_text":
        return (layer + 1) % _whole(config, "sliding_window_pattern") != 0
    if config["model_type"] in ("qwen2", "qwen3"):
        # The first `max_window_layers` blocks of Qwen see everything.
        return _flag(config, "use_sliding_window", False) and layer >= _whole(config, "max_window_layers", 0)
    return config["model_type"] == "mistral" and "sliding_window" in config
