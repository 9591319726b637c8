"""The table: scripts/api/*.toml read into plain records.

One file describes one header (`ops_*.toml` together describe ops.h, in the order of their names). A `[[function]]` row
has

  c         the C prototype
  cpp       the C++ expression that computes the result, over the C parameter names; left out where it is the call
            `<namespace>::<name>(<inputs>)`, a bare name where only the C++ name differs, `@hand` where the
            function is written by hand, `@new`, `@free`, `@set` for the three life-cycle forms of a handle
  nullable  names of the parameters that may be empty
  added     true for what MLX has and mlx-c's list lacks
  value     true where an int result is a value and no status
  waits     true for what evaluates or waits, in a header whose other functions (`glue` is "graph") do neither
  evaluates true for what may evaluate: its C++ stands in `evaluating` (see guards.h)
  nothing   true where a status of 2 says that there is nothing, which is no error
  runs      true for what calls functions of the program before it returns
  thread    `caller` where the call is about what belongs to the calling thread; it goes before what `waits` says
  guard     a macro without which the header does not declare the function
  defaults  Python defaults of parameters, where they are not those of scripts/generator/emit_ops.py
  alias     another name that the flat layer has for it
  core      the signature of mlx.core's function that is this call (see emit_core.py)
  composed  true where that makes more than one call of its arguments: the row of C is in native/python/ops
  python    its description there, where that of C does not do: a sentence, and lines `name: text` about arguments
            and about what it `returns`
  doc       what it computes; errors: what makes it fail
  returns   what Python gets, where no sentence of `doc` tells that of the result
  source    who published the formula, for mlxffi.core's docstring

A file's `also` names, by Python module, what the header's generated module takes from a handwritten one; its `glue`
says which half of the cffi glue its functions stand in (see emit_cffi.py), where they do.

checks.py compares the rows with their prototypes and with each other.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLE = Path(__file__).resolve().parent.parent / "api"

# mlx.h includes the headers in this order; a header comes after those whose types it uses.
HEADERS = (
    "half", "string", "optional", "array", "vector", "map", "device", "stream", "closure", "compile", "transforms",
    "transforms_impl", "ops", "fast", "fft", "linalg", "random", "io_types", "io", "export", "graph_utils",
    "distributed_group", "distributed", "memory", "metal", "cuda", "error", "version",
)  # fmt: skip

# The C++ namespace in which a header's functions live where the table names none.
NAMESPACES = {
    "fast": "fast::",
    "fft": "fft::",
    "linalg": "linalg::",
    "random": "random::",
    "distributed": "distributed::",
}

# What a function's row may have beside its prototype and description.
KEYS = {
    "cpp", "nullable", "added", "value", "waits", "evaluates", "guard", "nothing", "runs", "thread", "defaults",
    "alias", "core", "composed", "python", "doc", "errors", "returns", "source",
}  # fmt: skip


@dataclass(frozen=True)
class Param:
    """One C parameter: its type as written without the name, and the name."""

    type: str
    name: str
    text: str

    @property
    def is_writable(self) -> bool:
        """Whether it points to one value that C may write."""
        return bool(re.fullmatch(r"(const char|char|void) \*\*|\w+ \*", self.type))

    @property
    def result(self) -> str:
        """The type of what C writes through it; "" where that is nothing."""
        return self.type[:-1].rstrip() if self.is_writable else ""

    @property
    def is_input(self) -> bool:
        """Whether a caller gives it for its own sake, and not as the length of the one before it."""
        return not self.is_writable and not (self.name.endswith("_num") and self.type == "size_t")


@dataclass(frozen=True)
class Type:
    """One C type definition."""

    c: str
    name: str
    doc: str
    cxx: str = ""

    @property
    def is_handle(self) -> bool:
        return bool(re.fullmatch(r"typedef struct \w+ \{ void \*ctx; \} \w+", self.c))


@dataclass(frozen=True)
class Function:
    """One C function with what the outputs need to know about it."""

    c: str
    name: str
    returns: str
    params: tuple[Param, ...]
    header: str
    part: str
    cpp: str = ""
    nullable: frozenset[str] = frozenset()
    added: bool = False
    value: bool = False
    waits: bool = False
    evaluates: bool = False
    guard: str = ""
    nothing: bool = False
    runs: bool = False
    thread: str = ""
    defaults: dict[str, str] = field(default_factory=dict, hash=False)
    alias: str = ""
    core: str = ""
    composed: bool = False
    python: str = ""
    doc: str = ""
    errors: str = ""
    returns_what: str = ""
    source: str = ""

    @property
    def by_hand(self) -> bool:
        return self.cpp == "@hand"

    @property
    def is_unary(self) -> bool:
        """Whether it makes an array of one array, on a stream."""
        types = [param.type for param in self.params]
        return types == ["mlx_array *", "const mlx_array", "const mlx_stream"] and not self.nullable


@dataclass
class Header:
    """One C header, in the order in which it is written."""

    name: str
    about: str = ""
    raw: str = ""
    glue: str = ""
    also: dict[str, list[str]] = field(default_factory=dict)
    types: list[Type] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)


class TableError(SystemExit):
    """A row that says what cannot be: the message names the row and its file."""

    def __init__(self, part: str, row: str, wrong: str):
        super().__init__(f"{part}.toml: {row}: {wrong}")


def load(folder: Path = TABLE, names: tuple[str, ...] = HEADERS) -> list[Header]:
    """Read the tables of some headers, in the order of mlx.h."""
    return [_header(folder, name) for name in names]


@cache
def parameters() -> dict[str, str]:
    """What docstrings say of parameters, by the keys that parameters.toml explains."""
    texts = tomllib.loads((TABLE / "parameters.toml").read_text(encoding="utf-8"))
    return {key: text for keys, text in texts.items() for key in keys.split(",")}


def addition(row: dict[str, Any], header: str) -> Function:
    """A function of a header in include/mlxffi."""
    return _function(row, "ours", header)


def functions(headers: list[Header]) -> list[Function]:
    """All functions of all headers, in order."""
    return [function for header in headers for function in header.functions]


def handles(headers: list[Header]) -> set[str]:
    """The names of the handle types of all headers."""
    return {type_.name for header in headers for type_ in header.types if type_.is_handle}


def _header(folder: Path, name: str) -> Header:
    header = Header(name)
    for path in sorted(folder.glob(f"{name}.toml")) or sorted(folder.glob(f"{name}_[0-9]*.toml")):
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        header.about = data.get("about", header.about)
        header.raw += data.get("raw", "")
        header.glue = data.get("glue", header.glue)
        header.also |= data.get("also", {})
        header.types += [_type(row, path.stem) for row in data.get("type", [])]
        header.functions += [_function(row, name, path.stem) for row in data.get("function", [])]
    if not (header.types or header.functions or header.raw):
        raise SystemExit(f"{folder} has no table for {name}.h")
    return header


def _type(row: dict[str, Any], part: str) -> Type:
    _require_keys(row, part, {"c", "doc"}, {"cxx", "added"})
    declared = re.search(r"(\w+)$", row["c"]) or re.search(r"\(\*(\w+)\)", row["c"])
    if not declared:
        raise TableError(part, row["c"], "is no type definition in C")
    return Type(row["c"], declared[1], row["doc"], row.get("cxx", ""))


def _function(row: dict[str, Any], header: str, part: str) -> Function:
    _require_keys(row, part, {"c"}, KEYS)
    found = re.fullmatch(r"(.*?)(\w+)\((.*)\)", row["c"])
    if not found:
        raise TableError(part, row["c"], "is no prototype in C")
    params = () if found[3] == "void" else tuple(_param(text, part, found[2]) for text in _split(found[3]))
    rest = {key: value for key, value in row.items() if key not in ("c", "nullable", "returns")}
    rest["returns_what"] = row.get("returns", "")
    nullable = frozenset(row.get("nullable", ()))
    return Function(row["c"], found[2], found[1].strip(), params, header, part, nullable=nullable, **rest)


def _require_keys(row: dict[str, Any], part: str, needed: set[str], allowed: set[str]) -> None:
    unknown, missing = sorted(row.keys() - needed - allowed), sorted(needed - row.keys())
    if unknown or missing:
        wrong = f"has no place for {unknown}" if unknown else f"lacks {missing}"
        raise TableError(part, row.get("c", "a row"), wrong)


def _split(text: str) -> list[str]:
    """Split a parameter list at the commas that are not inside parentheses."""
    parts, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def _param(text: str, part: str, function: str) -> Param:
    found = re.search(r"\(\*(\w+)\)", text) or re.search(r"(\w+)$", text)
    if text == "...":
        return Param("...", "", text)
    if not found:
        raise TableError(part, function, f"{text!r} is no parameter in C")
    return Param((text[: found.start(1)] + text[found.end(1) :]).strip(), found[1], text)
