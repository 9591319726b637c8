"""`array.at[...]`: updates of parts, in which a position counts as often as it is given."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from ._binding import native, signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._array import array


class ArrayAt(native.PartOwner):
    """A part of an array that is to be updated; each method gives a new array."""

    __slots__ = ()
    __module__ = "mlxffi.core"

    def __init__(self) -> None:
        raise TypeError("ArrayAt: no constructor defined; use array.at")

    @signature("at item")
    def __getitem__(self, indices: Any) -> ArrayAt:
        """The part at an index."""

    @signature("at add")
    def add(self, value: Any) -> array:
        """With values added to the part.

        Args:
          value: a scalar or array that broadcasts to the part's shape.

        Returns:
          A new array; indices that occur twice are added twice.
        """

    @signature("at subtract")
    def subtract(self, value: Any) -> array:
        """With values taken from the part.

        Args:
          value: a scalar or array that broadcasts to the part's shape.

        Returns:
          A new array; for indices that occur twice, both values are subtracted.
        """

    @signature("at multiply")
    def multiply(self, value: Any) -> array:
        """With the part multiplied by values.

        Args:
          value: a scalar or array that broadcasts to the part's shape.

        Returns:
          A new array; for indices that occur twice, by both values.
        """

    @signature("at divide")
    def divide(self, value: Any) -> array:
        """With the part divided by values.

        Args:
          value: a scalar or array that broadcasts to the part's shape.

        Returns:
          A new array; for indices that occur twice, by both values.
        """

    @signature("at maximum")
    def maximum(self, value: Any) -> array:
        """With values where they are greater than the part.

        Args:
          value: a scalar or array that broadcasts to the part's shape.

        Returns:
          A new array.
        """

    @signature("at minimum")
    def minimum(self, value: Any) -> array:
        """With values where they are less than the part.

        Args:
          value: a scalar or array that broadcasts to the part's shape.

        Returns:
          A new array.
        """
