"""Python values as the arguments of glue functions."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

from . import _handles
from . import dtype as dtypes
from ._errors import ArgumentError
from ._ffi import graph
from ._handles import handles
from .dtype import Dtype, DtypeLike

if TYPE_CHECKING:
    from .array import Array

__all__ = [
    "ArrayLike",
    "DtypeLike",
    "as_array",
    "as_arrays",
    "as_pair",
    "dtype_number",
    "fft_norm",
    "handles",
    "integers",
    "text",
]

ArrayLike: TypeAlias = "Array | bool | int | float | complex | Sequence[Any] | Any"

FFT_NORMS = {"backward": 0, "ortho": 1, "forward": 2}


def as_array(value: ArrayLike) -> Array:
    """The value itself where it is an Array, else an Array made of it."""
    array_class = _handles.array_class
    return value if isinstance(value, array_class) else array_class(value)


def as_arrays(*values: ArrayLike | None) -> list[Any]:
    """Arrays for all values; a Python number takes the dtype of the first Array among them. None stays None."""
    array_class = _handles.array_class
    first = next((value.dtype for value in values if isinstance(value, array_class)), None)
    return [value if value is None or isinstance(value, array_class) else _beside(value, first) for value in values]


def as_pair(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    """`as_arrays` for two, as operators call it."""
    array_class = _handles.array_class
    if isinstance(a, array_class):
        return a, b if isinstance(b, array_class) else _beside(b, a.dtype)
    if isinstance(b, array_class):
        return _beside(a, b.dtype), b
    return array_class(a), array_class(b)


def _beside(value: Any, dtype: Dtype | None) -> Array:
    if dtype is None or not isinstance(value, (bool, int, float, complex)):
        return _handles.array_class(value)
    wanted = dtypes.of_scalar(value, dtype)
    if isinstance(value, float) and wanted.kind == "f":
        return _handles.own_array(graph.glue_scalar_float(value, wanted.number))
    if isinstance(value, int) and _fits(value, wanted):
        return _handles.own_array(graph.glue_scalar_int(value, wanted.number))
    return _handles.array_class(value, wanted)


def _fits(value: int, dtype: Dtype) -> bool:
    """Whether an int fits without a closer look; what does not is converted, or refused, with care."""
    return 0 <= value < 128 or (dtype.size >= 4 and dtype.kind != "u" and -(2**31) <= value < 2**31)


def dtype_number(value: DtypeLike) -> int:
    """The number of a dtype in the C enum."""
    return dtypes.of(value).number


def integers(value: int | Iterable[int]) -> list[int]:
    """A list of ints; one int stands for a list of it."""
    if isinstance(value, SupportsIndex):
        return [operator.index(value)]
    return [operator.index(item) for item in value]


def text(value: str, name: str) -> bytes:
    """A string as C reads it."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a str, got {type(value).__name__}")
    if "\0" in value:
        raise ArgumentError(f"{name}: expected a string without NUL characters, got {value!r}")
    return value.encode("utf-8", "surrogateescape")


def fft_norm(value: str) -> int:
    """The number of a Fourier norm in the C enum."""
    if value not in FFT_NORMS:
        raise ArgumentError(f"norm: expected one of {', '.join(FFT_NORMS)}, got {value!r}")
    return FFT_NORMS[value]
