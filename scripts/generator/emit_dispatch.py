"""The rows of operations: what C reads and calls where a function of mlxffi.core gets its usual arguments.

Each `core` signature of the table gives a row for native/python/dispatch/arguments.h: a letter for each parameter,
and a function that calls the C function, or the one of the variants that the axis chooses.
"""

from __future__ import annotations

from collections.abc import Iterator

from .emit_abi import GIVE, HANDLES, NULLABLE, READ
from .emit_core import LISTS, CoreFunction, Given, is_numbered, outs_of, results_of
from .table import Function, Header, Param, functions

ARRAYS = "const mlx_array"
MARKED = {"like": "l", "key": "r"}
SIZES = ("points", "half")
# What takes a result, by how the signature says that it comes.
TAKE = {"list": "listed", "tuple": "tupled", "array | tuple[array, ...]": "one_or_tupled"}
ABOUT = "What operations read and call: see dispatch/arguments.h."


def render_all(headers: list[Header], banner: str) -> dict[str, str]:
    """The one file with all rows."""
    rows = {function.name: function for function in functions(headers)}
    made = [Row(CoreFunction(row, rows)) for row in rows.values() if row.core and not row.composed]
    calls = "\n\n".join(row.definition() for row in made)
    table = "\n".join(row.entry() for row in made)
    head = f'/* {ABOUT}\n *\n * {banner} */\n\n#include "ops/fft.h"\n'
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
        self.tests |= dict.fromkeys(self._sizes())  # which need the axes

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
        take = "pair" if len(outs) == 2 else TAKE.get(self.core.result, "one")
        lines.append(f"return {take}({', '.join(out.name for out in outs)});")
        return f"static PyObject *call_{self.name}(Value *v) {{\n" + "".join(f"  {line}\n" for line in lines) + "}"

    def _definition_of_values(self, outs: list[Param]) -> str:
        """The function of a row that gives no arrays."""
        head = f"static PyObject *call_{self.name}(Value *v) {{\n"
        call = self.calls[0].removesuffix(";")
        if not outs:
            kinds = results_of(self.core.row)
            give = GIVE[kinds[0]].format(v=call) if kinds else f"none_after({call})"
            return f"{head}  return {give};\n}}"
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
        given, kind = self.core.given[name], param.type.removeprefix("const ")
        value = f"v[{self.places[name]}]"
        if param.type in LISTS:
            return self._list(given, value)
        if kind in ("mlx_dtype", "mlx_optional_dtype"):
            return self._dtype(given, kind, value)
        if kind == "mlx_fft_norm":
            self.tests[f"read_norm(&{value})"] = None
            self._letter(name, "t")
        elif param.type == ARRAYS:
            return self._array(given, value)
        elif kind == "int":
            return self._int(given, value)
        letter, text = (HANDLES[kind], f"({kind}){{{{{{v}}.handle}}}}") if kind in HANDLES else READ[param.type]
        self._letter(name, NULLABLE[letter] if letter == "g" and given.optional else letter)
        return text.format(v=value)

    def _list(self, given: Given, value: str) -> str:
        if given.optional and given.mark != "ints" and given.name not in self.letters:
            self.tests[f'!is_one(&{value}, "{given.name}")'] = None
        if given.mark == "ints" and given.name != "axis" and len(self.core.variants) > 2:
            self.tests[f"repeat_for(&{value}, &v[{self.places['axis']}])"] = None
        if given.optional and not self.core.chooser and given.mark not in SIZES:  # None for all axes
            self.tests[f"({value}.given || all_axes(&{value}, v[0].array))"] = None
        self._letter(given.name, "x" if given.optional else "N" if given.mark == "ints" else "n")
        return f"{value}.ints"

    def _array(self, given: Given, value: str) -> str:
        if given.mark == "beside":
            self.tests[f"(!{value}.given || beside(&{value}, mlx_array_dtype(v[0].array)))"] = None
            self._letter(given.name, "o")
        self._letter(given.name, MARKED.get(given.mark) or ("A" if given.optional else "a"))
        return f"{value}.array"

    def _int(self, given: Given, value: str) -> str:
        if given.name == self.core.one:
            self._letter(given.name, "N")
        if self.letters.get(given.name) in ("x", "N"):
            return f"{value}.ints[0]"
        self._letter(given.name, "I" if given.optional else "i")
        if given.optional and given.name == "axis" and self.core.chooser != "axis":
            self.tests[f"({value}.given || flatten(&v[0], v[{self.places['stream']}].stream))"] = None
        return f"(int){value}.integer"

    def _sizes(self) -> Iterator[str]:
        """What counts the points along the axes of a Fourier transform where it is not told how many there are."""
        for name in (name for name, given in self.core.given.items() if given.mark in SIZES):
            call, axes = ("sizes_along", "axes") if self.letters[name] == "x" else ("size_along", "axis")
            half = "true" if self.core.given[name].mark == "half" else "false"
            yield f"{call}(&v[{self.places[name]}], &v[{self.places[axes]}], v[0].array, {half})"

    def _letter(self, name: str, letter: str) -> None:
        self.letters.setdefault(name, letter)

    def _dtype(self, given: Given, kind: str, value: str) -> str:
        self._letter(given.name, "D" if given.default else "d")
        if kind == "mlx_optional_dtype":
            return READ[kind][1].format(v=value)
        if not given.default or self.core.chooser == given.name:
            return f"(mlx_dtype){value}.integer"
        default = "mlx_array_dtype(v[0].array)" if given.default == "None" else f"MLX_{given.default.upper()}"
        return f"(mlx_dtype)({value}.given ? {value}.integer : {default})"
