"""A LoRA step of mlx_lm's trainer over mlx.core, timed, for `gpu_tuner.py` to compare with.

usage: python -m gpu.mlx_lm_step CONFIG BATCH LENGTH [--bits N]      (CONFIG: JSON, with the fields of a config.json)

For each line that comes in, prints one of JSON: milliseconds, the median of seven steps, and the peak of memory in
bytes. Three steps come before all others.
"""

# mypy: disable-error-code="misc"

from __future__ import annotations

import argparse
import json
import statistics
import time
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.optimizers as optimizers
from mlx.nn.layers.quantized import quantize
from mlx.nn.utils import value_and_grad
from mlx_lm.models import qwen3
from mlx_lm.tuner.trainer import default_loss
from mlx_lm.tuner.utils import linear_to_lora_layers

from .asked import Answer, answer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=json.loads)
    parser.add_argument("batch", type=int)
    parser.add_argument("length", type=int)
    parser.add_argument("--bits", type=int)
    options = parser.parse_args()
    model = _model(options.config, options.bits)
    step = _step(model)

    def measured(count: int) -> Answer:
        mx.reset_peak_memory()
        times = [_timed(step, options.config["vocab_size"], options.batch, options.length) for _ in range(count)]
        return {"milliseconds": statistics.median(times) * 1e3, "peak": mx.get_peak_memory()}

    measured(3)
    answer(lambda: measured(7))


def _model(config: dict[str, Any], bits: int | None) -> Any:
    arguments: Any = qwen3.ModelArgs
    model = qwen3.Model(arguments.from_dict(config))
    model.set_dtype(mx.bfloat16)
    if bits:
        quantize(model, bits=bits)
    model.freeze()
    linear_to_lora_layers(model, len(model.layers), {"rank": 8, "scale": 20.0, "dropout": 0.0})
    mx.eval(model.parameters())
    return model.train()


def _step(model: Any) -> Any:
    optimizer, gradients = optimizers.Adam(1e-4), value_and_grad(model, default_loss)
    state = [model.state, optimizer.state, mx.random.state]

    @partial(mx.compile, inputs=state, outputs=state)
    def step(tokens: Any, lengths: Any) -> Any:
        (loss, count), found = gradients(model, tokens, lengths)
        optimizer.update(model, found)
        return loss, count

    return lambda tokens, lengths: (step(tokens, lengths), state)


def _timed(step: Any, vocabulary: int, batch: int, length: int) -> float:
    tokens = mx.random.randint(0, vocabulary, (batch, length + 1))
    lengths = mx.array([[0, length + 1]] * batch)
    mx.eval(tokens, lengths)
    start = time.perf_counter()
    mx.eval(step(tokens, lengths))
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
