"""Arrays as numpy's arrays, which share their memory."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable

from .._errors import ArgumentError
from ._binding import abi
from ._dtype import bfloat16, uint16

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._array import array


class NoNumpyError(ArgumentError, TypeError):
    """numpy has no elements of that type."""


def to_numpy(array: array) -> Any:
    """A numpy array over the memory of an array, which changes when the numpy array is written to.

    Raises:
      TypeError: it holds bfloat16.
    """
    if array.dtype is bfloat16:
        raise NoNumpyError("bfloat16 arrays cannot be converted to NumPy.")
    # The view has the words for an array that cannot be computed; numpy would ask `__array__` again.
    return _asarray()(memoryview(array))  # type: ignore[arg-type]


@functools.cache
def _asarray() -> Callable[[memoryview], Any]:
    """numpy's function that takes the memory of a view."""
    found: Callable[[memoryview], Any] = importlib.import_module("numpy").asarray
    return found


def to_state(array: array) -> tuple[Any, int]:
    """What a pickle holds of an array: its elements for numpy and the number of its dtype."""
    number = array.dtype.number
    if array.dtype is bfloat16:
        array = abi.view(array, uint16)
    return to_numpy(array), number
