"""Which objects share their values as a handle, by `_mlxffi_share`: arrays of either binding alone."""

from __future__ import annotations

classes: list[type] = []


def shares(value: object) -> bool:
    """Whether a value is an array of a binding that is loaded."""
    return isinstance(value, tuple(classes))
