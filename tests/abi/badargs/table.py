"""The functions of the C ABI and the roles of their parameters, from the table that the headers are made from."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts"))

from generator import table  # noqa: E402

LISTS = re.compile(r"const (int|int64_t|uint64_t|mlx_array|mlx_vector_array) \*|const char \*\*|int \*|const char \*")
LENGTHS = ("size", "dim")


@dataclass(frozen=True)
class Parameter:
    """One C parameter: `role` is out, list, length, handle, string, pointer, function, enum, optional or number."""

    name: str
    type: str
    role: str
    nullable: bool


@dataclass(frozen=True)
class Function:
    """One C function of the table."""

    name: str
    part: str
    returns: str
    value: bool
    doc: str
    errors: str
    parameters: tuple[Parameter, ...]

    @property
    def has_status(self) -> bool:
        return self.returns == "int" and not self.value


@lru_cache
def functions() -> dict[str, Function]:
    """Every function by name: those of the table, and those of include/mlxffi that take a handle."""
    rows = table.functions(table.load())
    return {function.name: _function(function) for function in [*rows, *_additions()]}


def _additions() -> list[table.Function]:
    text = (ROOT / "include/mlxffi/array.h").read_text()
    return [table._function({"c": row}, "mlxffi", "mlxffi") for row in re.findall(r"^(int \w+\(.*\));$", text, re.M)]


def _function(row: table.Function) -> Function:
    parameters = tuple(
        Parameter(
            param.name,
            re.sub(r"^const (?=mlx_\w+$)", "", param.type),
            _role(row.params, index),
            param.name in row.nullable,
        )
        for index, param in enumerate(row.params)
        if param.type != "..."
    )
    return Function(row.name, row.part, row.returns, row.value, row.doc, row.errors, parameters)


def _role(params: tuple[table.Param, ...], index: int) -> str:
    param, text = params[index], params[index].type
    following = params[index + 1].name if index + 1 < len(params) else ""
    if index and params[index - 1].name in (param.name.removesuffix("_num"), param.name.removesuffix("_size")):
        return "length"
    if index and param.name in LENGTHS and LISTS.fullmatch(params[index - 1].type):
        return "length"
    if LISTS.fullmatch(text) and following in (f"{param.name}_num", f"{param.name}_size", *LENGTHS):
        return "list"
    if "(*" in text or text == "mlx_error_handler_func":
        return "function"
    if re.fullmatch(r"const void \*|void \*|FILE \*", text):
        return "pointer"
    if text == "const char *":
        return "string"
    if text.endswith("*"):
        return "out"
    return _role_of_value(text.removeprefix("const "))


def _role_of_value(text: str) -> str:
    if text in ("mlx_dtype", "mlx_fft_norm", "mlx_compile_mode", "mlx_device_type", "mlx_fast_math_mode"):
        return "enum"
    if text.startswith("mlx_optional"):
        return "optional"
    if text == "mlx_io_vtable":
        return "vtable"
    return "handle" if text.startswith("mlx_") else "number"
