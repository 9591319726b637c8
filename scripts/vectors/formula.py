"""Programs written as formulas: numbers in them become captured arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .program import Program
from .tensors import Array


class Term:
    """A value of a program, with operators."""

    def __init__(self, sheet: Sheet, place: int):
        self.sheet, self.place = sheet, place

    def __add__(self, other: Term | float) -> Term:
        return self.sheet.call("mlx_add", self, other)

    def __sub__(self, other: Term | float) -> Term:
        return self.sheet.call("mlx_subtract", self, other)

    def __mul__(self, other: Term | float) -> Term:
        return self.sheet.call("mlx_multiply", self, other)

    def __rmul__(self, other: float) -> Term:
        return self.sheet.call("mlx_multiply", other, self)

    def __truediv__(self, other: Term | float) -> Term:
        return self.sheet.call("mlx_divide", self, other)

    def __matmul__(self, other: Term) -> Term:
        return self.sheet.call("mlx_matmul", self, other)

    def __neg__(self) -> Term:
        return self.call("negative")

    @property
    def T(self) -> Term:
        return self.call("transpose")

    def call(self, name: str, *args: Any) -> Term:
        return self.sheet.call(f"mlx_{name}", self, *args)


class Sheet:
    """What a formula is written on; `numbers` are the constants that it was found to have."""

    def __init__(self, inputs: Sequence[Array], captured: Sequence[Array], numbers: Sequence[float]):
        self.program = Program(list(inputs), list(captured))
        self.found: list[float] = []
        self._places = {}
        for number in numbers:
            self.program.captured.append(np.array(number, np.float32))
            self._places[number] = len(inputs) + len(self.program.captured) - 1

    def terms(self) -> list[Term]:
        """The inputs and what is captured, in order."""
        count = len(self.program.inputs) + len(self.program.captured) - len(self._places)
        return [Term(self, place) for place in range(count)]

    def call(self, name: str, *args: Any) -> Term:
        return Term(self, self.program.call(name, *map(self._passed, args)))

    def _passed(self, arg: Any) -> Any:
        if isinstance(arg, Term):
            return arg.place
        # Axes and flags are int and bool.
        return self._place(arg) if isinstance(arg, float) else arg

    def _place(self, number: float) -> int:
        if number not in self.found:
            self.found.append(number)
        return self._places.get(number, 0)


def written(formula: Callable[..., list[Term]], inputs: Sequence[Array], captured: Sequence[Array] = ()) -> Program:
    """The program of a formula of terms; it runs twice, since what is captured is numbered before any step."""
    draft = Sheet(inputs, captured, [])
    formula(*draft.terms())
    sheet = Sheet(inputs, captured, draft.found)
    sheet.program.outputs = [term.place for term in formula(*sheet.terms())]
    return sheet.program
