"""Tensors of the vectors: inputs that every dtype holds exactly, and the files that they lie in."""

from __future__ import annotations

import json
import struct
from typing import Any

import ml_dtypes
import numpy as np

Array = np.ndarray[Any, Any]

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
SAFETENSORS = {
    "bool": "BOOL", "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "int8": "I8", "int16": "I16",
    "int32": "I32", "int64": "I64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
    "complex64": "C64",
}  # fmt: skip
FLOATS = ("float16", "bfloat16", "float32", "float64")


def dtype_of(name: str) -> np.dtype[Any]:
    """numpy's dtype for MLX's name."""
    return BFLOAT16 if name == "bfloat16" else np.dtype(name)


def grid(shape: tuple[int, ...], dtype: str = "float32", low: float = -2, high: float = 2, salt: int = 0) -> Array:
    """Numbers from `low` to `high` in steps of a 64th of their distance, in an order that is the same everywhere."""
    count = int(np.prod(shape))
    state, drawn = 12345 + 7919 * salt, []
    for _ in range(count):
        state = (state * 1103515245 + 12345) % 2**31
        drawn.append(state >> 16 & 63)
    steps = np.array(drawn, np.float64).reshape(shape)
    values = low + (high - low) * steps / 64
    if dtype == "bool":
        return np.asarray(steps % 2 == 1)
    if dtype == "complex64":
        return np.asarray(values + 1j * grid(shape, "float64", low, high, salt + 1)).astype(np.complex64)
    return np.asarray(values if dtype in FLOATS else np.floor(values)).astype(dtype_of(dtype))


def F(*shape: int, low: float = -2, high: float = 2, salt: int = 0, dtype: str = "float32") -> Array:
    """Floats (or what `dtype` says) of a shape."""
    return grid(shape, dtype, low, high, salt)


def I(*shape: int, low: int = 0, high: int = 64, salt: int = 0, dtype: str = "int32") -> Array:  # noqa: E743
    """Integers of a shape, below `high`."""
    return grid(shape, dtype, low, high, salt)


# What is smaller, where numbers are about 1, is the noise of sums that would be 0: it differs from machine to machine.
NOISE = 2.0**-40


def quiet(values: Array) -> Array:
    """The same without noise."""
    if values.dtype.kind == "c":
        return np.asarray(quiet(values.real) + 1j * quiet(values.imag))
    return np.asarray(np.where(np.abs(values) < NOISE, 0, values)) if values.dtype.kind == "f" else values


def bits(values: Array, keep: int = 20) -> Array:
    """Float64 with the upper bits of each significand alone: what noise of differences cannot change."""
    values = quiet(np.asarray(values, np.float64))
    mantissa, exponent = np.frexp(values)
    rounded = np.ldexp(np.round(mantissa * 2.0**keep), exponent - keep)
    return np.asarray(np.where(np.isfinite(values), rounded, values))


def encode(tensors: dict[str, Array]) -> bytes:
    """A safetensors file, the same for the same tensors."""
    header: dict[str, Any] = {}
    place = 0
    parts = []
    for name, value in sorted(tensors.items()):
        data = np.ascontiguousarray(value).tobytes()
        kind = SAFETENSORS[value.dtype.name]
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [place, place + len(data)]}
        place += len(data)
        parts.append(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(parts)
