"""Classes of functions: a letter for each parameter, from the table of the ABI."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

INCLUDE = Path(__file__).resolve().parents[2] / "include"
# By letter: what C passes.
TYPES = {
    "A": ["mlx_array *"], "V": ["mlx_vector_array *"], "a": ["const mlx_array"], "v": ["const mlx_vector_array"],
    "n": ["const int *", "size_t"], "q": ["const int64_t *", "size_t"], "i": ["int"], "u": ["size_t"],
    "U": ["uint64_t"], "b": ["bool"], "f": ["float"], "d": ["double"], "t": ["const char *"], "D": ["mlx_dtype"],
    "e": ["mlx_fft_norm"], "I": ["mlx_optional_int"], "F": ["mlx_optional_float"], "B": ["mlx_optional_bool"],
    "T": ["mlx_optional_dtype"], "s": ["const mlx_stream"],
}  # fmt: skip
ENUMS = {"mlxffi_reduction": "mlx_fft_norm"}
OURS = ("random.h", "fused.h", "losses.h")
# Beside the headers of operations: these build or read arrays too, and have no place for a result.
HEADERS = {"ops", "fast", "linalg", "random", "fft"}


@cache
def _table() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((INCLUDE / "mlxffi/abi.json").read_text(encoding="utf-8"))["functions"]
    return rows


@cache
def plain() -> set[str]:
    """The functions that mlx-c has, too."""
    return {row["name"] for row in _table() if row["since"] == "mlx-c"}


@cache
def functions() -> dict[str, str]:
    """The class of each regular function: those that give arrays and take nothing but what has a letter."""
    found = {}
    for row in _table():
        regular = row["header"].removeprefix("mlx/c/").removesuffix(".h") in HEADERS and row["returns"] == "int"
        letters = letters_of([parameter["type"] for parameter in row["parameters"]]) if regular else None
        if letters and letters[0] in "AV":
            found[row["name"]] = letters
    return found | _ours()


def _ours() -> dict[str, str]:
    found = {}
    for name in OURS:
        text = re.sub(r"/\*.*?\*/", "", (INCLUDE / "mlxffi" / name).read_text(encoding="utf-8"), flags=re.S)
        for function, parameters in re.findall(r"^int (mlxffi_\w+)\(([^)]*)\);", text, flags=re.M):
            types = [re.sub(r"\w+\s*$", "", parameter.strip()).strip() for parameter in parameters.split(",")]
            letters = letters_of(types)
            if letters:
                found[function] = letters
    return found


def letters_of(types: list[str]) -> str | None:
    """The class of a function with parameters of these types; None when one has no letter."""
    letters, rest = "", [ENUMS.get(kind, kind) for kind in types]
    while rest:
        for letter, pattern in TYPES.items():
            if rest[: len(pattern)] == pattern:
                letters, rest = letters + letter, rest[len(pattern) :]
                break
        else:
            return None
    return letters


def prototypes() -> dict[str, list[str]]:
    """The C types of each class that a function has."""
    return {
        letters: [kind for letter in letters for kind in TYPES[letter]] for letters in sorted({*functions().values()})
    }


# By letter: what the C runner passes, of argument number {i}.
PASSED = {
    "A": "&x[{i}].array", "V": "&x[{i}].vector", "a": "x[{i}].array", "v": "x[{i}].vector",
    "n": "x[{i}].ints, x[{i}].size", "q": "x[{i}].longs, x[{i}].size", "i": "(int)x[{i}].integer",
    "u": "(size_t)x[{i}].integer", "U": "(uint64_t)x[{i}].integer", "b": "x[{i}].integer != 0",
    "f": "(float)x[{i}].number", "d": "x[{i}].number", "t": "x[{i}].text", "D": "x[{i}].dtype",
    "e": "(mlx_fft_norm)x[{i}].integer", "I": "x[{i}].some_int", "F": "x[{i}].some_float", "B": "x[{i}].some_bool",
    "T": "x[{i}].some_dtype", "s": "x[{i}].stream",
}  # fmt: skip


def c_table() -> str:
    """classes.h of the C runner: a line for each class."""
    lines = ["/* A line for each class of functions: letters, types, arguments. Made by scripts/make_vectors.py. */"]
    for letters, types in prototypes().items():
        passed = ", ".join(PASSED[letter].format(i=i) for i, letter in enumerate(letters))
        lines.append(f'CLASS("{letters}", ({", ".join(types)}), ({passed}))')
    return "\n".join(lines) + "\n"
