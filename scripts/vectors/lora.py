"""LoRA and DoRA: layers, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import reference
from .formula import Term, written
from .program import Case, Program
from .quantized import dequantize, quantize
from .tensors import Array, F

IN, OUT, RANK, SCALE = 6, 4, 2, 2.0
CLOSE: dict[str, Any] = {"rtol": 2e-5, "atol": 2e-5}


def parts() -> dict[str, Array]:
    return {
        "x": F(3, IN), "a": F(IN, RANK, salt=1), "b": F(RANK, OUT, salt=2), "weight": F(OUT, IN, salt=3),
        "bias": F(OUT, salt=4), "m": F(OUT, low=1, high=3, salt=5),
    }  # fmt: skip


def lora(x: Term, a: Term, b: Term, w: Term) -> list[Term]:
    return [x @ w.T + SCALE * (x @ a @ b)]


def lora_with_bias(x: Term, a: Term, b: Term, w: Term, bias: Term) -> list[Term]:
    return [lora(x, a, b, w)[0] + bias]


def adapted(a: Term, b: Term, w: Term) -> Term:
    return w + SCALE * (a @ b).T


def norms(matrix: Term) -> Term:
    return matrix.call("square").call("sum_axis", 1, False).call("sqrt")


def dora(x: Term, a: Term, b: Term, m: Term, w: Term, bias: Term) -> list[Term]:
    size = norms(adapted(a, b, w)).call("stop_gradient")
    return [m / size * lora(x, a, b, w)[0] + bias]


def dora_of_size(x: Term, a: Term, b: Term, m: Term, w: Term, bias: Term, size: Term) -> list[Term]:
    """The same with the norm given, which is held constant."""
    return [m / size * lora(x, a, b, w)[0] + bias]


def fused(a: Term, b: Term, w: Term) -> list[Term]:
    return [adapted(a, b, w)]


def fused_dora(a: Term, b: Term, m: Term, w: Term) -> list[Term]:
    whole = adapted(a, b, w)
    return [(m / norms(whole)).call("expand_dims", 1) * whole]


def cases() -> list[Case]:
    p = parts()
    x, a, b, w, bias, m = p["x"], p["a"], p["b"], p["weight"], p["bias"], p["m"]
    along = [{"kind": "vjp", "cotangents": [F(3, OUT, salt=7)]}]
    values = {"x": 0, "a": 1, "b": 2, "weight": 3}
    contract = {"name": "lora_linear", "arguments": {"values": values, "scale": SCALE}}
    zero = np.zeros_like(b)
    return [
        Case("lora/forward", written(lora, [x, a, b], [w]), contract=contract),
        Case("lora/gradients", written(lora, [x, a, b], [w]), along, contract=contract, **CLOSE),
        Case("lora/bias", written(lora_with_bias, [x, a, b], [w, bias]), along, **CLOSE),
        Case("lora/at_the_start", written(lora, [x, a, zero], [w]), along, contract=contract, **CLOSE),
        Case(
            "lora/fused",
            written(fused, [a, b, w]),
            contract={"name": "lora_fuse", "arguments": {"values": {"a": 0, "b": 1, "weight": 2}, "scale": SCALE}},
        ),
        Case("lora/kernel", _kernel(x, a, b, w), along, **CLOSE),
        *_dora_cases(p, along),
        Case("dora/fused", written(fused_dora, [a, b, m, w]), rtol=1e-5, atol=1e-5),
        *_quantized_cases(),
    ]


def _kernel(x: Array, a: Array, b: Array, w: Array) -> Program:
    program = Program([x, a, b], [w])
    program.outputs = program.calls("mlxffi_lora_linear", 0, 3, 1, 2, SCALE)
    return program


def _dora_cases(p: dict[str, Array], along: list[dict[str, Any]]) -> list[Case]:
    inputs, captured = [p["x"], p["a"], p["b"], p["m"]], [p["weight"], p["bias"]]
    whole = p["weight"].astype(np.float64) + SCALE * (p["a"].astype(np.float64) @ p["b"]).T
    size = np.sqrt(np.square(whole).sum(1))
    values = {"x": 0, "a": 1, "b": 2, "m": 3, "weight": 4, "bias": 5}
    contract = {"name": "dora_linear", "arguments": {"values": values, "scale": SCALE}}
    constant = Case("", written(dora_of_size, inputs, [*captured, size]), along)
    return [
        Case("dora/forward", written(dora, inputs, captured), contract=contract, **CLOSE),
        Case(
            "dora/gradients",
            written(dora, inputs, captured),
            along,
            known=reference.expected(constant),
            contract=contract,
            **CLOSE,
        ),
    ]


def _quantized_cases() -> list[Case]:
    """Over a quantized base, which has no gradient."""
    base = F(OUT, 64, salt=3)
    w, scales, biases = quantize(base.astype(np.float64), 64, 4, "affine", None)
    scales, biases = scales.astype(np.float32), biases.astype(np.float32)
    x, a, b = F(3, 64), F(64, RANK, salt=1), F(RANK, OUT, salt=2)

    def layer(x: Term, a: Term, b: Term, w: Term, scales: Term, biases: Term) -> list[Term]:
        return [x.call("quantized_matmul", w, scales, biases, True, 64, 4, "affine") + SCALE * (x @ a @ b)]

    program = written(layer, [x, a, b], [w, scales, biases])
    along = [{"kind": "vjp", "cotangents": [F(3, OUT, salt=7)]}]
    dense = dequantize(w, scales.astype(np.float64), biases.astype(np.float64), 64, 4, "affine")
    same = Case("", written(lora, [x, a, b], [dense]), along)
    return [Case("lora/quantized", program, along, known=reference.expected(same), rtol=2e-5, atol=5e-4)]
