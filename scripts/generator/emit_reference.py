"""What the C ABI promises of each function, for programs to read (include/mlxffi/abi.json) and for people (docs)."""

from __future__ import annotations

import json
import re
from itertools import groupby
from typing import Any

from .additions import added
from .departures import DEPARTURES, HEADERS
from .table import Function, Header, Param, functions

THREADS = {
    "any": "any thread may call it; no other thread may use a handle while the call changes it",
    "caller": "it concerns the calling thread",
    "owner": "it evaluates: call it on a thread that owns the streams of what is evaluated",
}
OWNERSHIP = {
    "value": "a plain value",
    "borrowed": "the caller keeps it; it need not outlive the call",
    "result": "a handle that the caller owns afterwards; an existing one keeps its ctx and gets new content",
    "out": "a place for a plain value, or for a pointer that the library owns",
    "consumed": "the handle must not be used after the call",
    "kept": "a function that must stay valid as long as anything made from it",
    "handed over": "the library takes it over and destroys it through `dtor`",
}


ABOUT = """The functions by header, with the first sentence of their documentation; the headers have the rest. For each
parameter the table says who owns it (`?`: it may be empty or NULL), then what is returned (a status of 0, 1 or 2, or a
type), which thread may call the function, whether it blocks, and whether mlx-c has it or only mlxffi.
[The C ABI](abi.md) has the guarantees."""
HEAD = ["| function | parameters | returns | thread | blocks | since |", "|---|---|---|---|---|---|"]


def json_files(headers: list[Header], banner: str) -> dict[str, str]:
    """include/mlxffi/abi.json, with a line for each function, so that changes of it can be read."""
    words = {"about": banner, "ownership": OWNERSHIP, "threads": THREADS}
    head = json.dumps(words, indent=1).removesuffix("\n}")
    functions = ",\n".join(f"  {json.dumps(function)}" for function in _described(headers))
    return {"abi.json": f'{head},\n "functions": [\n{functions}\n ]\n}}\n'}


def documents(headers: list[Header], banner: str) -> dict[str, str]:
    """docs/abi_functions.md: a table for each header."""
    about = {f"mlx/c/{header.name}.h": " ".join(header.about.split()) for header in headers}
    docs = {function.name: function.doc for function in functions(headers)}
    words = [f"- **{word}**: {meaning}." for word, meaning in {**OWNERSHIP, **THREADS}.items()]
    text = [f"<!-- {banner} -->", "# Every C function", ABOUT, "\n".join(words)]
    for header, rows in groupby(_described(headers), key=lambda row: str(row["header"])):
        text += [f"## {header}", *filter(None, [about.get(header, "")])]
        text += ["\n".join([*HEAD, *(_row(row, docs.get(row["name"], "")) for row in rows)])]
    return {"abi_functions.md": "\n\n".join(text) + "\n"}


def _described(headers: list[Header]) -> list[dict[str, Any]]:
    handles = {type_.name for header in headers for type_ in header.types if type_.is_handle or "map_ctx" in type_.c}
    return [_describe(function, handles | {"mlxffi_event"}) for function in [*functions(headers), *added()]]


def _describe(function: Function, handles: set[str]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": function.name,
        "header": f"mlxffi/{function.part}" if function.header == "ours" else f"mlx/c/{function.header}.h",
        "since": "mlxffi" if function.added else "mlx-c",
        "returns": function.returns,
        "parameters": [_parameter(function, param, handles) for param in function.params],
        "status": _status(function),
        "thread": function.thread or ("owner" if function.evaluates or function.waits else "any"),
        "blocks": function.evaluates or function.waits or "with_file" in function.cpp,
        "calls_back": function.runs,
    }
    if function.name in DEPARTURES:
        edition, how = DEPARTURES[function.name]
        described["departures"] = [{"edition": edition, "how": how, "header": HEADERS[edition]}]
    return described


def _status(function: Function) -> list[int]:
    """The values that can come; none where the function returns something else."""
    if function.returns != "int" or function.value:
        return []
    return [0, 1, 2] if function.nothing else [0, 1]


def _parameter(function: Function, param: Param, handles: set[str]) -> dict[str, Any]:
    return {
        "name": param.name,
        "type": param.type,
        "ownership": _ownership(function, param, handles),
        "nullable": _is_nullable(function, param),
    }


def _ownership(function: Function, param: Param, handles: set[str]) -> str:
    if function.cpp == "@free":
        return "consumed"
    if param.type.removesuffix(" *") in handles and param.type.endswith("*"):
        return "result"
    if re.fullmatch(r"(void|char) \*|void \(\*\)\(void \*\)|mlx_io_vtable", param.type):
        return "handed over" if any(other.name in ("dtor", "vtable") for other in function.params) else "borrowed"
    if re.fullmatch(r"(?!const |FILE).* \*|.*\*\*", param.type):
        return "out"
    if "(*" in param.text or param.type.endswith("_func"):
        return "kept"
    if param.type.endswith("*") or param.type.removeprefix("const ") in handles:
        return "borrowed"
    return "value"


def _is_nullable(function: Function, param: Param) -> bool:
    """Whether the pointer may be NULL or the handle empty; the handle in a result's place may always be empty."""
    return param.name in function.nullable or function.cpp == "@free" or param.name in ("dtor", "payload")


def _row(described: dict[str, Any], doc: str) -> str:
    parameters = ", ".join(
        f"{row['name']}{'?' if row['nullable'] else ''}: {row['ownership']}" for row in described["parameters"]
    )
    sentence = re.split(r"(?<=[^.\s]\.)\s(?=[A-Z`])", " ".join(doc.split()))[0].replace("|", "\\|")
    function = f"`{described['name']}`" + (f"<br>{sentence}" if sentence else "")
    status = ", ".join(map(str, described["status"])) or described["returns"].replace("|", "")
    blocks = "yes" if described["blocks"] else "calls back" if described["calls_back"] else ""
    departures = "".join(f"; {row['edition']}: {row['how']}" for row in described.get("departures", []))
    cells = [function, parameters, status, described["thread"], blocks, described["since"] + departures]
    return f"| {' | '.join(cells)} |"
