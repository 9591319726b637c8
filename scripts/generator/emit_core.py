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
from dataclasses import dataclass

from .table import Function, Header, Param, functions

WIDTH = 120
MODULES = ("ops", "linalg", "fast")
NUMBERS = {"int": "int", "size_t": "int", "uint64_t": "int", "bool": "bool", "float": "float", "double": "float"}
OPTIONALS = {"mlx_optional_int": ("int", "0"), "mlx_optional_float": ("float", "0.0")}
LISTS = ("const int *", "const int64_t *")
# Bodies rebind their parameters to what they are converted to, which a type checker cannot follow.
MYPY = '# mypy: disable-error-code="union-attr, assignment, arg-type, no-any-return, misc"'
CHECKS = "array_list dtype_number integers many misfit require_array sizes spread take_list take_tuple take_two"
FROM = {
    "_arguments": ("text",),
    "_ffi": ("graph",),
    "core._arguments": ("as_array", "as_pair", "operation"),
    "core._checks": tuple(CHECKS.split()),
    "core._device": ("stream_handle",),
    "core._dtype": ("bfloat16", "float32"),
}


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
    about = f'"""The regular functions of mlxffi.core over mlx/c/{name}.h.\n\n{banner}\n"""\n\n{MYPY}'
    return f"{about}\n\nfrom __future__ import annotations\n\n{_imports(body)}\n\n{body}\n"


def _imports(body: str) -> str:
    found: dict[str, set[str]] = {}
    for module, names in FROM.items():
        found[module] = {name for name in names if re.search(rf"(?<![\w.]){name}\b", body)}
    lines = ["from collections.abc import Sequence", "from typing import TYPE_CHECKING", ""]
    for module in sorted(module for module in found if not module.startswith("core.") and found[module]):
        lines.append(f"from ...{module} import {', '.join(sorted(found[module]))}")
    found["core._array"] = {"array as array_class"}
    for module in sorted(module for module in found if module.startswith("core.") and found[module]):
        lines.append(_import(f"..{module.removeprefix('core.')}", sorted(found[module])))
    lines += ["", "if TYPE_CHECKING:", "    from .._array import array", "    from .._checks import ArrayLike"]
    lines += ["    from .._device import StreamOrDevice", "    from .._dtype import Dtype"]
    text = "\n".join(lines) + "\n\nown = array_class._own\n"
    for name in ("Sequence", "ArrayLike", "Dtype"):
        if not re.search(rf"\b{name}\b", body):
            text = re.sub(rf"^.* import {name}\n", "", text, flags=re.M)
    return text


def _import(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    return line if len(line) <= WIDTH else f"from {module} import (\n" + "".join(f"    {n},\n" for n in names) + ")"


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
        self.whole = any(param.type == "int" for row in self.variants for param in row.params)
        self.kinds: dict[str, str] = {}

    def text(self) -> str:
        calls = self._calls()
        lines = [*self._match_arrays(), *calls]
        doc = textwrap.wrap(f'"""{_sentence(self.row.doc)}"""', WIDTH - 4, break_long_words=False)
        decorator = f'@operation("{self.row.name.removeprefix("mlx_")}")'
        return "\n".join([decorator, self._head(), *("    " + line for line in [*doc, *lines])])

    # --- the signature ---

    def _head(self) -> str:
        arguments = copy.deepcopy(self.arguments)
        for arg in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            arg.annotation = ast.parse(self._annotation(arg.arg), mode="eval").body
        returns = self.result or ("tuple[array, array]" if len(_outs(self.row)) == 2 else "array")
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

    def _match_arrays(self) -> list[str]:
        likes = [given.name for given in self.given.values() if given.mark == "like"]
        strict = [name for name, kind in self.kinds.items() if kind == "array" and name not in likes]
        lines = [line for name in strict for line in self._match(name, f'require_array({name}, "{name}")')]
        if len(likes) == 2:
            first, second = likes
            test = f"if type({first}) is not array_class or type({second}) is not array_class:"
            return [*lines, test, f"    {first}, {second} = as_pair({first}, {second})"]
        return [*lines, *(line for name in likes for line in self._match(name, f"as_array({name})"))]

    def _match(self, name: str, convert: str) -> list[str]:
        absent = f"{name} is not None and " if self.given[name].optional else ""
        return [f"if {absent}type({name}) is not array_class:", f"    {name} = {convert}"]

    def _calls(self) -> list[str]:
        base, *others = (self._returning(row) for row in self.variants)
        if not others:
            return self._guarded(base)
        lines = ["if axis is None:", *_indented(base)]
        if len(others) == 2:
            lines += ["if type(axis) is not int and many(axis):", *_indented(others[1])]
            self.kinds["axis"] = "int | Sequence[int] | None"
        else:
            self.kinds["axis"] = "int | None"
        return self._guarded([*lines, *others[0]])

    def _guarded(self, lines: list[str]) -> list[str]:
        """C has ints of 32 bits: a larger one is refused as an argument of another type is."""
        if not self.whole:
            return lines
        return ["try:", *_indented(lines), "except OverflowError as error:", "    raise misfit(error) from None"]

    def _returning(self, row: Function) -> list[str]:
        glue = "graph.glue_" + row.name.removeprefix("mlx_")
        before, arguments = self._arguments(row)
        outs = _outs(row)
        if len(outs) == 2:
            arguments = [glue, *arguments]
            return [*before, *_wrapped("return take_two(", arguments, ")")]
        take = {"list": "take_list", "tuple": "take_tuple"}.get(self.result, "own")
        return [*before, *_wrapped(f"return {take}({glue}(", arguments, "))")]

    def _arguments(self, row: Function) -> tuple[list[str], list[str]]:
        params = [param for param in row.params if param.type not in ("mlx_array *", "mlx_vector_array *")]
        numbered = self.numbered(params)
        names = self.names(params, numbered)
        before: list[str] = []
        arguments: list[str] = []
        for param in params:
            if param.type == "const mlx_stream":
                arguments.append("0 if stream is None else stream_handle(stream)")
            elif param.name.endswith("_num") and param.type == "size_t":
                arguments.append(f"len({arguments[-1]})")
            elif numbered[param.name] in self.given and numbered[param.name] != param.name:
                name, number = numbered[param.name], param.name[-1]
                self.kinds[name] = "int | Sequence[int]"
                if number == "0":
                    before.append("")
                count = sum(numbered[other.name] == name for other in params)
                targets = ", ".join(f"{name}_{index}" for index in range(count))
                if number == "0":
                    before[-1] = f'{targets} = spread({name}, {count}, "{name}")'
                arguments.append(param.name)
            else:
                self._one(names[param.name], param, row, before, arguments)
        return before, arguments

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

    def _one(self, name: str, param: Param, row: Function, before: list[str], arguments: list[str]) -> None:
        given, kind = self.given[name], param.type
        if kind == "const mlx_array":
            self.kinds[name] = "ArrayLike" if given.mark == "like" else "array"
            arguments.append(f"0 if {name} is None else {name}._h" if given.optional else f"{name}._h")
        elif kind == "const mlx_vector_array":
            self.kinds[name] = "Sequence[array]"
            before.append(f'{name} = array_list({name}, "{name}")')
            arguments += [f"[one._h for one in {name}]", f"len({name})"]
        elif kind in LISTS:
            self.kinds[name] = "int | Sequence[int]" if given.mark == "ints" else "Sequence[int]"
            convert = "integers" if given.mark == "ints" else "sizes"
            before.append(f"{name} = {convert}({name})")
            arguments.append(name)
        elif kind in OPTIONALS:
            self.kinds[name], empty = OPTIONALS[kind]
            arguments += [f"{empty} if {name} is None else {name}", f"{name} is not None"]
        elif kind in ("mlx_dtype", "mlx_optional_dtype"):
            self._dtype(given, kind, arguments)
        elif kind == "const char *":
            self.kinds[name] = "str"
            arguments.append(f'text({name}, "{name}")')
        else:
            self.kinds[name] = NUMBERS[kind]
            arguments.append(name)

    def _dtype(self, given: Given, kind: str, arguments: list[str]) -> None:
        self.kinds[given.name] = "Dtype | None" if given.default else "Dtype"
        if kind == "mlx_optional_dtype":
            arguments += [f"0 if {given.name} is None else dtype_number({given.name})", f"{given.name} is not None"]
        elif given.default and given.default != "None":
            arguments.append(f"dtype_number({given.default} if {given.name} is None else {given.name})")
        else:
            arguments.append(f"dtype_number({given.name})")


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
    return [param for param in row.params if param.type in ("mlx_array *", "mlx_vector_array *")]


def _sentence(doc: str) -> str:
    """The first sentence of a description."""
    text = " ".join(doc.split()).replace("\\", "\\\\")
    return re.split(r"(?<=[^.\s]\.)\s(?=[A-Z`])", text)[0].replace("mlx_", "")


def _indented(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]


def _wrapped(head: str, arguments: list[str], tail: str) -> list[str]:
    line = f"{head}{', '.join(arguments)}{tail}"
    if len(line) <= WIDTH - 12:
        return [line]
    return [head, *(f"    {argument}," for argument in arguments), tail]
