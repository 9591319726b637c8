"""Rows of the table that do not agree with their prototypes or with each other: each is an error that names its row."""

from __future__ import annotations

import ast
import re
from collections import Counter

from .emit_core import MARKS, NAMED, CoreFunction, chosen_by
from .emit_dispatch import TAKE
from .table import Function, Header, TableError, functions

# Types of C, and words of C++ that an expression may have beside parameters, functions and qualified names.
PLAIN = {"void", "bool", "char", "int", "float", "double", "size_t", "uintptr_t", "float16_t", "bfloat16_t", "FILE"}
PLAIN |= {f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)}
WORDS = {"return", "true", "false", "nullptr", "const", "auto", "this"}
CONSTANTS = {"compile_frame", "jvp_frame", "vjp_frame"}  # of native/abi/transforms.h


def require_consistent(headers: list[Header]) -> None:
    """Compare every row of the table with its prototype, and the rows with each other.

    Raises:
        TableError: a row does not agree; the message names it and its file.
    """
    rows = {function.name: function for function in functions(headers)}
    types = {type_.name for header in headers for type_ in header.types}
    types |= {name for header in headers for name in re.findall(r"\} (\w+);", header.raw)}
    _require_once(headers)
    for function in rows.values():
        wrong = [*_unknown_names(function), *_unknown_types(function, types), *_expression(function)]
        wrong += _core(function, rows) if function.core else []
        wrong += [] if function.doc.strip() else ["doc: says nothing"]
        if wrong:
            raise TableError(function.part, function.name, wrong[0])


def _require_once(headers: list[Header]) -> None:
    rows = functions(headers)
    counts = Counter(row.name for row in rows)
    signed = Counter(_signed(row) for row in rows if row.core)
    for row in rows:
        if counts[row.name] > 1:
            raise TableError(row.part, row.name, f"stands in the table {counts[row.name]} times")
        if signed[_signed(row)] > 1:
            raise TableError(row.part, row.name, f"core: another row is {'.'.join(_signed(row))} too")


def _signed(row: Function) -> tuple[str, str]:
    """The module and name of a row's function in mlx.core."""
    return row.header, row.core.partition("(")[0]


def _unknown_names(row: Function) -> list[str]:
    """Parameters that a row speaks of and C lacks."""
    names = {param.name for param in row.params}
    given = {"nullable": row.nullable, "defaults": row.defaults.keys()}
    return [f"{key}: C has no parameter {sorted(found - names)}" for key, found in given.items() if found - names]


def _unknown_types(row: Function, declared: set[str]) -> list[str]:
    known = declared | PLAIN
    used = [*((param.name, param.type) for param in row.params if param.type != "..."), ("the result", row.returns)]
    for name, text in used:
        if not known & set(re.findall(r"\w+", text)):
            return [f"{name} is of an unknown type: {text}"]
    return []


def _expression(row: Function) -> list[str]:
    """Names in the C++ expression that are no parameters, functions or qualified names."""
    if row.cpp.startswith("@"):
        return [] if row.cpp in ("@hand", "@new", "@free", "@set") else [f"cpp: no form is called {row.cpp}"]
    if re.fullmatch(r"\w*", row.cpp):
        return []
    text = re.sub(r'"[^"]*"', '""', row.cpp)
    names = re.findall(r"(?<![\w.:>])[A-Za-z_]\w*\b(?!\s*[(<{]|::)", text)
    unknown = sorted(set(names) - {param.name for param in row.params} - PLAIN - WORDS - CONSTANTS)
    return [f"cpp: {unknown} are no parameters"] if unknown else []


# --- signatures of mlx.core ---


def _core(row: Function, rows: dict[str, Function]) -> list[str]:
    try:
        (parsed,) = ast.parse(f"def {row.core}: ...").body
        assert isinstance(parsed, ast.FunctionDef)
    except (SyntaxError, AssertionError, ValueError):
        return [f"core: {row.core} is no signature"]
    arguments = [*parsed.args.posonlyargs, *parsed.args.args, *parsed.args.kwonlyargs]
    marks = {ast.unparse(argument.annotation) for argument in arguments if argument.annotation}
    if row.composed:
        return _untaken(row, rows)
    if marks - MARKS.keys():
        return [f"core: unknown mark {sorted(marks - MARKS.keys())}; there are {sorted(MARKS)}"]
    if parsed.returns and ast.unparse(parsed.returns) not in TAKE:
        return [f"core: unknown result {ast.unparse(parsed.returns)}; there are {sorted(TAKE)}"]
    return _unmatched([argument.arg for argument in arguments], row, rows) or _untaken(row, rows)


def _untaken(row: Function, rows: dict[str, Function]) -> list[str]:
    """Kinds of parameters that the generated Python has no way to take."""
    try:
        CoreFunction(row, rows).text()
    except KeyError as error:
        return [f"core: nothing takes a parameter of type {error.args[0]}"]
    return []


def _unmatched(given: list[str], row: Function, rows: dict[str, Function]) -> list[str]:
    """Parameters of a signature without one in C, and the other way round, in each variant that an axis chooses."""
    chooser, others = chosen_by(row, given, rows)
    wrong = _compared([name for name in given if name != chooser], row)
    return wrong + [text for other in others for text in _compared(given, other)]


def _compared(given: list[str], row: Function) -> list[str]:
    """A parameter stands for the C parameter of its name, the others for the others in their order."""
    inputs = {re.sub(r"_\d$", "", param.name): param for param in row.params if param.is_input}
    theirs = [NAMED.get(param.type, name) for name, param in inputs.items()]
    python, c = [name for name in given if name not in theirs], [name for name in theirs if name not in given]
    if len(python) > len(c):
        return [f"core: {row.name} has no parameter for {python[len(c) :]}"]
    return [f"core: nothing stands for {c[len(python) :]} of {row.name}"] if len(c) > len(python) else []
