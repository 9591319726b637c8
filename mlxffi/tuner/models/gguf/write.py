"""GGUF files of version 3, written tensor by tensor."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

from .... import core as mx
from ...files import PathLike, replaced
from .blocks import GROUP, SIZES, encoded
from .header import LIST, MAGIC, NUMBERS, TENSOR_TYPES, TEXT

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
