"""The elements of foreign memory: what memoryviews and numpy say of them."""

from __future__ import annotations

import array as arrays
import struct
import sys

# By the letters of `struct`; "V" is the kind of bfloat16, which is numpy's for elements that it does not know.
KINDS = {"?": "b", **dict.fromkeys("bhilqn", "i"), **dict.fromkeys("BHILQNc", "u"), **dict.fromkeys("efd", "f")}
SWAPPED = "<" if sys.byteorder == "big" else ">!"


def element_type(view: memoryview) -> tuple[str, int, bool]:
    """The kind, size in bytes and foreign byte order of a buffer's elements; kind "" where nobody knows it."""
    if view.format == "bfloat16":
        return "V", 2, False
    order = view.format[:1] if view.format[:1] in "@=<>!" else ""
    letter = view.format.removeprefix(order).removeprefix("Z")
    numbers = 2 if view.format.endswith(f"Z{letter}") else 1
    if letter not in KINDS or view.itemsize != numbers * struct.calcsize((order or "@") + letter):
        return "", view.itemsize, False
    return "c" if numbers == 2 else KINDS[letter], view.itemsize, bool(order) and order in SWAPPED


def in_native_order(data: bytes, kind: str, size: int) -> bytes:
    """Elements of a kind and size that were in the other byte order."""
    size = size // 2 if kind == "c" else size
    if size == 1:
        return data
    words = arrays.array({2: "H", 4: "I", 8: "Q"}[size], data)
    words.byteswap()
    return words.tobytes()


def is_bfloat16(value: object) -> bool:
    """Whether it is numpy's array or scalar of ml_dtypes' bfloat16, which have no buffer."""
    return str(getattr(value, "dtype", "")) == "bfloat16" and hasattr(value, "view") and hasattr(value, "__array__")
