"""Arguments that C functions take in one form, and Python's in several: ints, one or more of them, and arrays."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._binding import native

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from ._array import array


def require_array(value: Any, name: str) -> array:
    """The array itself.

    Raises:
      TypeError: it is something else.
    """
    if isinstance(value, native.ArrayOwner):
        return value  # type: ignore[return-value]
    raise TypeError(f"{name}: expected an array, got {type(value).__name__}")


def many(value: Any) -> TypeIs[Sequence[int]]:
    """Whether a value is a sequence of ints, and not one int."""
    if isinstance(value, (list, tuple)):
        return True
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes)) and getattr(value, "ndim", 1) > 0


def spread(value: Any, count: int, name: str) -> Any:
    """As many ints as there are axes; one stands for all."""
    if not many(value):
        return (operator.index(value),) * count
    if len(value) != count:
        raise TypeError(f"{name}: expected an int or {count} of them, got {value!r}")
    return [operator.index(item) for item in value]


def sizes(values: Any) -> Sequence[int]:
    """A sequence of ints as a list."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__getitem__") or not hasattr(values, "__len__"):
        raise TypeError(f"expected a sequence of ints, got {values!r}")
    return [operator.index(value) for value in values]


def integers(value: Any) -> Sequence[int]:
    """A sequence of ints, which C reads; one int stands for a list of it."""
    return value if many(value) else [operator.index(value)]
