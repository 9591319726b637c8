"""Operation functions that are no function of C: sums of products by subscripts, convolutions and shapes alone."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Sequence

from ._arguments import as_array
from ._array import array
from ._binding import abi, signature
from ._device import StreamOrDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["broadcast_shapes", "convolve", "einsum", "einsum_path"]


def einsum(subscripts: str, *operands: Any, stream: StreamOrDevice = None) -> array:
    """The sum of products that subscripts describe, such as "ij,jk->ik".

    Args:
      subscripts: those of the operands, and after "->" those of the result.
      operands: the arrays.

    Returns:
      The dtype is promoted from all operands.
    """
    return abi.einsum(subscripts, _arrays(operands), stream)


def einsum_path(subscripts: str, *operands: Any) -> Any:
    """The order in which `einsum` contracts operands.

    Args:
      subscripts: as for `einsum`.
      operands: the arrays.

    Returns:
      A list of tuples of positions, and a summary to print.
    """
    numbers, summary = abi.einsum_path(subscripts, _arrays(operands))
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


def _arrays(operands: tuple[Any, ...]) -> Sequence[array]:
    """Operands as arrays; most are."""
    for operand in operands:
        if type(operand) is not array:
            return [as_array(operand) for operand in operands]
    return operands


@signature("convolve")
def convolve(a: array, v: array, /, mode: str = "full", *, stream: StreamOrDevice = None) -> array:
    """The discrete convolution of two vectors.

    Args:
      a: [N].
      v: [M].
      mode: "full" returns all overlaps, "same" as many elements as the longer vector, "valid" only complete overlaps.

    Returns:
      A vector.
    """


@signature("broadcast_shapes")
def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape to which shapes broadcast.

    Args:
      shapes: any number of shapes.

    Returns:
      The shape.

    Raises:
      ValueError: they do not broadcast.
    """
