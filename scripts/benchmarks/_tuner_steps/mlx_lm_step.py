"""mlx_lm: its model, its loss, its optimizer, and a step compiled as its trainer does it."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
from mlx.nn.utils import value_and_grad
from mlx_lm import load
from mlx_lm.tuner.trainer import default_loss

from benchmarks._tuner_steps.common import BATCH, LENGTH, RATE, measure

folder = Path(sys.argv[1])
model, *_ = load(str(folder / "model"), adapter_path=str(folder / "adapter"))
model.freeze()
for module in model.modules():
    if hasattr(module, "lora_a"):
        module.unfreeze(keys=["lora_a", "lora_b"], recurse=False)
model.train()
optimizer = optim.Adam(RATE, bias_correction=True)
gradient = value_and_grad(model, default_loss)
state = [model.state, optimizer.state, mx.random.state]


@partial(mx.compile, inputs=state, outputs=state)
def step(tokens: Any, lengths: Any) -> Any:
    """The loss; the state changes in place."""
    (loss, _), grads = gradient(model, tokens, lengths)
    optimizer.update(model, grads)
    return loss


def train(tokens: Any) -> float:
    """One step."""
    loss = step(mx.array(tokens), mx.array([[0, LENGTH]] * BATCH))
    mx.eval(loss, state)
    return float(loss.item())


measure(train, mx.get_peak_memory)
