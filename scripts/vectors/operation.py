"""Cases of single calls."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from .program import Case, Program


class Calls:
    """A list of cases of single calls, which name themselves."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self._names: Counter[str] = Counter()

    def add(self, call: str, *args: Any, gives: int | None = None, **more: Any) -> None:
        """A case of one call; arrays among its arguments become inputs."""
        program = Program()
        passed = [self._passed(program, arg) for arg in args]
        program.outputs = program.calls(call, *passed, gives=gives)
        self.cases.append(Case(self._named(call, program), program, **more))

    def refused(self, call: str, *args: Any, gives: int | None = None) -> None:
        """A case of a call that is an error."""
        self.add(call, *args, gives=gives, outcome="error")

    def _passed(self, program: Program, arg: Any) -> Any:
        if isinstance(arg, np.ndarray):
            return program.input(arg)
        if isinstance(arg, list) and any(isinstance(each, np.ndarray) for each in arg):
            return [program.input(each) for each in arg]
        return arg

    def _named(self, call: str, program: Program) -> str:
        dtype = program.inputs[0].dtype.name if program.inputs else "made"
        name = f"{call.removeprefix('mlx_')}/{dtype}"
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}/{self._names[name]}"
