#!/usr/bin/env python3
"""Compare every name and signature in the stubs of mlx.core with mlxffi.core.

usage: python scripts/coverage.py [--stubs FOLDER]

A stub's function must be there with the same parameters: their names, order, kinds and defaults; an overloaded one with
as many overloads, where these differ in more than types. A stub's class must be there with the same methods and
properties. Types are not compared. The exit status is 1 when anything differs.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import inspect
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "mlxffi.core"
# A parameter: its name, its kind and its default as the stub writes it (None where it has none).
Parameter = tuple[str, str, "str | None"]
KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "positional only",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional",
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.KEYWORD_ONLY: "keyword only",
    inspect.Parameter.VAR_KEYWORD: "**",
}
C_METHODS = (types.WrapperDescriptorType, types.MethodDescriptorType)
# What a stub writes for a default that it does not show.
HIDDEN = "..."
# Defaults that mlx.core has and its stubs leave out: it takes calls without these arguments.
LEFT_OUT = {f"{PACKAGE}.save_gguf": {"metadata": "None"}}
# Parameters that mlx.core takes by name where its stubs say that it does not.
BY_NAME = {f"{PACKAGE}.astype": {"dtype"}, f"{PACKAGE}.roll": {"shift", "axis"}}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stubs", type=Path, default=None, help="the folder of the stubs; the wheel's without it")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    differences = list(compare(options.stubs or wheel_stubs(), counts))
    for line in differences:
        print(line)
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    print(f"{len(differences)} differences")
    return 1 if differences else 0


def wheel_stubs() -> Path:
    """The stubs of the installed wheel, of which nothing is imported."""
    found = importlib.util.find_spec("mlx")
    for folder in (found.submodule_search_locations or []) if found else []:
        if (Path(folder) / "core" / "__init__.pyi").exists():
            return Path(folder) / "core"
    raise SystemExit("coverage.py: the stubs of mlx.core are not installed: pip install mlx==0.32.4")


def compare(stubs: Path, counts: Counter[str]) -> Iterator[str]:
    """One line for each difference."""
    for path in sorted(stubs.glob("*.pyi")):
        name = PACKAGE if path.stem == "__init__" else f"{PACKAGE}.{path.stem}"
        counts["modules"] += 1
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            yield f"{name}: {error}"
            continue
        yield from _members(_members_of(ast.parse(path.read_text(encoding="utf-8")).body), module, module, name, counts)


# --- what stubs say ---


def _members_of(body: list[ast.stmt]) -> dict[str, list[ast.AST]]:
    """The statements that define each name."""
    found: dict[str, list[ast.AST]] = {}
    for node in body:
        for name in _names_of(node):
            found.setdefault(name, []).append(node)
    return found


def _names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, ast.Assign) and not _is_type_variable(node.value):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.ImportFrom):
        # `import x as x` is how a stub says that a name is public.
        return [alias.name for alias in node.names if alias.asname == alias.name]
    return []


def _is_type_variable(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) in ("TypeVar", "ParamSpec")


def _wanted(node: ast.FunctionDef) -> list[Parameter]:
    arguments = node.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults))
    defaults += arguments.defaults
    found: list[Parameter] = []
    for index, (arg, default) in enumerate(zip(plain, defaults, strict=True)):
        kind = "positional only" if index < len(arguments.posonlyargs) else "positional"
        found.append((arg.arg, kind, _written(default)))
    if arguments.vararg:
        found.append((arguments.vararg.arg, "*", None))
    for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append((arg.arg, "keyword only", _written(default)))
    if arguments.kwarg:
        found.append((arguments.kwarg.arg, "**", None))
    return found


def _written(default: ast.expr | None) -> str | None:
    return ast.unparse(default) if default else None


def _is(node: ast.FunctionDef, decorator: str) -> bool:
    return any(ast.unparse(found).rpartition(".")[2] == decorator for found in node.decorator_list)


# --- what is here ---


def _members(
    wanted: dict[str, list[ast.AST]], owner: Any, module: ModuleType, where: str, counts: Counter[str]
) -> Iterator[str]:
    for name, nodes in wanted.items():
        path = f"{where}.{name}"
        if not hasattr(owner, name):
            counts["missing"] += 1
            yield f"{path}: missing"
            continue
        node = nodes[0]
        if isinstance(node, ast.ClassDef):
            counts["classes"] += 1
            yield from _class(node, getattr(owner, name), module, path, counts)
        elif isinstance(node, ast.FunctionDef):
            yield from _function(nodes, owner, name, module, path, counts)
        else:
            counts["constants and aliases"] += 1


def _class(node: ast.ClassDef, found: Any, module: ModuleType, path: str, counts: Counter[str]) -> Iterator[str]:
    if not inspect.isclass(found):
        yield f"{path}: expected a class, got {type(found).__name__}"
        return
    yield from _members(_members_of(node.body), found, module, path, counts)


def _function(
    nodes: list[ast.AST], owner: Any, name: str, module: ModuleType, path: str, counts: Counter[str]
) -> Iterator[str]:
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    if name == "__init__" and owner.__init__ is object.__init__:
        # Which takes the arguments then.
        name = "__new__"
    found = inspect.getattr_static(owner, name, None) or getattr(owner, name)
    if _is(functions[0], "property"):
        counts["properties"] += 1
        yield from _property(functions, found, path)
        return
    counts["methods" if inspect.isclass(owner) else "functions"] += 1
    made: Callable[..., Any] = found.__func__ if isinstance(found, (staticmethod, classmethod)) else found
    told = _in_c(owner, name) if isinstance(made, C_METHODS) else None
    if told:
        if _wanted(told) != _wanted(functions[0]):
            yield f"{path}: expected ({_text(_wanted(functions[0]))}), got ({_text(_wanted(told))})"
        return
    # Overloads that differ in types alone are one signature.
    different = list({_text(_wanted(node)): node for node in functions}.values())
    if len(different) > 1:
        yield from _overloads(different, made, path, counts)
    else:
        yield from _signature(functions[0], made, module, path)


def _in_c(owner: type, name: str) -> ast.FunctionDef | None:
    """What the stub of the plain C module tells of a method: at run time C's methods have no signature."""
    tree = ast.parse((Path(__file__).resolve().parent.parent / "mlxffi/_native.pyi").read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for base in owner.__mro__:
        for node in classes[base.__name__].body if base.__name__ in classes else ():
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return node
    return None


def _property(functions: list[ast.FunctionDef], found: Any, path: str) -> Iterator[str]:
    if callable(found) or not (hasattr(type(found), "__get__") or inspect.isdatadescriptor(found)):
        yield f"{path}: expected a property, got {type(found).__name__}"
    if len(functions) > 1 and isinstance(found, property) and found.fset is None:
        yield f"{path}: expected a property that can be set"


def _overloads(
    functions: list[ast.FunctionDef], made: Callable[..., Any], path: str, counts: Counter[str]
) -> Iterator[str]:
    """The overloads are for type checkers alone: they stand in the source."""
    tree = ast.parse(Path(inspect.unwrap(made).__code__.co_filename).read_text())
    named = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == functions[0].name]
    ours = [node for node in named if "overload" in map(ast.unparse, node.decorator_list)]
    counts["overloads"] += len(functions)
    wanted, found = ([_text(_wanted(node)) for node in nodes] for nodes in (functions, ours))
    if wanted != found:
        yield f"{path}: expected overloads {wanted}, got {found}"


def _signature(node: ast.FunctionDef, made: Callable[..., Any], module: ModuleType, path: str) -> Iterator[str]:
    wanted = _wanted(node)
    try:
        found = list(inspect.signature(made).parameters.values())
    except (TypeError, ValueError) as error:
        yield f"{path}: no signature: {error}"
        return
    if wanted and wanted[0][0] == "self":
        # Nobody passes it by name.
        wanted, found = wanted[1:], found[1:]
    named = BY_NAME.get(path, set())
    wanted = [(one, "positional" if one in named else kind, default) for one, kind, default in wanted]
    if [(one.name, KINDS[one.kind]) for one in found] != [(name, kind) for name, kind, _ in wanted]:
        yield f"{path}: expected ({_text(wanted)}), got {inspect.signature(made)}"
        return
    for one, (name, _, default) in zip(found, wanted, strict=True):
        default = LEFT_OUT.get(path, {}).get(name, default)
        if not _same_default(one.default, default, module):
            shown = "none" if one.default is one.empty else repr(one.default)
            yield f"{path}: default of {name}: expected {default or 'none'}, got {shown}"


def _text(parameters: list[Parameter]) -> str:
    return ", ".join(f"{name} [{kind}]" for name, kind, _ in parameters)


def _same_default(found: Any, wanted: str | None, module: ModuleType) -> bool:
    if wanted is None or found is inspect.Parameter.empty:
        return wanted is None and found is inspect.Parameter.empty
    if wanted == HIDDEN:
        return True
    try:
        value = ast.literal_eval(wanted)
    except ValueError:
        # A name: one of the package's dtypes.
        return found is getattr(importlib.import_module(PACKAGE), wanted.rpartition(".")[2], NotImplemented)
    return type(found) is type(value) and bool(found == value)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    sys.exit(main())
