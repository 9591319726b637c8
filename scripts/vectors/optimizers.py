"""Some steps of each optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .formula import Term, written
from .program import Case
from .tensors import Array, F

STEPS = 3
# An optimizer: from a parameter, its state, its gradient and the number of the step to the next parameter and state.
# It is written for terms and for numpy alike: `call` names an operation.
State = list[Any]
Update = Callable[[Any, State, Any, int, dict[str, Any]], tuple[Any, State]]


def sqrt(x: Any) -> Any:
    return x.call("sqrt") if isinstance(x, Term) else np.sqrt(x)


def square(x: Any) -> Any:
    return x.call("square") if isinstance(x, Term) else np.square(x)


def sign(x: Any) -> Any:
    return x.call("sign") if isinstance(x, Term) else np.sign(x)


def magnitude(x: Any) -> Any:
    return x.call("abs") if isinstance(x, Term) else np.abs(x)


def larger(x: Any, y: Any) -> Any:
    return x.sheet.call("mlx_maximum", x, y) if isinstance(x, Term) else np.maximum(x, y)


def mean(x: Any, axis: int | None) -> Any:
    if isinstance(x, Term):
        return x.call("mean", True) if axis is None else x.call("mean_axis", axis, True)
    return np.mean(x, axis=axis, keepdims=True)


def sgd(w: Any, state: State, g: Any, _: int, o: dict[str, Any]) -> tuple[Any, State]:
    momentum = o.get("momentum", 0.0)
    g = g + o["weight_decay"] * w if "weight_decay" in o else g
    if not momentum:
        return w - o["learning_rate"] * g, []
    v = momentum * state[0] + (1 - o["dampening"] if "dampening" in o else 1.0) * g
    return w - o["learning_rate"] * (g + momentum * v if o.get("nesterov") else v), [v]


def adam(w: Any, state: State, g: Any, t: int, o: dict[str, Any]) -> tuple[Any, State]:
    (b1, b2), rate = o.get("betas", (0.9, 0.999)), o["learning_rate"]
    m, v = b1 * state[0] + (1 - b1) * g, b2 * state[1] + (1 - b2) * square(g)
    if o.get("bias_correction"):
        step = rate / (1 - b1**t) * m / (sqrt(v) * (1 / math.sqrt(1 - b2**t)) + 1e-8)
    else:
        step = rate * m / (sqrt(v) + 1e-8)
    return w - step, [m, v]


def adamw(w: Any, state: State, g: Any, t: int, o: dict[str, Any]) -> tuple[Any, State]:
    return adam((1 - o["learning_rate"] * o["weight_decay"]) * w, state, g, t, o)


def adamax(w: Any, state: State, g: Any, _: int, o: dict[str, Any]) -> tuple[Any, State]:
    m, v = 0.9 * state[0] + (1 - 0.9) * g, larger(0.999 * state[1], magnitude(g))
    return w - o["learning_rate"] * m / (v + 1e-8), [m, v]


def rmsprop(w: Any, state: State, g: Any, _: int, o: dict[str, Any]) -> tuple[Any, State]:
    v = 0.99 * state[0] + (1 - 0.99) * square(g)
    return w - o["learning_rate"] * g / (sqrt(v) + 1e-8), [v]


def adagrad(w: Any, state: State, g: Any, _: int, o: dict[str, Any]) -> tuple[Any, State]:
    v = state[0] + square(g)
    return w - o["learning_rate"] * g / (sqrt(v) + 1e-8), [v]


def adadelta(w: Any, state: State, g: Any, _: int, o: dict[str, Any]) -> tuple[Any, State]:
    v = 0.9 * state[0] + (1 - 0.9) * square(g)
    step = sqrt(state[1] + 1e-6) / sqrt(v + 1e-6) * g
    return w - o["learning_rate"] * step, [v, 0.9 * state[1] + (1 - 0.9) * square(step)]


def lion(w: Any, state: State, g: Any, _: int, o: dict[str, Any]) -> tuple[Any, State]:
    direction, m = 0.9 * state[0] + (1 - 0.9) * g, 0.99 * state[0] + (1 - 0.99) * g
    w = (1 - o["learning_rate"] * o["weight_decay"]) * w if "weight_decay" in o else w
    return w - o["learning_rate"] * sign(direction), [m]


def muon(w: Any, state: State, g: Any, _: int, o: dict[str, Any]) -> tuple[Any, State]:
    """Of a matrix with no more rows than columns."""
    g = g + o["weight_decay"] * w
    v = 0.95 * state[0] + (1 - 0.95) * g
    x = (1 - 0.95) * g + 0.95 * v
    x = x / (sqrt(mean(square(x), None) * float(SHAPE[0] * SHAPE[1])) + 1e-7)
    for _step in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.775 * a + 2.0315 * (a @ a)) @ x
    return w - o["learning_rate"] * x, [v]


def adafactor(w: Any, state: State, g: Any, t: int, o: dict[str, Any]) -> tuple[Any, State]:
    """Of a matrix, with the step relative to the parameter's size."""
    decay, squares = 1 - t**-0.8, square(g) + 1e-30
    row = decay * state[0] + (1 - decay) * mean(squares, 1)
    column = decay * state[1] + (1 - decay) * mean(squares, 0)
    update = g / (sqrt(row / mean(row, 0)) * sqrt(column))
    update = update / larger(sqrt(mean(square(update), None)), 1.0)
    rate = min(1e-2, 1 / math.sqrt(t)) * larger(sqrt(mean(square(w), None)), 1e-3)
    return w - rate * update, [row, column]


SHAPE = (2, 3)
RATE = {"learning_rate": 0.125}
# By case: the optimizer, its options, and the shapes of its state.
CASES: dict[str, tuple[str, Update, dict[str, Any], Sequence[tuple[int, int]]]] = {
    "sgd": ("sgd", sgd, RATE, []),
    "sgd_momentum": ("sgd", sgd, {**RATE, "momentum": 0.9}, [SHAPE]),
    "sgd_nesterov": ("sgd", sgd, {**RATE, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, [SHAPE]),
    "sgd_dampening": ("sgd", sgd, {**RATE, "momentum": 0.9, "dampening": 0.25}, [SHAPE]),
    "adam": ("adam", adam, RATE, [SHAPE, SHAPE]),
    "adam_betas": ("adam", adam, {**RATE, "betas": [0.5, 0.75]}, [SHAPE, SHAPE]),
    "adam_corrected": ("adam", adam, {**RATE, "bias_correction": True}, [SHAPE, SHAPE]),
    "adamw": ("adamw", adamw, {**RATE, "weight_decay": 0.01}, [SHAPE, SHAPE]),
    "adamw_corrected": ("adamw", adamw, {**RATE, "weight_decay": 0.01, "bias_correction": True}, [SHAPE, SHAPE]),
    "adamax": ("adamax", adamax, RATE, [SHAPE, SHAPE]),
    "rmsprop": ("rmsprop", rmsprop, RATE, [SHAPE]),
    "adagrad": ("adagrad", adagrad, RATE, [SHAPE]),
    "adadelta": ("adadelta", adadelta, RATE, [SHAPE, SHAPE]),
    "lion": ("lion", lion, {**RATE, "weight_decay": 0.01}, [SHAPE]),
    "muon": ("muon", muon, {**RATE, "weight_decay": 0.01}, [SHAPE]),
    "adafactor": ("adafactor", adafactor, {}, [(2, 1), (1, 3)]),
}


def cases() -> list[Case]:
    return [_case(name, *spec) for name, spec in CASES.items()] + _clipped()


def gradients() -> list[Array]:
    """None is near 0, where sign and root magnify."""
    return [
        F(*SHAPE, low=0.5, high=2.5, salt=3 + i) * np.where(F(*SHAPE, salt=i) < 0, -1, 1).astype(np.float32)
        for i in range(STEPS)
    ]


def _case(name: str, kind: str, update: Update, options: dict[str, Any], shapes: Sequence[tuple[int, int]]) -> Case:
    def formula(w: Any, *given: Any) -> list[Any]:
        steps, state = given[:STEPS], list(given[STEPS:])
        for t, g in enumerate(steps, 1):
            w, state = update(w, state, g, t, options)
        return [w, *state]

    inputs = [F(*SHAPE), *gradients()]
    zeros = [np.zeros(shape, np.float32) for shape in shapes]
    program = written(formula, inputs, zeros)
    known = [each.astype(np.float32) for each in formula(*(each.astype(np.float64) for each in [*inputs, *zeros]))]
    values = {"parameter": 0, "gradients": list(range(1, STEPS + 1))}
    contract = {"name": kind, "arguments": {"values": values, **options}}
    return Case(f"optimizer/{name}", program, known=[known], contract=contract, rtol=2e-5, atol=2e-5)


def _clipped() -> list[Case]:
    """All gradients times min(1, most / norm), with the norm of all together."""
    found = []
    for most in (1.0, 100.0):

        def formula(a: Term, b: Term, most: float = most) -> list[Term]:
            norm = sqrt(square(a).call("sum", False) + square(b).call("sum", False))
            factor = norm.sheet.call("mlx_minimum", norm.sheet.call("mlx_divide", most, norm + 1e-6), 1.0)
            return [a * factor, b * factor, norm]

        inputs = [F(2, 3), F(4, salt=1)]
        norm = math.sqrt(sum(float(np.square(each.astype(np.float64)).sum()) for each in inputs))
        known = [*(each * min(1, most / (norm + 1e-6)) for each in inputs), np.asarray(norm)]
        contract = {"name": "clip_grad_norm", "arguments": {"values": {"gradients": [0, 1]}, "max_norm": most}}
        right = [[each.astype(np.float32) for each in known]]
        found.append(Case(f"clip_grad_norm/{most:g}", written(formula, inputs), known=right, contract=contract))
    return found
