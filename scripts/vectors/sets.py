"""The sets, by name."""

from __future__ import annotations

from collections.abc import Callable

from . import adapters, elementwise, indexing, products, randomness, records, reductions, shaping, transformed, transforms
from .program import Case


def operations() -> list[Case]:
    modules = (elementwise, reductions, shaping, indexing, products, transformed, randomness)
    return [case for module in modules for case in module.cases()]


SETS: dict[str, Callable[[], list[Case]]] = {
    "operations": operations,
    "transforms": transforms.cases,
    "losses": lambda: [], "optimizers": lambda: [], "lora": lambda: [], "quantized": lambda: [],
    "records": records.cases,
    "adapters": adapters.cases,
}
