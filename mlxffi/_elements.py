"""The elements that MLX has, and those of Python's buffers: what memoryviews say of them, and their bytes for C."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from ._errors import SizeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# By the number of a dtype in the C enum: its name, its size in bytes and its kind, which is numpy's.
DTYPES = (
    ("bool", 1, "b"), ("uint8", 1, "u"), ("uint16", 2, "u"), ("uint32", 4, "u"), ("uint64", 8, "u"), ("int8", 1, "i"),
    ("int16", 2, "i"), ("int32", 4, "i"), ("int64", 8, "i"), ("float16", 2, "f"), ("float32", 4, "f"),
    ("float64", 8, "f"), ("bfloat16", 2, "f"), ("complex64", 8, "c"),
)  # fmt: skip
# By the letters of `struct`; "V" is the kind of bfloat16, which is numpy's for elements that it does not know.
KINDS = {"?": "b", **dict.fromkeys("bhilqn", "i"), **dict.fromkeys("BHILQNc", "u"), **dict.fromkeys("efd", "f")}
SWAPPED = "<" if sys.byteorder == "big" else ">!"
LARGEST_AXIS = 2**31 - 1


def elements_of(value: Any) -> tuple[Any, tuple[int, ...], str, int] | None:
    """The elements of a buffer: memory that has them in row order and native byte order, shape, kind and size in bytes.

    Returns:
      None where there is no buffer, or it does not say what they are.
    """
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError):
        return _bfloat16_of(value)
    kind, size, swapped = _element_type(view)
    if not kind:
        return _bfloat16_of(value)
    data: Any = view if view.c_contiguous else _in_row_order(value, view)
    if swapped:
        data = _in_native_order(bytes(data), kind, size)
    if kind == "c":
        data, size = narrowed(data, size)
    return data, view.shape or (), kind, size


def require_countable(shape: Sequence[int]) -> None:
    """Raise SizeError where an axis is longer than MLX counts."""
    if max(shape, default=0) > LARGEST_AXIS:
        raise SizeError(f"value: expected axes of at most {LARGEST_AXIS} elements, got shape {list(shape)}")


def narrowed(data: Any, size: int) -> tuple[Any, int]:
    """Complex elements that MLX has, and their size: complex128 becomes complex64."""
    if size != 16:
        return data, size
    from array import array  # here and below: an import would grow by a hundredth for what few programs use

    return array("f", array("d", bytes(data))), 8


def _bfloat16_of(value: Any) -> tuple[Any, tuple[int, ...], str, int] | None:
    """The elements of numpy's array or scalar of ml_dtypes' bfloat16, which have no buffer."""
    if str(getattr(value, "dtype", "")) != "bfloat16" or not (hasattr(value, "view") and hasattr(value, "__array__")):
        return None
    bits = elements_of(value.view("uint16"))
    return bits and (bits[0], bits[1], "V", 2)


def _in_row_order(value: Any, view: memoryview) -> bytes:
    require_countable(view.shape or ())  # there may be far fewer elements than the copy would have
    if sys.implementation.name == "pypy" and view.ndim > 1:
        # There memoryview.tobytes() gives the memory as it lies (PyPy 7.3.19).
        data: bytes = importlib.import_module("numpy").ascontiguousarray(value).tobytes()
        return data
    return view.tobytes()


def _element_type(view: memoryview) -> tuple[str, int, bool]:
    """The kind, size in bytes and foreign byte order of a buffer's elements; kind "" where nobody knows it."""
    import struct

    if view.format == "bfloat16":
        return "V", 2, False
    order = view.format[:1] if view.format[:1] in "@=<>!" else ""
    letter = view.format.removeprefix(order).removeprefix("Z")
    numbers = 2 if view.format.endswith(f"Z{letter}") else 1
    if letter not in KINDS or view.itemsize != numbers * struct.calcsize((order or "@") + letter):
        return "", view.itemsize, False
    return "c" if numbers == 2 else KINDS[letter], view.itemsize, bool(order) and order in SWAPPED


def _in_native_order(data: bytes, kind: str, size: int) -> bytes:
    """Elements of a kind and size that were in the other byte order."""
    size = size // 2 if kind == "c" else size
    if size == 1:
        return data
    from array import array

    words = array({2: "H", 4: "I", 8: "Q"}[size], data)
    words.byteswap()
    return words.tobytes()
