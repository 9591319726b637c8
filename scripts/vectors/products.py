"""Matrix products, and the layers of mlx/c/fast.h."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .operation import Calls
from .program import REFERENCE, Case
from .tensors import Array, F, I

# --- products ---


def gather_mm(a: Array, b: Array, left: Array | None, right: Array | None, _sorted: bool) -> Array:
    a, b = a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:])
    left = np.arange(len(a)) if left is None else left
    right = np.arange(len(b)) if right is None else right
    return np.asarray(np.matmul(a[left], b[right]))


def block_masked_mm(a: Array, b: Array, size: int, out: Array | None, left: Array | None, right: Array | None) -> Array:
    def masked(x: Array, mask: Array | None) -> Array:
        if mask is None:
            return x
        whole = np.repeat(np.repeat(mask, size, -2), size, -1)[..., : x.shape[-2], : x.shape[-1]]
        return np.asarray(x * whole)

    return masked(masked(a, left) @ masked(b, right), out)


def segmented_mm(a: Array, b: Array, segments: Array) -> Array:
    return np.stack([a[:, start:end] @ b[start:end] for start, end in segments])


def hadamard(x: Array, scale: float | None) -> Array:
    size = x.shape[-1]
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return np.asarray(x @ matrix * (size**-0.5 if scale is None else scale))


# --- layers ---


def layer_norm(x: Array, weight: Array | None, bias: Array | None, eps: float) -> Array:
    made = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    return np.asarray(made * (1 if weight is None else weight) + (0 if bias is None else bias))


def rms_norm(x: Array, weight: Array | None, eps: float) -> Array:
    return np.asarray(x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * (1 if weight is None else weight))


def gated(activation: Callable[[Array], Array], gate: Array, up: Array | None) -> Array:
    gate, up = np.split(gate, 2, -1) if up is None else (gate, up)
    return np.asarray(activation(gate) * up)


def rope(
    x: Array, dims: int, traditional: bool, base: float | None, scale: float, offset: Any, freqs: Array | None
) -> Array:
    half = dims // 2
    waves = freqs if base is None else base ** (2 * np.arange(half) / dims)
    offset = np.asarray(offset).reshape(-1, *[1] * (x.ndim - 2)) if np.ndim(offset) else np.asarray(offset)
    places = (np.arange(x.shape[-2]) + offset)[..., None] * scale / waves
    even, odd = (x[..., :dims:2], x[..., 1:dims:2]) if traditional else (x[..., :half], x[..., half:dims])
    turned = even * np.cos(places) - odd * np.sin(places), even * np.sin(places) + odd * np.cos(places)
    both = np.stack(turned, -1).reshape(*x.shape[:-1], dims) if traditional else np.concatenate(turned, -1)
    return np.concatenate([both, x[..., dims:]], -1)


def attention(q: Array, k: Array, v: Array, scale: float, mode: str, mask: Array | None, sinks: Array | None) -> Array:
    k, v = (np.repeat(each, q.shape[1] // k.shape[1], 1) for each in (k, v))
    scores = scale * q @ np.swapaxes(k, -1, -2)
    if mode == "causal":
        mask = np.tri(q.shape[2], k.shape[2], k.shape[2] - q.shape[2]).astype(bool)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    more = (
        np.zeros_like(scores[..., :1]) - np.inf
        if sinks is None
        else np.broadcast_to(sinks[:, None, None], scores[..., :1].shape)
    )
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    total = weights.sum(-1, keepdims=True) + np.exp(more - scores.max(-1, keepdims=True))
    return np.asarray(weights / total @ v)


def cross_entropy(logits: Array, targets: Array) -> Array:
    picked = np.take_along_axis(logits, targets[..., None], -1)[..., 0]
    top = logits.max(-1)
    return np.asarray(np.log(np.exp(logits - top[..., None]).sum(-1)) + top - picked)


def gated_delta(
    q: Array, k: Array, v: Array, gates: Array, beta: Array, state: Array | None, mask: Array | None
) -> list[Array]:
    batch, steps, heads, size = v.shape
    q, k = (np.repeat(each, heads // each.shape[2], 2) for each in (q, k))
    state = np.zeros((batch, heads, size, q.shape[-1])) if state is None else state
    outputs = []
    for t in range(steps):
        moved = gates[:, t, :, None, None] * state
        error = v[:, t] - np.einsum("bhvk,bhk->bhv", moved, k[:, t])
        moved = moved + np.einsum("bh,bhv,bhk->bhvk", beta[:, t], error, k[:, t])
        given = np.einsum("bhvk,bhk->bhv", moved, q[:, t])
        kept = np.ones(batch, bool) if mask is None else mask[:, t]
        state = np.where(kept[:, None, None, None], moved, state)
        outputs.append(np.where(kept[:, None, None], given, 0))
    return [np.stack(outputs, 1), state]


def heads(
    x: Array, cosines: Array, sines: Array, of_q: Array | None, of_k: Array | None, count: int, keys: int, eps: float
) -> list[Array]:
    width = 2 * cosines.shape[-1]
    q, k, v = np.split(x.reshape(*x.shape[:-1], -1, width), [count, count + keys], -2)
    norms = (q, of_q), (k, of_k)
    q, k = (each if norm is None else rms_norm(each, norm, eps) for each, norm in norms)
    repeats = (x.size // x.shape[-1] // len(cosines), 1, 1)
    cosines = np.tile(cosines[:, None], repeats).reshape(*x.shape[:-1], 1, -1)
    first, second = (np.tile(sines[:, None, i], repeats).reshape(cosines.shape) for i in (0, 1))
    turned = []
    for low, high in (np.split(each, 2, -1) for each in (q, k)):
        turned.append(np.concatenate([low * cosines + high * first, high * cosines + low * second], -1))
    return [*turned, v] if keys else turned[:1]


def adam(ws: list[Array], gradients: list[Array], ms: list[Array], vs: list[Array], numbers: Array) -> list[Array]:
    taken, scale, rate, kept, beta_1, fresh_1, beta_2, fresh_2, correction, eps = numbers
    if not taken:
        return [*ws, *ms, *vs]
    gs = [scale * gradient for gradient in gradients]
    ms = [beta_1 * m + fresh_1 * g for m, g in zip(ms, gs, strict=True)]
    vs = [beta_2 * v + fresh_2 * g**2 for v, g in zip(vs, gs, strict=True)]
    steps = [m / (correction * np.sqrt(v) + eps) for m, v in zip(ms, vs, strict=True)]
    return [*(kept * w - rate * step for w, step in zip(ws, steps, strict=True)), *ms, *vs]


REFERENCE |= {
    "mlx_matmul": np.matmul,
    "mlx_addmm": lambda c, a, b, alpha, beta: alpha * (a @ b) + beta * c,
    "mlx_inner": np.inner,
    "mlx_outer": np.outer,
    "mlx_kron": np.kron,
    "mlx_vecdot": lambda a, b, axis: np.sum(np.conjugate(a) * b, axis),
    "mlx_tensordot": lambda a, b, left, right: np.tensordot(a, b, (left, right)),
    "mlx_tensordot_axis": np.tensordot,
    "mlx_einsum": lambda text, arrays: np.einsum(text, *arrays),
    "mlx_gather_mm": gather_mm,
    "mlx_block_masked_mm": block_masked_mm,
    "mlx_segmented_mm": segmented_mm,
    "mlx_hadamard_transform": hadamard,
    "mlx_fast_layer_norm": layer_norm,
    "mlx_fast_rms_norm": rms_norm,
    "mlx_fast_rope": rope,
    "mlx_fast_rope_dynamic": rope,
    "mlx_fast_scaled_dot_product_attention": attention,
    "mlx_fast_scaled_dot_product_attention_fused": lambda *args: attention(*args[:-1]),
    "mlx_fast_cross_entropy": cross_entropy,
    "mlx_fast_gated_delta_update": gated_delta,
    "mlxffi_rms_norm": rms_norm,
    "mlxffi_rope": rope,
    "mlxffi_attention": lambda q, k, v, scale, causal, mask: attention(
        q, k, v, scale, "causal" if causal else "", mask, None
    ),
    "mlxffi_adam": adam,
    "mlxffi_sum_of_squares": lambda arrays: sum(np.square(x).sum() for x in arrays),
    "mlxffi_heads": heads,
    "mlxffi_paced": lambda arrays, _: arrays,
    "mlxffi_swiglu": lambda gate, up: gated(lambda x: x / (1 + np.exp(-x)), gate, up),
    "mlxffi_geglu": lambda gate, up: gated(
        lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2, gate, up
    ),
    "mlxffi_lora_linear": lambda x, w, a, b, scale: x @ w.T + scale * (x @ a @ b),
}


def cases() -> list[Case]:
    calls = Calls()
    _products(calls)
    _layers(calls)
    _fused(calls)
    return calls.cases


def _products(calls: Calls) -> None:
    a, b = F(3, 4), F(4, 2, salt=1)
    for dtype in ("float32", "float16", "bfloat16", "complex64"):
        calls.add("mlx_matmul", F(3, 4, dtype=dtype), F(4, 2, salt=1, dtype=dtype))
    calls.add("mlx_matmul", F(2, 3, 4), b)
    calls.add("mlx_matmul", F(4), b)
    calls.refused("mlx_matmul", a, a)
    calls.refused("mlx_matmul", I(3, 4), I(4, 2))
    calls.add("mlx_addmm", F(3, 2), a, b, 0.5, 2.0)
    calls.add("mlx_inner", F(2, 4), F(3, 4))
    calls.add("mlx_outer", F(3), F(2, salt=1))
    calls.add("mlx_kron", F(2, 2), F(1, 3, salt=1))
    calls.add("mlx_vecdot", F(2, 4), F(2, 4, salt=1), -1)
    calls.add("mlx_vecdot", F(4, dtype="complex64"), F(4, salt=3, dtype="complex64"), 0)
    calls.add("mlx_tensordot", F(2, 3, 4), F(4, 3, salt=1), [1, 2], [1, 0])
    calls.add("mlx_tensordot_axis", F(2, 3, 4), F(3, 4, 2, salt=1), 2)
    calls.add("mlx_einsum", "ij,jk->ik", [a, b])
    calls.add("mlx_einsum", "bij,bj->bi", [F(2, 3, 4), F(2, 4, salt=1)])
    calls.add("mlx_einsum", "ii->i", [F(3, 3)])
    calls.refused("mlx_einsum", "ij,jk->ik", [a, a])
    left, right = np.array([0, 1, 1], np.uint32), np.array([2, 0, 1], np.uint32)
    calls.add("mlx_gather_mm", F(2, 3, 4), F(3, 4, 2, salt=1), left, right, False)
    calls.add("mlx_gather_mm", F(3, 1, 4), F(3, 4, 2, salt=1), None, right, False)
    mask = np.array([[True, False], [True, True]])
    calls.add("mlx_block_masked_mm", F(33, 33), F(33, 33, salt=1), 32, None, mask, None, atol=1e-4)
    calls.add("mlx_segmented_mm", F(3, 6), F(6, 2, salt=1), np.array([[0, 2], [2, 6], [3, 3]], np.uint32))
    calls.add("mlx_hadamard_transform", F(2, 8), None)
    calls.add("mlx_hadamard_transform", F(2, 4), 0.5)


def _layers(calls: Calls) -> None:
    x, weight, bias = F(2, 3, 8), F(8, low=0.5, high=1.5, salt=1), F(8, salt=2)
    calls.add("mlx_fast_layer_norm", x, weight, bias, 1e-5)
    calls.add("mlx_fast_layer_norm", x, None, None, 1e-5)
    calls.add("mlx_fast_rms_norm", x, weight, 1e-5)
    calls.add("mlx_fast_rms_norm", F(2, 8, dtype="bfloat16"), F(8, dtype="bfloat16"), 1e-5)
    calls.refused("mlx_fast_rms_norm", x, F(7), 1e-5)
    tokens = F(1, 2, 3, 8)
    calls.add("mlx_fast_rope", tokens, 8, True, 100.0, 1.0, 2, None)
    calls.add("mlx_fast_rope", tokens, 6, False, 100.0, 0.5, 0, None)
    calls.add("mlx_fast_rope", tokens, 4, False, None, 1.0, 1, np.array([1, 2], np.float32))
    calls.add("mlx_fast_rope_dynamic", F(2, 2, 3, 8), 8, False, 100.0, 1.0, np.array([0, 3], np.int32), None)
    q, k, v = F(1, 4, 3, 8), F(1, 2, 5, 8, salt=1), F(1, 2, 5, 8, salt=2)
    for name, more in (("", []), ("_fused", [False])):
        calls.add(f"mlx_fast_scaled_dot_product_attention{name}", q, k, v, 0.25, "", None, None, *more)
        calls.add(f"mlx_fast_scaled_dot_product_attention{name}", q, k, v, 0.25, "causal", None, None, *more)
    calls.add("mlx_fast_scaled_dot_product_attention", q, k, v, 0.25, "array", F(3, 5, dtype="bool"), F(4, salt=3))
    calls.add("mlx_fast_scaled_dot_product_attention", q, k, v, 0.25, "array", F(3, 5, salt=4), None)
    calls.add("mlx_fast_cross_entropy", F(2, 3, 7), I(2, 3, high=7))
    gates = [F(2, 3, 2, low=0.25, high=1), F(2, 3, 2, low=0, high=1, salt=1)]
    rows = [F(2, 3, 1, 32, low=-0.25, high=0.25), F(2, 3, 1, 32, low=-0.25, high=0.25, salt=1), F(2, 3, 2, 4, salt=2)]
    calls.add("mlx_fast_gated_delta_update", *rows, *gates, None, None, gives=2)
    mask = np.array([[True, True, False], [True, False, True]])
    calls.add("mlx_fast_gated_delta_update", *rows, *gates, F(2, 2, 4, 32, salt=3), mask, gives=2)


def _optimizers(calls: Calls) -> None:
    step = [1, 0.5, 0.125, 0.99, 0.9, 0.1, 0.75, 0.25, 1.5, 1e-3]
    for taken in (1, 0):
        numbers = np.array([taken, *step[1:]], np.float32)
        for dtype in ("float32", "bfloat16"):
            w, g, m, v = ([F(3, 4, salt=salt, dtype=dtype), F(5, salt=salt + 4, dtype=dtype)] for salt in range(4))
            calls.add("mlxffi_adam", w, g, m, list(map(np.abs, v)), numbers, gives=6, dtypes=[dtype] * 6)
    calls.refused("mlxffi_adam", [F(3)], [F(3, salt=1)], [F(2)], [F(2)], numbers, gives=3)
    calls.add("mlxffi_sum_of_squares", [F(3, 4), F(5, salt=1)])
    calls.add("mlxffi_sum_of_squares", [F(3, 4, dtype="bfloat16")], dtypes=["float32"])


def _fused(calls: Calls) -> None:
    calls.add("mlxffi_rms_norm", F(2, 3, 8), F(8, salt=1), 1e-5)
    calls.add("mlxffi_rms_norm", F(2, 8, dtype="float16"), None, 1e-5)
    calls.add("mlxffi_rope", F(2, 2, 3, 8), 8, False, 100.0, 1.0, np.array([0, 3], np.int32), None)
    q, k, v = F(1, 4, 3, 8), F(1, 2, 5, 8, salt=1), F(1, 2, 5, 8, salt=2)
    calls.add("mlxffi_attention", q, k, v, 0.25, True, None)
    calls.add("mlxffi_attention", q, k, v, 0.25, False, F(3, 5, dtype="bool"))
    for name in ("swiglu", "geglu"):
        calls.add(f"mlxffi_{name}", F(2, 8), F(2, 8, salt=1))
        calls.add(f"mlxffi_{name}", F(2, 8, dtype="bfloat16"), F(2, 8, salt=1, dtype="bfloat16"))
        calls.add(f"mlxffi_{name}", F(2, 16), None)
    turns = F(3, 2, salt=1), F(3, 2, 2, salt=2)
    calls.add("mlxffi_heads", F(2, 3, 16), *turns, F(4, salt=3), F(4, salt=4), 2, 1, 1e-5, gives=3)
    halves = F(3, 12, dtype="bfloat16")
    calls.add("mlxffi_heads", halves, *turns, None, None, 1, 1, 1e-5, gives=3, dtypes=["bfloat16"] * 3)
    calls.add("mlxffi_heads", F(2, 3, 8), *turns, F(4, salt=3), None, 2, 0, 1e-5, gives=1)
    calls.add("mlxffi_paced", [F(3), F(2)], 2, gives=2)
    _optimizers(calls)
    calls.add("mlxffi_lora_linear", F(3, 6), F(4, 6, salt=1), F(6, 2, salt=2), F(2, 4, salt=3), 2.0)
