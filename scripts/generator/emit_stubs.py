"""The stubs of the compiled modules: mlxffi/_graph.pyi and mlxffi/_mlxc.pyi.

Numbers and handles are typed; what cffi makes of pointers and structures is Any, for its types exist at run time only.
"""

from __future__ import annotations

import re
from pathlib import Path

from . import emit_cffi
from .table import Header, functions

GLUE = Path(__file__).resolve().parents[2] / "mlxffi" / "native" / "cffi"
# What is written by hand, by the module it belongs to.
BY_HAND = {"graph": ["extra.c", "transforms.c"], "calls": ["errors.c", "callbacks.c", "dlpack.c"]}
PYTHON = {"bool": "bool", "float": "float", "double": "float", "void": "None"}
INTEGER = re.compile(r"int|size_t|intptr_t|u?int\d+_t|mlx_\w+_type|mlx_dtype")
FUNCTION = re.compile(r"^static ([\w ]+?[ *]+)(glue_\w+)\((.*)\) \{$", re.M)
# Not every name of the C ABI is a function: constants, types of the glue and variables.
REST = "    def __getattr__(self, name: str) -> Any: ...\n"


def render_all(headers: list[Header], banner: str) -> dict[str, str]:
    """The text of both stubs, by file name."""
    generated = emit_cffi.render_additions(headers, banner)
    texts = {half: "\n".join([*_by_hand(half), generated[f"{half}.c"]]) for half in BY_HAND}
    abi = [_method(row.name, row.returns, [param.text for param in row.params]) for row in functions(headers)]
    graph, calls = _methods(texts["graph"] + generated["additions.c"]), _methods(texts["calls"])
    built = "The calls that build graph nodes, and those of transforms; they keep the GIL but while MLX calls back."
    about = "Every function of the C ABI, and the glue that waits or calls back."
    return {
        "_graph.pyi": _stub(banner, built, graph, ""),
        "_mlxc.pyi": _stub(banner, about, calls + abi, REST),
    }


def _by_hand(half: str) -> list[str]:
    return [(GLUE / name).read_text(encoding="utf-8") for name in BY_HAND[half]]


def _stub(banner: str, about: str, methods: list[str], rest: str) -> str:
    body = "".join(f"    {method}\n" for method in methods)
    head = f'"""{about}\n\n{banner}\n"""\n\nfrom typing import Any\n\nimport cffi\n\n'
    return f"{head}class Lib:\n{body}{rest}\nffi: cffi.FFI\nlib: Lib\n"


def _methods(text: str) -> list[str]:
    functions = dict.fromkeys(FUNCTION.findall(text))
    return [_method(name, returns, _split(params)) for returns, name, params in functions]


def _split(params: str) -> list[str]:
    return [] if params == "void" else params.split(", ")


def _method(name: str, returns: str, params: list[str]) -> str:
    """One method; parameters have no names, since cffi's functions take none."""
    kinds = ["self", *(f"_{index}: {_kind(param)}" for index, param in enumerate(params))]
    return f"def {name}({', '.join([*kinds, '/'])}) -> {_kind(returns)}: ..."


def _kind(text: str) -> str:
    """The Python type of a C declaration, whose last word may be a name."""
    if "*" in text or "(" in text or "[" in text:
        return "Any"
    for word in text.replace("const ", "").split()[:2]:
        if word in PYTHON:
            return PYTHON[word]
        if INTEGER.fullmatch(word):
            return "int"
    return "Any"
