"""The sets, by name."""

from __future__ import annotations

from collections.abc import Callable

from . import (
    adapters,
    convolutions,
    elementwise,
    indexing,
    lora,
    losses,
    optimizers,
    products,
    quantized,
    randomness,
    records,
    reductions,
    shaping,
    transformed,
    transforms,
)
from .program import Case


def operations() -> list[Case]:
    modules = (elementwise, reductions, shaping, indexing, products, convolutions, transformed, randomness)
    return [case for module in modules for case in module.cases()]


SETS: dict[str, Callable[[], list[Case]]] = {
    "operations": operations,
    "transforms": transforms.cases,
    "losses": losses.cases,
    "optimizers": optimizers.cases,
    "lora": lora.cases,
    "quantized": quantized.cases,
    "records": records.cases,
    "adapters": adapters.cases,
}

# Functions that no case calls, and why.
LEFT_OUT = {"mlx_gather_qqmm": "MLX computes it on GPUs alone"}
