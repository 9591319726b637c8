"""The integer-handle glue: C functions over the mlx-c ABI that take and return handles as integers.

An operation is one call without an out-parameter: its result handle is the return value, 0 after an error. What only
builds graph nodes goes into `graph`, whose functions hold the GIL (see keep_gil.h); what evaluates, waits or calls back
goes into `calls`, whose functions do not: handles that these take are the caller's own. Each function stands in a
guard, so that a build against an mlx-c that lacks the function leaves it out.

  handle            intptr_t; a stream of 0 is the default stream
  list of arrays    const intptr_t *x, size_t x_num in `graph`; in `calls` the handle of a vector, which the call frees
  optional number   its value and whether there is one
  several results   written through intptr_t pointers; the return value is the status
  struct            its address

What makes an array of one array has a second function, glue_<name>_here, which is on the default stream: CPython passes
a single argument without a tuple, which takes a tenth of such a call's time.
"""

from __future__ import annotations

import re

from .additions import added
from .table import Function, Header, Param, handles

OPTIONAL = {
    "mlx_optional_int": "int",
    "mlx_optional_float": "float",
    "mlx_optional_bool": "bool",
    "mlx_optional_dtype": "int",
}
ENUMS = {
    "mlx_dtype", "mlx_fft_norm", "mlx_compile_mode", "mlx_device_type", "mlx_fast_math_mode", "mlxffi_reduction",
}  # fmt: skip
PLAIN = re.compile(r"(const )?(u?int\d+_t|uintptr_t|int|size_t|bool|float|double|char)( \*| \*\*)?")
MADE = ("mlx_array *", "mlx_vector_array *")
STRUCT = re.compile(r"const mlxffi_\w+ \*")


def render_all(headers: list[Header], banner: str) -> dict[str, str]:
    """The definitions of both halves, of which build_ffi.py makes the cdef, by file name."""
    known = handles(headers)
    texts = {}
    for half in ("graph", "calls"):
        found = [function for header in headers for function in header.functions if _half(header, function) == half]
        rows = [Glue(function, known, half) for function in found]
        texts[f"{half}.c"] = _file([row for row in rows if row.possible], banner)
    return texts


def render_additions(headers: list[Header], banner: str) -> dict[str, str]:
    """The same, and those functions of include/mlxffi that make arrays, in files of their own."""
    rows = [Glue(function, handles(headers), "graph") for function in added() if not function.waits]
    rows = [row for row in rows if row.possible and row.single and row.single.type in MADE]
    return render_all(headers, banner) | {"additions.c": _file(rows, banner)}


def _half(header: Header, function: Function) -> str:
    if function.guard:
        return ""
    return "calls" if header.glue and function.waits else header.glue


def _file(rows: list[Glue], banner: str) -> str:
    guarded = (f"#ifndef MLXFFI_LACKS_{row.function.name}\n{row.definition()}\n#endif\n" for row in rows)
    return "\n".join([f"/* {banner} */\n", *guarded])


class Glue:
    """One glue function: how each C parameter arrives, and the call that is made of them."""

    def __init__(self, function: Function, handles: set[str], half: str):
        self.function = function
        self.handles = handles
        self.half = half
        self.params: list[str] = []
        self.before: list[str] = []
        self.after: list[str] = []
        self.arguments: list[str] = []
        self.packed: list[str] = []
        self.possible = True
        outs = [param for param in function.params if self._is_handle_slot(param)]
        self.single = outs[0] if function.returns == "int" and len(outs) == 1 else None
        for param in function.params:
            self._take(param)
        plain = PLAIN.fullmatch(function.returns) is not None or function.returns in ENUMS
        self.possible = self.possible and (plain or self._returns_handle)

    @property
    def _returns_handle(self) -> bool:
        return self.function.returns in self.handles

    def _is_handle_slot(self, param: Param) -> bool:
        return param.type.removesuffix(" *") in self.handles and param.type.endswith(" *")

    @property
    def head(self) -> str:
        gives_handle = self.single or self._returns_handle
        returns = "intptr_t" if gives_handle else "int" if self.function.returns in ENUMS else self.function.returns
        space = "" if returns.endswith("*") else " "
        return f"static {returns}{space}{self._name}({', '.join(self.params) or 'void'})"

    @property
    def _name(self) -> str:
        return "glue_" + self.function.name.lstrip("_").removeprefix("mlx_")

    def definition(self) -> str:
        hold = ["HOLD;"] if self.half == "graph" else []
        lines = "".join(f"  {line}\n" for line in [*hold, *self.before, *self._call(), *self.after, *self._result()])
        text = f"{self.head} {{\n{lines}}}"
        if not self.function.is_unary:
            return text
        head = f"static intptr_t {self._name}_here({self.params[0]})"
        return f"{text}\n\n{head} {{\n  return {self._name}({self.function.params[1].name}, 0);\n}}"

    def _call(self) -> list[str]:
        call = f"{self.function.name}({', '.join(self.arguments)})"
        # Where a list could not be packed, that is the error, and not what the call would say of an empty handle.
        packed = " && ".join(f"{vector}.ctx" for vector in self.packed)
        if self.single or self.function.returns == "void":
            return [f"if ({packed}) {{", f"  {call};", "}"] if packed else [f"{call};"]
        return [f"{self.function.returns} result = {f'{packed} ? {call} : 1' if packed else call};"]

    def _result(self) -> list[str]:
        if self.single:
            return [f"return (intptr_t){self.single.name}.ctx;"]
        if self._returns_handle:
            return ["return (intptr_t)result.ctx;"]
        return [] if self.function.returns == "void" else ["return result;"]

    def _take(self, param: Param) -> None:
        kind = param.type.removeprefix("const ")
        name = param.name
        if self.single is param:
            self.before.append(f"{kind.removesuffix(' *')} {name} = {{0}};")
            self.arguments.append(f"&{name}")
        elif self._is_handle_slot(param):
            self._add(f"intptr_t *{name}", f"({kind}){name}")
        elif kind == "mlx_stream" and param.type.startswith("const"):
            self.before.append(f"mlx_stream {name}_handle = glue_stream({name});")
            self.after.append(f"glue_stream_done({name}, {name}_handle);")
            self._add(f"intptr_t {name}", f"{name}_handle")
        elif kind == "mlx_vector_array" and param.type.startswith("const") and self.half == "graph":
            self.params += [f"const intptr_t *{name}", f"size_t {name}_num"]
            packed = f"mlx_vector_array_new_data((const mlx_array *){name}, {name}_num)"
            self.before.append(f"mlx_vector_array {name}_vector = {packed};")
            self.after.append(f"mlx_vector_array_free({name}_vector);")
            self.arguments.append(f"{name}_vector")
            self.packed.append(f"{name}_vector")
        elif kind in self.handles:
            self._add(f"intptr_t {name}", f"({kind}){{(void *){name}}}")
            if kind == "mlx_vector_array" and param.type.startswith("const"):
                self.after.append(f"mlx_vector_array_free((mlx_vector_array){{(void *){name}}});")
        elif kind in OPTIONAL:
            inner = "(mlx_dtype)" if kind == "mlx_optional_dtype" else ""
            self.params += [f"{OPTIONAL[kind]} {name}", f"bool has_{name}"]
            self.arguments.append(f"({kind}){{{inner}{name}, has_{name}}}")
        elif kind in ENUMS:
            self._add(f"int {name}", f"({kind}){name}")
        elif STRUCT.fullmatch(param.type):
            self._add(f"intptr_t {name}", f"({param.type}){name}")
        elif PLAIN.fullmatch(param.type):
            self._add(param.text, name)
        else:
            self.possible = False

    def _add(self, param: str, argument: str) -> None:
        self.params.append(param)
        self.arguments.append(argument)
