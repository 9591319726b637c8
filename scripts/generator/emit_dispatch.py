"""The rows of operations: what C reads and calls where a function of mlxffi.core gets its usual arguments.

Each `core` signature of the table gives a row for native/python/dispatch/arguments.h: a letter for each parameter,
and a function that calls the C function, or the one of the variants that the axis chooses.
"""

from __future__ import annotations

from .emit_abi import GIVE
from .emit_core import CoreFunction, Given, is_numbered, outs_of
from .table import Function, Header, Param, functions

# By C type: the letter that reads it, and where it is read to.
PLAIN = {
    "const mlx_stream": ("s", "stream"), "const mlx_vector_array": ("v", "vector"), "const char *": ("t", "text")
}  # fmt: skip
ARRAYS = "const mlx_array"
MARKED = {"like": "l", "key": "r"}
LISTS = ("const int *", "const int64_t *")
NUMBERS = {"int": "i", "size_t": "u", "uint64_t": "u", "bool": "b", "float": "f", "double": "f"}
FIELDS = {"i": "integer", "u": "integer", "b": "flag", "f": "number"}
OPTIONALS = {"mlx_optional_int": ("I", "int", "integer"), "mlx_optional_float": ("F", "float", "number")}
# By C type: the letter that reads it, and what the call gets.
OBJECTS = {
    "const mlx_distributed_group": ("G", "(mlx_distributed_group){{{v}.handle}}"),
    "mlx_device": ("p", "(mlx_device){{{v}.handle}}"),
    "mlx_device_type": ("T", "(mlx_device_type){v}.integer"),
}
ABOUT = "What operations read and call: see dispatch/arguments.h."


def render_all(headers: list[Header], banner: str) -> dict[str, str]:
    """The one file with all rows."""
    rows = {function.name: function for function in functions(headers)}
    made = [Row(CoreFunction(row, rows)) for row in rows.values() if row.core and not row.composed]
    calls = "\n\n".join(row.definition() for row in made)
    table = "\n".join(row.entry() for row in made)
    head = f'/* {ABOUT}\n *\n * {banner} */\n\n#include "dispatch/arguments.h"\n'
    text = f"{head}\n{calls}\n\nconst Row generated_rows[] = {{\n{table}\n  {{NULL, NULL, NULL}},\n}};\n"
    return {"operations.c": text}


class Row:
    """One operation: the letters of its parameters, and the C that calls it."""

    def __init__(self, core: CoreFunction):
        self.core = core
        self.places = {name: place for place, name in enumerate(core.given)}
        # One axis or more, where there is a function for several.
        self.letters = {"axis": "x" if len(core.variants) > 2 else "I"} if core.chooser == "axis" else {}
        self.tests: dict[str, None] = {}  # in the order of the parameters
        self.calls = [self._call(row) for row in core.variants]
        self.several = self._call(core.several) if core.several else ""

    def entry(self) -> str:
        letters = "".join(self.letters[name] for name in self.core.given)
        return f'  {{"{self.name}", "{letters}", call_{self.name}}},'

    @property
    def name(self) -> str:
        """That of the row: two modules may have functions of one name."""
        return self.core.row.name.removeprefix("mlx_")

    def definition(self) -> str:
        outs = outs_of(self.core.row)
        if not outs or "array" not in outs[0].result:
            return self._definition_of_values(outs)
        kind = outs[0].result
        test = " && ".join(self.tests)
        test = test if test.startswith("(") and len(self.tests) == 1 else f"({test})"
        before = [f"if (!{test}) {{", "  return NULL;", "}"] if self.tests else []
        lines = [*before, *(f"{kind} {out.name} = {{0}};" for out in outs), *self._choice()]
        take = "pair" if len(outs) == 2 else {"list": "listed", "tuple": "tupled"}.get(self.core.result, "one")
        lines.append(f"return {take}({', '.join(out.name for out in outs)});")
        return f"static PyObject *call_{self.name}(Value *v) {{\n" + "".join(f"  {line}\n" for line in lines) + "}"

    def _definition_of_values(self, outs: list[Param]) -> str:
        """The function of a row that gives no arrays."""
        head = f"static PyObject *call_{self.name}(Value *v) {{\n"
        call = self.calls[0].removesuffix(";")
        if not outs:
            return f"{head}  return none_after({call});\n}}"
        (out,) = outs
        kind = out.result
        give = GIVE[kind].format(v=out.name)
        lines = [f"{kind} {out.name} = {{0}};", f"int failed = {call};", f"return failed ? raise_failure() : {give};"]
        return head + "".join(f"  {line}\n" for line in lines) + "}"

    def _choice(self) -> list[str]:
        base, *others = self.calls
        if self.several:
            one = f"v[{self.places[self.core.one]}].count == ONE_INT"
            return [f"if ({one}) {{", f"  {base}", "} else {", f"  {self.several}", "}"]
        if not others:
            return [base]
        chooser = f"v[{self.places[self.core.chooser]}]"
        lines = [f"if (!{chooser}.given) {{", f"  {base}"]
        if len(others) == 2:
            lines += [f"}} else if ({chooser}.count != ONE_INT) {{", f"  {others[1]}"]
        return [*lines, "} else {", f"  {others[0]}", "}"]

    # --- one C call ---

    def _call(self, row: Function) -> str:
        outs = [f"&{out.name}" for out in outs_of(row)]
        params = [param for param in row.params if param not in outs_of(row)]
        return f"{row.name}({', '.join([*outs, *self._arguments(params)])});"

    def _arguments(self, params: list[Param]) -> list[str]:
        names = self.core.names(params)
        arguments: list[str] = []
        for param in params:
            name = names.get(param.name, "")
            if not param.is_input:
                arguments.append(f"ints_of(&{arguments[-1].removesuffix('.ints')})")
            elif is_numbered(param, name):
                arguments.append(self._spread(name, param, params))
            else:
                arguments.append(self._one(name, param))
        return arguments

    def _spread(self, name: str, param: Param, params: list[Param]) -> str:
        """One of the numbers of a parameter that is one int or as many as there are axes."""
        place, count = self.places[name], sum(is_numbered(other, name) for other in params)
        self.letters[name] = "N"
        self.tests[f'spread(&v[{place}], {count}, "{name}")'] = None
        return f"v[{place}].ints[{param.name[-1]}]"

    def _one(self, name: str, param: Param) -> str:
        given, kind = self.core.given[name], param.type
        value = f"v[{self.places[name]}]"
        if kind in PLAIN:
            letter, field = PLAIN[kind]
            self._letter(name, letter)
            return f"{value}.{field}"
        if kind == ARRAYS:
            self._letter(name, MARKED.get(given.mark) or ("A" if given.optional else "a"))
            return f"{value}.array"
        if kind in OBJECTS:
            letter, c_text = OBJECTS[kind]
            self._letter(name, letter)
            return c_text.format(v=value)
        if kind in LISTS:
            every = given.optional and not self.core.chooser
            if every:  # None for all axes
                self.tests[f"({value}.given || all_axes(&{value}, v[0].array))"] = None
            self._letter(name, "x" if every else "N" if given.mark == "ints" else "n")
            return f"{value}.ints"
        if kind in OPTIONALS:
            letter, c_type, field = OPTIONALS[kind]
            self._letter(name, letter)
            return f"({kind}){{({c_type}){value}.{field}, {value}.given}}"
        if kind in ("mlx_dtype", "mlx_optional_dtype"):
            return self._dtype(given, kind, value)
        if name == self.core.one:
            self._letter(name, "N")
        if self.letters.get(name) in ("x", "N"):
            return f"{value}.ints[0]"
        if name == "axis" and given.optional and self.core.chooser != name:
            self.tests[f"({value}.given || flatten(&v[0], v[{self.places['stream']}].stream))"] = None
            self._letter(name, "I")
        letter = NUMBERS[kind]
        self._letter(name, letter)
        return f"({kind}){value}.{FIELDS[letter]}" if kind != "bool" else f"{value}.flag"

    def _letter(self, name: str, letter: str) -> None:
        self.letters.setdefault(name, letter)

    def _dtype(self, given: Given, kind: str, value: str) -> str:
        self._letter(given.name, "D" if given.default else "d")
        if kind == "mlx_optional_dtype":
            return f"({kind}){{(mlx_dtype){value}.integer, {value}.given}}"
        if given.default and given.default != "None":
            return f"(mlx_dtype)({value}.given ? {value}.integer : MLX_{given.default.upper()})"
        return f"(mlx_dtype){value}.integer"
