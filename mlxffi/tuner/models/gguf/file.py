"""GGUF files: what one says of itself, read without the data of its tensors, and version 3 of them, written.

`mlxffi.core.load` reads the data; it tells no types, and a vocabulary is wanted without gigabytes of weights.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from .... import core as mx
from ...._errors import ArgumentError
from ...files import PathLike, replaced
from .blocks import GROUP, SIZES, encoded

MAGIC = b"GGUF"
SUFFIX = ".gguf"

# The formats of metadata that are numbers, by type, and the two types that are none.
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, LIST = 8, 9

# The numbers of the tensor types that are written, and the names of those that files have.
TENSOR_TYPES = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12,
    "Q5_K": 13, "Q6_K": 14, "IQ4_NL": 20, "IQ4_XS": 23, "F64": 28, "BF16": 30, "MXFP4": 39,
}  # fmt: skip


class Header(NamedTuple):
    """The beginning of a GGUF file.

    Args:
      metadata: numbers, texts, and lists of them, by key.
      types: the name of each tensor's type by the tensor's name.
    """

    metadata: dict[str, Any]
    types: dict[str, str]


def is_gguf(path: PathLike) -> bool:
    """Whether a path is a file that begins as GGUF files do.

    Args:
      path: of anything, or of nothing.

    Returns:
      True only for a file.
    """
    if not Path(path).is_file():
        return False
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_header(path: PathLike) -> Header:
    """The metadata and the types of the tensors of a GGUF file.

    Args:
      path: of the file.

    Returns:
      Metadata by key and types by tensor; the tensors themselves are not read.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no GGUF file of version 2 or 3, or ends too early.
    """
    with open(path, "rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _read(_Cursor(data))
        except (struct.error, ValueError, KeyError) as error:
            raise ArgumentError(
                f"{os.fspath(path)}: expected a GGUF file, got one that cannot be read: {error}"
            ) from None


class _Cursor:
    """A place in a file, after what has been read."""

    def __init__(self, data: mmap.mmap):
        self._data, self._place = data, 0

    def numbers(self, form: str, count: int = 1) -> tuple[Any, ...]:
        size = struct.calcsize(form) * count
        if size > len(self._data) - self._place:
            raise struct.error(f"{count} numbers at byte {self._place} go past its end")
        self._place += size
        return struct.unpack_from(f"<{count}{form}", self._data, self._place - size)

    def number(self, form: str) -> Any:
        return self.numbers(form)[0]

    def text(self) -> str:
        length = self.number("Q")
        if length > len(self._data) - self._place:
            raise struct.error(f"a text of {length} bytes at byte {self._place} goes past its end")
        self._place += length
        return self._data[self._place - length : self._place].decode("utf-8")


def _read(cursor: _Cursor) -> Header:
    magic, version = bytes(cursor.numbers("B", 4)), cursor.number("I")
    if magic != MAGIC or version not in (2, 3):
        raise struct.error(f"it begins with {magic!r}, version {version}")
    tensors, entries = cursor.numbers("Q", 2)
    metadata = {}
    for _ in range(entries):
        key = cursor.text()
        metadata[key] = _read_value(cursor, cursor.number("I"))
    names = {number: name for name, number in TENSOR_TYPES.items()}
    types = {}
    for _ in range(tensors):
        name = cursor.text()
        cursor.numbers("Q", cursor.number("I"))
        number, _ = cursor.number("I"), cursor.number("Q")
        types[name] = names.get(number, f"type {number}")
    return Header(metadata, types)


def _read_value(cursor: _Cursor, kind: int) -> Any:
    if kind == TEXT:
        return cursor.text()
    if kind != LIST:
        return cursor.number(NUMBERS[kind])
    inner, count = cursor.number("I"), cursor.number("Q")
    if inner != TEXT:
        return list(cursor.numbers(NUMBERS[inner], count))
    read: Callable[[], str] = cursor.text
    return [read() for _ in range(count)]


# --- writing ---


ALIGNMENT = 32
# The types of numbers in metadata: what llama.cpp reads as counts, ids, scores and flags.
TYPES = {bool: 7, int: 4, float: 6, str: TEXT}
LISTED = {**TYPES, int: 5}


class Tensor(NamedTuple):
    """A tensor as it is to be in a file.

    Args:
      value: floating point.
      kind: the name of its type there.
    """

    value: mx.array
    kind: str

    @property
    def nbytes(self) -> int:
        """What it takes in a file."""
        return self.value.size * SIZES[self.kind] // GROUP


def write_gguf(path: PathLike, metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a GGUF file, which is the old one or the new one, whole, whenever the process is killed.

    Args:
      path: of the file.
      metadata: bool, int, float, str, or lists of one of these, by key.
      tensors: by name.
    """
    with replaced(path) as beside, open(beside, "wb") as file:
        file.write(MAGIC + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
        for key, value in metadata.items():
            file.write(_text(key) + _value(value))
        offset = 0
        for name, tensor in tensors.items():
            file.write(_described(name, tensor, offset))
            offset += _padded(tensor.nbytes)
        _pad(file)
        for tensor in tensors.values():
            file.write(bytes(encoded(*tensor)))
            _pad(file)


def _described(name: str, tensor: Tensor, offset: int) -> bytes:
    shape = tensor.value.shape[::-1]
    axes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return _text(name) + axes + struct.pack("<IQ", TENSOR_TYPES[tensor.kind], offset)


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _pad(file: BinaryIO) -> None:
    file.write(bytes(_padded(file.tell()) - file.tell()))


def _text(text: str) -> bytes:
    encoded_text = text.encode("utf-8")
    return struct.pack("<Q", len(encoded_text)) + encoded_text


def _value(value: Any) -> bytes:
    if not isinstance(value, list):
        return struct.pack("<I", TYPES[type(value)]) + _bare(value, TYPES[type(value)])
    inner = LISTED[type(value[0])] if value else TEXT
    return struct.pack("<IIQ", LIST, inner, len(value)) + b"".join(_bare(item, inner) for item in value)


def _bare(value: Any, kind: int) -> bytes:
    return _text(value) if kind == TEXT else struct.pack(f"<{NUMBERS[kind]}", value)
