"""Rows of a table that compares what calls cost: the same work for mlxffi, mlxffi.core and mlx.core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# First: the BLAS bridge must come before libmlx binds its BLAS.
import mlxffi  # noqa: F401
from mlxffi import core

# isort: split
import mlx.core as mx

# A row: its name, how many calls make one timing, and the calls of mlxffi (None where it has no such thing),
# mlxffi.core and mlx.core.
Call = Callable[[], object]
Row = tuple[str, int, Call | None, Call, Call]


def in_core(name: str, times: int, ours: Call | None, work: Callable[[Any], Call]) -> Row:
    """A row whose work reads the same for mlxffi.core and mlx.core: `work` takes the module."""
    return name, times, ours, work(core), work(mx)
