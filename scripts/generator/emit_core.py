"""The regular functions of mlxffi.core: mlxffi/core/generated/*.py, and in `documented` what is loaded on demand.

A row's `core` is the signature of mlx.core's function as its stub has it, without types:

  matmul(a, b, /, *, stream=None)
  add(a: like, b: like, stream=None)
  divmod(a: like, b: like, stream=None) -> list

`like` marks what may be a Python number or another library's array, `beside` that or None, in the dtype of the first
parameter, `absent` what may be None, `ints` what may be one int or several, `key` a key of random numbers, `points` how
many points a Fourier transform has along its axes, for which None means those of the array, `half` the same of an array
that is half of a symmetric one; the other conversions follow from the C types. A Python parameter stands for the C
parameter of its name, the others for the others in their order. An `axis` that the row lacks chooses among the rows
with the suffixes `_axis` and `_axes`, `axes` the one with `_axes`, a `dtype` the one with `_dtype`. An `axis` that the
row has and that may be None stands for the one of the flattened array, or for all axes where C takes several; a `dtype`
of None is that of the first parameter. A parameter whose C names are numbered, as `stride_0` and `stride_1` are, is one
int or as many. Where more is made of the arguments than one call (`composed`), the signature has the types that do not
follow from C's.
"""

from __future__ import annotations

import ast
import copy
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .docstrings import Docstring, about_parameter, errors_of, rest_of, result_of, sentences
from .table import Function, Header, Param, functions

WIDTH = 120
BODIES = '# All else is C (see _binding.operations).\n# mypy: disable-error-code="empty-body"'
MODULES = (
    "ops", "linalg", "fast", "fft", "random", "distributed", "distributed_group", "device", "stream", "memory", "metal",
    "cuda",
)  # fmt: skip
# By C type of a parameter: what Python takes.
ANNOTATIONS = {
    "int": "int", "size_t": "int", "uint64_t": "int", "bool": "bool", "float": "float", "double": "float",
    "mlx_optional_int": "int", "mlx_optional_float": "float", "mlx_dtype": "Dtype", "mlx_optional_dtype": "Dtype",
    "const char *": "str", "const int *": "Sequence[int]", "const int64_t *": "Sequence[int]",
    "const mlx_array": "array", "const mlx_vector_array": "Sequence[array]", "const mlx_stream": "StreamOrDevice",
    "const mlx_distributed_group": "Group", "mlx_device": "Device | DeviceType", "mlx_device_type": "DeviceType",
    "mlx_distributed_group": "Group", "mlx_fft_norm": "str", "mlx_optional_bool": "bool", "mlx_stream": "Stream",
}  # fmt: skip
WITH_NONE = ("StreamOrDevice",)
SEVERAL = "int | Sequence[int]"
MARKS = {"like": "ArrayLike", "beside": "ArrayLike", "ints": SEVERAL, "absent": "", "key": "", "points": "", "half": ""}
# By the parameter that chooses among rows: how the names of these end.
CHOOSERS = {"axis": ("_axis", "_axes"), "axes": ("_axes",), "dtype": ("_dtype",)}
SEVERAL_ENDINGS = ("_axes", "_sections")
# Parameters that have one name in all of Python, by C type.
NAMED = {"const mlx_stream": "stream"}
# By C type of a parameter through which a result comes: what Python gets.
OUTS = {
    "mlx_array": "array", "mlx_vector_array": "array", "size_t": "int", "int": "int", "bool": "bool",
    "mlx_device": "Device", "mlx_stream": "Stream",
}  # fmt: skip
LISTS = ("const int *", "const int64_t *")
TYPES = {
    "_arguments": ("ArrayLike",), "_array": ("array",), "_device": ("Device", "DeviceType", "Stream", "StreamOrDevice"),
    "_dtype": ("Dtype",), "distributed": ("Group",),
}  # fmt: skip
DTYPES = ("bfloat16", "float32", "int32")


@dataclass
class Given:
    """A parameter of the Python function: its name, mark and default (None where it has none)."""

    name: str
    mark: str
    default: str | None

    @property
    def optional(self) -> bool:
        return self.default in ("None", *DTYPES) or self.mark in ("absent", "beside")


def render_all(headers: list[Header], banner: str) -> dict[str, str]:
    """The text of every generated module of mlxffi.core, by file name."""
    rows = {function.name: function for function in functions(headers)}
    above = f"{banner}\n"
    texts = {
        "__init__.py": f'"""The regular functions of mlxffi.core.\n\n{above}"""\n',
        "documented/__init__.py": f'"""Their signatures and documentation.\n\n{above}"""\n',
    }
    for name in MODULES:
        made = [CoreFunction(row, rows) for row in rows.values() if row.core and row.header == name]
        texts[f"{name}.py"] = _operations(name, made, banner)
        texts[f"documented/{name}.py"] = _documented(name, made, banner)
    return texts


def _operations(name: str, made: list[CoreFunction], banner: str) -> str:
    about = f'"""The regular functions of mlxffi.core over mlx/c/{name}.h.\n\n{banner}\n"""'
    rows = "".join(f"\n        {function.entry()}" for function in made)
    imports = "\n".join(["from .._binding import operations", *_imported({"_dtype": DTYPES}, rows, "..")])
    checked = f"TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from .documented.{name} import *"
    calls = f"    made = operations(__name__, {{{rows}\n    }})  # fmt: skip"
    otherwise = f"else:\n{calls}\n    globals().update(made)\n    __all__ = list(made)"
    unchecked = "E501, F403" if max(map(len, calls.splitlines())) > WIDTH else "F403"
    return f"{about}\n\n# ruff: noqa: {unchecked}\n\n{imports}\n\n{checked}\n{otherwise}\n"


def _documented(name: str, made: list[CoreFunction], banner: str) -> str:
    body = "\n\n\n".join(function.text() for function in made)
    about = f'"""Signatures and documentation of the regular functions over mlx/c/{name}.h.\n\n{banner}\n"""'
    head = f"{about}\n\n{BODIES}\n\nfrom __future__ import annotations"
    parts = [head, _imports(body), f"{_all(made)}\n\n\n{body}"]
    return "\n\n".join(filter(None, parts)) + "\n"


def _all(made: list[CoreFunction]) -> str:
    ordered = sorted((function.name for function in made), key=_natural)
    names = textwrap.fill(", ".join(f'"{name}"' for name in ordered), WIDTH - 8)
    return f"__all__ = [\n{textwrap.indent(names, '    ')},\n]  # fmt: skip"


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers in a name count as such."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", name)]


def _imports(body: str) -> str:
    code = re.sub(r'""".*?"""', "", body, flags=re.DOTALL)
    typing = "\n".join(f"    {line}" for line in _imported(TYPES, code, "..."))
    first = "from collections.abc import Sequence" if "Sequence[" in code else ""
    names = [name for name in ("Any", "Literal") if re.search(rf"\b{name}\b", code)]
    above = f"    from typing import {', '.join(names)}\n\n" if names else ""
    checked = f"TYPE_CHECKING = False\nif TYPE_CHECKING:\n{above}{typing}" if typing else ""
    return "\n\n".join(filter(None, [first, "\n".join(_imported({"_dtype": DTYPES}, code, "...")), checked]))


def _imported(names: Mapping[str, tuple[str, ...]], code: str, above: str) -> list[str]:
    """Lines that import those of the names that are in the code, from modules above."""
    lines = []
    for module, candidates in names.items():
        found = [name for name in candidates if re.search(rf"(?<![\w.\"]){name}\b", code)]
        lines += [f"from {above}{module} import {', '.join(found)}"] if found else []
    return lines


class CoreFunction:
    """One function: its signature, and the C functions that it chooses from."""

    def __init__(self, row: Function, rows: dict[str, Function]):
        self.row = row
        parsed = ast.parse(f"def {row.core}: ...").body[0]
        assert isinstance(parsed, ast.FunctionDef)
        self.name, self.arguments = parsed.name, parsed.args
        self.result = ast.unparse(parsed.returns) if parsed.returns else ""
        self.given = _given(parsed.args)
        self.chooser, others = chosen_by(row, self.given, rows)
        self.variants = [row, *others]
        self.one, self.several = self._one_or_several(rows)
        self.told = others[-1] if self.chooser == "axis" else row  # of which the documentation is

    def _one_or_several(self, rows: dict[str, Function]) -> tuple[str, Function | None]:
        """The parameter that is one int of this row or several of another, and that row."""
        names = self.names(self.row.params)
        ints = [param for param in self.row.params if param.type == "int" and param.name in names]
        for name in (names[param.name] for param in ints if not is_numbered(param, names[param.name])):
            if name in self.given and self.given[name].mark == "ints":
                found = (rows[self.row.name + end] for end in SEVERAL_ENDINGS if self.row.name + end in rows)
                return name, next(found, None)
        return "", None

    def entry(self) -> str:
        """Its line among the operations of a module."""
        given = self.arguments
        rest = given.vararg.arg if given.vararg else ""
        read = [one for one in self.given.values() if one.name != rest]
        defaults = "".join(f"{'()' if one.default == '[]' else one.default or '...'}, " for one in read).rstrip()
        counts = f"{len(given.posonlyargs)}, {len(given.posonlyargs) + len(given.args)}"
        parameters = ",".join(one.name for one in read)
        row = self.row.name.removeprefix("mlx_")
        return f'"{self.name}": ("{row}", "{parameters}", ({defaults}), {counts}),'

    def text(self) -> str:
        """The function that has its signature and its documentation."""
        return "\n".join([self._head(), self._doc()])

    def _doc(self) -> str:
        sentence, told = self._told()
        returns = told.pop("returns", "") or self._renamed(result_of(self.told))
        arguments = [(name, told.get(name) or about_parameter(self.row, name, core=True)) for name in self.given]
        rest = "" if self.row.python or self._numbered() else self._renamed(rest_of(self.told))
        source = f"Source: {self.row.source}." if self.row.source else ""
        errors = self._renamed(errors_of(self.told))
        return Docstring(sentence, rest, arguments, returns, errors, source).text(WIDTH - 4)

    def _told(self) -> tuple[str, dict[str, str]]:
        """The sentence, and what the row says of parameters."""
        sentence, *lines = self.row.python.splitlines() or [sentences(self.row.doc)[0]]
        whole = re.sub(r"\n  +", " ", "\n".join(lines)).splitlines()
        return sentence, dict(line.split(": ", maxsplit=1) for line in whole)

    def _numbered(self) -> bool:
        return any(is_numbered(param, name) for param in self.row.params for name in self.given)

    def _renamed(self, text: str) -> str:
        """A text about C's parameters, with Python's names."""
        names = self.names(self.told.params)
        return re.sub(r"`(\w+)`", lambda found: f"`{names.get(found[1], found[1])}`", text)

    # --- the signature ---

    def _head(self) -> str:
        kinds = self._kinds()
        arguments = copy.deepcopy(self.arguments)
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg]
        for arg in filter(None, every):
            arg.annotation = ast.parse(self._annotation(arg.arg, kinds), mode="eval").body
        results = [OUTS[kind] for kind in results_of(self.row)]
        returns = self.result or (f"tuple[{', '.join(results)}]" if len(results) > 1 else "".join(results) or "None")
        returns = {"list": "list[array]", "tuple": "tuple[array, ...]"}.get(returns, returns)
        inside = re.sub(r"(?<! )=(?! )", " = ", ast.unparse(arguments))
        line = f"def {self.name}({inside}) -> {returns}:"
        if len(line) <= WIDTH:
            return line
        parts = re.split(r", (?![^\[]*\])", inside)
        return f"def {self.name}(\n    " + ",\n    ".join(parts) + f",\n) -> {returns}:"

    def _annotation(self, name: str, kinds: dict[str, str]) -> str:
        given = self.given[name]
        kind = MARKS.get(given.mark, given.mark) or kinds[name]
        return f"{kind} | None" if given.optional and kind not in WITH_NONE and "None" not in kind else kind

    def _kinds(self) -> dict[str, str]:
        """The type of each Python parameter, by the first C parameter that it stands for."""
        kinds: dict[str, str] = {}
        for row in self.variants:
            names = self.names(row.params)
            for param in row.params:
                name = names.get(param.name)
                if name in self.given and self.given[name].mark in ("", *MARKS):
                    kinds.setdefault(name, SEVERAL if is_numbered(param, name) else ANNOTATIONS[param.type])
        if len(self.variants) > 2:
            kinds["axis"] = SEVERAL
        return kinds

    def marks(self) -> dict[str, str]:
        """What the signature says of each C parameter."""
        names = self.names(self.row.params)
        marked = {c_name: name for c_name, name in names.items() if name in self.given and name != self.one}
        return {c_name: self.given[name].mark for c_name, name in marked.items()}

    def names(self, params: Sequence[Param]) -> dict[str, str]:
        """The Python name of each C parameter that is an input and no length."""
        inputs = [param for param in params if param.is_input]
        names = {param.name: NAMED.get(param.type) or re.sub(r"_\d$", "", param.name) for param in inputs}
        wanted = [name for name, python in names.items() if python not in self.given]
        free = [name for name in self.given if name not in names.values()]
        return names | dict(zip(wanted, free, strict=False))


def chosen_by(row: Function, given: Iterable[str], rows: dict[str, Function]) -> tuple[str, list[Function]]:
    """The parameter that the row lacks and that chooses among others, and these."""
    theirs = [param.name for param in row.params]
    for name, endings in CHOOSERS.items():
        others = [rows[row.name + end] for end in endings if row.name + end in rows]
        if others and name in given and name not in theirs:
            return name, others
    return "", []


def is_numbered(param: Param, name: str) -> bool:
    """Whether a C parameter is one of the numbers of a Python parameter."""
    return bool(re.fullmatch(rf"{name}_\d", param.name))


def _given(arguments: ast.arguments) -> dict[str, Given]:
    plain = [*arguments.posonlyargs, *arguments.args]
    rest = [(arguments.vararg, None)] if arguments.vararg else []
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    pairs = [*zip(plain, defaults, strict=True), *rest, *named]
    return {
        arg.arg: Given(
            arg.arg, ast.unparse(arg.annotation) if arg.annotation else "", ast.unparse(value) if value else None
        )
        for arg, value in pairs
    }


def outs_of(row: Function) -> list[Param]:
    """The parameters through which results come."""
    return [param for param in row.params if param.result]


def results_of(row: Function) -> list[str]:
    """The C types of what comes: through parameters, or from a function that returns no status."""
    returned = [] if row.returns == "int" and not row.value else [row.returns]
    return [out.result for out in outs_of(row)] or returned
