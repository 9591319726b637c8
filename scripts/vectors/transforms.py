"""Derivatives, maps, checkpoints and compiled functions of small programs."""

from __future__ import annotations

from typing import Any

import numpy as np

from .program import Case, Program
from .tensors import Array, F, I
from .transformed import matrix

Transform = dict[str, Any]


def single(call: str, *args: Any, gives: int | None = None) -> Program:
    """A program of one call: of arrays, floats are inputs and the rest is captured."""
    arrays = [
        each for arg in args for each in (arg if isinstance(arg, list) else [arg]) if isinstance(each, np.ndarray)
    ]
    program, places = Program(), {}
    for each in sorted(arrays, key=lambda x: x.dtype.kind not in "fc"):
        places[id(each)] = program.input(each) if each.dtype.kind in "fc" else program.capture(each)

    def passed(arg: Any) -> Any:
        if isinstance(arg, list):
            return [passed(each) for each in arg]
        return places[id(arg)] if isinstance(arg, np.ndarray) else arg

    program.outputs = program.calls(call, *map(passed, args), gives=gives)
    return program


def distinct(*shape: int) -> Array:
    """Numbers no two of which are equal, in no order."""
    count = int(np.prod(shape))
    return (np.array([(7 * i + 3) % count for i in range(count)], np.float32) / 4 - 1).reshape(shape)


SMOOTH = {
    "exp": (-2, 2), "log": (0.5, 4), "log1p": (0, 4), "expm1": (-2, 2), "sin": (-4, 4), "cos": (-4, 4), "tan": (-1, 1),
    "sinh": (-2, 2), "cosh": (-2, 2), "tanh": (-2, 2), "arcsin": (-0.75, 0.75), "arctan": (-4, 4), "arcsinh": (-2, 2),
    "arctanh": (-0.75, 0.75), "sigmoid": (-6, 6), "sqrt": (0.5, 4), "rsqrt": (0.5, 4), "square": (-2, 2),
    "reciprocal": (0.5, 4), "erf": (-2, 2), "erfinv": (-0.75, 0.75), "negative": (-2, 2), "abs": (0.5, 2),
    "log2": (0.5, 4), "log10": (0.5, 4),
}  # fmt: skip


def programs() -> dict[str, Program]:
    """Calls by name, all differentiable where they are."""
    found = {name: single(f"mlx_{name}", F(2, 3, low=low, high=high)) for name, (low, high) in SMOOTH.items()}
    for name in ("add", "subtract", "multiply", "divide", "power", "logaddexp", "arctan2"):
        found[name] = single(f"mlx_{name}", F(2, 3, low=0.5, high=2.5), F(3, low=0.5, high=2.5, salt=1))
    for name in ("maximum", "minimum"):
        found[name] = single(f"mlx_{name}", distinct(2, 3), distinct(2, 3)[::-1] + np.float32(0.125))
    return found | _reducing() | _shaping() | _multiplying()


def _reducing() -> dict[str, Program]:
    x = F(2, 3, low=0.5, high=2.5)
    found = {name: single(f"mlx_{name}_axis", x, 1, False) for name in ("sum", "mean", "prod", "logsumexp", "softmax")}
    found |= {f"{name}_all": single(f"mlx_{name}", x, False) for name in ("sum", "mean", "logsumexp")}
    found |= {name: single(f"mlx_{name}_axis", distinct(2, 4), 1, True) for name in ("max", "min")}
    found |= {name: single(f"mlx_{name}_axis", x, 1, False, 1) for name in ("var", "std")}
    found |= {name: single(f"mlx_{name}", x, 1, False, True) for name in ("cumsum", "cumprod", "logcumsumexp")}
    return found | {
        "sort": single("mlx_sort_axis", distinct(2, 4), 1),
        "topk": single("mlx_topk_axis", distinct(2, 4), 1, 1),
    }


def _shaping() -> dict[str, Program]:
    x, y = F(2, 3), F(2, 3, salt=1)
    rows = np.array([0, 1, 1], np.int32)
    return {
        "transpose": single("mlx_transpose", x),
        "reshape": single("mlx_reshape", x, [3, 2]),
        "broadcast_to": single("mlx_broadcast_to", F(3), [2, 3]),
        "concatenate": single("mlx_concatenate_axis", [x, F(2, 1, salt=1)], 1),
        "stack": single("mlx_stack_axis", [x, y], 1),
        "split": single("mlx_split", F(2, 4), 2, 1, gives=2),
        "slice": single("mlx_slice", F(3, 4), [0, 1], [3, 4], [2, 2]),
        "slice_update": single("mlx_slice_update", F(3, 4), F(2, 2, salt=1), [0, 1], [3, 4], [2, 2]),
        "pad": single("mlx_pad", x, [1], [1], [2], np.array(0.5, np.float32), "constant"),
        "where": single("mlx_where", F(2, 3, dtype="bool"), x, y),
        "clip": single("mlx_clip", distinct(2, 4), np.array(-0.9, np.float32), np.array(0.3, np.float32)),
        "take": single("mlx_take_axis", x, rows, 0),
        "take_along_axis": single("mlx_take_along_axis", x, np.array([[2], [0]], np.int32), 1),
        "gather": single("mlx_gather_single", F(3, 2), rows, 0, [1, 2]),
        "scatter_add": single("mlx_scatter_add_single", F(3, 2), rows, F(3, 1, 2, salt=1), 0),
        "scatter_add_axis": single("mlx_scatter_add_axis", x, np.array([[0, 0], [2, 1]], np.int32), F(2, 2, salt=1), 1),
        "roll": single("mlx_roll_axis", x, [1], 1),
        "flip": single("mlx_flip_axis", x, 1),
        "tril": single("mlx_tril", F(3, 3), 0),
    }


def _multiplying() -> dict[str, Program]:
    weight = F(4, low=0.5, high=1.5, salt=1)
    q, k, v = F(1, 2, 2, 4), F(1, 1, 3, 4, salt=1), F(1, 1, 3, 4, salt=2)
    return {
        "matmul": single("mlx_matmul", F(2, 3), F(3, 2, salt=1)),
        "addmm": single("mlx_addmm", F(2), F(2, 3), F(3, 2, salt=1), 0.5, 2.0),
        "einsum": single("mlx_einsum", "ij,kj->ik", [F(2, 3), F(2, 3, salt=1)]),
        "inner": single("mlx_inner", F(2, 3), F(2, 3, salt=1)),
        "conv1d": single("mlx_conv1d", F(1, 5, 2), F(2, 3, 2, salt=1), 2, 1, 1, 1),
        "conv2d": single("mlx_conv2d", F(1, 3, 3, 1), F(2, 2, 2, 1, salt=1), 1, 1, 0, 1, 1, 1, 1),
        "layer_norm": single("mlx_fast_layer_norm", F(2, 4), weight, F(4, salt=2), 1e-3),
        "rms_norm": single("mlx_fast_rms_norm", F(2, 4), weight, 1e-3),
        "rope": single("mlx_fast_rope", F(1, 2, 4), 4, False, 100.0, 1.0, 1, None),
        "attention": single("mlx_fast_scaled_dot_product_attention", q, k, v, 0.5, "causal", None, None),
        "cross_entropy": single("mlx_fast_cross_entropy", F(2, 4), I(2, high=4)),
        "inv": single("mlx_linalg_inv", matrix(2, 2)),
        "solve": single("mlx_linalg_solve", matrix(2, 2), F(2, 1, salt=1)),
        "det": single("mlx_linalg_det", matrix(2, 2)),
        "swiglu": single("mlxffi_swiglu", F(2, 4), F(2, 4, salt=1)),
        "lora_linear": single("mlxffi_lora_linear", F(2, 3), F(2, 3, salt=1), F(3, 1, salt=2), F(1, 2, salt=3), 2.0),
    }


# Derivatives of these are of order one alone in MLX, or their differences take too long here.
FIRST_ORDER = {
    "attention", "conv2d", "conv1d", "inv", "solve", "det", "cross_entropy", "lora_linear", "swiglu", "topk", "sort",
}  # fmt: skip


def outputs_of(program: Program) -> list[Array]:
    from . import reference

    inputs = [each.astype(np.float64) for each in program.inputs]
    return reference.run(program, inputs, program.captured)


def cotangents(program: Program) -> Transform:
    return {"kind": "vjp", "cotangents": [F(*np.shape(each), salt=5 + i) for i, each in enumerate(outputs_of(program))]}


def tangents(program: Program) -> Transform:
    return {"kind": "jvp", "tangents": [F(*each.shape, salt=9 + i) for i, each in enumerate(program.inputs)]}


def twice(program: Program) -> list[Transform]:
    """The gradient of the gradient, along cotangents of the outputs and of the gradients."""
    shapes = [np.shape(each) for each in [*outputs_of(program), *program.inputs]]
    return [
        cotangents(program),
        {"kind": "vjp", "cotangents": [F(*shape, salt=11 + i) for i, shape in enumerate(shapes)]},
    ]


def mapped(program: Program) -> tuple[Program, Transform]:
    """The program for two of each input, stacked."""
    inputs = [np.stack([each, each[..., ::-1] if each.ndim else each * 2]) for each in program.inputs]
    axes = {"in_axes": [0] * len(inputs), "out_axes": [0] * len(program.outputs)}
    return Program(inputs, program.captured, program.steps, program.outputs), {"kind": "vmap", **axes}


def cases() -> list[Case]:
    close: dict[str, Any] = {"rtol": 2e-5, "atol": 2e-5}
    found = []
    for name, program in programs().items():
        found.append(Case(f"vjp/{name}", program, [cotangents(program)], **close))
        found.append(Case(f"jvp/{name}", program, [tangents(program)], **close))
        if name not in FIRST_ORDER:
            found.append(Case(f"second/{name}", program, twice(program), rtol=1e-4, atol=1e-4))
        stacked, transform = mapped(program)
        found.append(Case(f"vmap/{name}", stacked, [transform], **close))
    return found + _composed() + _refused()


# --- programs of several calls ---


def polynomial() -> Program:
    """x * x * y, of vectors."""
    program = Program()
    x, y = program.input(F(3)), program.input(F(3, salt=1))
    program.outputs = [program.call("mlx_multiply", program.call("mlx_square", x), y)]
    return program


def total() -> Program:
    """The sum of x * x * y."""
    program = polynomial()
    program.outputs = [program.call("mlx_sum", program.outputs[0], False)]
    return program


def layer() -> Program:
    """The sum of tanh(x w) over everything, and tanh(x w); w is captured."""
    program = Program()
    x, w = program.input(F(2, 3)), program.capture(F(3, 2, salt=1))
    hidden = program.call("mlx_tanh", program.call("mlx_matmul", x, w))
    program.outputs = [program.call("mlx_sum", hidden, False), hidden]
    return program


def network() -> Program:
    """The mean of squares of a network of two layers, by its four parameters; the data is captured."""
    program = Program()
    w1, b1, w2, b2 = (program.input(each) for each in (F(3, 4), F(4, salt=1), F(4, 1, salt=2), F(1, salt=3)))
    x, y = program.capture(F(5, 3, salt=4)), program.capture(F(5, 1, salt=5))
    hidden = program.call("mlx_tanh", program.call("mlx_addmm", b1, x, w1, 1.0, 1.0))
    error = program.call("mlx_subtract", program.call("mlx_addmm", b2, hidden, w2, 1.0, 1.0), y)
    program.outputs = [program.call("mlx_mean", program.call("mlx_square", error), False)]
    return program


def stopped() -> Program:
    """The sum of x times x that is held constant."""
    program = Program()
    x = program.input(F(3))
    program.outputs = [
        program.call("mlx_sum", program.call("mlx_multiply", x, program.call("mlx_stop_gradient", x)), False)
    ]
    return program


def grad(*argnums: int) -> Transform:
    return {"kind": "grad", "argnums": list(argnums)}


def value_and_grad(*argnums: int) -> Transform:
    return {"kind": "value_and_grad", "argnums": list(argnums)}


def _composed() -> list[Case]:
    checkpoint, compiled = {"kind": "checkpoint"}, {"kind": "compile", "shapeless": False}
    along: Transform = {"kind": "jvp", "tangents": [F(3, salt=2), F(3, salt=3)]}
    rows, flat = (
        {"kind": "vmap", "in_axes": [0, -1], "out_axes": [0]},
        {"kind": "vmap", "in_axes": [1, 0], "out_axes": [1]},
    )
    two = Program([F(2, 3), F(3, salt=1)], [], polynomial().steps, polynomial().outputs)
    both = Program([F(3, 2), F(2, 3, salt=1)], [], polynomial().steps, polynomial().outputs)
    rows_of_gradients = {"kind": "vmap", "in_axes": [0, -1], "out_axes": [0, 0]}
    two_totals = Program([F(2, 3), F(3, salt=1)], [], total().steps, total().outputs)
    constant = Case("grad/stop_gradient", stopped(), [grad(0)], known=[[F(3)]])
    return [
        constant,
        Case("value_and_grad/layer", layer(), [value_and_grad(0)]),
        Case("value_and_grad/total", total(), [value_and_grad(0, 1)]),
        Case("value_and_grad/second_argument", total(), [value_and_grad(1)]),
        Case("value_and_grad/network", network(), [value_and_grad(0, 1, 2, 3)], rtol=2e-5, atol=2e-5),
        Case("vmap/one_of_two", two, [rows]),
        Case("vmap/other_axes", both, [flat]),
        Case("vmap/gradient", two_totals, [grad(0, 1), rows_of_gradients]),
        Case("hessian_vector/total", total(), [grad(0, 1), along], rtol=2e-5, atol=2e-5),
        Case("hessian_vector/reverse", total(), [grad(0), {"kind": "vjp", "cotangents": [F(3, salt=4)]}]),
        Case("jvp/of_jvp", polynomial(), [along, along], rtol=2e-5, atol=2e-5),
        Case("checkpoint/total", total(), [checkpoint, value_and_grad(0, 1)]),
        Case("checkpoint/network", network(), [checkpoint, value_and_grad(0, 1, 2, 3)], rtol=2e-5, atol=2e-5),
        Case("checkpoint/of_checkpoint", total(), [checkpoint, checkpoint, grad(0)]),
        Case("compile/layer", layer(), [compiled]),
        Case("compile/shapeless", layer(), [{"kind": "compile", "shapeless": True}]),
        Case("compile/gradient", network(), [value_and_grad(0, 1, 2, 3), compiled], rtol=2e-5, atol=2e-5),
        Case("compile/inside", total(), [compiled, value_and_grad(0, 1)]),
    ]


def _refused() -> list[Case]:
    wrong = {"kind": "vjp", "cotangents": [F(2)]}
    few: Transform = {"kind": "jvp", "tangents": [F(3)]}
    cases = {
        "value_and_grad/no_scalar": (polynomial(), value_and_grad(0)),
        "value_and_grad/twice": (total(), value_and_grad(0, 0)),
        "value_and_grad/out_of_range": (total(), value_and_grad(2)),
        "vjp/cotangent_shape": (polynomial(), wrong),
        "vjp/no_cotangent": (polynomial(), {"kind": "vjp", "cotangents": []}),
        "jvp/tangents_too_few": (polynomial(), few),
        "vmap/sizes_differ": (
            Program([F(2, 3), F(3, 3)], [], polynomial().steps, polynomial().outputs),
            {"kind": "vmap", "in_axes": [0, 0], "out_axes": [0]},
        ),
        "vmap/no_such_axis": (polynomial(), {"kind": "vmap", "in_axes": [3, -1], "out_axes": [0]}),
        "vmap/nothing_mapped": (polynomial(), {"kind": "vmap", "in_axes": [-1, -1], "out_axes": [0]}),
    }
    return [Case(name, program, [transform], outcome="error") for name, (program, transform) in cases.items()]
