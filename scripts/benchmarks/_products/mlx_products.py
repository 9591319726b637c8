"""mlx.core, or mlxffi.core in its place where `python -m mlxffi run` starts this."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from benchmarks._products.common import operands, serve


def prepare(kind: str, rows: int, terms: int, columns: int) -> Callable[[], object] | None:
    """The product of a case; where rows are to be rounded, of a few with codes alone."""
    if "MLXFFI_INT8_ACTIVATIONS" in os.environ and not (kind.endswith("bits") and rows <= 96):
        return None
    x, weight = (mx.array(values) for values in operands(rows, terms, columns))
    if hasattr(mx, kind):
        x, weight = x.astype(getattr(mx, kind)), weight.astype(getattr(mx, kind))
        mx.eval(x, weight)
        return lambda: mx.eval(x @ weight.T)
    options: dict[str, Any] = {"bits": int(kind[0])} if kind.endswith("bits") else {"mode": kind}
    packed = mx.quantize(weight, **options)
    mx.eval(x, packed)
    return lambda: mx.eval(mx.quantized_matmul(x, *packed, **options))


serve(prepare)
