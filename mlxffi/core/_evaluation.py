"""Evaluation of the arrays in trees, in which order, and the memory that they are in then."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Sequence

from . import _trees
from ._binding import abi, native, signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._array import array

__all__ = ["async_eval", "depends", "eval", "get_array_buffer_size"]


def eval(*args: Any) -> None:
    """Compute all arrays in some trees and wait for them.

    Args:
      args: arrays, or trees of arrays and other leaves, which are ignored.
    """
    native.eval(_trees.leaves(args, []))


def async_eval(*args: Any) -> None:
    """Start to compute all arrays in some trees, without waiting for them.

    Args:
      args: arrays, or trees of arrays and other leaves, which are ignored.
    """
    native.async_eval(_trees.leaves(args, []))


@signature("depends")
def depends(inputs: array | Sequence[array], dependencies: array | Sequence[array]) -> Any:
    """The inputs, which are computed after the dependencies from now on.

    Args:
      inputs: one array, or a sequence of them.
      dependencies: one array, or a sequence of them.

    Returns:
      An array for an array; for a sequence a list with the inputs and then the dependencies.
    """


def get_array_buffer_size(*args: Any) -> int:
    """The size of the buffers behind arrays; shared buffers count once.

    Args:
      args: trees of arrays.

    Returns:
      Bytes.

    Raises:
      ValueError: an array has not been evaluated.
    """
    return abi.get_array_buffer_size(_trees.leaves(args, []))
