"""Memory of other libraries as arrays.

On Metal MLX uses foreign memory itself where it begins at the start of a page, and never writes to it; on CPU and CUDA
it copies while the array is made. The owner of the memory stays alive until MLX is done with it, and is let go once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _handles, _registry
from . import dtype as dtypes
from ._elements import elements_of, narrowed, require_countable
from ._errors import ArgumentError, Error
from ._ffi import ffi, graph, lib
from ._garbage import look_at_memory
from .dtype import Dtype

if TYPE_CHECKING:
    from .array import Array

# By kind and size in bytes.
DTYPES = {("V" if dtype.name == "bfloat16" else dtype.kind, dtype.size): dtype for dtype in dtypes.DTYPES}


class UnknownElementsError(Error, TypeError):
    """Elements of a type that MLX does not have."""


def unknown_elements(found: str) -> UnknownElementsError:
    """The error for elements that no dtype stands for."""
    names = ", ".join(dtype.name for dtype in dtypes.DTYPES)
    return UnknownElementsError(f"value: expected elements of one of {names}, got {found}; convert them first")


def from_row_order(data: bytes, shape: Sequence[int], dtype: str) -> Array:
    """An Array with a copy of elements in row order, as a pickle has them."""
    kind, wanted = dtypes.of(dtype), math.prod(shape) * dtypes.of(dtype).size
    if len(data) != wanted:
        raise ArgumentError(f"data: expected {wanted} bytes for {kind.name}{list(shape)}, got {len(data)}")
    return _handles.own_array(graph.glue_array_copy_data(data, list(shape), len(shape), kind.number))


def from_buffer(value: Any) -> Array | None:
    """An Array of a buffer's elements; None where there is none, or it does not say what they are."""
    found = elements_of(value)
    return None if found is None else from_bytes(*found)


def from_bytes(data: Any, shape: Sequence[int], kind: str, size: int) -> Array:
    """An Array of elements in row order and native byte order; complex128 becomes complex64."""
    if kind == "c":
        data, size = narrowed(data, size)
    dtype = DTYPES.get((kind, size))
    if dtype is None:
        raise unknown_elements(f"{8 * size} bits of kind {kind!r}")
    return adopt(data, shape, dtype, data)


def adopt(data: Any, shape: Sequence[int], dtype: Dtype, owner: object) -> Array:
    """An Array over memory in row order that `owner` keeps alive. `data` is a pointer, or what has a buffer."""
    require_countable(shape)
    pointer = data if isinstance(data, ffi.CData) else ffi.from_buffer(data)
    key = _registry.keep((pointer, owner))
    try:
        return _handles.own_array(lib.glue_array_adopt(pointer, list(shape), len(shape), dtype.number, key))
    finally:
        _registry.drain()
        look_at_memory()
