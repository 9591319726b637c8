"""PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks._products.common import operands, serve


def prepare(kind: str, rows: int, terms: int, columns: int) -> Callable[[], object] | None:
    """The product of a case."""
    if not hasattr(torch, kind):
        return None
    x, weight = (torch.from_numpy(values).to(getattr(torch, kind)) for values in operands(rows, terms, columns))
    return lambda: torch.nn.functional.linear(x, weight)


serve(prepare)
