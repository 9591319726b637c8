"""Programs and cases: what is written to SET.json, and how it is put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import classes
from .tensors import FLOATS, Array

# By dtype of an output: how far it may be off, relative and absolute.
TOLERANCES = {"float32": (4e-6, 2e-6), "complex64": (4e-6, 4e-6), "float16": (4e-3, 2e-3), "bfloat16": (3e-2, 1e-2)}
TOLERANCES["float64"] = (1e-12, 1e-12)

# By name of a function: what it gives, computed with numpy on float64, complex128 and integers.
REFERENCE: dict[str, Callable[..., Any]] = {}


@dataclass
class Step:
    call: str
    args: list[Any]
    gives: int
    letters: str

    def record(self) -> dict[str, Any]:
        return {"call": self.call, "class": self.letters, "args": self.args, "gives": self.gives}


@dataclass
class Program:
    """A function as calls over numbered values, with the tensors that it is given."""

    inputs: list[Array] = field(default_factory=list)
    captured: list[Array] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def input(self, value: Array) -> int:
        assert not [*self.captured, *self.steps], "inputs come first"
        self.inputs.append(value)
        return len(self.inputs) - 1

    def capture(self, value: Array) -> int:
        assert not self.steps, "captured values come before steps"
        self.captured.append(value)
        return len(self.inputs) + len(self.captured) - 1

    def steps_from(self) -> int:
        return len(self.inputs) + len(self.captured)

    def calls(self, call: str, *args: Any, gives: int | None = None) -> list[int]:
        """Add a call; the numbers of what it gives."""
        letters = classes.functions()[call]
        gives = letters.count("A") if gives is None else gives
        first = self.steps_from() + sum(step.gives for step in self.steps)
        self.steps.append(Step(call, list(args), gives, letters))
        return list(range(first, first + gives))

    def call(self, call: str, *args: Any) -> int:
        return self.calls(call, *args)[0]


@dataclass
class Case:
    """One case: a program, transforms, and what is right."""

    name: str
    program: Program
    transforms: list[dict[str, Any]] = field(default_factory=list)
    outcome: str = "required"
    dtypes: list[str] | None = None
    rtol: float | None = None
    atol: float | None = None
    contract: dict[str, Any] | None = None
    # Instead of a program: lists of outputs that are right, known otherwise.
    known: list[list[Array]] | None = None
    # Tensors that arguments of a contract name.
    files: dict[str, Array] = field(default_factory=dict)

    def needs(self) -> list[str]:
        called = {step.call for step in self.program.steps}
        called |= {"mlx_vmap" for transform in self.transforms if transform["kind"] == "vmap"}
        return sorted(called - classes.plain())

    def tolerance(self, dtype: str) -> dict[str, float]:
        if dtype not in TOLERANCES:
            return {}
        rtol, atol = TOLERANCES[dtype]
        return {"rtol": rtol if self.rtol is None else self.rtol, "atol": atol if self.atol is None else self.atol}


def natural_dtype(value: Array, inputs: list[Array]) -> str:
    """The dtype that MLX gives a result of this kind for these inputs."""
    kind = value.dtype.kind
    names = [each.dtype.name for each in inputs]
    if kind == "c":
        return "complex64"
    if kind == "f":
        floats = {name for name in names if name in FLOATS}
        return floats.pop() if len(floats) == 1 else "float32"
    return str(value.dtype.name)


def widened(value: Array) -> Array:
    """Floats as float64, complex numbers as complex128, the rest as they are."""
    if value.dtype.name in FLOATS:
        return value.astype(np.float64)
    return value.astype(np.complex128) if value.dtype.kind == "c" else value
