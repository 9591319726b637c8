"""Operation functions that are no function of C: sums of products by subscripts, convolutions and shapes alone."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._arguments import as_array
from ._array import array
from ._binding import abi, signature
from ._device import StreamOrDevice

__all__ = [
    "broadcast_shapes", "convolve", "einsum", "einsum_path",
]  # fmt: skip


def einsum(subscripts: str, *operands: Any, stream: StreamOrDevice = None) -> array:
    """The sum of products that subscripts such as "ij,jk->ik" describe."""
    return abi.einsum(subscripts, [as_array(value) for value in operands], stream)


def einsum_path(subscripts: str, *operands: Any) -> Any:
    """In which order `einsum` contracts operands: a list of tuples of positions, and a summary to print."""
    numbers, summary = abi.einsum_path(subscripts, [as_array(value) for value in operands])
    return _contractions(numbers), summary


def _contractions(numbers: list[int]) -> list[tuple[int, ...]]:
    """The groups of positions, each of which ends with -1."""
    found: list[tuple[int, ...]] = []
    group: list[int] = []
    for number in numbers:
        if number >= 0:
            group.append(number)
        else:
            found.append(tuple(group))
            group = []
    return found


@signature("convolve")
def convolve(a: array, v: array, /, mode: str = "full", *, stream: StreamOrDevice = None) -> array:
    """The convolution of two vectors.

    Args:
      mode: "full" has all overlaps, "same" as many elements as the longer one, "valid" the complete overlaps.
    """


@signature("broadcast_shapes")
def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape to which shapes broadcast together.

    Raises:
      ValueError: they do not.
    """
