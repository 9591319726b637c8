"""Dtypes, their categories and limits, and what they become together."""

from __future__ import annotations

import enum

from .. import _elements, _pickles
from .._errors import ArgumentError
from ._binding import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._array import array

__all__ = [
    "Dtype", "DtypeCategory", "bfloat16", "bool_", "can_cast", "complex64", "complexfloating", "finfo", "float16",
    "float32", "float64", "floating", "generic", "iinfo", "inexact", "int8", "int16", "int32", "int64", "integer",
    "isdtype", "issubdtype", "number", "result_type", "signedinteger", "uint8", "uint16", "uint32", "uint64",
    "unsignedinteger",
]  # fmt: skip


class Dtype:
    """The type of an array's elements: `size` in bytes. There is one object for each, compared and hashed as such."""

    __slots__ = ("kind", "members", "name", "number", "size")
    __module__ = "mlxffi.core"
    name: str
    number: int
    size: int
    kind: str
    members: frozenset[str]  # itself, as one of a DtypeCategory

    def __init__(self, *_: Any):
        raise TypeError("Dtype: no constructor defined; use mx.float32 and its like")

    def __repr__(self) -> str:
        return f"mlx.core.{self.name}"

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, arg: object, /) -> bool:
        return self is arg

    def __reduce__(self) -> str | tuple[Any, ...]:
        return _pickles.reduced(self, "bool_" if self.name == "bool" else self.name)


def _made(number: int, name: str, size: int, kind: str) -> Dtype:
    made = Dtype.__new__(Dtype)
    made.name, made.number, made.size, made.kind, made.members = name, number, size, kind, frozenset([name])
    return made


DTYPES = tuple(_made(number, *elements) for number, elements in enumerate(_elements.DTYPES))
(
    bool_, uint8, uint16, uint32, uint64, int8, int16, int32, int64, float16, float32, float64, bfloat16, complex64
) = DTYPES  # fmt: skip


def of(value: Any, name: str = "dtype") -> Dtype:
    """The Dtype itself.

    Raises:
      TypeError: it is none.
    """
    if isinstance(value, Dtype):
        return value
    raise TypeError(f"{name}: expected a Dtype, got {type(value).__name__}")


# --- categories ---


class DtypeCategory(enum.Enum):
    """A set of dtypes, as `issubdtype` takes it."""

    members: frozenset[str]  # the dtypes in it and their kinds
    complexfloating = 0
    floating = 1
    inexact = 2
    signedinteger = 3
    unsignedinteger = 4
    integer = 5
    number = 6
    generic = 7

    def __repr__(self) -> str:
        return f"DtypeCategory.{self.name}"

    __str__ = __repr__

    def __reduce_ex__(self, _: Any) -> Any:
        return _pickles.reduced(self, self.name)


DtypeCategory.__module__ = "mlxffi.core"

complexfloating, floating, inexact, signedinteger, unsignedinteger, integer, number, generic = DtypeCategory

for _category, _kinds in zip(DtypeCategory, ("c", "f", "fc", "i", "u", "iu", "iufc", "biufc"), strict=True):
    _category.members = frozenset(_kinds).union(dtype.name for dtype in DTYPES if dtype.kind in _kinds)

# The kinds of dtypes by the names of the array API standard.
_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def issubdtype(arg1: Dtype | DtypeCategory, arg2: Dtype | DtypeCategory) -> bool:
    """Whether a dtype or category belongs to another one.

    Args:
      arg1: a dtype or category.
      arg2: a dtype or category.

    Returns:
      True if it does.
    """
    try:
        return arg1.members <= arg2.members
    except (AttributeError, TypeError):
        which = "second" if isinstance(arg1, (Dtype, DtypeCategory)) else "first"
        raise ArgumentError(f"[issubdtype] Received invalid type for {which} input.") from None


def isdtype(dtype: Dtype, kind: Dtype | str | tuple[Dtype | str, ...]) -> bool:
    """Whether a dtype is of a kind, by the names of the array API standard.

    Args:
      dtype: the dtype.
      kind: a Dtype, "bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating" or
        "numeric", or a tuple of these.

    Returns:
      True if it is.
    """
    try:
        found = _OF_KINDS[dtype.kind]
        if type(kind) is str:
            return found[kind]
        # A loop: a generator for any() costs more than all of it.
        for part in kind if isinstance(kind, tuple) else (kind,):
            if part is dtype or (type(part) is not Dtype and found[part]):
                return True
        return False
    except (AttributeError, KeyError, TypeError):
        raise _no_kind(of(dtype), kind) from None


def _no_kind(dtype: Dtype, kind: Any) -> ArgumentError:
    for part in kind if isinstance(kind, tuple) else (kind,):
        if isinstance(part, str) and part not in _KINDS:
            return ArgumentError(f"[isdtype] Unknown data type kind: '{part}'.")
    return ArgumentError("[isdtype] `kind` must be a dtype, a string, or a tuple of dtypes and strings.")


# Which of these a dtype is, by its kind.
_OF_KINDS: dict[str, dict[Any, bool]] = {
    one: {name: one in kinds for name, kinds in _KINDS.items()} for one in "biufc"
}


# --- promotion ---


def _promoted(a: Dtype, b: Dtype) -> Dtype:
    """The dtype in which elements of two dtypes meet."""
    if a is b:
        return a
    low, high = sorted((a, b), key=lambda dtype: "buifc".index(dtype.kind))
    if low.kind == "u" and high.kind == "i":
        return _mixed_sign(low.size, high)
    if low.kind == high.kind:
        return float32 if {low, high} == {float16, bfloat16} else max(low, high, key=lambda dtype: dtype.size)
    return high


def _mixed_sign(size: int, signed: Dtype) -> Dtype:
    """An unsigned dtype of a size beside a signed one: a signed one that holds both, else float32."""
    if signed.size > size:
        return signed
    return {1: int16, 2: int32, 4: int64}.get(size, float32)


# By a dtype's number: what it becomes beside that of another number, which is again such a list; itself behind these.
_BESIDE: list[list[Any]] = [[] for _ in DTYPES]
_ITSELF = len(DTYPES)
for _becomes, _dtype in zip(_BESIDE, DTYPES, strict=True):
    _becomes += [*(_BESIDE[_promoted(_dtype, other).number] for other in DTYPES), _dtype]
_number_of = native.dtype_number


def result_type(*arrays_and_dtypes: array | Dtype) -> Dtype:
    """The dtype to which arrays and dtypes are promoted together.

    Args:
      arrays_and_dtypes: at least one.

    Returns:
      The dtype.

    Raises:
      ValueError: there is none, or an argument is neither.
    """
    if not arrays_and_dtypes:
        raise ArgumentError("[result_type] At least one array or dtype is required.")
    beside = _BESIDE[0]
    try:
        for value in arrays_and_dtypes:
            beside = beside[_number_of(value)]
    except TypeError as error:
        raise ArgumentError(f"[result_type] {error}") from None
    found: Dtype = beside[_ITSELF]
    return found


def can_cast(from_: array | Dtype, to: Dtype) -> bool:
    """Whether type promotion converts one dtype to another.

    Args:
      from_: a dtype, or an array with that dtype.
      to: a dtype.

    Returns:
      True if it does.
    """
    if type(to) is not Dtype:
        of(to, "to")
    try:
        return _CASTS[_number_of(from_)][to.number]
    except TypeError as error:
        raise ArgumentError(f"[can_cast] {error}") from None


def _casts(a: Dtype, b: Dtype) -> bool:
    if (a.kind == "u" and b.kind == "i") or (a.kind in "bui" and b.kind in "fc"):
        return b.kind in "fc" or b.size > a.size
    return _promoted(a, b) is b


_CASTS = tuple(tuple(_casts(a, b) for b in DTYPES) for a in DTYPES)


# --- limits ---

# Digits of the significand, the first one included, and the largest exponent.
_FLOATS = {"float16": (11, 15), "float32": (24, 127), "float64": (53, 1023), "bfloat16": (8, 127)}


class _Limits:
    """Limits of a dtype. There is one object for each dtype, so that users cannot change it."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name}: the limits of a dtype cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name}: the limits of a dtype cannot be changed")

    @classmethod
    def _of(cls, **values: Any) -> Any:
        made = object.__new__(cls)
        for name, value in values.items():
            object.__setattr__(made, name, value)
        return made


class finfo(_Limits):
    """The limits of a floating-point dtype; for complex64 those of its parts.

    Args:
      arg: the dtype.

    Raises:
      ValueError: it is no floating-point or complex dtype.
    """

    __module__ = "mlxffi.core"
    __slots__ = ("bits", "dtype", "eps", "max", "min", "smallest_normal")
    bits: int
    dtype: Dtype
    eps: float
    max: float
    min: float
    smallest_normal: float

    def __new__(cls, arg: Dtype, /) -> Any:
        found = _FINFO[arg.number if type(arg) is Dtype else of(arg, "arg").number]
        if found is None:
            raise ArgumentError(f"[finfo] dtype {arg.name} is not inexact.")
        return found if cls is finfo else cls._made(found.dtype)

    @classmethod
    def _made(cls, dtype: Dtype) -> Any:
        digits, exponent = _FLOATS[dtype.name]
        eps = 2.0 ** (1 - digits)
        most = (2 - eps) * 2.0**exponent
        least = 2.0 ** (1 - exponent)
        return cls._of(dtype=dtype, bits=8 * dtype.size, eps=eps, max=most, min=-most, smallest_normal=least)

    def __repr__(self) -> str:
        return f"finfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype.name})"


class iinfo(_Limits):
    """The limits of an integer dtype.

    Args:
      arg: the dtype.

    Raises:
      ValueError: it is no integer dtype.
    """

    __module__ = "mlxffi.core"
    __slots__ = ("dtype", "max", "min")
    dtype: Dtype
    max: int
    min: int

    def __new__(cls, arg: Dtype, /) -> Any:
        found = _IINFO[arg.number if type(arg) is Dtype else of(arg, "arg").number]
        if found is None:
            raise ArgumentError(f"[iinfo] Only integer types supported but {arg.name} was provided")
        return found if cls is iinfo else cls._made(found.dtype)

    @classmethod
    def _made(cls, dtype: Dtype) -> Any:
        bits = 8 * dtype.size - (dtype.kind == "i")
        return cls._of(dtype=dtype, max=2**bits - 1, min=-(2**bits) if dtype.kind == "i" else 0)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype.name})"


# By the numbers of dtypes.
_FINFO = tuple(
    finfo._made(float32 if dtype.kind == "c" else dtype) if dtype.kind in "fc" else None for dtype in DTYPES
)
_IINFO = tuple(iinfo._made(dtype) if dtype.kind in "iu" else None for dtype in DTYPES)
