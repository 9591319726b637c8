"""The files of a set: SET.json and SET.safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from . import library, reference
from .program import Case, widened
from .tensors import Array, encode

SCHEMA = 1
# From a label and tensors to the names under which they are kept.
Keep = Callable[[str, list[Array]], list[str]]


def version() -> str:
    """The version of MLX that the library runs on."""
    text = library.ffi.new("mlx_string *")
    library.lib.mlx_version(text)
    found: bytes = library.ffi.string(library.lib.mlx_string_data(text[0]))
    library.lib.mlx_string_free(text[0])
    return found.decode()


def rendered(name: str, version: str, cases: list[Case]) -> dict[str, bytes]:
    """By file name: what a set consists of."""
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), sorted({each for each in names if names.count(each) > 1})
    right = {case.name: _right(case) for case in cases}
    problems = [f"{case.name}: {problem}" for case in cases if (problem := _problem(case, right[case.name]))]
    if problems:
        raise SystemExit("\n".join(problems))
    tensors: dict[str, Array] = {}
    lines = [json.dumps(record(case, right[case.name], tensors), separators=(", ", ": ")) for case in cases]
    head = f'{{"schema": {SCHEMA}, "set": "{name}", "version": "{version}", "cases": [\n'
    text = head + ",\n".join(lines) + "\n]}\n"
    return {f"{name}.json": text.encode(), f"{name}.safetensors": encode(tensors)}


def _right(case: Case) -> list[list[Array]]:
    if case.outcome == "error":
        return []
    try:
        return reference.expected(case)
    except Exception as error:
        raise RuntimeError(f"{case.name}: numpy cannot compute it") from error


# --- records ---


def record(case: Case, right: list[list[Array]], tensors: dict[str, Array]) -> dict[str, Any]:
    """A case as JSON has it; its tensors go into `tensors`."""

    def keep(label: str, values: list[Array]) -> list[str]:
        tensors.update({f"{case.name}/{label}{i}": value for i, value in enumerate(values)})
        return [f"{case.name}/{label}{i}" for i in range(len(values))]

    found: dict[str, Any] = {"name": case.name, "outcome": case.outcome}
    if case.needs():
        found["needs"] = case.needs()
    if case.program.steps:
        found |= _program(case, keep)
    found["expected"] = [
        _outputs(case, values, keep("=" if i == 0 else f"={i}.", values)) for i, values in enumerate(right)
    ]
    if case.contract:
        found["contract"] = case.contract
        tensors.update(case.files)
    return found


def _program(case: Case, keep: Keep) -> dict[str, Any]:
    program = case.program
    return {
        "inputs": keep("", program.inputs),
        "captured": keep("captured", program.captured),
        "steps": [step.record() for step in program.steps],
        "returns": program.outputs,
        "transforms": [_transform(i, each, keep) for i, each in enumerate(case.transforms)],
    }


def _transform(place: int, transform: dict[str, Any], keep: Keep) -> dict[str, Any]:
    """A transform, with names for the tensors that it has."""
    arrays = ("cotangents", "tangents")
    return {key: keep(f"{key}{place}.", value) if key in arrays else value for key, value in transform.items()}


def _outputs(case: Case, values: list[Array], names: list[str]) -> list[dict[str, Any]]:
    return [{"tensor": name, **case.tolerance(value.dtype.name)} for name, value in zip(names, values, strict=True)]


# --- checks ---


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
