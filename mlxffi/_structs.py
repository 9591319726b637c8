"""C structs of Python values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._arguments import handle_of, maybe, text
from ._ffi import ffi

ARRAY = ffi.typeof("mlx_array")


class Struct:
    """A C struct, which lives as long as this object, with the arrays and strings that it points to.

    Args:
      kind: its name in C.
      values: by the names of its fields: arrays (None: none), strings, numbers, and for structs in it objects with
        such attributes. Fields that are left out are empty.
    """

    def __init__(self, kind: str, values: Mapping[str, Any]):
        self._kept: list[Any] = []
        self._struct = ffi.new(f"{kind} *", self._fields(ffi.typeof(kind), values))
        self.address = int(ffi.cast("intptr_t", self._struct))

    def _fields(self, kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        kinds = {name: field.type for name, field in kind.fields}
        return {name: self._field(kinds[name], name, value) for name, value in values.items()}

    def _field(self, kind: Any, name: str, value: Any) -> Any:
        if kind == ARRAY:
            array = maybe(value)
            self._kept.append(array)
            return [ffi.cast("void *", handle_of(array))]
        if kind.kind == "struct":
            return self._fields(kind, vars(value))
        if kind.kind == "pointer":
            self._kept.append(ffi.new("char[]", text(value, name)))
            return self._kept[-1]
        return value
