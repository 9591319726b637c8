"""The Python functions over the glue: mlxffi/_ops.py and the modules fft, linalg, random, fast and memory.

One function for one C function, by the C name less its prefix and `get_`; arrays first, the stream last and by keyword.
"""

from __future__ import annotations

import re
import textwrap

from .docstrings import Docstring, about_parameter, errors_of, rest_of, result_of, sentences
from .table import Function, Header, Param

MODULES = {"ops": "_ops", "fft": "fft", "linalg": "linalg", "random": "random", "fast": "fast", "memory": "memory"}
WIDTH = 116

# The usual value of a parameter, by name; a row of the table may say otherwise. Only trailing parameters have one.
DEFAULTS = {
    "allow_col_major": "False", "alpha": "1.0", "atol": "1e-8", "axis1": "0", "axis2": "1", "beta": "1.0",
    "center": "True", "compute_uv": "True", "ddof": "0", "decimals": "0", "equal_nan": "False", "flip": "False",
    "force_fused": "False", "groups": "1", "inclusive": "True", "indexing": '"xy"', "input_dilation": "1",
    "k": "0", "keepdims": "False", "kernel_dilation": "1", "loc": "0.0", "mask_mode": '""', "mode": '"affine"',
    "norm": '"backward"', "offset": "0", "padding_hi": "0", "padding_lo": "0", "precise": "False",
    "return_counts": "False", "return_index": "False", "return_inverse": "False", "reverse": "False",
    "rtol": "1e-5", "scale": "1.0", "side": '"left"', "sorted_indices": "False", "sparse": "False",
    "transpose": "True", "upper": "False", "UPLO": '"L"',
}  # fmt: skip
CONVOLUTION = {"stride": "1", "padding": "0", "dilation": "1", "output_padding": "0"}
DEFAULTS |= {name + suffix: value for name, value in CONVOLUTION.items() for suffix in ("", "_0", "_1", "_2")}

# Arrays that are no operands beside the others: a Python number among them does not take the others' dtype.
OWN_DTYPE = {
    "condition", "global_scale", "global_scale_w", "global_scale_x", "indices", "key", "lhs_indices", "mask", "offset",
    "rhs_indices", "segments", "start", "targets", "vals",
}  # fmt: skip

NUMBERS = {"int": "int", "size_t": "int", "uint64_t": "int", "bool": "bool", "float": "float", "double": "float"}
OPTIONALS = {
    "mlx_optional_int": ("int", "0"),
    "mlx_optional_float": ("float", "0.0"),
    "mlx_optional_bool": ("bool", "False"),
}
# The halves of the cffi glue (see emit_cffi.py), by their names in Python.
LIBRARIES = {"graph": "graph", "calls": "lib"}
RESULTS = {"mlx_array *": "Array", "mlx_vector_array *": "list[Array]", "size_t *": "int"}
# Bodies rebind their parameters to what they are converted to, which a type checker cannot follow.
MYPY = '# mypy: disable-error-code="union-attr, assignment, arg-type, no-any-return, misc"\n'
LISTS = ("const int *", "const int64_t *")


def render_all(headers: list[Header], banner: str) -> dict[str, str]:
    """The text of every generated Python module, by file name."""
    return {f"{MODULES[header.name]}.py": _module(header, banner) for header in headers if header.name in MODULES}


def _module(header: Header, banner: str) -> str:
    functions = [PythonFunction(function, LIBRARIES[header.glue]) for function in header.functions]
    functions = [function for function in functions if function.possible]
    body = "\n\n\n".join(function.text() for function in functions)
    borrowed = [name for names in header.also.values() for name in names]
    names_here = [name for function in functions for name in (function.name, function.function.alias) if name]
    public = sorted([*names_here, *borrowed], key=_sort_key)
    names = "".join(f'    "{name}",\n' for name in public)
    about = f'"""The functions of mlx/c/{header.name}.h."""\n\n# {banner}'
    return f"{about}\n\n{MYPY}\n{_imports(header, body)}\n__all__ = [\n{names}]\n\n\n{body}\n"


def _imports(header: Header, body: str) -> str:
    """The imports of a module: of what its functions use."""
    # The class of arrays stands on the operations of ops.h; whoever takes another module alone needs it.
    array = _import("array", ["Array"], r"\b%s\b", body)
    called = "".join(_import(module, names, r"\b%s(\(|\.(new|NULL|glue_))", body) for module, names in CALLED.items())
    types = _import("_arguments", ["ArrayLike", "DtypeLike"], r"\b%s\b", body)
    types += array * (header.name == "ops") + _import("device", ["Stream"], r"\b%s\b", body)
    also = "".join(f"from .{module} import {', '.join(names)}\n" for module, names in header.also.items())
    typing = "from typing import TYPE_CHECKING\n\n" if types else ""
    sequence = "from collections.abc import Sequence\n" if "Sequence[" in body else ""
    handles = "from . import _handles\n" if "_handles." in body else ""
    ours = f"{handles}{called}{array * (header.name != 'ops')}{also}"
    checked = "\nif TYPE_CHECKING:\n" + textwrap.indent(types, "    ") if types else ""
    return f"from __future__ import annotations\n\n{sequence}{typing}{ours}{checked}"


def _import(module: str, names: list[str], pattern: str, body: str) -> str:
    """The line that imports the names whose pattern is found; "" without any."""
    found = [name for name in names if re.search(pattern % name, body)]
    return f"from .{module} import {', '.join(found)}\n" if found else ""


def _sort_key(name: str) -> list[str]:
    """The natural order that ruff wants in `__all__`: numbers inside names count as numbers."""
    return [part.zfill(4) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


# What the functions call, by module.
CALLED = {
    "_arguments": [
        "as_array", "as_arrays", "as_pair", "dtype_number", "fft_norm", "handles", "integers", "stream_of", "text",
    ],
    "_ffi": ["ffi", "graph", "last_error", "lib", "read"],
    "_handles": ["own_array", "take_arrays"],
}  # fmt: skip


class PythonFunction:
    """One Python function: its signature, how each argument is converted, and the call."""

    def __init__(self, function: Function, library: str):
        self.function = function
        self.library = library
        self.name = re.sub(rf"mlx_({function.header}_|get_)?", "", function.name, count=1)
        self.possible = function.returns == "int"
        self.outs = [param for param in function.params if param.type in RESULTS]
        self.arrays = [param for param in function.params if param.type == "const mlx_array"]
        self.signature: list[tuple[str, str]] = []
        self.before: list[str] = []
        self.arguments: list[str] = []
        self.stream = False
        self._convert(list(function.params))

    def _convert(self, params: list[Param]) -> None:
        while params:
            param = params.pop(0)
            if param in self.outs:
                continue
            length = params[0].name if params else ""
            if param.type in LISTS and length == f"{param.name}_num":
                params.pop(0)
                self._list(param)
            else:
                self._one(param)

    def _list(self, param: Param) -> None:
        name = param.name
        nullable = name in self.function.nullable
        self._add(name, f"int | Sequence[int]{' | None' if nullable else ''}")
        convert = f"integers({name})"
        self.before.append(f"{name} = None if {name} is None else {convert}" if nullable else f"{name} = {convert}")
        if nullable:
            self.arguments += [f"ffi.NULL if {name} is None else {name}", f"0 if {name} is None else len({name})"]
        else:
            self.arguments += [name, f"len({name})"]

    def _one(self, param: Param) -> None:
        name, kind = param.name, param.type
        if kind == "const mlx_array":
            nullable = name in self.function.nullable
            self._add(name, "ArrayLike | None" if nullable else "ArrayLike")
            self.arguments.append(f"0 if {name} is None else {name}._h" if nullable else f"{name}._h")
        elif kind == "const mlx_vector_array" and self.library == "graph":
            self._add(name, "Sequence[ArrayLike]")
            self.before.append(f"{name} = as_arrays({name})")
            self.arguments += [f"handles({name})", f"len({name})"]
        elif kind == "const mlx_stream":
            self.stream = True
            self.arguments.append("0 if stream is None else stream_of(stream)")
        elif kind in OPTIONALS:
            python, empty = OPTIONALS[kind]
            self._add(name, f"{python} | None")
            self.arguments += [f"{empty} if {name} is None else {name}", f"{name} is not None"]
        elif kind == "mlx_optional_dtype":
            self._add(name, "DtypeLike | None")
            self.arguments += [f"0 if {name} is None else dtype_number({name})", f"{name} is not None"]
        elif kind == "mlx_dtype":
            self._add(name, "DtypeLike")
            self.arguments.append(f"dtype_number({name})")
        elif kind == "mlx_fft_norm":
            self._add(name, "str")
            self.arguments.append(f"fft_norm({name})")
        elif kind == "const char *":
            self._add(name, "str")
            self.arguments.append(f'text({name}, "{name}")')
        elif kind in NUMBERS:
            self._add(name, NUMBERS[kind])
            self.arguments.append(name)
        else:
            self.possible = False

    def _add(self, name: str, annotation: str) -> None:
        self.signature.append((name, annotation))

    def text(self) -> str:
        lines = [*self._match_arrays(), *self.before, *self._call()]
        alias = f"\n\n\n{self.function.alias} = {self.name}" if self.function.alias else ""
        return f"{self._head()}\n{self._docstring()}\n" + "\n".join(f"    {line}" for line in lines) + alias

    def _head(self) -> str:
        named = enumerate(self.signature)
        params = [f"{name}: {annotation}{self._default(index)}" for index, (name, annotation) in named]
        if self.stream:
            params += ["*", "stream: Stream | None = None"]
        line = f"def {self.name}({', '.join(params)}) -> {self._returns()}:"
        if len(line) <= WIDTH:
            return line
        return f"def {self.name}(\n    " + ",\n    ".join(params) + f",\n) -> {self._returns()}:"

    def _default(self, index: int) -> str:
        found = [self._value(name, annotation) for name, annotation in self.signature[index:]]
        return f" = {found[0]}" if all(found) else ""

    def _value(self, name: str, annotation: str) -> str:
        if name in self.function.defaults:
            return str(self.function.defaults[name])
        if annotation.endswith("| None"):
            return "None"
        return "" if annotation == "ArrayLike" else DEFAULTS.get(name, "")

    def _returns(self) -> str:
        if not self.outs:
            return "None"
        kinds = [RESULTS[out.type] for out in self.outs]
        return kinds[0] if len(kinds) == 1 else f"tuple[{', '.join(kinds)}]"

    def _docstring(self) -> str:
        row = self.function
        names = [name for name, _ in self.signature] + ["stream"] * self.stream
        arguments = [(name, about_parameter(row, name)) for name in names]
        result = result_of(row) if self.outs else ""
        parts = sentences(row.doc)[0], rest_of(row), arguments, result, errors_of(row), f"C: {row.name}."
        return Docstring(*parts).text(WIDTH - 4).replace("`get_", "`")

    def _match_arrays(self) -> list[str]:
        names = [param.name for param in self.arrays]
        together = [name for name in names if name not in OWN_DTYPE]
        apart = [name for name in names if name in OWN_DTYPE]
        return [*(line for name in apart for line in self._match_one(name)), *self._match_several(together)]

    def _match_one(self, name: str) -> list[str]:
        absent = f"{name} is not None and " if name in self.function.nullable else ""
        return [f"if {absent}type({name}) is not _handles.array_class:", f"    {name} = as_array({name})"]

    def _match_several(self, names: list[str]) -> list[str]:
        if len(names) < 2:
            return [line for name in names for line in self._match_one(name)]
        if len(names) == 2 and not self.function.nullable & set(names):
            first, second = names
            check = f"if type({first}) is not type({second}) or type({first}) is not _handles.array_class:"
            return [check, f"    {first}, {second} = as_pair({first}, {second})"]
        # Those that may be left out are the last ones.
        target, optional = ", ".join(names), len(self.function.nullable & set(names))
        call = f"as_arrays(({target}), {optional})" if optional else f"as_arrays(({target}))"
        if len(target) + len(call) < WIDTH - 13:
            return [f"{target} = {call}"]
        return ["(", *(f"    {name}," for name in names), f") = {call}"]

    def _call(self) -> list[str]:
        glue = f"{self.library}.glue_{self.function.name.removeprefix('mlx_')}"
        if self.function.is_unary:
            array = self.arguments[0]
            here = ["if stream is None:", f"    return own_array({glue}_here({array}))"]
            return [*here, f"return own_array({glue}({array}, stream_of(stream)))"]
        if [out.type for out in self.outs] == ["size_t *"]:
            return [f'return int(read("size_t", {", ".join([glue, *self.arguments])}))']
        if len(self.outs) == 1:
            take = "take_arrays" if self.outs[0].type == "mlx_vector_array *" else "own_array"
            return [f"return {take}({self._wrapped(glue, self.arguments)})"]
        if not self.outs:
            return [f"if {self._wrapped(glue, self.arguments)}:", "    raise last_error()"]
        slots = [f'_{out.name} = ffi.new("intptr_t *")' for out in self.outs]
        call = self._wrapped(glue, [f"_{out.name}" for out in self.outs] + self.arguments)
        owned = ", ".join(f"own_array(_{out.name}[0])" for out in self.outs)
        return [*slots, f"if {call}:", "    raise last_error()", f"return {owned}"]

    @staticmethod
    def _wrapped(glue: str, arguments: list[str]) -> str:
        line = f"{glue}({', '.join(arguments)})"
        return line if len(line) < WIDTH - 32 else f"{glue}(\n        " + ",\n        ".join(arguments) + ",\n    )"
