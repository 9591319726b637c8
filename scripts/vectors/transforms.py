"""Derivatives, maps, checkpoints and compiled functions of small programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .program import REFERENCE, Case, Program
from .tensors import F

REFERENCE |= {"mlx_multiply": np.multiply, "mlx_sum": lambda x, keep: np.sum(x, keepdims=keep), "mlx_sin": np.sin,
              "mlx_matmul": np.matmul, "mlx_tanh": np.tanh, "mlx_square": np.square, "mlx_add": np.add}  # fmt: skip


def polynomial() -> Program:
    """x * x * y, of vectors."""
    program = Program()
    x, y = program.input(F(3)), program.input(F(3, salt=1))
    program.outputs = [program.call("mlx_multiply", program.call("mlx_square", x), y)]
    return program


def layer() -> Program:
    """The sum of tanh(x w) over everything, and tanh(x w); w is captured."""
    program = Program()
    x, w = program.input(F(2, 3)), program.capture(F(3, 2, salt=1))
    hidden = program.call("mlx_tanh", program.call("mlx_matmul", x, w))
    program.outputs = [program.call("mlx_sum", hidden, False), hidden]
    return program


def total() -> Program:
    """The sum of x * x * y."""
    program = polynomial()
    program.outputs = [program.call("mlx_sum", program.outputs[0], False)]
    return program


def cases() -> list[Case]:
    return [
        Case("vjp/polynomial", polynomial(), [{"kind": "vjp", "cotangents": [F(3, salt=2)]}]),
        Case("jvp/polynomial", polynomial(), [{"kind": "jvp", "tangents": [F(3, salt=2), F(3, salt=3)]}]),
        Case("value_and_grad/layer", layer(), [{"kind": "value_and_grad", "argnums": [0]}]),
        Case("value_and_grad/total", total(), [{"kind": "value_and_grad", "argnums": [0, 1]}]),
        Case("vmap/polynomial", polynomial(), [{"kind": "vmap", "in_axes": [0, -1], "out_axes": [0]}]),
        Case("second/total", total(), [{"kind": "grad", "argnums": [0]}, {"kind": "vjp", "cotangents": [F(3, salt=4)]}]),
        Case("checkpoint/total", total(), [{"kind": "checkpoint"}, {"kind": "value_and_grad", "argnums": [0, 1]}]),
        Case("compile/layer", layer(), [{"kind": "compile", "shapeless": False}]),
        Case("value_and_grad/no_scalar", polynomial(), [{"kind": "value_and_grad", "argnums": [0]}], outcome="error"),
        Case("value_and_grad/twice", total(), [{"kind": "value_and_grad", "argnums": [0, 0]}], outcome="error"),
    ]
