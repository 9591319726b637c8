"""Sum and mean of everything, under the Go port's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _ops
from .array import Array

if TYPE_CHECKING:
    from ._arguments import ArrayLike
    from .device import Stream

__all__ = ["mean_all", "sum_all"]


def sum_all(a: ArrayLike, *, stream: Stream | None = None) -> Array:
    """The sum of all elements.

    Args:
      a: array of any shape.

    Returns:
      A scalar, of the dtype of `a` (narrow integers and bool: int32 or uint32).

    Source: C mlx_sum; the Go port's SumAll.
    """
    return _ops.sum(a, stream=stream)


def mean_all(a: ArrayLike, *, stream: Stream | None = None) -> Array:
    """The mean of all elements.

    Args:
      a: array of any shape.

    Returns:
      A scalar, of the dtype of `a` (integers and bool: float32).

    Source: C mlx_mean; the Go port's MeanAll.
    """
    return _ops.mean(a, stream=stream)
