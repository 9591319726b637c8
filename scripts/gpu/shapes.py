"""Which models `gpu_tuner.py` trains, and how: small ones, whose losses are compared, and one of a size that people
use, whose steps are timed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

SMALL = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "rms_norm_eps": 1e-6,
    "vocab_size": 512,
    "max_position_embeddings": 1024,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "query_pre_attn_scalar": 64,
    "sliding_window": 16,
    "sliding_window_pattern": 2,
}
DECODERS = ("llama", "qwen3", "gemma3_text")
# What is trained, and how.
CASES: dict[str, dict[str, Any]] = {
    "lora": {},
    "dora": {},
    "full": {},
    "4-bit": {},
    "mxfp4": {},
    "nvfp4": {},
    "packed": {"pack": True},
    "checkpoint": {"grad_checkpoint": True, "grad_accumulation_steps": 2},
}
# The shape of Qwen3 0.6B.
MODEL_06B = {
    **SMALL,
    "model_type": "qwen3",
    "hidden_size": 1024,
    "num_hidden_layers": 28,
    "intermediate_size": 3072,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151_936,
}


class Row(NamedTuple):
    """A step that is timed: tokens of a batch, whether weights are 4-bit ones or trained themselves, and how."""

    batch: int
    length: int
    case: str = "lora"
    checkpoint: bool = False


SHORT, SHORT_AGAIN = "LoRA, 4 x 1,024", "LoRA, 4 x 1,024, checkpointed"
LONG, LONGEST = "LoRA, 1 x 8,192", "LoRA, 1 x 32,768, checkpointed"
PACKED, FULL = "4-bit base, 4 x 1,024", "full, 4 x 1,024"
ROWS = {
    SHORT: Row(4, 1024),
    SHORT_AGAIN: Row(4, 1024, checkpoint=True),
    LONG: Row(1, 8192),
    LONGEST: Row(1, 32768, checkpoint=True),
    PACKED: Row(4, 1024, "4-bit"),
    FULL: Row(4, 1024, "full"),
}
# Sections and rows of `gpu_tuner.py` that take some six minutes of an H200 each.
HALVES = {
    1: (("losses", "steps"), (SHORT, LONG)),
    2: (("steps", "decoding"), (SHORT, PACKED, FULL, SHORT_AGAIN, LONGEST)),
}
