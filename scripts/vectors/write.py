"""The files of a set: SET.json and SET.safetensors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from . import library, reference
from .program import Case, widened
from .tensors import Array, encode

SCHEMA = 1


def version() -> str:
    """The version of MLX that the library runs on."""
    text = library.ffi.new("mlx_string *")
    library.lib.mlx_version(text)
    found: bytes = library.ffi.string(library.lib.mlx_string_data(text[0]))
    library.lib.mlx_string_free(text[0])
    return found.decode()


def rendered(name: str, version: str, cases: list[Case]) -> dict[str, bytes]:
    """By file name: what a set consists of."""
    tensors: dict[str, Array] = {}
    lines = [json.dumps(record(case, tensors), separators=(", ", ": ")) for case in cases]
    problems = [f"{case.name}: {problem}" for case in cases if (problem := case.problem)]
    if problems:
        raise SystemExit("\n".join(problems))
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), sorted({each for each in names if names.count(each) > 1})
    head = f'{{"schema": {SCHEMA}, "set": "{name}", "version": "{version}", "cases": [\n'
    text = head + ",\n".join(lines) + "\n]}\n"
    return {f"{name}.json": text.encode(), f"{name}.safetensors": encode(tensors)}


def record(case: Case, tensors: dict[str, Array]) -> dict[str, Any]:
    """A case as JSON has it; its tensors go into `tensors`."""

    def keep(label: str, value: Array) -> str:
        tensors[f"{case.name}/{label}"] = value
        return f"{case.name}/{label}"

    program, lists = case.program, [] if case.outcome == "error" else _expected(case)
    found: dict[str, Any] = {"name": case.name, "outcome": case.outcome}
    if case.needs():
        found["needs"] = case.needs()
    if program.steps:
        found["inputs"] = [keep(str(i), value) for i, value in enumerate(program.inputs)]
        found["captured"] = [keep(f"captured{i}", value) for i, value in enumerate(program.captured)]
        found["steps"] = [step.record() for step in program.steps]
        found["returns"] = program.outputs
        found["transforms"] = [_transform(i, each, keep) for i, each in enumerate(case.transforms)]
    found["expected"] = [
        [
            {"tensor": keep(f"={'' if i == 0 else f'{i}.'}{j}", value), **case.tolerance(value.dtype.name)}
            for j, value in enumerate(each)
        ]
        for i, each in enumerate(lists)
    ]
    if case.contract:
        found["contract"] = case.contract
        tensors.update(case.files)
    case.problem = _problem(case, lists)
    return found


def _expected(case: Case) -> list[list[Array]]:
    try:
        return reference.expected(case)
    except Exception as error:
        raise RuntimeError(f"{case.name}: numpy cannot compute it") from error


def _transform(place: int, transform: dict[str, Any], keep: Any) -> dict[str, Any]:
    return {
        key: [keep(f"{key}{place}.{i}", each) for i, each in enumerate(value)]
        if key in ("cotangents", "tangents")
        else value
        for key, value in transform.items()
    }


def _problem(case: Case, lists: list[list[Array]]) -> str:
    """How the library departs from what is right; nothing when it does not."""
    if not case.program.steps:
        return ""
    try:
        got = library.outputs(case)
    except Exception as error:
        return "" if case.outcome == "error" else f"{type(error).__name__}: {error}"
    if case.outcome == "error":
        return f"an error is right; got {got}"
    problems = [differences(case, got, right) for right in lists]
    return "" if "" in problems else problems[0]


def differences(case: Case, got: list[Array], right: list[Array]) -> str:
    """How outputs depart from what is right; nothing when they do not."""
    if len(got) != len(right):
        return f"{len(got)} outputs, not {len(right)}"
    for place, (value, wanted) in enumerate(zip(got, right, strict=True)):
        if (value.dtype, value.shape) != (wanted.dtype, wanted.shape):
            return f"output {place}: {value.dtype} {value.shape}, not {wanted.dtype} {wanted.shape}"
        close = case.tolerance(wanted.dtype.name) or {"rtol": 0, "atol": 0}
        with np.errstate(all="ignore"):
            parts = (
                [(value.real, wanted.real), (value.imag, wanted.imag)] if value.dtype.kind == "c" else [(value, wanted)]
            )
            if not all(np.allclose(widened(a), widened(b), **close, equal_nan=True) for a, b in parts):
                return f"output {place}: got {value.tolist()}, not {wanted.tolist()}"
    return ""
