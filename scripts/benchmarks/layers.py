"""Parts of a transformer's layers on the CPU, forward and backward: ours, mlx.core's operations, and PyTorch's."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

# First: the BLAS bridge must come before libmlx binds its BLAS.
import mlxffi
from mlxffi import Array, fused

# isort: split
import mlx.core as mx

from ._timing import in_turns

# A batch of 4 x 512 tokens, 512 wide: 8 heads of 64 features, 4 of them for keys; 1,536 in between; rank 8.
BATCH, TOKENS, WIDTH, HEADS, KV_HEADS, FEATURES, INNER, RANK = 4, 512, 512, 8, 4, 64, 1536, 8
ROUNDS = 5
DTYPES = {"float32": mx.float32, "bfloat16": mx.bfloat16}
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "rms_norm": [(BATCH, TOKENS, WIDTH), (WIDTH,)],
    "rope": [(BATCH, HEADS, TOKENS, FEATURES)],
    "attention": [(BATCH, HEADS, TOKENS, FEATURES), *[(BATCH, KV_HEADS, TOKENS, FEATURES)] * 2],
    "swiglu": [(BATCH, TOKENS, INNER)] * 2,
    "geglu": [(BATCH, TOKENS, INNER)] * 2,
    "lora_linear": [(BATCH, TOKENS, WIDTH), (INNER, WIDTH), (WIDTH, RANK), (RANK, INNER)],
}
# Inputs that get no gradient: what is frozen in training.
FROZEN = {"lora_linear": {1}}
SCALE = FEATURES**-0.5

OURS: dict[str, Callable[..., Array]] = {
    "rms_norm": lambda x, w: fused.rms_norm(x, w, 1e-6),
    "rope": lambda x: fused.rope(x, FEATURES),
    "attention": lambda q, k, v: fused.attention(q, k, v, scale=SCALE, causal=True),
    "swiglu": fused.swiglu,
    "geglu": fused.geglu,
    "lora_linear": lambda x, w, a, b: fused.lora_linear(x, w, a, b, 2.0),
}


def _gelu(x: mx.array) -> mx.array:
    return 0.5 * x * (1 + mx.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))


CORE: dict[str, Callable[..., mx.array]] = {
    "rms_norm": lambda x, w: mx.fast.rms_norm(x, w, 1e-6),
    "rope": lambda x: mx.fast.rope(x, FEATURES, traditional=False, base=10000.0, scale=1.0, offset=0),
    "attention": lambda q, k, v: mx.fast.scaled_dot_product_attention(q, k, v, scale=SCALE, mask="causal"),
    "swiglu": lambda gate, up: gate * mx.sigmoid(gate) * up,
    "geglu": lambda gate, up: _gelu(gate) * up,
    "lora_linear": lambda x, w, a, b: x @ w.T + (2.0 * (x @ a)) @ b,
}


# --- contestants: value and gradients ---


def _trained(name: str, arrays: list[Any]) -> list[int]:
    return [place for place in range(len(arrays)) if place not in FROZEN.get(name, set())]


def _ours(name: str, arrays: list[mx.array], cotangent: mx.array) -> Callable[[], None]:
    inputs, places, c = [Array(array) for array in arrays], _trained(name, arrays), Array(cotangent)

    def function(values: list[Array]) -> list[Array]:
        given = dict(zip(places, values, strict=True))
        return [OURS[name](*(given.get(place, array) for place, array in enumerate(inputs)))]

    def run() -> None:
        value, gradients = mlxffi.vjp(function, [inputs[place] for place in places], [c])
        mlxffi.eval(*value, *gradients)

    return run


def _core(name: str, arrays: list[mx.array], cotangent: mx.array) -> Callable[[], None]:
    places = _trained(name, arrays)

    def function(*values: mx.array) -> mx.array:
        given = dict(zip(places, values, strict=True))
        return CORE[name](*(given.get(place, array) for place, array in enumerate(arrays)))

    trained = [arrays[place] for place in places]
    return lambda: mx.eval(mx.vjp(function, trained, [cotangent]))


def _rotated(torch: Any, x: Any) -> Any:
    units = 10000.0 ** (-torch.arange(0, FEATURES, 2) / FEATURES)
    angles = torch.arange(TOKENS)[:, None] * units
    cos, sin = (part.to(x.dtype).repeat(1, 2) for part in (angles.cos(), angles.sin()))
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def _torch_function(torch: Any, name: str) -> Callable[..., Any]:
    functional = torch.nn.functional
    attention = functional.scaled_dot_product_attention
    functions: dict[str, Callable[..., Any]] = {
        "rms_norm": lambda x, w: functional.rms_norm(x, (WIDTH,), w, 1e-6),
        "rope": lambda x: _rotated(torch, x),
        "attention": lambda q, k, v: attention(q, k, v, is_causal=True, scale=SCALE, enable_gqa=True),
        "swiglu": lambda gate, up: functional.silu(gate) * up,
        "geglu": lambda gate, up: functional.gelu(gate, approximate="tanh") * up,
        "lora_linear": lambda x, w, a, b: functional.linear(x, w) + (x @ a) @ b * 2.0,
    }
    return functions[name]


def _torch(name: str, dtype: str, arrays: list[mx.array], cotangent: mx.array) -> dict[str, Callable[[], object]]:
    if not importlib.util.find_spec("torch"):
        return {}
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    *numbers, c = [
        torch.from_numpy(np.array(array.astype(mx.float32))).to(getattr(torch, dtype)) for array in [*arrays, cotangent]
    ]
    for place in _trained(name, arrays):
        numbers[place].requires_grad_(True)
    function = _torch_function(torch, name)

    def run() -> None:
        for number in numbers:
            number.grad = None
        function(*numbers).backward(c)

    return {"PyTorch": run}


def main() -> None:
    """Print milliseconds (medians) and how much longer than ours each takes, for each part and dtype."""
    mx.set_default_device(mx.cpu)
    mlxffi.set_default_device(mlxffi.Device("cpu"))
    load, cpus = os.getloadavg()[0], len(os.sched_getaffinity(0))
    print(f"{BATCH} x {TOKENS} tokens, forward and backward, median of {ROUNDS} in turns, ms")
    print(f"{cpus} CPUs, load {load:.2f}")
    print("mlx.core runs on the BLAS of mlxffi here: its own takes 30 times as long for a product")
    for dtype, kind in DTYPES.items():
        for name, shapes in SHAPES.items():
            mx.random.seed(0)
            arrays = [mx.random.normal(shape).astype(kind) for shape in shapes]
            cotangent = mx.random.normal(CORE[name](*arrays).shape).astype(kind)
            mx.eval(arrays, cotangent)
            contestants = {"mlxffi": _ours(name, arrays, cotangent), "mlx.core": _core(name, arrays, cotangent)}
            seconds = in_turns({**contestants, **_torch(name, dtype, arrays, cotangent)}, ROUNDS)
            print(f"{name}, {dtype}")
            for who, taken in seconds.items():
                print(f"  {who:10} {taken * 1e3:8.2f}  {taken / seconds['mlxffi']:6.1f}")


if __name__ == "__main__":
    main()
