"""The headers and the library hold the whole mlx-c ABI: same names, order, prototypes and types."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from mlxffi import ffi, lib

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "include"
ABI = json.loads((Path(__file__).parent / "mlxc-abi.json").read_text())
NAMES = [function["name"] for function in ABI["functions"]]
HEADERS = sorted(path.relative_to(INCLUDE) for folder in ("mlx/c", "mlxffi") for path in (INCLUDE / folder).glob("*.h"))
HALVES = {f"mlx_array_{what}_{half}" for what in ("item", "data") for half in ("float16", "bfloat16")}
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{INCLUDE}", "-fsyntax-only"]


def compile_text(text, *flags, language="c"):
    compiler = "cc" if language == "c" else "c++"
    command = [compiler, *STRICT, *flags, "-x", language, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def declared(header):
    """The functions of a header in the order of their declarations."""
    text = re.sub(r"/\*.*?\*/", "", (INCLUDE / "mlx/c" / header).read_text(), flags=re.S)
    return re.findall(r"^[\w *]*?\b(_?mlx_\w+)\((?!\*)", text, flags=re.M)


def test_library_exports_every_function():
    missing = [name for name in NAMES if not hasattr(lib, name)]
    assert missing == []
    library = ROOT / "mlxffi/lib/libmlxc.so"
    out = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    exported = {line.split()[-1] for line in out.splitlines()}
    assert set(NAMES) - exported == set()
    foreign = {name for name in exported if not re.match(r"_?mlx_|mlxffi_", name)}
    assert foreign == set(), "libmlxc exports the C ABI and nothing else"


def test_every_declared_function_is_exported():
    for header in HEADERS:
        for name in declared(header.name) if header.parent.name == "c" else []:
            assert hasattr(lib, name) or "float16" in name, f"{header}: {name} is declared but not in the library"


@pytest.mark.parametrize("header", ABI["includes_by_mlx_h"])
def test_header_declares_the_abi_in_its_order(header):
    wanted = [function["name"] for function in ABI["functions"] if function["header"] == header]
    found = declared(header)
    assert found[: len(wanted)] == wanted
    assert set(found[len(wanted) :]).isdisjoint(NAMES), "what is added comes after what mlx-c has"


def test_prototypes_agree_with_the_abi():
    """A second declaration of each function compiles only where it says the same."""
    again = "".join(
        f"{function['returns']} {function['name']}({', '.join(function['params']) or 'void'});\n"
        for function in ABI["functions"]
    )
    result = compile_text('#include "mlx/c/mlx.h"\n' + again, "-std=c11")
    assert result.returncode == 0, result.stderr


def test_a_wrong_prototype_would_be_noticed():
    result = compile_text('#include "mlx/c/mlx.h"\nint mlx_add(mlx_array *res, const mlx_array a);\n', "-std=c11")
    assert "conflicting types" in result.stderr


@pytest.mark.parametrize("row", ABI["typedefs"], ids=lambda row: row["name"])
def test_type_agrees_with_the_abi(row):
    """The same typedef with a new name has the same size, and the same members by name and type."""
    copy = re.sub(rf"\b{row['name']}(_?)\b", rf"copy_{row['name']}\1", row["decl"])
    copy = re.sub(r"\bMLX_", "COPY_MLX_", copy)
    checks = [f'_Static_assert(sizeof({row["name"]}) == sizeof(copy_{row["name"]}), "size");']
    members = re.findall(r"\bMLX_\w+", row["decl"])
    checks += [f'_Static_assert((int){name} == (int)COPY_{name}, "{name}");' for name in members]
    if "struct" in row["decl"]:
        fields = re.findall(r"(\w+);", row["decl"].partition("{")[2])
        checks += [
            f'_Static_assert(offsetof({row["name"]}, {field}) == offsetof(copy_{row["name"]}, {field}), "{field}");'
            for field in fields
        ]
    includes = f'#include <stddef.h>\n#include <stdio.h>\n#include "mlx/c/{row["header"]}"\n'
    source = f"{includes}{copy};\n" + "\n".join(checks)
    result = compile_text(source, "-std=c11")
    assert result.returncode == 0, result.stderr
    ffi.typeof(row["name"])


@pytest.mark.parametrize("header", HEADERS, ids=str)
@pytest.mark.parametrize(("language", "standard"), [("c", "c99"), ("c++", "c++17")])
def test_header_compiles_alone(header, language, standard):
    text = f'#include "{header}"\ntypedef int not_empty;\n'
    result = compile_text(text, f"-std={standard}", language=language)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("header", HEADERS, ids=str)
def test_header_is_plain_enough_for_binding_generators(header):
    text = re.sub(r"/\*.*?\*/", "", (INCLUDE / header).read_text(), flags=re.S)
    text = re.sub(r"#ifndef MLX_NO_OBJECTS.*?#endif", "", text, flags=re.S)
    for construct in ("inline", "__attribute__", "__bf16", "_Float16", "__fp16", "static "):
        assert construct not in text


def test_declarations_are_those_of_the_headers():
    """mlxc.cdef after the headers: a second declaration compiles where it says the same; and none is missing."""
    text = (INCLUDE / "mlxffi/mlxc.cdef").read_text()
    functions = re.findall(r"^(?!typedef|/).*?(\w+)\(.*\);$", text, re.M)
    assert len(functions) == len(set(functions))
    assert set(functions) == {name for name in dir(lib) if re.match(r"_?mlx", name) and is_function(name)} | HALVES
    again = "".join(f"{line}\n" for line in text.splitlines() if not line.startswith("typedef") and "FILE" not in line)
    again = re.sub(r"^.*\b(mlx_export_to_dot|mlx_print_graph)\(.*\n", "", again, flags=re.M)
    result = compile_text('#include "mlx/c/mlx.h"\n#include "mlxffi/mlxffi.h"\n' + again, "-std=c11")
    assert result.returncode == 0, result.stderr


def is_function(name):
    return ffi.typeof(getattr(lib, name)).kind == "function"


def test_every_function_has_a_comment_of_its_own():
    seen = {}
    for path in (INCLUDE / "mlx/c").glob("*.h"):
        text = path.read_text()
        commented = r"/\*\*((?:(?!\*/).)*)\*/\n(?:#ifdef \w+\n)?[\w *]*?\b(_?mlx_\w+)\("
        for comment, name in re.findall(commented, text, flags=re.S):
            first = " ".join(comment.replace("*", " ").split())
            assert len(first) > 30, name
            seen[name] = first
    assert set(NAMES) <= set(seen)
