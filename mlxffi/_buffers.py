"""Memory of other libraries as arrays, and the elements of arrays as bytes and numbers.

On Metal MLX uses foreign memory itself where it begins at the start of a page, and never writes to it; on CPU and CUDA
it copies while the array is made. The owner of the memory stays alive until MLX is done with it, and is let go once.
"""

from __future__ import annotations

import array as arrays
import math
import re
import struct
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _handles, _ops, _owners
from . import dtype as dtypes
from ._errors import ArgumentError, Error
from ._ffi import ffi, graph, lib
from .dtype import Dtype

if TYPE_CHECKING:
    from .array import Array

# The letters with which `struct`, memoryview and the standard library's array name the dtypes.
LETTERS = {
    "bool": "?", "uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q", "int8": "b", "int16": "h", "int32": "i",
    "int64": "q", "float16": "e", "float32": "f", "float64": "d",
}  # fmt: skip
KINDS = {"?": "b", **dict.fromkeys("bhilqn", "i"), **dict.fromkeys("BHILQNc", "u"), **dict.fromkeys("efd", "f")}
# By kind and size in bytes; "V" is the kind of bfloat16, which is numpy's for elements that it does not know.
DTYPES = {("V" if dtype.name == "bfloat16" else dtype.kind, dtype.size): dtype for dtype in dtypes.DTYPES}
SWAPPED = "<" if sys.byteorder == "big" else ">!"
LARGEST_AXIS = 2**31 - 1


class UnknownElementsError(Error, TypeError):
    """Elements of a type that MLX does not have."""


def unknown_elements(found: str) -> UnknownElementsError:
    """The error for elements that no dtype stands for."""
    names = ", ".join(dtype.name for dtype in dtypes.DTYPES)
    return UnknownElementsError(f"value: expected elements of one of {names}, got {found}; convert them first")


# --- memory in ---


def adopt(data: Any, shape: Sequence[int], dtype: Dtype, owner: object) -> Array:
    """An Array over memory in row order that `owner` keeps alive. `data` is a pointer, or what has a buffer."""
    if any(size > LARGEST_AXIS for size in shape):
        raise ArgumentError(f"value: expected axes of at most {LARGEST_AXIS} elements, got shape {list(shape)}")
    pointer = data if isinstance(data, ffi.CData) else ffi.from_buffer(data)
    key = _owners.keep((pointer, owner))
    try:
        return _handles.own_array(lib.glue_array_adopt(pointer, list(shape), len(shape), dtype.number, key))
    finally:
        _owners.drain()


def from_memory(view: memoryview) -> Array | None:
    """An Array of a buffer's elements in any layout and byte order; None where it does not say what they are."""
    kind, size, swapped = element_type(view)
    if not kind:
        return None
    if not swapped and view.c_contiguous and (kind, size) in DTYPES:
        return adopt(view, view.shape or (), DTYPES[kind, size], view)
    data = view.tobytes()
    if swapped:
        data = native_order(data, size // 2 if kind == "c" else size)
    return from_bytes(data, view.shape or (), kind, size)


def element_type(view: memoryview) -> tuple[str, int, bool]:
    """The kind, size in bytes and foreign byte order of a buffer's elements; kind "" where nobody knows it."""
    found = re.fullmatch(r"([@=<>!]?)(Z?)([a-zA-Z?])", view.format)
    if not found:
        return ("V", 2, False) if view.format == "bfloat16" else ("", view.itemsize, False)
    order, complex_mark, letter = found.groups()
    numbers = 2 if complex_mark else 1
    if letter not in KINDS or view.itemsize != numbers * struct.calcsize((order or "@") + letter):
        return "", view.itemsize, False
    return ("c" if complex_mark else KINDS[letter]), view.itemsize, bool(order) and order in SWAPPED


def native_order(data: bytes, size: int) -> bytes:
    """Numbers of `size` bytes in the other byte order."""
    if size == 1:
        return data
    words = arrays.array({2: "H", 4: "I", 8: "Q"}[size], data)
    words.byteswap()
    return words.tobytes()


def from_bytes(data: Any, shape: Sequence[int], kind: str, size: int) -> Array:
    """An Array of bytes in row order and native byte order; complex128 becomes complex64."""
    if (kind, size) == ("c", 16):
        data, size = arrays.array("f", arrays.array("d", bytes(data))), 8
    dtype = DTYPES.get((kind, size))
    if dtype is None:
        raise unknown_elements(f"{8 * size} bits of kind {kind!r}")
    return adopt(data, shape, dtype, data)


# --- memory out ---


def data_of(array: Array) -> Any:
    """A pointer to the first element of an array, which is computed and stays alive as long as the pointer."""
    owner = _handles.own_array(graph.glue_array_set(array.eval()._h))
    return ffi.gc(graph.glue_array_data(owner._h), _Keeper(owner))


class _Keeper:
    """What a pointer holds on to; nothing is left to do when the pointer dies."""

    __slots__ = ("owner",)

    def __init__(self, owner: Array):
        self.owner = owner

    def __call__(self, _: object) -> None:
        pass


def copy_of(array: Array) -> Array:
    """An Array with the same elements in memory of its own, in row order."""
    data = ffi.from_buffer(bytes_of(array))
    return _handles.own_array(graph.glue_array_copy_data(data, list(array.shape), array.ndim, array.dtype.number))


def bytes_of(array: Array) -> memoryview:
    """The bytes of an array's elements in row order."""
    rows = _ops.contiguous(array)
    return memoryview(ffi.buffer(data_of(rows), rows.nbytes) if rows.size else b"").cast("B")


# --- numbers out ---


def numbers_of(array: Array) -> list[Any]:
    """The elements of an array in row order, as Python numbers."""
    if array.dtype.name in ("float16", "bfloat16"):
        array = _ops.astype(array, dtypes.float32)
    if array.dtype.kind != "c":
        return _numbers(array, LETTERS[array.dtype.name])
    parts = _numbers(array, "f")
    return [complex(real, imaginary) for real, imaginary in zip(parts[::2], parts[1::2], strict=True)]


def _numbers(array: Array, letter: Any) -> list[Any]:
    return list(bytes_of(array).cast(letter))


def number_of(array: Array) -> Any:
    """The first element of an array as a Python number, wherever the others lie."""
    dtype = array.eval().dtype
    data = bytes(ffi.buffer(graph.glue_array_data(array._h), dtype.size))
    if dtype.name == "bfloat16":
        return struct.unpack("f", b"\0\0" + data if sys.byteorder == "little" else data + b"\0\0")[0]
    if dtype.kind == "c":
        return complex(*struct.unpack("2f", data))
    return struct.unpack(LETTERS[dtype.name], data)[0]


def nested(numbers: list[Any], shape: Sequence[int]) -> Any:
    """Numbers in row order as nested lists; one number where there are no axes."""
    if not shape:
        return numbers[0]
    for axis in range(len(shape) - 1, 0, -1):
        size = shape[axis]
        numbers = [numbers[row * size : (row + 1) * size] for row in range(math.prod(shape[:axis]))]
    return numbers
