"""Arguments that are one int or several, which C functions take as one or the other."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any


def many(value: Any) -> bool:
    """Whether a value is a sequence of ints, and not one int."""
    if isinstance(value, (list, tuple)):
        return True
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes)) and getattr(value, "ndim", 1) > 0


def spread(value: Any, count: int, name: str) -> Sequence[int]:
    """As many ints as there are axes; one stands for all."""
    if not many(value):
        return (operator.index(value),) * count
    if len(value) != count:
        raise TypeError(f"{name}: expected an int or {count} of them, got {value!r}")
    return [operator.index(item) for item in value]
