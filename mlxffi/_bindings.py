"""What the bindings that are loaded tell: the classes of their arrays, and how many objects of Python C has of them."""

from __future__ import annotations

from collections.abc import Callable

# Of objects that share their values as a handle, by `_mlxffi_share`.
array_classes: tuple[type, ...] = ()
# Counting lets go of what C has dropped; what else is counted is counted afterwards.
counters: list[Callable[[], int]] = []


def shares(value: object) -> bool:
    """Whether a value is an array of a binding that is loaded."""
    return isinstance(value, array_classes)


def count() -> int:
    """How many objects of Python C refers to."""
    return sum(counter() for counter in counters)
