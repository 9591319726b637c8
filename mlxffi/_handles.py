"""Ownership: a Python object owns one C handle, as an integer, and frees it when it dies.

A handle enters Python through `own_array`, `take_arrays` or a handle class's constructor and nowhere else. (Generated
operations write out the three lines of `own_array`, which is their hot path.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from ._errors import last_error
from ._ffi import ffi, graph

if TYPE_CHECKING:
    from .array import Array

new: Callable[[type[Array]], Array] = object.__new__


class ArrayHandle:
    """The owner of an mlx_array. `_h` is 0 once it is closed."""

    __slots__ = ("__weakref__", "_h")
    _h: int

    def __del__(self, _free: Callable[[int], int] = graph.glue_array_free) -> None:
        # The free function is bound at definition: at interpreter exit the module's names may be gone.
        handle = self._h
        if handle:
            _free(handle)

    def close(self) -> None:
        """Free the array's handle now; any later use of this object is an error."""
        handle, self._h = self._h, 0
        if handle:
            graph.glue_array_free(handle)


# The class that owns arrays; array.py puts its Array here.
array_class: type[Array] = cast("type[Array]", ArrayHandle)


def own_array(handle: int) -> Array:
    """An Array that owns a fresh handle; 0 stands for an error, which is raised."""
    if not handle:
        raise last_error()
    array = new(array_class)
    array._h = handle
    return array


def take_arrays(vector: int) -> list[Array]:
    """The arrays of a vector handle, which is freed."""
    return _read(vector, True)


def share_arrays(vector: int) -> list[Array]:
    """The arrays of a vector handle that somebody else frees."""
    return _read(vector, False)


# Most vectors are read by one call into a buffer of this size.
FEW = 16
FAILED = 2 ** (8 * ffi.sizeof("size_t")) - 1


def _read(vector: int, take: bool) -> list[Array]:
    handles = ffi.new("intptr_t[]", FEW)
    size = graph.glue_vector_array_read(handles, FEW, vector, take)
    if FEW < size < FAILED:
        handles = ffi.new("intptr_t[]", size)
        size = graph.glue_vector_array_read(handles, size, vector, take)
    if size == FAILED:
        raise last_error()
    return [own_array(handle) for handle in ffi.unpack(handles, size)]


def handles(arrays: Sequence[Array]) -> list[int]:
    """The handles of arrays, for a call that takes a list."""
    return [array._h for array in arrays]


def pack_arrays(arrays: Sequence[Array]) -> int:
    """A new vector handle that holds the arrays."""
    vector = graph.glue_vector_array_pack(handles(arrays), len(arrays))
    if not vector:
        raise last_error()
    return cast(int, vector)


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
