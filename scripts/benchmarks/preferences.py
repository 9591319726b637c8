"""Preferences: a LoRA step of each loss beside one of cross-entropy on the same tokens, in turns, in CPU seconds.

The model is that of the benchmark `tuner`. A batch has four rows of 128 tokens, which make two pairs, or for KTO two
completions with their labels and two that only a divergence is made of. A quarter of a row is its prompt.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import mlxffi.core as mx
from mlxffi.tuner import lora
from mlxffi.tuner.datasets import Example, ExampleGroup
from mlxffi.tuner.datasets.examples import collated_groups
from mlxffi.tuner.distributed import World
from mlxffi.tuner.losses import default_loss
from mlxffi.tuner.models import DecoderConfig, decoder_model, random_parameters
from mlxffi.tuner.optimizers import Adam
from mlxffi.tuner.preferences import BY_NAME
from mlxffi.tuner.trainer import TrainingArgs
from mlxffi.tuner.trainer.step import first_state, make_step

from ._tuner_steps.common import VOCABULARY
from .tuner import CONFIG

ROUNDS, WARM, PAIRS, LENGTH, PROMPT = 12, 3, 2, 129, 32
BASE = "cross_entropy"


def batch() -> Any:
    """Pairs of random tokens."""
    rows = np.random.default_rng(1).integers(0, VOCABULARY, (PAIRS, 2, LENGTH)).tolist()
    groups = [ExampleGroup(tuple(Example(row, PROMPT) for row in pair), bool(i % 2)) for i, pair in enumerate(rows)]
    return collated_groups(groups, LENGTH, 2)


def stepper(loss: Any, given: Any) -> Callable[[], None]:
    """A function that does one step, as the trainer does it."""
    config = DecoderConfig.from_dict(CONFIG)
    parameters = random_parameters(config, mx.random.key(0))
    model = decoder_model(config, parameters, lora.create_adapter(parameters, lora.LoRAConfig(rank=8)))
    optimizer, args, world = Adam(1e-4), TrainingArgs(), World()
    step = make_step(model, optimizer, loss, args, world)
    state = first_state(model, optimizer, 0, world, loss)

    def train() -> None:
        nonlocal state
        state, metrics = step(state, given, True)
        mx.eval(state, metrics)

    return train


def main() -> None:
    """Print CPU milliseconds, and how many times those of cross-entropy they are."""
    given = batch()
    steppers = {name: stepper(kind(), given) for name, kind in BY_NAME.items()}
    steppers = {BASE: stepper(default_loss, given._replace(groups=None)), **steppers}
    times: dict[str, list[float]] = {name: [] for name in steppers}
    for _ in range(ROUNDS + WARM):
        for name, train in steppers.items():
            start = time.process_time()
            train()
            times[name].append(time.process_time() - start)
    medians = {name: statistics.median(found[WARM:]) for name, found in times.items()}
    print(f"LoRA step on 4 x {LENGTH - 1} tokens, CPU time, median of {ROUNDS}")
    for name, seconds in medians.items():
        print(f"{name:14} {seconds * 1e3:8.1f} ms {seconds / medians[BASE]:6.2f}")


if __name__ == "__main__":
    main()
