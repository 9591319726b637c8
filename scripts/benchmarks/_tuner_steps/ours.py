"""mlxffi.tuner: its decoder, and the trainer's own step."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlxffi.core as mx
from benchmarks._tuner_steps.common import RATE, measure
from mlxffi.tuner.datasets import Batch
from mlxffi.tuner.distributed import World
from mlxffi.tuner.losses import default_loss
from mlxffi.tuner.models import FunctionalModel, load_model
from mlxffi.tuner.optimizers import Adam
from mlxffi.tuner.trainer import TrainingArgs
from mlxffi.tuner.trainer.step import first_state, make_step


def trainer_step(model: FunctionalModel, checkpointed: bool = False) -> Callable[[Any], float]:
    """One step with tokens, as the trainer does it, which gives its loss."""
    optimizer, world = Adam(RATE, bias_correction=True), World()
    args = TrainingArgs(grad_checkpoint=checkpointed)
    step = make_step(model, optimizer, default_loss, args, world)
    state = first_state(model, optimizer, args.seed, world, checkpoint=checkpointed)

    def train(tokens: Any) -> float:
        nonlocal state
        found = mx.array(tokens, dtype=mx.int32)
        state, metrics = step(state, Batch(found, mx.ones([found.shape[0], found.shape[1] - 1])), True)
        mx.eval(state, metrics)
        loss, count, *_ = metrics.tolist()
        return float(loss / count)

    return train


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    measure(trainer_step(load_model(folder / "model", folder / "adapter")[0]), mx.get_peak_memory)
