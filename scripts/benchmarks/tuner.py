"""Fine-tuning: a LoRA step of a small Qwen3 by mlxffi.tuner, mlx_lm and PyTorch + PEFT, from the same weights.

4 layers, width 256, batch 4 x 128, vocabulary 8,192, float32; rank 8 on all linear layers of the blocks. Each library
has a process of its own, in turns: mlx.core must not find the BLAS bridge, and OpenMP's threads must not meet ours.
PyTorch and PEFT may stand in another environment: its interpreter is named by TORCH_PYTHON.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import mlxffi.core as mx
from mlxffi.tuner import lora
from mlxffi.tuner.models import DecoderConfig, random_parameters, save_model

from ._processes import measured

STEPS, ROUNDS = 8, 3
PROGRAMS = "benchmarks._tuner_steps"
TORCH = os.environ.get("TORCH_PYTHON", sys.executable)
CONFIG = {
    "model_type": "qwen3",
    "architectures": ["Qwen3ForCausalLM"],
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "intermediate_size": 768,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "rms_norm_eps": 1e-6,
    "vocab_size": 8192,
    "max_position_embeddings": 1024,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "hidden_act": "silu",
}
CONTESTANTS = {
    "mlxffi.tuner": [sys.executable, "-m", f"{PROGRAMS}.ours"],
    "mlx_lm on mlx.core": [sys.executable, "-m", f"{PROGRAMS}.mlx_lm_step"],
    "mlx_lm on mlxffi.core": [sys.executable, "-m", "mlxffi", "run", "-m", f"{PROGRAMS}.mlx_lm_step"],
    "PyTorch + PEFT": [TORCH, "-m", f"{PROGRAMS}.torch_step"],
}


def write_inputs(folder: Path) -> None:
    """The model, and the adapter that all start from, for mlx_lm and for PEFT."""
    config = DecoderConfig.from_dict(CONFIG)
    parameters = random_parameters(config, mx.random.key(0))
    save_model(folder / "model", parameters, CONFIG)
    _write_tokenizer(folder / "model")
    mx.random.seed(1)
    adapter = lora.create_adapter(parameters, lora.LoRAConfig(rank=8, scale=20.0))
    lora.save_adapter(folder / "adapter", adapter)
    lora.export_peft(adapter, folder / "peft", str(folder / "model"))


def _write_tokenizer(folder: Path) -> None:
    """The least that loading a model asks for."""
    words = {f"w{index}": index for index in range(CONFIG["vocab_size"])}  # type: ignore[call-overload]
    model = {"type": "WordLevel", "vocab": words, "unk_token": "w0"}
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "w1"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))


def run(command: list[str], folder: Path) -> dict[str, Any] | None:
    """What a program measured; None where its libraries are not installed."""
    found: dict[str, Any] | None = measured([*command, str(folder), str(STEPS)], folder)
    return found


def main() -> None:
    """Print times, rates, memory, ratios to mlx_lm on mlx.core, and how far the losses are apart."""
    with tempfile.TemporaryDirectory() as name:
        write_inputs(Path(name))
        rounds = [{who: run(command, Path(name)) for who, command in CONTESTANTS.items()} for _ in range(ROUNDS)]
    print(f"LoRA step of a 4-layer, 256-wide Qwen3, batch 4 x 128, vocabulary 8,192; median of {ROUNDS} x {STEPS}")
    print(f"{'':22} {'ms':>8} {'min':>8} {'steps/s':>8} {'process MB':>11} {'arrays MB':>10} {'times':>7}")
    base, losses = _median(rounds, "mlx_lm on mlx.core"), (rounds[0]["mlx_lm on mlx.core"] or {}).get("losses")
    for who in CONTESTANTS:
        _print_row(who, [found[who] for found in rounds if found[who]], base, losses)


def _median(rounds: list[dict[str, Any]], who: str) -> float | None:
    times = [seconds for found in rounds if found[who] for seconds in found[who]["times"]]
    return statistics.median(times) if times else None


def _print_row(who: str, found: list[Any], base: float | None, losses: list[float] | None) -> None:
    if not found:
        print(f"{who:22} not installed")
        return
    times = [seconds for one in found for seconds in one["times"]]
    median = statistics.median(times)
    arrays = f"{found[0]['arrays'] / 1e6:10.0f}" if found[0]["arrays"] else " " * 10
    row = f"{who:22} {median * 1e3:8.1f} {min(times) * 1e3:8.1f} {1 / median:8.2f} {found[0]['memory'] / 1e6:11.0f}"
    ratio = f"{base / median:7.1f}" if base else " " * 7
    print(f"{row} {arrays} {ratio}", end="")
    if losses:
        apart = max(abs(a - b) / abs(a) for a, b in zip(losses, found[0]["losses"], strict=True))
        print(f"   losses apart by {apart:.1e}", end="")
    print()


if __name__ == "__main__":
    main()
