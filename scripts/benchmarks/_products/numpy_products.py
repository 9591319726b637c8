"""numpy."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks._products.common import operands, serve


def prepare(kind: str, rows: int, terms: int, columns: int) -> Callable[[], object] | None:
    """The product of a case."""
    x, weight = operands(rows, terms, columns)
    return (lambda: x @ weight.T) if kind == "float32" else None


serve(prepare)
