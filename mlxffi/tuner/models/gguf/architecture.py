"""What a GGUF file says of its decoder, as config.json says it, and back.

Source: llama.cpp's keys (gguf-py's constants.py), and how its models use them.
"""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from ...._errors import ArgumentError
from ..config import SLIDING, DecoderConfig, text_part
from ..rope import SCALING, Rope, positive_number

# The family of config.json by llama.cpp's name of an architecture, and back.
FAMILIES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3": "gemma3_text"}
ARCHITECTURES = {"mistral": "llama", **{family: name for name, family in FAMILIES.items()}}
CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
CLASSES["gemma3_text"] = "Gemma3ForCausalLM"

WHOLE = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "max_position_embeddings": "context_length",
}
NUMBERS = {"rms_norm_eps": "attention.layer_norm_rms_epsilon", "rope_theta": "rope.freq_base"}
# What other models of an architecture's name compute, and the decoder does not.
FOREIGN = (
    "expert_count", "logit_scale", "residual_scale", "embedding_scale", "attention.scale", "attention.clamp_kqv",
    "attention.max_alibi_bias", "attn_logit_softcapping", "final_logit_softcapping", "pooling_type",
)  # fmt: skip
# Gemma 3: one block in so many sees everything; the size whose scores are scaled by the width of a head's share.
PATTERN, LARGEST = 6, 62
# Tensors by which wavelengths are multiplied: whatever a text's length, and up to the original context and beyond it.
FREQUENCIES, SHORT, LONG = "rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"
BY_TENSORS = ("llama3", "longrope")
# Llama 3.1's own; only the factor differs from model to model.
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


# --- from a file ---


def config_from(metadata: Mapping[str, Any], vocabulary: int, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json for the contents of a GGUF file, except for positions that tensors scale (`scaled_by`).

    Args:
      metadata: of the file.
      vocabulary: how many entries the embedding has.
      tensors: by name; they tell which layers have biases, and whether there is an output layer.

    Returns:
      What config.json would say.

    Raises:
      ValueError: the architecture is not supported, or a key is missing or not as it should be.
    """
    name = metadata.get("general.architecture")
    if name not in FAMILIES:
        raise ArgumentError(f"general.architecture: expected one of {', '.join(FAMILIES)}, got {name!r}")
    stated = {key.removeprefix(f"{name}."): value for key, value in metadata.items() if key.startswith(f"{name}.")}
    _require_neutral(name, stated)
    found = {"model_type": FAMILIES[name], "architectures": [CLASSES[FAMILIES[name]]], "vocab_size": vocabulary}
    found["head_dim"] = stated["embedding_length"] // stated["attention.head_count"]
    found |= {ours: _shortest(stated[key]) for ours, key in (WHOLE | NUMBERS).items() if key in stated}
    found["attention_bias"] = "blk.0.attn_q.bias" in tensors
    found["attention_output_bias"] = "blk.0.attn_output.bias" in tensors
    found["mlp_bias"] = "blk.0.ffn_gate.bias" in tensors
    found["tie_word_embeddings"] = "output.weight" not in tensors
    found |= _gemma(stated) if name == "gemma3" else {}
    return found | _scaling_from(stated) | _special_ids(metadata)


def _shortest(value: Any) -> Any:
    """A number of float32 as its makers wrote it: by the fewest digits that tell it."""
    if not isinstance(value, float):
        return value
    written = (float(f"{value:.{digits}g}") for digits in (6, 7, 8))
    return next((found for found in written if struct.pack("<f", found) == struct.pack("<f", value)), value)


def _require_neutral(name: str, stated: Mapping[str, Any]) -> None:
    foreign = [f"{name}.{key}" for key in FOREIGN if stated.get(key)]
    for key in ("embedding_length", "attention.head_count", "block_count", "feed_forward_length"):
        value = stated.get(key)
        if not isinstance(value, int) or value < 1:
            raise ArgumentError(f"{name}.{key}: expected an integer of at least 1, got {value!r}")
    head = stated.get("attention.key_length", stated["embedding_length"] // stated["attention.head_count"])
    foreign += [
        f"{name}.{key}" for key in ("attention.value_length", "rope.dimension_count") if stated.get(key, head) != head
    ]
    if foreign:
        raise ArgumentError(f"{', '.join(foreign)}: the decoder has not what these ask for")


def _gemma(stated: Mapping[str, Any]) -> dict[str, Any]:
    width, heads, layers = (stated[WHOLE[name]] for name in ("hidden_size", "num_attention_heads", "num_hidden_layers"))
    pattern = stated.get("attention.sliding_window_pattern", PATTERN)
    found = {
        "sliding_window": stated.get("attention.sliding_window"),
        "rope_local_base_freq": stated.get("rope.freq_base_swa", 1e4),
        "query_pre_attn_scalar": width // heads if layers == LARGEST else stated.get("attention.key_length", 256),
        "rope_theta": stated.get("rope.freq_base", 1e6),
        "hidden_activation": "gelu_pytorch_tanh",
    }
    if isinstance(pattern, list):
        return {**found, "layer_types": [SLIDING if slides else "full_attention" for slides in pattern]}
    return {**found, "sliding_window_pattern": pattern}


def _scaling_from(stated: Mapping[str, Any]) -> dict[str, Any]:
    """`rope_scaling`, where positions are scaled."""
    found = stated.get("rope.scaling.factor", stated.get("rope.scale_linear", 1.0))
    factor = positive_number({"factor": found or 1.0}, "factor", SCALING)
    kind = stated.get("rope.scaling.type", "linear")
    if kind == "none" or (kind == "linear" and factor == 1):
        return {}
    if kind == "linear":
        return {"rope_scaling": {"rope_type": "linear", "factor": factor}}
    if kind == "longrope":
        original = stated.get("rope.scaling.original_context_length", stated.get("context_length"))
        about = {"rope_type": "longrope", "attention_factor": stated.get("rope.scaling.attn_factor", 1.0)}
        return {"rope_scaling": {**about, "original_max_position_embeddings": original}}
    if kind != "yarn":
        raise ArgumentError(f"rope.scaling.type: expected none, linear, yarn or longrope, got {kind!r}")
    scaling = {"rope_type": "yarn", "factor": factor}
    keys = {"original_max_position_embeddings": "original_context_length"}
    keys |= {"beta_fast": "yarn_beta_fast", "beta_slow": "yarn_beta_slow"}
    scaling |= {ours: stated[f"rope.scaling.{key}"] for ours, key in keys.items() if f"rope.scaling.{key}" in stated}
    magnitude = stated.get("rope.scaling.attn_factor", 1.0)
    if magnitude != 1:
        scaling["attention_factor"] = magnitude * (1 + 0.1 * math.log(factor))
    return {"rope_scaling": scaling}


def scaled_by(factors: Mapping[str, list[float]], config: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json with the factors by which tensors multiply wavelengths.

    Args:
      factors: the tensors by name: for LongRoPE two, else one or none.
      config: what the metadata says.

    Returns:
      A config.json with the factors under `rope_scaling`.

    Raises:
      ValueError: a tensor has another length than pairs of features in a head, or the type of scaling needs others.
    """
    pairs = config["head_dim"] // 2
    for name, found in factors.items():
        if len(found) != pairs:
            raise ArgumentError(f"{name}: expected {pairs} numbers, got {len(found)}")
    scaling = config.get("rope_scaling", {})
    is_longrope = scaling.get("rope_type") == "longrope"
    if {SHORT, LONG} & factors.keys() != ({SHORT, LONG} if is_longrope else set()):
        raise ArgumentError(f"rope.scaling.type: expected longrope with {SHORT} and {LONG}, got one without the other")
    if is_longrope:
        scaling = {**scaling, "short_factor": factors[SHORT], "long_factor": factors[LONG]}
        return {**config, "rope_scaling": scaling}
    return _scaled_alike(factors[FREQUENCIES], config) if FREQUENCIES in factors else dict(config)


def _scaled_alike(factors: list[float], config: Mapping[str, Any]) -> dict[str, Any]:
    """Of any length: Llama 3.1's scaling where it is that, else LongRoPE that makes no difference of lengths."""
    context = config.get("max_position_embeddings", LLAMA3["original_max_position_embeddings"])
    candidate = {**config, "rope_scaling": {"rope_type": "llama3", "factor": max(factors), **LLAMA3}}
    if all(math.isclose(a, b, rel_tol=1e-4) for a, b in zip(_factors(candidate), factors, strict=True)):
        return candidate
    same = {"short_factor": factors, "long_factor": factors, "attention_factor": 1.0}
    scaling = {"rope_type": "longrope", "original_max_position_embeddings": context, **same}
    return {**config, "rope_scaling": scaling}


def _factors(config: Mapping[str, Any]) -> list[float]:
    """By what the wavelengths of a decoder are longer than the powers of its base."""
    decoder = DecoderConfig.from_dict(config)
    return _beside_powers(decoder.rope.periods, decoder)


def _beside_powers(periods: Sequence[float] | None, decoder: DecoderConfig) -> list[float]:
    width = decoder.head_dim
    return [period / decoder.rope.theta ** (2 * pair / width) for pair, period in enumerate(periods or ())]


def _special_ids(metadata: Mapping[str, Any]) -> dict[str, int]:
    keys = {f"{role}_token_id": f"tokenizer.ggml.{role}_token_id" for role in ("bos", "eos")}
    return {ours: metadata[key] for ours, key in keys.items() if key in metadata}


# --- to a file ---


def metadata_of(config: Mapping[str, Any], decoder: DecoderConfig) -> dict[str, Any]:
    """The metadata of a decoder.

    Args:
      config: what config.json says.
      decoder: what that describes.

    Returns:
      Numbers and texts by key.

    Raises:
      ValueError: llama.cpp would compute something else; the message names what.
    """
    text, name = text_part(config), ARCHITECTURES[decoder.family]
    found: dict[str, Any] = {
        "context_length": _context(text, decoder),
        "embedding_length": decoder.hidden_size,
        "block_count": decoder.num_layers,
        "feed_forward_length": decoder.intermediate_size,
        "attention.head_count": decoder.num_heads,
        "attention.head_count_kv": decoder.num_kv_heads,
        "attention.key_length": decoder.head_dim,
        "attention.value_length": decoder.head_dim,
        "attention.layer_norm_rms_epsilon": decoder.norm_eps,
        "rope.freq_base": decoder.rope.theta,
        "rope.dimension_count": decoder.head_dim,
        "vocab_size": decoder.vocab_size,
        **_scaling_of(text, decoder),
    }
    found |= _of_gemma(decoder) if decoder.gemma else {}
    return {"general.architecture": name, **{f"{name}.{key}": value for key, value in found.items()}}


def _context(text: Mapping[str, Any], decoder: DecoderConfig) -> int:
    """How many positions the model has; llama.cpp has windows of Gemma's only."""
    length = int(text.get("max_position_embeddings", 2048))
    if decoder.gemma or SLIDING not in decoder.layer_types or decoder.sliding_window is None:
        return length
    warnings.warn(
        f"llama.cpp has no window of {decoder.sliding_window} tokens for {decoder.family}: the file says that the "
        "context is no longer than that",
        stacklevel=4,
    )
    return min(length, decoder.sliding_window)


def _of_gemma(decoder: DecoderConfig) -> dict[str, Any]:
    share = decoder.hidden_size // decoder.num_heads if decoder.num_layers == LARGEST else decoder.head_dim
    if not math.isclose(decoder.attention_scale, share**-0.5, rel_tol=1e-6):
        raise ArgumentError(
            f"query_pre_attn_scalar: llama.cpp has {share} for this size, got {decoder.attention_scale**-2:g}"
        )
    if decoder.local_rope.scale != 1 or decoder.local_rope.periods is not None:
        raise ArgumentError("rope_parameters: llama.cpp scales no positions of blocks with a window")
    pattern = [kind == SLIDING for kind in decoder.layer_types]
    return {
        "attention.sliding_window": decoder.sliding_window or 0,
        "attention.sliding_window_pattern": pattern,
        "rope.freq_base_swa": decoder.local_rope.theta,
    }


def _scaling_of(text: Mapping[str, Any], decoder: DecoderConfig) -> dict[str, Any]:
    scaling, kind = _stated_scaling(text)
    if kind in BY_TENSORS and ARCHITECTURES[decoder.family] != "llama":
        raise ArgumentError(f"rope_scaling: llama.cpp has {kind}'s for Llama and Mistral, not for {decoder.family}")
    if kind in ("default", "llama3"):
        return {}
    if kind == "linear":
        return {"rope.scaling.type": "linear", "rope.scaling.factor": 1 / decoder.rope.scale}
    if kind == "longrope":
        return _longrope(decoder.rope)
    if kind != "yarn":
        known = "default, linear, llama3, yarn and longrope"
        raise ArgumentError(f"rope_scaling: {kind!r} cannot be written as GGUF; {known} can")
    original = scaling.get("original_max_position_embeddings") or text["max_position_embeddings"]
    factor = scaling.get("factor") or text["max_position_embeddings"] / original
    usual = 1 + 0.1 * math.log(factor) if factor > 1 else 1.0
    return {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": float(factor),
        "rope.scaling.original_context_length": int(original),
        "rope.scaling.attn_factor": decoder.rope.magnitude / usual,
        "rope.scaling.yarn_beta_fast": float(scaling.get("beta_fast") or 32.0),
        "rope.scaling.yarn_beta_slow": float(scaling.get("beta_slow") or 1.0),
    }


def _stated_scaling(text: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """What config.json says of scaled positions, and the kind."""
    stated = text.get("rope_parameters") or text.get("rope_scaling") or {}
    stated = stated.get("full_attention", stated)
    return stated, stated.get("rope_type", stated.get("type", "default"))


def _longrope(rope: Rope) -> dict[str, Any]:
    assert rope.context is not None
    if rope.periods != rope.long_periods:
        warnings.warn(
            f"llama.cpp takes LongRoPE's long factors for all of a context of more than {rope.context} tokens (-c), "
            "and the short ones in smaller ones; here, a text's own length decides",
            stacklevel=5,
        )
    return {
        "rope.scaling.type": "longrope",
        "rope.scaling.original_context_length": rope.context,
        "rope.scaling.attn_factor": rope.magnitude,
    }


def frequency_factors(config: Mapping[str, Any], decoder: DecoderConfig) -> dict[str, list[float]]:
    """The factors by which llama.cpp is to divide each pair's frequency, by the name of the tensor.

    Args:
      config: what config.json says.
      decoder: what that describes.

    Returns:
      Lists of head_dim / 2 numbers; empty where the metadata say it all.
    """
    kind, rope = _stated_scaling(text_part(config))[1], decoder.rope
    if kind not in BY_TENSORS:
        return {}
    periods = {FREQUENCIES: rope.periods} if kind == "llama3" else {SHORT: rope.periods, LONG: rope.long_periods}
    return {name: _beside_powers(found, decoder) for name, found in periods.items()}
