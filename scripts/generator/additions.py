"""The functions of include/mlxffi, whose headers are written by hand: their prototypes, and what those do not say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .table import Function, addition

FOLDER = Path(__file__).resolve().parents[2] / "include/mlxffi"

# As in a row of the table.
FACTS: dict[str, dict[str, Any]] = {
    "mlxffi_array_text": {"waits": True, "thread": "owner"},
    "mlxffi_clear_error": {"thread": "caller"},
    "mlxffi_event_free": {"cpp": "@free"},
    "mlxffi_event_record": {"thread": "owner"},
    "mlxffi_event_stream_wait": {"thread": "owner"},
    "mlxffi_event_wait": {"waits": True, "thread": "any"},
    "mlxffi_export_describe": {"runs": True},
    "mlxffi_ignore_errors": {"nullable": ["message", "data"]},
    "mlxffi_last_error_kind": {"thread": "caller"},
    "mlxffi_last_error_text": {"thread": "caller"},
}


def added() -> list[Function]:
    """All of them, each with its header as the part of the table that it is from."""
    return [function for path in sorted(FOLDER.glob("*.h")) for function in _functions(path)]


def _functions(path: Path) -> list[Function]:
    text = re.sub(r" /\* may be null \*/", "_MAY_BE_NULL", path.read_text(encoding="utf-8"))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    prototypes = re.findall(r"^([\w ]+?\*? ?mlxffi_\w+\([^;{]*\));", text, re.M)
    return [_function(prototype, path.name) for prototype in prototypes]


def _function(prototype: str, header: str) -> Function:
    nullable = re.findall(r"(\w+)_MAY_BE_NULL", prototype)
    c = " ".join(prototype.replace("_MAY_BE_NULL", "").split()).replace("( ", "(").replace(" )", ")")
    name = re.findall(r"(\w+)\(", c)[0]
    return addition({"c": c, "nullable": nullable, "added": True, **FACTS.get(name, {})}, header)
