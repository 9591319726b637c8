"""Evaluation of the arrays in trees, in which order, and the memory that they are in then."""

from __future__ import annotations

from collections.abc import Sequence

from .._errors import ArgumentError, OperationError
from . import _trees
from ._array import array
from ._binding import abi, native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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


def depends(inputs: array | Sequence[array], dependencies: array | Sequence[array]) -> Any:
    """The inputs, which are computed after the dependencies from now on.

    Args:
      inputs: one array, or a sequence of them.
      dependencies: one array, or a sequence of them.

    Returns:
      An array for an array; for a sequence a list with the inputs and then the dependencies.
    """
    if not isinstance(inputs, array) and not _sequence("inputs", inputs):
        raise ArgumentError("[depends] inputs: expected at least one array")
    if not isinstance(dependencies, array):
        _sequence("dependencies", dependencies)
    return native.depends(inputs, dependencies)


def _sequence(name: str, value: Any) -> Sequence[array]:
    if value is None:
        raise TypeError(f"depends(): {name}: expected an array or a sequence of arrays, got None")
    for item in value if isinstance(value, (list, tuple)) else [None]:
        if not isinstance(item, array):
            got = type(value).__name__
            raise OperationError(f"[depends] {name}: expected an array or a sequence of arrays, got {got}")
    return value  # type: ignore[no-any-return]


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
