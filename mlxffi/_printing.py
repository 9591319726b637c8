"""Arrays as text: nested brackets as numpy writes them, with the middle of long axes left out."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _ops
from ._buffers import LETTERS, nested, numbers_of

if TYPE_CHECKING:
    from .array import Array

# An array of more elements than THRESHOLD shows the first and last EDGE on each axis.
THRESHOLD = 1000
EDGE = 3
WIDTH = 88


def describe(array: Array, head: str) -> str:
    """The elements of an array; `head` stands before them, and lines after the first are indented to its length."""
    if not array.size:
        return f"{head}[]" if array.ndim == 1 else f"{head}[], shape={list(array.shape)}"
    shape = array.shape
    shown = _edges(array) if array.size > THRESHOLD else array
    texts = _texts(numbers_of(shown), array.dtype.name)
    omitted = [size > new for size, new in zip(shape, shown.shape, strict=True)]
    line = head + _one_line(nested(texts, shown.shape), omitted)
    if len(line) <= WIDTH:
        return line
    width = max(map(len, texts))
    rows = nested([text.rjust(width) for text in texts], shown.shape)
    return head + _many_lines(rows, omitted, " " * (len(head) + 1))


def _edges(array: Array) -> Array:
    """The first and last few elements of each long axis."""
    for axis, size in enumerate(array.shape):
        if size > 2 * EDGE:
            array = _ops.take_axis(array, [*range(EDGE), *range(size - EDGE, size)], axis)
    return array


def _with_dots(items: Sequence[str], omitted: bool) -> list[str]:
    return [*items[:EDGE], "...", *items[EDGE:]] if omitted else list(items)


def _one_line(rows: Any, omitted: Sequence[bool]) -> str:
    if isinstance(rows, str):
        return rows
    return f"[{', '.join(_with_dots([_one_line(row, omitted[1:]) for row in rows], omitted[0]))}]"


def _many_lines(rows: Any, omitted: Sequence[bool], indent: str) -> str:
    if isinstance(rows[0], str):
        items = _with_dots(rows, omitted[0])
        count = max(1, (WIDTH - len(indent)) // len(f"{rows[0]}, "))
        lines = [", ".join(items[start : start + count]) for start in range(0, len(items), count)]
        return "[" + f",\n{indent}".join(lines) + "]"
    lines = [_many_lines(row, omitted[1:], indent + " ") for row in rows]
    # One blank line for each axis more than two, as numpy has it.
    between = ",\n" + "\n" * (len(omitted) - 2) + indent
    return f"[{between.join(_with_dots(lines, omitted[0]))}]"


# --- numbers ---


def _texts(numbers: Sequence[Any], dtype: str) -> list[str]:
    if dtype == "complex64":
        return [_complex_text(number) for number in numbers]
    if dtype in ("float16", "bfloat16", "float32"):
        return [_short(number, dtype) for number in numbers]
    return [repr(number) for number in numbers]


def _complex_text(number: complex) -> str:
    imaginary = _short(number.imag, "float32")
    return f"{_short(number.real, 'float32')}{'' if imaginary[0] == '-' else '+'}{imaginary}j"


def _short(number: float, dtype: str) -> str:
    """The shortest decimal that stands for a number of a narrow type."""
    if not math.isfinite(number):
        return repr(number)
    decimals = (float(f"{number:.{digits}g}") for digits in range(1, 18))
    return repr(next(decimal for decimal in decimals if _rounded(decimal, dtype) == number))


def _rounded(number: float, dtype: str) -> float:
    """The nearest number of a dtype to one that lies close to one of them."""
    if dtype == "bfloat16":
        bits = struct.unpack("I", struct.pack("f", number))[0]
        bits = bits + 0x7FFF + (bits >> 16 & 1) & 0xFFFF0000
        return float(struct.unpack("f", struct.pack("I", bits))[0])
    letter = LETTERS[dtype]
    try:
        return float(struct.unpack(letter, struct.pack(letter, number))[0])
    except OverflowError:
        return number
