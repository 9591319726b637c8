"""What is right: programs and their transforms with numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .program import REFERENCE, Case, Program, natural_dtype, widened
from .tensors import Array, bits, dtype_of

Arrays = list[Array]
Function = Callable[[Arrays], Arrays]

# Steps of central differences of eighth order, and their weights.
WEIGHTS = ((1, 4 / 5), (2, -1 / 5), (3, 4 / 105), (4, -1 / 280))
STEP = np.longdouble(2.0**-9)


def run(program: Program, inputs: Arrays, captured: Arrays) -> Arrays:
    """The outputs of a program."""
    values = [*inputs, *captured]
    for step in program.steps:
        letters = [letter for letter in step.letters if letter not in "AVs"]
        args = [_argument(letter, arg, values) for letter, arg in zip(letters, step.args, strict=True)]
        result = REFERENCE[step.call](*args)
        given = list(result) if isinstance(result, (list, tuple)) else [result]
        assert len(given) == step.gives, f"{step.call} gives {len(given)}, not {step.gives}"
        values += [np.asarray(each) for each in given]
    return [values[place] for place in program.outputs]


def _argument(letter: str, arg: Any, values: Arrays) -> Any:
    if letter == "a":
        return None if arg is None else values[arg]
    if letter == "v":
        return [values[place] for place in arg]
    return float(arg) if letter in "fd" else arg


def expected(case: Case) -> list[Arrays]:
    """The lists of outputs that are right, each of its dtype."""
    if case.known is not None:
        return case.known
    program = case.program
    exact = not case.transforms
    widen = widened if exact else _extended
    inputs, captured = [widen(each) for each in program.inputs], [widen(each) for each in program.captured]
    with np.errstate(all="ignore"):
        function: Function = lambda arrays: run(program, arrays, captured)  # noqa: E731
        for transform in case.transforms:
            function = TRANSFORMS[transform["kind"]](function, transform)
        outputs = function(inputs)
    given = [*program.inputs, *program.captured]
    dtypes = case.dtypes or [natural_dtype(_narrow(each), given) for each in outputs]
    return [[finished(each, dtype, exact) for each, dtype in zip(outputs, dtypes, strict=True)]]


def finished(value: Array, dtype: str, exact: bool) -> Array:
    value = _narrow(value)
    if value.dtype.kind == "f" and not exact:
        value = bits(value)
    with np.errstate(all="ignore"):
        return value.astype(dtype_of(dtype))


def _narrow(value: Array) -> Array:
    return np.asarray(value, np.float64) if value.dtype == np.longdouble else np.asarray(value)


def _extended(value: Array) -> Array:
    value = widened(value)
    return value.astype(np.longdouble) if value.dtype == np.float64 else value


# --- transforms ---


def _directional(function: Function, inputs: Arrays, tangents: Sequence[Array | None]) -> Arrays:
    """The derivative of each output along tangents, None for inputs that stand still."""
    total: Arrays | None = None
    for multiple, weight in WEIGHTS:
        for sign in (1, -1):
            distance = STEP * multiple * sign
            moved = [x if t is None else x + distance * t for x, t in zip(inputs, tangents, strict=True)]
            part = [np.longdouble(sign * weight) * np.asarray(y, np.longdouble) for y in function(moved)]
            total = part if total is None else [a + b for a, b in zip(total, part, strict=True)]
    assert total is not None
    return [each / STEP for each in total]


def _pullback(function: Function, inputs: Arrays, cotangents: Arrays, wanted: Sequence[int]) -> Arrays:
    """For each wanted input: the gradient of the sum of outputs times cotangents."""
    gradients = []
    for place in wanted:
        gradient = np.zeros(inputs[place].shape, np.longdouble)
        for index in np.ndindex(*inputs[place].shape) if inputs[place].dtype.kind == "f" else ():
            unit = np.zeros(inputs[place].shape, np.longdouble)
            unit[index] = 1
            tangents = [unit if i == place else None for i in range(len(inputs))]
            change = _directional(function, inputs, tangents)
            gradient[index] = sum((c * t).sum() for c, t in zip(cotangents, change, strict=True))
        gradients.append(gradient)
    return gradients


def _vjp(function: Function, transform: dict[str, Any]) -> Function:
    cotangents = [_extended(each) for each in transform["cotangents"]]
    return lambda arrays: [*function(arrays), *_pullback(function, arrays, cotangents, range(len(arrays)))]


def _jvp(function: Function, transform: dict[str, Any]) -> Function:
    tangents = [_extended(each) for each in transform["tangents"]]
    return lambda arrays: [*function(arrays), *_directional(function, arrays, tangents)]


def _grad(function: Function, transform: dict[str, Any]) -> Function:
    def gradients(arrays: Arrays) -> Arrays:
        def first(moved: Arrays) -> Arrays:
            return function(moved)[:1]

        return _pullback(first, arrays, [np.asarray(np.longdouble(1))], transform["argnums"])

    return gradients


def _value_and_grad(function: Function, transform: dict[str, Any]) -> Function:
    gradients = _grad(function, transform)
    return lambda arrays: [*function(arrays), *gradients(arrays)]


def _vmap(function: Function, transform: dict[str, Any]) -> Function:
    ins, outs = transform["in_axes"], transform["out_axes"]

    def mapped(arrays: Arrays) -> Arrays:
        count = next(x.shape[axis] for x, axis in zip(arrays, ins, strict=True) if axis >= 0)
        slices = []
        for i in range(count):
            taken = [x if axis < 0 else np.take(x, i, axis) for x, axis in zip(arrays, ins, strict=True)]
            slices.append(function(taken))
        columns = zip(*slices, strict=True)
        return [c[0] if axis < 0 else np.stack(c, axis) for c, axis in zip(columns, outs, strict=True)]

    return mapped


def _same(function: Function, transform: dict[str, Any]) -> Function:
    return function


TRANSFORMS: dict[str, Callable[[Function, dict[str, Any]], Function]] = {
    "vjp": _vjp, "jvp": _jvp, "grad": _grad, "value_and_grad": _value_and_grad, "vmap": _vmap, "checkpoint": _same,
    "compile": _same,
}  # fmt: skip
