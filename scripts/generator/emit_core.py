"""The regular functions of mlxffi.core: mlxffi/core/generated/*.py.

A row's `core` is the signature of mlx.core's function as its stub has it, without types:

  matmul(a, b, /, *, stream=None)
  add(a: like, b: like, stream=None)
  divmod(a: like, b: like, stream=None) -> list

`like` marks what may be a Python number or another library's array, `absent` an array that may be None, `ints` what may
be one int or several; the other conversions follow from the C types. A Python parameter stands for the C parameter of
its name, the others for the others in their order. An `axis` that the row lacks chooses among the rows with the
suffixes `_axis` and `_axes`, and a parameter whose C names are numbered (`stride_0`, `stride_1`) is one int or as many.
"""

from __future__ import annotations

import ast
import copy
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from .table import Function, Header, Param, functions

WIDTH = 120
MODULES = ("ops", "linalg", "fast", "fft", "random", "distributed", "device", "memory", "metal", "cuda")
NUMBERS = {"int": "int", "size_t": "int", "uint64_t": "int", "bool": "bool", "float": "float", "double": "float"}
OPTIONALS = {"mlx_optional_int": "int", "mlx_optional_float": "float"}
OBJECTS = {
    "const mlx_distributed_group": "Group", "mlx_device": "Device | DeviceType", "mlx_device_type": "DeviceType"
}  # fmt: skip
# By C type of a parameter through which a result comes: what Python gets.
OUTS = {
    "mlx_array *": "array", "mlx_vector_array *": "array", "size_t *": "int", "int *": "int", "bool *": "bool",
    "mlx_device *": "Device",
}  # fmt: skip
LISTS = ("const int *", "const int64_t *")
TYPES = {
    "_arguments": ("ArrayLike",), "_array": ("array",), "_device": ("Device", "DeviceType", "StreamOrDevice"),
    "_dtype": ("Dtype",), "distributed": ("Group",),
}  # fmt: skip
FROM = {"_binding": ("abi", "operation"), "_dtype": ("bfloat16", "float32"), "_marshal": ("many", "spread")}


@dataclass
class Given:
    """A parameter of the Python function: its name, mark and default (None where it has none)."""

    name: str
    mark: str
    default: str | None

    @property
    def optional(self) -> bool:
        return self.default == "None" or self.mark == "absent"


def render_all(headers: list[Header], banner: str) -> dict[str, str]:
    """The text of every generated module of mlxffi.core, by file name."""
    rows = {function.name: function for function in functions(headers)}
    texts = {"__init__.py": f'"""The regular functions of mlxffi.core.\n\n{banner}\n"""\n'}
    for name in MODULES:
        made = [CoreFunction(row, rows) for row in rows.values() if row.core and row.header == name]
        texts[f"{name}.py"] = _module(name, made, banner)
    return texts


def _module(name: str, made: list[CoreFunction], banner: str) -> str:
    body = "\n\n\n".join(function.text() for function in made)
    about = f'"""The regular functions of mlxffi.core over mlx/c/{name}.h.\n\n{banner}\n"""'
    return f"{about}\n\nfrom __future__ import annotations\n\n{_imports(body)}\n\n{_all(made)}\n\n\n{body}\n"


def _all(made: list[CoreFunction]) -> str:
    ordered = sorted((function.name for function in made), key=_natural)
    names = textwrap.fill(", ".join(f'"{name}"' for name in ordered), WIDTH - 8)
    return f"__all__ = [\n{textwrap.indent(names, '    ')},\n]  # fmt: skip"


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers in a name count as such."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", name)]


def _imports(body: str) -> str:
    code = re.sub(r'""".*?"""', "", body, flags=re.DOTALL)
    typing = "\n".join(f"    {line}" for line in _imported(TYPES, code))
    first = "from collections.abc import Sequence\n" if "Sequence[" in code else ""
    checked = f"\n\nif TYPE_CHECKING:\n{typing}" if typing else ""
    return f"{first}from typing import TYPE_CHECKING\n\n" * bool(typing) + "\n".join(_imported(FROM, code)) + checked


def _imported(names: Mapping[str, tuple[str, ...]], code: str) -> list[str]:
    """Lines that import those of the names that are in the code."""
    lines = []
    for module, candidates in names.items():
        found = [name for name in candidates if re.search(rf"(?<![\w.\"]){name}\b", code)]
        lines += [f"from ..{module} import {', '.join(found)}"] if found else []
    return lines


class CoreFunction:
    """One function: its signature, how each argument is converted, and the calls it chooses from."""

    def __init__(self, row: Function, rows: dict[str, Function]):
        self.row = row
        parsed = ast.parse(f"def {row.core}: ...").body[0]
        assert isinstance(parsed, ast.FunctionDef)
        self.name, self.arguments = parsed.name, parsed.args
        self.result = ast.unparse(parsed.returns) if parsed.returns else ""
        self.given = _given(parsed.args)
        self.variants = [row]
        if "axis" in self.given and "axis" not in [param.name for param in row.params]:
            self.variants += [rows[row.name + end] for end in ("_axis", "_axes") if row.name + end in rows]
        self.kinds: dict[str, str] = {}
        self.before: list[str] = []

    def text(self) -> str:
        calls = self._calls()
        lines = [*self.before, *calls]
        doc = textwrap.wrap(f'"""{_sentence(self.row.doc)}"""', WIDTH - 4, break_long_words=False)
        decorator = f'@operation("{self.row.name.removeprefix("mlx_")}")'
        return "\n".join([decorator, self._head(), *("    " + line for line in [*doc, *lines])])

    # --- the signature ---

    def _head(self) -> str:
        arguments = copy.deepcopy(self.arguments)
        for arg in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            arg.annotation = ast.parse(self._annotation(arg.arg), mode="eval").body
        results = [OUTS[out.type] for out in _outs(self.row)]
        returns = self.result or (f"tuple[{', '.join(results)}]" if len(results) > 1 else "".join(results) or "None")
        returns = {"list": "list[array]", "tuple": "tuple[array, ...]"}.get(returns, returns)
        inside = re.sub(r"(?<! )=(?! )", " = ", ast.unparse(arguments))
        line = f"def {self.name}({inside}) -> {returns}:"
        if len(line) <= WIDTH:
            return line
        parts = re.split(r", (?![^\[]*\])", inside)
        return f"def {self.name}(\n    " + ",\n    ".join(parts) + f",\n) -> {returns}:"

    def _annotation(self, name: str) -> str:
        if name == "stream":
            return "StreamOrDevice"
        kind = self.kinds.get(name, "int")
        optional = self.given[name].optional and "None" not in kind
        return f"{kind} | None" if optional else kind

    # --- the body ---

    def _calls(self) -> list[str]:
        base, *others = (self._returning(row) for row in self.variants)
        if not others:
            return [base]
        lines = ["if axis is None:", f"    {base}"]
        if len(others) == 2:
            lines += ["if many(axis):", f"    {others[1]}"]
            self.kinds["axis"] = "int | Sequence[int] | None"
        else:
            self.kinds["axis"] = "int | None"
        return [*lines, others[0]]

    def _returning(self, row: Function) -> str:
        arguments = ", ".join(self._arguments(row))
        name = f"abi.{row.name.removeprefix('mlx_')}"
        if not _outs(row):
            return f"{name}({arguments})"
        line = f"return tuple({name}({arguments}))" if self.result == "tuple" else f"return {name}({arguments})"
        if len(line) <= WIDTH - 8:
            return line
        wrapped = textwrap.wrap(arguments, WIDTH - 8, break_long_words=False)
        return "\n        ".join([f"return {name}(", *wrapped]) + "\n    )"

    def _arguments(self, row: Function) -> list[str]:
        params = [param for param in row.params if param not in _outs(row)]
        params = [param for param in params if not (param.name.endswith("_num") and param.type == "size_t")]
        numbered = self.numbered(params)
        names = self.names(params, numbered)
        arguments: list[str] = []
        for param in params:
            name = numbered[param.name]
            if param.type == "const mlx_stream":
                arguments.append("stream")
            elif name not in self.given or name == param.name:
                arguments.append(self._one(names[param.name], param))
            elif param.name.endswith("_0"):
                self.kinds[name] = "int | Sequence[int]"
                parts = [other.name for other in params if numbered[other.name] == name]
                self.before.append(f'{", ".join(parts)} = spread({name}, {len(parts)}, "{name}")')
                arguments += parts
        return arguments

    def numbered(self, params: list[Param]) -> dict[str, str]:
        """The names of C parameters without their numbers."""
        return {param.name: re.sub(r"_\d$", "", param.name) for param in params}

    def names(self, params: list[Param], numbered: dict[str, str]) -> dict[str, str]:
        """The Python name of each C parameter that is not the stream or a length."""
        wanted = [param.name for param in params if param.type != "const mlx_stream"]
        wanted = [name for name in wanted if not name.endswith("_num") and numbered[name] not in self.given]
        spread = {numbered[param.name] for param in params}
        free = [name for name in self.given if name not in spread and name != "stream"]
        names = {param.name: param.name for param in params} | dict(zip(wanted, free, strict=False))
        if "axis" in self.given and "axes" in names:
            names["axes"] = "axis"
        return names

    def _one(self, name: str, param: Param) -> str:
        given, kind = self.given[name], param.type
        if kind == "const mlx_array":
            self.kinds[name] = "ArrayLike" if given.mark == "like" else "array"
        elif kind == "const mlx_vector_array":
            self.kinds[name] = "Sequence[array]"
        elif kind in LISTS:
            self.kinds[name] = "int | Sequence[int]" if given.mark == "ints" else "Sequence[int]"
        elif kind in OPTIONALS:
            self.kinds[name] = OPTIONALS[kind]
        elif kind in OBJECTS:
            self.kinds[name] = OBJECTS[kind]
        elif kind in ("mlx_dtype", "mlx_optional_dtype"):
            self.kinds[name] = "Dtype | None" if given.default else "Dtype"
            if kind == "mlx_dtype" and given.default not in (None, "None"):
                return f"{given.default} if {name} is None else {name}"
        else:
            self.kinds[name] = "str" if kind == "const char *" else NUMBERS[kind]
        return name


def _given(arguments: ast.arguments) -> dict[str, Given]:
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = [*zip(plain, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return {
        arg.arg: Given(
            arg.arg, ast.unparse(arg.annotation) if arg.annotation else "", ast.unparse(value) if value else None
        )
        for arg, value in pairs
    }


def _outs(row: Function) -> list[Param]:
    return [param for param in row.params if param.type in OUTS]


def _sentence(doc: str) -> str:
    """The first sentence of a description."""
    text = " ".join(doc.split()).replace("\\", "\\\\")
    first = re.split(r"(?<=[^.\s]\.)\s(?=[A-Z`])", text)[0]
    return re.sub(rf"\bmlx_(({'|'.join(MODULES)})_)?", "", first)
