"""Fine-tuning with mlx_lm: a LoRA step of a small Qwen3 over mlx.core as its wheel has it, and over mlxffi.core."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

STEPS = 5

# Each library has a process of its own: mlx.core must not find the BLAS bridge.
CHILD = """
import json, sys, time
import mlx.core as mx, mlx.nn as nn, mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_map
from mlx_lm.models.qwen3 import Model, ModelArgs
from mlx_lm.tuner.trainer import default_loss
from mlx_lm.tuner.utils import linear_to_lora_layers

model = Model(ModelArgs(model_type="qwen3", hidden_size=256, num_hidden_layers=4, intermediate_size=768,
    num_attention_heads=4, num_key_value_heads=2, head_dim=64, rms_norm_eps=1e-6, vocab_size=8192,
    max_position_embeddings=1024, rope_theta=10000.0, tie_word_embeddings=True))
rng = np.random.default_rng(0)
model.update(tree_map(lambda p: mx.array(rng.normal(0, 0.05, p.shape).astype(np.float32)), model.parameters()))
model.freeze()
mx.random.seed(0)
linear_to_lora_layers(model, 4, {"rank": 8, "scale": 20.0, "dropout": 0.0})
optimizer = optim.Adam(1e-3)
value_and_grad = nn.value_and_grad(model, default_loss)
state = [model.state, optimizer.state, mx.random.state]

def step(tokens, lengths):
    (loss, count), grads = value_and_grad(model, tokens, lengths)
    optimizer.update(model, grads)
    return loss

step = mx.compile(step, inputs=state, outputs=state)
times, losses = [], []
for _ in range(int(sys.argv[1]) + 1):
    tokens = mx.array(rng.integers(0, 8192, (4, 129)))
    lengths = mx.array([[0, 128]] * 4)
    start = time.perf_counter()
    loss = step(tokens, lengths)
    mx.eval(loss, state)
    times.append(time.perf_counter() - start)
    losses.append(loss.item())
print(json.dumps({"core": mx.__name__, "times": times[1:], "losses": losses}))
"""

INSTALL = "import mlxffi.compat\nmlxffi.compat.install()\n"


def _measured(code: str) -> tuple[float, list[float]]:
    """The median seconds of a step, and the losses of all steps."""
    done = subprocess.run([sys.executable, "-c", code, str(STEPS)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stderr}\nthis benchmark needs mlx and mlx_lm: pip install 'mlxffi[lm]' mlx")
    found = json.loads(done.stdout)
    return statistics.median(found["times"]), found["losses"]


def main() -> None:
    """Print the time of a step over each library, the ratio, and how far their losses are apart."""
    print(f"LoRA step of a 4-layer, 256-wide Qwen3, batch 4 x 128, vocabulary 8,192; median of {STEPS}")
    core, losses = _measured(CHILD)
    ours, other = _measured(INSTALL + CHILD)
    apart = max(abs(a - b) / abs(a) for a, b in zip(losses, other, strict=True))
    print(f"mlx.core     {core * 1e3:8.0f} ms")
    print(f"mlxffi.core  {ours * 1e3:8.0f} ms   {core / ours:.1f} times faster; losses apart by {apart:.1e} of them")


if __name__ == "__main__":
    main()
