"""What must be so before work begins: numbers in their range, and libraries that only a part of the tuner needs.

Each check gives the value back, or says why not.
`owner` is the class or function whose argument `name` is.
"""

from __future__ import annotations

import importlib
import reprlib
import sys
from collections.abc import Callable
from numbers import Real
from types import ModuleType
from typing import Any, NamedTuple

from .._errors import ArgumentError

LARGEST = sys.float_info.max


class NumberCheck(NamedTuple):
    """A check of a number, called with the class or function, the argument's name and its value; gives a float.

    Args:
      wanted: what is accepted, in words.
      accepts: whether a finite number is.
    """

    wanted: str
    accepts: Callable[[float], bool] = lambda value: True

    def __call__(self, owner: str, name: str, value: Any) -> float:
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not (is_number and -LARGEST <= value <= LARGEST and self.accepts(float(value))):
            raise ArgumentError(f"[{owner}] {name}: expected {self.wanted}, got {value!r}")
        return float(value)


finite = NumberCheck("a finite number")
non_negative = NumberCheck("a finite number of at least 0", lambda value: value >= 0)
non_positive = NumberCheck("a finite number of at most 0", lambda value: value <= 0)
positive = NumberCheck("a finite number above 0", lambda value: value > 0)
fraction = NumberCheck("a number of at least 0 and below 1", lambda value: 0 <= value < 1)
share = NumberCheck("a number above 0 and at most 1", lambda value: 0 < value <= 1)
unit = NumberCheck("a number from 0 to 1", lambda value: 0 <= value <= 1)


def count(owner: str, name: str, value: Any, least: int) -> int:
    """An int that is not below another.

    Args:
      owner: whose argument it is, for the message.
      name: of the argument.
      value: what came.
      least: the smallest that is accepted.

    Returns:
      The int.

    Raises:
      ValueError: the value is less, or no int; True and False are none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArgumentError(f"[{owner}] {name}: expected an int of at least {least}, got {value!r}")
    return value


def flag(owner: str, name: str, value: Any) -> bool:
    """True or False; see `count`."""
    if not isinstance(value, bool):
        raise ArgumentError(f"[{owner}] {name}: expected True or False, got {value!r}")
    return value


def pair(owner: str, name: str, value: Any, check: NumberCheck) -> tuple[float, float]:
    """Two numbers that a check accepts.

    Args:
      owner, name, value: as in `count`.
      check: such as `positive`.

    Returns:
      The numbers.

    Raises:
      ValueError: the value is no list or tuple of two, or the check refuses one.
    """
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ArgumentError(f"[{owner}] {name}: expected two numbers, got {value!r}")
    return check(owner, f"{name}[0]", value[0]), check(owner, f"{name}[1]", value[1])


# --- objects ---


def capable(owner: str, name: str, value: Any, *methods: str) -> None:
    """Raise ArgumentError unless a value is an object with some methods.

    Args:
      owner, name, value: as in `count`.
      methods: their names.

    Raises:
      ValueError: one is missing, or the value is a class.
    """
    if isinstance(value, type) or not all(callable(getattr(value, method, None)) for method in methods):
        raise ArgumentError(f"[{owner}] {name}: expected one with {' and '.join(methods)}, got {reprlib.repr(value)}")


def instance(owner: str, name: str, value: Any, kind: type) -> None:
    """Raise ArgumentError unless a value is of a class.

    Args:
      owner, name, value: as in `count`.
      kind: the class.

    Raises:
      ValueError: it is of another one.
    """
    if not isinstance(value, kind):
        raise ArgumentError(f"[{owner}] {name}: expected an instance of {kind.__name__}, got {reprlib.repr(value)}")


# --- libraries ---


class MissingLibraryError(ImportError):
    """A library of an extra is not installed."""


def required(name: str, extra: str) -> ModuleType:
    """An optional module.

    Args:
      name: of the module.
      extra: of mlxffi that brings it.

    Returns:
      The imported module.

    Raises:
      MissingLibraryError: it is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or name.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingLibraryError(f"this needs {name}, which is not installed: pip install 'mlxffi[{extra}]'") from None
