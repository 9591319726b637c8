"""The element types of arrays."""

from __future__ import annotations

from typing import Any, TypeAlias

from . import _elements

__all__ = [
    "Dtype", "bfloat16", "bool_", "complex64", "float16", "float32", "float64", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64",
]  # fmt: skip


class Dtype:
    """An element type. There is one object for each, such as `mlxffi.float32`.

    Args:
      name: as numpy writes it.
      number: in the C enum mlx_dtype.
      size: of an element, in bytes.
      kind: "b" bool, "u" unsigned, "i" signed, "f" floating point, "c" complex, as in numpy.
    """

    __slots__ = ("kind", "name", "number", "size")

    def __init__(self, name: str, number: int, size: int, kind: str):
        self.name = name
        self.number = number
        self.size = size
        self.kind = kind

    def __repr__(self) -> str:
        return f"mlxffi.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self.name == "bool" else self.name


DtypeLike: TypeAlias = "Dtype | str | type | Any"

DTYPES = tuple(Dtype(name, number, size, kind) for number, (name, size, kind) in enumerate(_elements.DTYPES))
(
    bool_, uint8, uint16, uint32, uint64, int8, int16, int32, int64, float16, float32, float64, bfloat16, complex64
) = DTYPES  # fmt: skip
# The letters with which `struct`, memoryview and the standard library's array name the dtypes.
LETTERS = {
    "bool": "?", "uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q", "int8": "b", "int16": "h", "int32": "i",
    "int64": "q", "float16": "e", "float32": "f", "float64": "d",
}  # fmt: skip
NAMES = {dtype.name: dtype for dtype in DTYPES} | {"bool_": bool_}
PYTHON_TYPES = {bool: bool_, int: int32, float: float32, complex: complex64}


def of(value: DtypeLike) -> Dtype:
    """The Dtype that a value names.

    Args:
      value: a Dtype, a name such as "float32", a Python number type, or a numpy dtype or scalar type.

    Raises:
      TypeError: it names none of MLX's dtypes.
    """
    if isinstance(value, Dtype):
        return value
    if isinstance(value, type) and value in PYTHON_TYPES:
        return PYTHON_TYPES[value]
    name = value if isinstance(value, str) else getattr(value, "name", None) or getattr(value, "__name__", "")
    found = NAMES.get(str(name).rpartition(".")[2])
    if found is None:
        raise TypeError(f"dtype: expected one of {', '.join(NAMES)}, got {value!r}")
    return found


def of_scalar(value: complex, dtype: Dtype) -> Dtype:
    """The dtype in which a Python number meets an array of `dtype`: that one, where it can hold the number's kind."""
    if isinstance(value, bool) or dtype.kind == "c":
        return dtype
    if isinstance(value, complex):
        return complex64
    if isinstance(value, int):
        return int32 if dtype.kind == "b" else dtype
    return dtype if dtype.kind == "f" else float32
