"""`array.at[...]`: updates of parts, in which a position counts as often as it is given."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Callable

from ._binding import methods, native, signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._array import array


def _update(name: str, does: str, repeats: str = "") -> Callable[[Any, Any], array]:
    """A method that gives a new array."""

    def update(self: Any, value: Any) -> array: ...

    update.__name__, update.__qualname__ = name, f"ArrayAt.{name}"
    update.__doc__ = f"""{does}

        Args:
          value: a scalar or array that broadcasts to the part's shape.

        Returns:
          A new array{repeats and f"; for indices that occur twice, {repeats}"}.
        """
    return signature(f"at {name}")(update)


@methods
class ArrayAt(native.PartOwner):
    """A part of an array that is to be updated; each method gives a new array."""

    __slots__ = ()
    __module__ = "mlxffi.core"

    def __init__(self) -> None:
        raise TypeError("ArrayAt: no constructor defined; use array.at")

    @signature("at item")
    def __getitem__(self, indices: Any) -> ArrayAt:
        """The part at an index."""

    add = _update("add", "With values added to the part.", "both values are added")
    subtract = _update("subtract", "With values taken from the part.", "both values are subtracted")
    multiply = _update("multiply", "With the part multiplied by values.", "by both values")
    divide = _update("divide", "With the part divided by values.", "by both values")
    maximum = _update("maximum", "With values where they are greater than the part.")
    minimum = _update("minimum", "With values where they are less than the part.")
