"""Ownership: a Python object owns one C handle, as an integer, and frees it when it dies.

A handle enters Python through `own_array`, `take_arrays`, `share_arrays` or a handle class's constructor and nowhere
else.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ._errors import ArgumentError, error_of
from ._ffi import graph, last_error, native
from ._process import require_no_fork

if TYPE_CHECKING:
    from .array import Array


def closed_error() -> ArgumentError:
    """What the use of a closed array raises."""
    return ArgumentError("this Array has been closed")


native.configure(error=error_of, require_no_fork=require_no_fork)
atexit.register(native.stop_callbacks)


class ArrayHandle(native.ArrayOwner):
    """The owner of an mlx_array. `_h` is 0 once it is closed."""

    __slots__ = ()

    def close(self) -> None:
        """Free the array's handle now; any later use of this object is an error."""
        handle, self._h = self._h, 0
        if handle:
            graph.glue_array_free(handle)


# The class that owns arrays, how it takes a fresh handle (0 stands for an error, which is raised), and the arrays of a
# vector that somebody else frees. They have no values before array.py, above, sets them: look them up when they are
# needed, do not import them by name.
array_class: type[Array]
own_array: Callable[[int], Array]
share_arrays: Callable[[int], list[Array]]


def set_array_class(array: type[Array]) -> None:
    """Say which class owns arrays."""
    global array_class, own_array, share_arrays
    array_class, own_array, share_arrays = array, array._own, array._share_all


def take_arrays(vector: int, share: Callable[[int], list[Any]] | None = None) -> list[Any]:
    """The arrays of a vector handle, which is freed; 0 stands for an error, which is raised.

    Args:
      share: makes arrays of another class than `array_class`.
    """
    try:
        return (share or share_arrays)(vector)
    finally:
        graph.glue_vector_array_free(vector)


def handles(arrays: Sequence[Array]) -> list[int]:
    """The handles of arrays, for a call that takes a list."""
    return [array._h for array in arrays]


def pack_arrays(arrays: Sequence[Array]) -> int:
    """A new vector handle that holds the arrays."""
    vector: int | None = native.ArrayOwner._pack_all(arrays)
    if vector is None:
        raise ArgumentError("expected Arrays that are not closed")
    return vector


class Owner:
    """The owner of a handle of another kind; `_free` is the C function that frees it."""

    __slots__ = ("__weakref__", "_h")
    _h: int
    _free: Callable[[int], Any]

    def __init__(self, handle: int):
        self._h = 0
        if not handle:
            raise last_error()
        self._h = handle

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Free the handle now; harmless when repeated."""
        handle, self._h = self._h, 0
        if handle:
            type(self)._free(handle)
