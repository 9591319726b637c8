"""Quantized weights: packed, unpacked, and multiplied."""

from __future__ import annotations

from typing import Any

import numpy as np

from .elementwise import fp8_values
from .operation import Calls
from .program import REFERENCE, Case
from .tensors import Array, F, grid

# By mode: group, bits.
MODES = {"affine": (64, 4), "mxfp4": (32, 4), "mxfp8": (32, 8), "nvfp4": (16, 4)}
FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def pack(codes: Array, bits: int) -> Array:
    """Codes along the last axis as a stream of bits, the lowest first, in words of 32."""
    stream = (codes[..., None] >> np.arange(bits) & 1).reshape(*codes.shape[:-1], -1, 32).astype(np.uint64)
    return np.asarray((stream << np.arange(32, dtype=np.uint64)).sum(-1)).astype(np.uint32)


def unpack(words: Array, bits: int) -> Array:
    stream = (words[..., None] >> np.arange(32, dtype=np.uint32) & 1).reshape(*words.shape[:-1], -1, bits)
    return np.asarray((stream.astype(np.int64) << np.arange(bits)).sum(-1))


def scale_values(scales: Array, mode: str) -> Array:
    return np.asarray(fp8_values()[scales] if mode == "nvfp4" else 2.0 ** (scales.astype(np.float64) - 127))


def dequantize(
    w: Array,
    scales: Array,
    biases: Array | None,
    group: int | None,
    bits: int | None,
    mode: str,
    factor: Array | None = None,
    _dtype: Any = None,
) -> Array:
    group, bits = group or MODES[mode][0], bits or MODES[mode][1]
    codes = unpack(w, bits)
    grouped = codes.reshape(*codes.shape[:-1], -1, group)
    if mode == "affine":
        assert biases is not None
        values = grouped * scales[..., None] + biases[..., None]
    else:
        table = fp8_values() if bits == 8 else FP4
        values = table[grouped] * scale_values(scales, mode)[..., None]
    return np.asarray(values.reshape(codes.shape)) * (1 if factor is None else factor / 2688)


def quantize(w: Array, group: int | None, bits: int | None, mode: str, _factor: Any) -> list[Array]:
    group, bits = group or MODES[mode][0], bits or MODES[mode][1]
    grouped = w.reshape(*w.shape[:-1], -1, group)
    return _affine(grouped, bits) if mode == "affine" else _small(grouped, bits, mode)


def _affine(grouped: Array, bits: int) -> list[Array]:
    """The element of the group that is farthest from 0 is met exactly."""
    most, least = grouped.max(-1), grouped.min(-1)
    low = np.abs(least) > np.abs(most)
    scale = np.maximum((most - least) / (2**bits - 1), 1e-7) * np.where(low, 1, -1)
    edge = np.where(low, least, most)
    steps = np.round(edge / scale)
    scale = np.where(steps != 0, edge / np.where(steps == 0, 1, steps), scale)
    bias = np.where(steps != 0, edge, 0)
    codes = np.clip(np.round((grouped - bias[..., None]) / scale[..., None]), 0, 2**bits - 1).astype(np.int64)
    return [pack(codes.reshape(*codes.shape[:-2], -1), bits), scale, bias]


def _small(grouped: Array, bits: int, mode: str) -> list[Array]:
    """Of groups that a scale and codes meet exactly, with the largest code in each: see exact()."""
    table = fp8_values() if bits == 8 else FP4
    largest = np.nanmax(table)
    wanted = np.abs(grouped).max(-1) / largest
    scales = np.argmin(np.abs(fp8_values()[:127] - wanted[..., None]), -1) if mode == "nvfp4" else np.log2(wanted) + 127
    scales = np.asarray(scales).astype(np.uint8)
    values = grouped / scale_values(scales, mode)[..., None]
    negative = len(table) // 2
    codes = np.nanargmin(np.abs(table[:negative] - np.abs(values)[..., None]), -1)
    codes = codes + np.where((values < 0) | np.signbit(values), negative, 0)
    return [pack(codes.reshape(*codes.shape[:-2], -1), bits), scales]


def exact(rows: int, columns: int, mode: str, salt: int = 0) -> Array:
    """A matrix that a mode holds exactly, the largest element of its format in each group."""
    group, bits = MODES[mode]
    table = fp8_values() if bits == 8 else FP4
    places = grid((rows, columns // group, group), "float32", 0, len(table) - 2, salt).astype(int) | 1
    places[..., 0] = np.nanargmax(table)
    values = np.nan_to_num(table[places]) * 2.0 ** -(np.arange(columns // group) % 3)[:, None]
    return np.asarray(values.reshape(rows, columns)).astype(np.float32)


def product(
    x: Array, w: Array, scales: Array, biases: Array | None, turn: bool, group: int | None, bits: int | None, mode: str
) -> Array:
    matrix = dequantize(w, scales, biases, group, bits, mode)
    return np.asarray(np.matmul(x, np.swapaxes(matrix, -1, -2) if turn else matrix))


def low_rank_product(
    x: Array,
    w: Array,
    scales: Array,
    biases: Array | None,
    a: Array,
    b: Array,
    scale: float,
    group: int | None,
    bits: int | None,
    mode: str,
) -> Array:
    return product(x, w, scales, biases, True, group, bits, mode) + scale * (x @ a @ b)


def gather_product(
    x: Array,
    w: Array,
    scales: Array,
    biases: Array | None,
    left: Array | None,
    right: Array | None,
    turn: bool,
    group: int | None,
    bits: int | None,
    mode: str,
    *_rest: Any,
) -> Array:
    matrix = dequantize(w, scales, biases, group, bits, mode)
    matrix = np.swapaxes(matrix, -1, -2) if turn else matrix
    x = x.reshape(-1, *x.shape[-2:])
    x = x if left is None else x[left]
    return np.asarray(np.matmul(x, matrix if right is None else matrix[right]))


def both_quantized(
    x: Array, w: Array, scales: Array | None, group: int | None, bits: int | None, mode: str, *_factors: Any
) -> Array:
    """Of an `x` that its mode holds exactly."""
    return product(x, w, np.asarray(scales), None, True, group, bits, mode)


REFERENCE |= {
    "mlx_quantize": quantize,
    "mlx_dequantize": dequantize,
    "mlx_quantized_matmul": product,
    "mlx_gather_qmm": gather_product,
    "mlx_gather_qmm_global_scale": gather_product,
    "mlx_qqmm": both_quantized,
    "mlxffi_lora_quantized_linear": low_rank_product,
}


def cases() -> list[Case]:
    calls = Calls()
    _affine_cases(calls)
    for mode in ("mxfp4", "mxfp8", "nvfp4"):
        _small_cases(calls, mode)
    calls.refused("mlx_quantize", F(2, 60), 64, 4, "affine", None, gives=3)
    calls.refused("mlx_quantize", F(2, 64), 64, 7, "affine", None, gives=3)
    calls.refused("mlx_quantize", F(2, 64), None, None, "none", None, gives=3)
    return calls.cases


def _packed(w: Array, group: int | None, bits: int | None, mode: str) -> list[Array]:
    packed = quantize(w.astype(np.float64), group, bits, mode, None)
    return [each if each.dtype.kind == "u" else each.astype(np.float32) for each in packed]


def _affine_cases(calls: Calls) -> None:
    for bits in (2, 3, 4, 5, 6, 8):
        for group in (32, 64, 128):
            w, scales, biases = _packed(F(4, 128), group, bits, "affine")
            calls.add("mlx_dequantize", w, scales, biases, group, bits, "affine", None, None, dtypes=["float32"])
            if group == 64:
                calls.add(
                    "mlx_quantized_matmul", F(2, 128, salt=1), w, scales, biases, True, group, bits, "affine", **CLOSE
                )
                calls.add(
                    "mlx_quantized_matmul", F(2, 4, salt=1), w, scales, biases, False, group, bits, "affine", **CLOSE
                )
        # Codes times a power of two: what numpy and the library round is the same.
        levels = grid((2, 64), "float32", 0, 2**bits - 1, 2)
        levels[:, 0], levels[:, 1] = 0, 2**bits - 1
        calls.add("mlx_quantize", (np.floor(levels) / 4).astype(np.float32), 64, bits, "affine", None, gives=3)
    w, scales, biases = _packed(F(4, 64), None, None, "affine")
    calls.add("mlx_dequantize", w, scales, biases, None, None, "affine", None, "float16", dtypes=["float16"])
    factors = F(64, 2, salt=2), F(2, 4, salt=3)
    calls.add(
        "mlxffi_lora_quantized_linear", F(2, 64, salt=1), w, scales, biases, *factors, 2.0, 64, 4, "affine", **CLOSE
    )
    stack = [np.stack([each, each[::-1]]) for each in (w, scales, biases)]
    right = np.array([1, 0, 1], np.uint32)
    calls.add("mlx_gather_qmm", F(3, 1, 64, salt=1), *stack, None, right, True, 64, 4, "affine", False, **CLOSE)
    calls.add(
        "mlx_gather_qmm_global_scale",
        F(3, 1, 64, salt=1),
        *stack,
        None,
        right,
        True,
        64,
        4,
        "affine",
        None,
        False,
        **CLOSE,
    )


CLOSE: dict[str, Any] = {"dtypes": ["float32"], "rtol": 1e-5, "atol": 1e-4}


def _small_cases(calls: Calls, mode: str) -> None:
    whole = exact(4, 64, mode)
    w, scales = _packed(whole, None, None, mode)
    calls.add("mlx_quantize", whole, None, None, mode, None, gives=2)
    calls.add("mlx_dequantize", w, scales, None, None, None, mode, None, "float32", dtypes=["float32"])
    calls.add("mlx_quantized_matmul", F(2, 64, salt=1), w, scales, None, True, None, None, mode, **CLOSE)
    calls.add("mlx_quantized_matmul", F(2, 4, salt=1), w, scales, None, False, None, None, mode, **CLOSE)
    stack = [np.stack([each, each[::-1]]) for each in (w, scales)]
    right = np.array([1, 0, 1], np.uint32)
    calls.add("mlx_gather_qmm", F(3, 1, 64, salt=1), *stack, None, None, right, True, None, None, mode, False, **CLOSE)
    if mode != "mxfp4":
        calls.add("mlx_qqmm", exact(1, 64, mode, 1), w, scales, None, None, mode, None, None, **CLOSE)
