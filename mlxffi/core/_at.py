"""`array.at[...]`: updates of parts, in which a position counts as often as it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._errors import ArgumentError
from . import _indexing
from ._binding import native, operation

if TYPE_CHECKING:
    from ._array import array

UNSET = object()


class ArrayAt(native.PartOwner):
    """A part of an array that is to be updated; each method gives a new array."""

    __slots__ = ()
    __module__ = "mlxffi.core"

    def __init__(self) -> None:
        raise TypeError("ArrayAt: no constructor defined; use array.at")

    @operation("at item")
    def __getitem__(self, indices: Any) -> ArrayAt:
        """The part at an index."""
        return of(self._array, indices)

    def _updated(self, value: Any, how: str) -> array:
        key = getattr(self, "_key", UNSET)
        if key is UNSET:
            raise ArgumentError("Must give indices to array.at (e.g. `x.at[0].add(4)`).")
        return _indexing.put(self._array, key, value, how)

    @operation("at add")
    def add(self, value: Any) -> array:
        """With values added to the part."""
        return self._updated(value, "add")

    @operation("at subtract")
    def subtract(self, value: Any) -> array:
        """With values taken from the part."""
        return self._updated(value, "subtract")

    @operation("at multiply")
    def multiply(self, value: Any) -> array:
        """With the part multiplied by values."""
        return self._updated(value, "multiply")

    @operation("at divide")
    def divide(self, value: Any) -> array:
        """With the part divided by values."""
        return self._updated(value, "divide")

    @operation("at maximum")
    def maximum(self, value: Any) -> array:
        """With values where they are greater than the part."""
        return self._updated(value, "maximum")

    @operation("at minimum")
    def minimum(self, value: Any) -> array:
        """With values where they are less than the part."""
        return self._updated(value, "minimum")


def of(array: array, key: Any = UNSET) -> ArrayAt:
    """The part of an array at an index."""
    made = ArrayAt.__new__(ArrayAt)
    made._array = array
    if key is not UNSET:
        made._key = key
    return made
