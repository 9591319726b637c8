"""Operations element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .operation import Calls
from .program import REFERENCE, Case
from .tensors import Array, F, I

HALVES = ("float16", "bfloat16")


def erf(x: Any) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x))


def erfinv(y: Array) -> Array:
    """Newton's method on erf."""
    x = np.zeros_like(y)
    for _ in range(80):
        x = x - (erf(x) - y) * math.sqrt(math.pi) / 2 * np.exp(np.square(x))
    return np.asarray(x)


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


# By name: numpy's function, and the range of inputs.
UNARY: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "abs": (np.abs, -2, 2), "arccos": (np.arccos, -1, 1), "arccosh": (np.arccosh, 1, 5), "arcsin": (np.arcsin, -1, 1),
    "arcsinh": (np.arcsinh, -2, 2), "arctan": (np.arctan, -4, 4), "arctanh": (np.arctanh, -0.75, 0.75),
    "ceil": (np.ceil, -2, 2), "cos": (np.cos, -4, 4), "cosh": (np.cosh, -2, 2), "degrees": (np.degrees, -4, 4),
    "erf": (erf, -2, 2), "erfinv": (erfinv, -0.75, 0.75), "exp": (np.exp, -4, 4), "expm1": (np.expm1, -2, 2),
    "floor": (np.floor, -2, 2), "log": (np.log, 0.25, 4), "log10": (np.log10, 0.25, 4), "log1p": (np.log1p, -0.5, 4),
    "log2": (np.log2, 0.25, 4), "negative": (np.negative, -2, 2), "positive": (np.positive, -2, 2),
    "radians": (np.radians, -180, 180), "reciprocal": (np.reciprocal, 0.25, 4), "rsqrt": (lambda x: x**-0.5, 0.25, 4),
    "sigmoid": (sigmoid, -6, 6), "sign": (np.sign, -2, 2), "sin": (np.sin, -4, 4), "sinh": (np.sinh, -2, 2),
    "sqrt": (np.sqrt, 0, 4), "square": (np.square, -2, 2), "tan": (np.tan, -1, 1), "tanh": (np.tanh, -2, 2),
    "trunc": (np.trunc, -2, 2), "stop_gradient": (np.positive, -2, 2), "copy": (np.copy, -2, 2),
    "ones_like": (np.ones_like, -2, 2), "zeros_like": (np.zeros_like, -2, 2),
}  # fmt: skip


def cases() -> list[Case]:
    calls = Calls()
    for name, (function, low, high) in UNARY.items():
        REFERENCE[f"mlx_{name}"] = function
        for dtype in ("float32", *HALVES):
            calls.add(f"mlx_{name}", F(2, 3, low=low, high=high, dtype=dtype))
    REFERENCE["mlx_add"] = np.add
    calls.add("mlx_add", F(2, 3), F(3, salt=1))
    calls.add("mlx_add", I(2, 3), I(3, salt=1))
    calls.refused("mlx_add", F(2, 3), F(4))
    return calls.cases
