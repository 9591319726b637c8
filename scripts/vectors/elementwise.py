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

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add, "arctan2": np.arctan2, "divide": np.divide, "equal": np.equal, "greater": np.greater,
    "greater_equal": np.greater_equal, "less": np.less, "less_equal": np.less_equal, "logaddexp": np.logaddexp,
    "logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor, "maximum": np.maximum,
    "minimum": np.minimum, "multiply": np.multiply, "not_equal": np.not_equal, "subtract": np.subtract,
    "remainder": np.remainder, "floor_divide": np.floor_divide, "power": np.power,
}  # fmt: skip
INTEGER: dict[str, Callable[[Any, Any], Any]] = {
    "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
    "left_shift": np.left_shift, "right_shift": np.right_shift,
}  # fmt: skip
TESTS: dict[str, Callable[[Any], Any]] = {
    "isfinite": np.isfinite, "isinf": np.isinf, "isnan": np.isnan, "isneginf": np.isneginf, "isposinf": np.isposinf,
    "logical_not": np.logical_not,
}  # fmt: skip
# Of integers, these are floats or not meant.
FLOATS_ONLY = ("arctan2", "divide", "logaddexp", "power", "floor_divide")
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5], np.float32)


def nan_to_num(x: Array, nan: float, positive: float | None, negative: float | None) -> Array:
    largest = float(np.finfo(np.float32).max)
    positive, negative = largest if positive is None else positive, -largest if negative is None else negative
    return np.asarray(np.nan_to_num(x, nan=nan, posinf=positive, neginf=negative))


def fp8_values() -> Array:
    """What each of the 256 codes of E4M3 stands for."""
    codes = np.arange(256)
    exponent, fraction = codes >> 3 & 15, codes & 7
    values = np.where(exponent == 0, fraction / 512, (1 + fraction / 8) * 2.0 ** (exponent - 7))
    values = np.where(codes & 127 == 127, np.nan, values)
    return np.asarray(np.where(codes >= 128, -values, values))


def to_fp8(x: Array) -> Array:
    """The nearest code, the even one of two."""
    values = fp8_values()
    codes = [c for c in range(256) if not np.isnan(values[c]) and c != 128]
    nearest = [min(codes, key=lambda c: (abs(values[c] - each), c & 1)) for each in np.ravel(x)]
    return np.asarray(np.array(nearest, np.uint8).reshape(x.shape))


REFERENCE |= {f"mlx_{name}": function for name, (function, _, _) in UNARY.items()}
REFERENCE |= {f"mlx_{name}": function for name, function in (BINARY | INTEGER | TESTS).items()}
REFERENCE |= {
    "mlx_divmod": lambda a, b: [np.floor_divide(a, b), np.remainder(a, b)],
    "mlx_bitwise_invert": np.invert,
    "mlx_conjugate": np.conjugate,
    "mlx_real": lambda x: np.real(x).astype(np.float64),
    "mlx_imag": lambda x: np.imag(x).astype(np.float64),
    "mlx_clip": lambda x, low, high: np.minimum(
        np.maximum(x, -np.inf if low is None else low), np.inf if high is None else high
    ),
    "mlx_where": np.where,
    "mlx_round": np.round,
    "mlx_nan_to_num": nan_to_num,
    "mlx_isclose": lambda a, b, rtol, atol, nan: np.isclose(a, b, rtol, atol, nan),
    "mlx_allclose": lambda a, b, rtol, atol, nan: np.allclose(a, b, rtol, atol, nan),
    "mlx_array_equal": lambda a, b, nan: np.array_equal(a, b, nan),
    "mlx_to_fp8": to_fp8,
    "mlx_from_fp8": lambda x, _: fp8_values()[x],
}


def cases() -> list[Case]:
    calls = Calls()
    _unary(calls)
    _binary(calls)
    _others(calls)
    return calls.cases


def _unary(calls: Calls) -> None:
    for name, (_, low, high) in UNARY.items():
        for dtype in ("float32", *HALVES):
            calls.add(f"mlx_{name}", F(2, 3, low=low, high=high, dtype=dtype))
    for name in ("abs", "negative", "sign", "square", "copy"):
        calls.add(f"mlx_{name}", I(2, 3, low=-32, high=32))
    for name in ("exp", "sin", "sqrt", "abs", "tanh", "negative"):
        calls.add(f"mlx_{name}", F(4, dtype="complex64"), dtypes=["float32"] if name == "abs" else None)
    for name in TESTS:
        calls.add(f"mlx_{name}", SPECIAL)
    for name in ("exp", "log", "sqrt", "tanh", "sigmoid", "abs", "floor", "erf", "reciprocal"):
        calls.add(f"mlx_{name}", SPECIAL)


def _binary(calls: Calls) -> None:
    for name in BINARY:
        low = 0.25 if name == "power" else -2
        for dtype in ("float32", *HALVES):
            calls.add(f"mlx_{name}", F(2, 3, low=low, dtype=dtype), F(3, low=0.25, high=2.25, salt=1, dtype=dtype))
        if name not in FLOATS_ONLY:
            calls.add(f"mlx_{name}", I(2, 3), I(2, 1, low=1, salt=1))
        calls.refused(f"mlx_{name}", F(2, 3), F(4))
    for name in INTEGER:
        calls.add(f"mlx_{name}", I(2, 3), I(3, high=8, salt=1))
        calls.add(f"mlx_{name}", I(2, 3, dtype="uint8"), I(3, high=4, salt=1, dtype="uint8"))
    for name in ("maximum", "minimum", "add", "equal", "logaddexp"):
        calls.add(f"mlx_{name}", SPECIAL, np.roll(SPECIAL, 1))


def _others(calls: Calls) -> None:
    x, y = F(2, 3), F(2, 3, salt=1)
    calls.add("mlx_divmod", x, F(3, low=0.25, high=2.25, salt=1), gives=2)
    calls.add("mlx_divmod", I(4, high=32), I(4, low=1, high=9, salt=2), gives=2)
    calls.add("mlx_bitwise_invert", I(4))
    for name in ("conjugate", "real", "imag"):
        calls.add(f"mlx_{name}", F(4, dtype="complex64"))
    calls.add("mlx_clip", x, np.array(-0.5, np.float32), np.array(0.75, np.float32))
    calls.add("mlx_clip", x, None, np.array(0.75, np.float32))
    calls.add("mlx_where", F(2, 3, dtype="bool"), x, y)
    calls.add("mlx_where", F(3, dtype="bool"), I(2, 3), I(1, salt=1))
    calls.add("mlx_round", F(2, 3, low=-4, high=4), 0)
    calls.add("mlx_round", F(2, 3), 1)
    calls.add("mlx_nan_to_num", SPECIAL, 7.5, None, None)
    calls.add("mlx_nan_to_num", SPECIAL, 0.0, 3.0, -4.0)
    for name in ("isclose", "allclose"):
        calls.add(f"mlx_{name}", x, x + np.float32(2.0**-10), 1e-2, 1e-2, False)
        calls.add(f"mlx_{name}", SPECIAL, SPECIAL, 1e-5, 1e-8, True)
        calls.add(f"mlx_{name}", SPECIAL, SPECIAL, 1e-5, 1e-8, False)
    calls.add("mlx_array_equal", x, x.copy(), False)
    calls.add("mlx_array_equal", SPECIAL, SPECIAL, False)
    calls.add("mlx_array_equal", SPECIAL, SPECIAL, True)
    calls.add("mlx_to_fp8", F(2, 8, low=-16, high=16))
    calls.add("mlx_from_fp8", np.arange(256, dtype=np.uint8), "float32", dtypes=["float32"])
