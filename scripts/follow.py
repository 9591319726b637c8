#!/usr/bin/env python3
"""Say what another version of MLX means for the table: which functions it adds, drops and changes, and which rows.

usage: python scripts/follow.py VERSION [--wheels FOLDER]

The headers of mlx-cpu and the stubs of mlx, of that version and of the one that the table is for, are taken from PyPI
(nothing of them is imported or run) or from the wheels in a folder. A function of C++ that is new comes with a draft of
its row; one that is gone or changed, with the rows of scripts/api that call it. Headers that changed in another way are
named: their classes are what the handwritten C++ uses. The exit status is 1 where anything differs.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from generate import MLX
from generator import table

Signatures = dict[str, list[str]]
TABLE = table.functions(table.load())
NATIVE = Path(__file__).resolve().parent.parent / "mlxffi/native"
INCLUDED = {
    name
    for path in NATIVE.rglob("*")
    if path.suffix in (".h", ".cpp")
    for name in re.findall(r"#include <(mlx/.*)>", path.read_text("utf-8"))
}
FUNCTION = re.compile(r"MLX_API\s+(?!class|struct)([\w:<>,&*\s]+?)\s*\b(\w+)\s*\(")
# The C parameters of one in C++; {} is its name.
IN_C = {
    "array": ["const mlx_array {}"],
    "std::vector<array>": ["const mlx_vector_array {}"],
    "Shape": ["const int *{}", "size_t {}_num"],
    "std::vector<int>": ["const int *{}", "size_t {}_num"],
    "std::optional<array>": ["const mlx_array {} /* may be empty */"],
    "std::optional<int>": ["mlx_optional_int {}"],
    "std::optional<float>": ["mlx_optional_float {}"],
    "std::optional<Dtype>": ["mlx_optional_dtype {}"],
    "std::string": ["const char *{}"],
    "Dtype": ["mlx_dtype {}"],
    "StreamOrDevice": ["const mlx_stream {}"],
    **{plain: [f"{plain} {{}}"] for plain in ("int", "float", "double", "bool", "size_t", "uint64_t")},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("version", help="a version of mlx-cpu and mlx on PyPI")
    parser.add_argument("--wheels", type=Path, help="a folder with the wheels of both versions")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        old, new = (Release(version, Path(scratch), options.wheels) for version in (MLX, options.version))
        lines = [*compare_headers(old, new), *compare_stubs(old, new)]
    for line in lines:
        print(line)
    print(f"MLX {options.version} beside {MLX}, which the table is for: {len(lines)} differences")
    return 1 if lines else 0


class Release:
    """The unpacked wheels of one version of MLX."""

    def __init__(self, version: str, scratch: Path, wheels: Path | None):
        self.folder = scratch / version
        self.folder.mkdir(exist_ok=True)
        for name in ("mlx_cpu", "mlx"):
            with zipfile.ZipFile(wheel(name, version, wheels or self.folder)) as archive:
                archive.extractall(self.folder)

    def headers(self) -> dict[str, str]:
        """The texts of the headers without comments, by their paths."""
        root = self.folder / "mlx/include/mlx"
        paths = [*root.glob("*.h"), *root.glob("distributed/*.h"), *root.glob("backend/*/*.h")]
        return {path.relative_to(root).as_posix(): without_comments(path.read_text("utf-8")) for path in sorted(paths)}

    def stubs(self) -> dict[str, ast.Module]:
        """The stubs of mlx.core and its modules, by their names."""
        paths = sorted((self.folder / "mlx/core").glob("*.pyi"))
        names = ["mlx.core" if path.stem == "__init__" else f"mlx.core.{path.stem}" for path in paths]
        return {name: ast.parse(path.read_text("utf-8")) for name, path in zip(names, paths, strict=True)}


def wheel(name: str, version: str, folder: Path) -> Path:
    """A wheel in a folder, into which pip downloads it where it is missing; any platform's has the same text."""
    if not (found := sorted(folder.glob(f"{name}-{version}-*.whl"))):
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(folder)]
        if subprocess.run([*pip, f"{name}=={version}"], check=False).returncode:
            raise SystemExit(f"follow.py: pip finds no wheel {name}=={version} for this machine")
        found = sorted(folder.glob(f"{name}-{version}-*.whl"))
    return found[0]


def without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)


# --- headers ---


def compare_headers(old: Release, new: Release) -> Iterator[str]:
    """A line for each function, and for each header that changed in another way."""
    before, after = old.headers(), new.headers()
    yield from (f"{name}: the header is gone" for name in sorted(before.keys() - after.keys()))
    for name, text in after.items():
        yield from changes(name, functions(before.get(name, "")), functions(text), calls)
        if name not in before:
            yield f"{name}: the header is new"
        elif f"mlx/{name}" in INCLUDED and rest(before[name]) != rest(text):
            yield f"{name}: changed besides its functions"


def functions(text: str) -> Signatures:
    """What a header exports, by name; an overloaded function has several signatures."""
    found: Signatures = defaultdict(list)
    for match, end in _declarations(text):
        parameters = " ".join(text[match.end() : end].split())
        found[match[2]].append(f"{' '.join(match[1].split())} {match[2]}({parameters})")
    return found


def _declarations(text: str) -> Iterator[tuple[re.Match[str], int]]:
    """Each exported function, and where its parameters end."""
    for match in FUNCTION.finditer(text):
        depth, end = 1, match.end()
        while depth and end < len(text):
            depth += (text[end] == "(") - (text[end] == ")")
            end += 1
        yield match, end - 1


def rest(text: str) -> str:
    """A header without its functions."""
    parts, start = [], 0
    for match, end in _declarations(text):
        parts.append(text[start : match.start()])
        start = end + 1
    return " ".join("".join([*parts, text[start:]]).replace(";", " ").split())


def calls(where: str, name: str, added: list[str]) -> str:
    """The rows that call a function of C++, or a draft of one where none does."""
    rows = [row for row in TABLE if re.search(rf"\b{name}\b", row.cpp) or row.name.endswith(f"_{name}")]
    if rows:
        return f"rows: {', '.join(f'{row.name} in {row.part}.toml' for row in rows)}"
    return "\n      ".join(f"row: c = '{draft(Path(where).stem, signature)}'" for signature in added)


def draft(header: str, signature: str) -> str:
    """A C prototype for a function of C++; what has no counterpart stands there as it is."""
    returns, name, parameters = re.fullmatch(r"(.*?)\s*\b(\w+)\((.*)\)", signature).groups()  # type: ignore[union-attr]
    stem = f"mlx_{header}_{name}" if header in table.NAMESPACES else f"mlx_{name}"
    result = {"array": ["mlx_array *res"], "std::vector<array>": ["mlx_vector_array *res"]}.get(returns, [])
    pair = ["mlx_array *res_0", "mlx_array *res_1"] if returns == "std::pair<array, array>" else []
    given = [part for text in _parameters(parameters) for part in _in_c(text)]
    return f"int {stem}({', '.join([*result, *pair, *given]) or 'void'})"


def _parameters(text: str) -> list[str]:
    """Split at the commas outside of brackets, and drop the defaults."""
    parts, depth = [""], 0
    for char in text:
        depth += (char in "<({") - (char in ">)}")
        parts = [*parts, ""] if char == "," and not depth else [*parts[:-1], parts[-1] + char]
    return [part.partition("=")[0].strip() for part in parts if part.strip()]


def _in_c(parameter: str) -> list[str]:
    found = re.fullmatch(r"(?:const )?(.*?)(?:\s*&+)?\s*\b(\w+)", parameter)
    if not found or found[1] not in IN_C:
        return [parameter]
    return [text.format(found[2]) for text in IN_C[found[1]]]


# --- stubs ---


def compare_stubs(old: Release, new: Release) -> Iterator[str]:
    """A line for each name of mlx.core and its modules."""
    before, after = old.stubs(), new.stubs()
    for module in sorted(before.keys() | after.keys()):
        trees = [stubs.get(module, ast.Module([], [])).body for stubs in (before, after)]
        were, are = (dict(members(tree)) for tree in trees)
        yield from changes(module, were, are, speaks)


def members(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, list[str]]]:
    """Each function, method and other name with its signatures."""
    found: Signatures = defaultdict(list)
    for node in body:
        if isinstance(node, ast.FunctionDef):
            returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            found[owner + node.name].append(f"{node.name}({ast.unparse(node.args)}){returns}")
        elif isinstance(node, ast.ClassDef):
            found[owner + node.name].append(f"class {node.name}")
            yield from members(node.body, f"{owner}{node.name}.")
        elif isinstance(node, ast.AnnAssign):
            found[owner + ast.unparse(node.target)].append(ast.unparse(node))
    yield from found.items()


def speaks(where: str, name: str, added: list[str]) -> str:
    """The rows that have a name of mlx.core in `core`."""
    word = name.rpartition(".")[2]
    rows = [row for row in TABLE if row.core.partition("(")[0] == word]
    return f"rows: {', '.join(f'{row.name} in {row.part}.toml' for row in rows)}" if rows else ""


# --- both ---


def changes(
    where: str, were: Signatures, are: Signatures, concerned: Callable[[str, str, list[str]], str]
) -> Iterator[str]:
    """A line for each name that is new, gone or changed, with what went and came, and the rows that it concerns."""
    for name in sorted(were.keys() | are.keys()):
        gone, come = Counter(were.get(name, [])), Counter(are.get(name, []))
        if gone == come:
            continue
        what = "new" if not gone else "gone" if not come else "changed"
        lines = [f"- {one}" for one in (gone - come).elements()] + [f"+ {one}" for one in (come - gone).elements()]
        rows = concerned(where, name, list((come - gone).elements()))
        yield "\n      ".join([f"{where}: {name}: {what}", *lines, *([rows] if rows else [])])


if __name__ == "__main__":
    sys.exit(main())
