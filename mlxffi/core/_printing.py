"""Arrays as text, and the options for that."""

from __future__ import annotations

import reprlib

from .._errors import ArgumentError
from ._binding import abi, native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._array import array

__all__ = ["PrintOptions", "_PrintOptionsContext", "get_printoptions", "printoptions", "set_printoptions"]

DEFAULT = -1


class PrintOptions:
    """How arrays are printed.

    Args:
      precision: digits after the point; -1: up to six digits altogether.
    """

    __module__ = "mlxffi.core"
    __slots__ = ("_precision",)

    def __init__(self, precision: int = DEFAULT):
        self.precision = precision

    @property
    def precision(self) -> int:
        """Digits after the point; -1: up to six digits altogether."""
        return self._precision

    @precision.setter
    def precision(self, arg: int, /) -> None:
        if not isinstance(arg, int):
            raise TypeError(f"precision: expected an int, got {type(arg).__name__}")
        self._precision = arg


# The precision that holds now, in all threads. The options that users get are copies.
_precision = DEFAULT
_new = object.__new__


def set_printoptions(precision: int = DEFAULT) -> None:
    """Choose how arrays are printed.

    Args:
      precision: digits after the point; -1: up to six digits altogether.
    """
    global _precision
    if type(precision) is not int:
        precision = PrintOptions(precision).precision
    _precision = precision


def get_printoptions() -> PrintOptions:
    """How arrays are printed."""
    made = _new(PrintOptions)
    made._precision = _precision
    return made


class _PrintOptionsContext:
    """A `with` block in which arrays are printed in another way."""

    __module__ = "mlxffi.core"
    __slots__ = ("_before", "_precision")
    _before: int
    _precision: int

    def __init__(self, arg: PrintOptions, /):
        if not isinstance(arg, PrintOptions):
            raise TypeError(f"expected PrintOptions, got {type(arg).__name__}")
        self._precision = arg.precision

    def __enter__(self) -> _PrintOptionsContext:
        global _precision
        self._before, _precision = _precision, self._precision
        return self

    def __exit__(self, *args: object) -> None:
        global _precision
        # Nothing changed before a block was entered.
        _precision = getattr(self, "_before", _precision)


def printoptions(precision: int = DEFAULT) -> _PrintOptionsContext:
    """A `with` block in which arrays are printed with another precision.

    Args:
      precision: digits after the decimal point.

    Returns:
      The context manager.
    """
    made = _new(_PrintOptionsContext)
    made._precision = precision if type(precision) is int else PrintOptions(precision).precision
    return made


# --- text ---


def describe(array: array) -> str:
    """An array as Python code, with the middle of long axes left out."""
    try:
        return abi.array_text(array, _precision)
    except ArgumentError:
        if array._is_empty:
            return "array(without a value)"
        raise


# --- reprlib, which takes every class that is called "array" for the standard library's ---

_standard = reprlib.Repr.repr_array


def _repr_array(self: reprlib.Repr, x: Any, level: int) -> str:
    if isinstance(x, native.ArrayOwner):
        return self.repr_instance(x, level)
    return _standard(self, x, level)


reprlib.Repr.repr_array = _repr_array  # type: ignore[method-assign]
