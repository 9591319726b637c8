"""Training runs of small decoders on a device, and steps of any, timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from random import Random
from typing import Any, TypeAlias

import mlxffi.core as mx
from mlxffi.tuner import layers, lora
from mlxffi.tuner.datasets import Batch, Example
from mlxffi.tuner.distributed import World
from mlxffi.tuner.losses import default_loss
from mlxffi.tuner.models import DecoderConfig, FunctionalModel, decoder_model, random_parameters
from mlxffi.tuner.optimizers import Adam
from mlxffi.tuner.trainer import Callback, TrainingArgs, TrainReport, train
from mlxffi.tuner.trainer.step import first_state, make_step
from mlxffi.tuner.trees import Tree, map_paths

from .asked import Answer
from .shapes import CASES, SMALL, Row


class Losses(Callback):
    """Keeps the loss of each report."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_train_report(self, report: TrainReport) -> None:
        """Keep it."""
        self.found.append(report.train_loss)


def losses_of(family: str, case: str, device: Any) -> list[float]:
    """The losses by report of a run on a device."""
    mx.set_default_device(device)
    random = Random(3)
    texts = [[random.randrange(64) for _ in range(random.randrange(20, 60))] for _ in range(32)]
    config = {**SMALL, "model_type": family}
    if family != "gemma3_text":
        del config["sliding_window"]
    told = Losses()
    # Above some rate, losses rise, and the last bits decide by how much.
    rate = 3e-4 if case in QUANTIZATIONS else 1e-3
    args = TrainingArgs(iters=16, steps_per_report=2, max_seq_length=64, **CASES[case])
    train(_model(config, case), Adam(rate), [Example(text) for text in texts], None, args, callbacks=[told])
    return told.found


def _model(config: dict[str, Any], case: str) -> FunctionalModel:
    architecture = DecoderConfig.from_dict(config)
    # Made on the CPU, so that all devices begin alike.
    with mx.stream(mx.cpu):
        parameters = random_parameters(architecture, mx.random.key(0))
        mx.random.seed(1)
        adapter = lora.create_adapter(parameters, lora.LoRAConfig(use_dora=case == "dora", scale=8.0))
        parameters = _quantized(parameters, case)
        mx.eval(parameters, adapter.parameters)
    return decoder_model(architecture, parameters, None if case == "full" else adapter)


# Of frozen weights, by case.
QUANTIZATIONS = {
    "4-bit": layers.Quantization(group_size=64, bits=4),
    "mxfp4": layers.Quantization(group_size=32, bits=4, mode="mxfp4"),
    "nvfp4": layers.Quantization(group_size=16, bits=4, mode="nvfp4"),
}


def _quantized(parameters: Tree, case: str) -> Tree:
    """The tree with packed weights in its linear layers, where the case has them."""
    scheme = QUANTIZATIONS.get(case)
    if scheme is None:
        return parameters

    def packed(node: Any) -> Any:
        if isinstance(node, list):
            return [packed(item) for item in node]
        if isinstance(node, dict) and getattr(node.get("weight"), "ndim", 0) == 2:
            return layers.quantized(node, scheme)
        return {key: packed(item) for key, item in node.items()} if isinstance(node, dict) else node

    return packed(parameters)


Step: TypeAlias = Callable[[], Any]


def prepared(config: dict[str, Any], row: Row) -> Step:
    """The trainer's step, in bfloat16, with an adapter of rank 8 in all layers or on all weights, as a function that
    gives its arrays before they are evaluated.
    """
    mx.set_default_device(mx.gpu)
    architecture = DecoderConfig.from_dict({key: value for key, value in config.items() if key != "sliding_window"})
    model, optimizer, world = _large_model(architecture, row.case), Adam(1e-4), World()
    step = make_step(model, optimizer, default_loss, TrainingArgs(grad_checkpoint=row.checkpoint), world)
    state = first_state(model, optimizer, 0, world, checkpoint=row.checkpoint)
    tokens = mx.random.randint(0, architecture.vocab_size, (row.batch, row.length + 1))
    batch = Batch(tokens, mx.ones([row.batch, row.length]))
    mx.eval(model.parameters(), state, tokens, batch.weights)

    def run() -> Any:
        nonlocal state
        state, metrics = step(state, batch, True)
        return state, metrics

    return run


def timed(step: Step, count: int) -> Answer:
    """The median time of so many steps, and the peak of memory, counted anew."""
    mx.reset_peak_memory()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        mx.eval(step())
        times.append(time.perf_counter() - start)
    return {"milliseconds": statistics.median(times) * 1e3, "peak": mx.get_peak_memory()}


def _large_model(architecture: DecoderConfig, case: str) -> FunctionalModel:
    parameters = random_parameters(architecture, mx.random.key(0))
    parameters = map_paths(lambda _, item: item.astype(mx.bfloat16), parameters)
    if case == "full":
        return decoder_model(architecture, parameters)
    parameters = _quantized(parameters, case)
    mx.eval(parameters)
    return decoder_model(architecture, parameters, lora.create_adapter(parameters, lora.LoRAConfig(rank=8)))
