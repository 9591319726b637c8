"""Arguments as data: what a call gets, before it becomes C values.

A number, a bool and a string stand for themselves; a tuple stands for a vector or map handle over its elements; NULL
stands for an empty handle or a NULL pointer; a name such as "square" stands for a closure of that name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Null(Enum):
    """Its one member is NULL."""

    NULL = "NULL"

    def __repr__(self) -> str:
        return "NULL"


NULL = Null.NULL


@dataclass(frozen=True)
class Forged:
    """A handle that is none: a number in the place of an address; without one, what a handle of another kind holds."""

    number: int | None = None


@dataclass(frozen=True)
class Array:
    """An array: `fill` is "count" (1 2 3 4 5 1 2 ...), "zero" or "eye", `layout` "row", "column" or "broadcast"."""

    shape: tuple[int, ...] = (4, 4)
    dtype: str = "float32"
    fill: str = "count"
    layout: str = "row"

    def __repr__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


@dataclass(frozen=True)
class Items:
    """A pointer and a length; `length` where it is not that of the values, `null` for a NULL pointer."""

    values: tuple[Any, ...]
    length: int | None = None
    null: bool = False

    def __repr__(self) -> str:
        pointer = "NULL" if self.null else list(self.values)
        return f"{pointer}" if self.length is None else f"{pointer} of length {self.length}"


@dataclass(frozen=True)
class Optional:
    """One of the mlx_optional_* structs."""

    value: Any = None

    def __repr__(self) -> str:
        return f"optional({'' if self.value is None else self.value})"


@dataclass(frozen=True)
class VTable:
    """An mlx_io_vtable over `content`, without the functions in `missing`."""

    content: str = "npy"
    missing: str = ""


@dataclass(frozen=True)
class Case:
    """One call of one function: what is wrong with which parameter, and all arguments by name."""

    function: str
    parameter: str
    flaw: str
    arguments: dict[str, Any] = field(hash=False)
    variant: int = 0

    @property
    def name(self) -> str:
        variant = f"#{self.variant}" if self.variant else ""
        return f"{self.function}{variant}({self.parameter}: {self.flaw})"
