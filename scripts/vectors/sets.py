"""The sets, by name."""

from __future__ import annotations

from collections.abc import Callable

from . import adapters, elementwise, records, transforms
from .program import Case

SETS: dict[str, Callable[[], list[Case]]] = {
    "operations": elementwise.cases,
    "transforms": transforms.cases,
    "losses": lambda: [], "optimizers": lambda: [], "lora": lambda: [], "quantized": lambda: [],
    "records": records.cases,
    "adapters": adapters.cases,
}
