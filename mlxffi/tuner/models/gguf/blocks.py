"""Numbers as the bytes of GGUF's tensor types.

Source: ggml-quants.c, `quantize_row_q4_0_ref` and its like; the bytes are those of gguf-py's `quants.quantize`.
"""

from __future__ import annotations

from collections.abc import Callable

from .... import core as mx

GROUP = 32

# Bytes of a group of 32.
SIZES = {"F32": 128, "F16": 64, "BF16": 64, "Q8_0": 34, "Q4_0": 18, "Q4_1": 20}
PACKED = ("Q8_0", "Q4_0", "Q4_1")
DTYPES = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}


def encoded(value: mx.array, kind: str) -> mx.array:
    """An array's numbers as a tensor's bytes.

    Args:
      value: floating point [..., width]; for blocks the width is a multiple of 32.
      kind: F32, F16, BF16, Q8_0, Q4_0 or Q4_1.

    Returns:
      uint8 [bytes].
    """
    # The reference rounds sums of products once, to float32: float64, which only CPUs have, holds them.
    with mx.stream(mx.cpu):
        if kind in DTYPES:
            return value.astype(DTYPES[kind]).reshape(-1).view(mx.uint8)
        groups = value.astype(mx.float32).reshape(-1, GROUP)
        return mx.concatenate(BLOCKS[kind](groups), axis=-1).reshape(-1)


def rounded(value: mx.array, kind: str) -> mx.array:
    """An array's numbers as they come back from blocks.

    Args:
      value: floating point [..., width], the width a multiple of 32.
      kind: Q8_0, Q4_0 or Q4_1.

    Returns:
      float32, of the shape of the value.
    """
    with mx.stream(mx.cpu):
        scale, *least, packed = BLOCKS[kind](value.astype(mx.float32).reshape(-1, GROUP))
        if kind == "Q8_0":
            whole = packed.view(mx.int8).astype(mx.float32)
        else:
            whole = mx.concatenate([packed & 15, packed >> 4], axis=-1).astype(mx.float32) - 8 * (kind == "Q4_0")
        start = least[0].view(mx.float16).astype(mx.float32) if least else 0
        return (whole * scale.view(mx.float16).astype(mx.float32) + start).reshape(value.shape)


def _q8_0(groups: mx.array) -> list[mx.array]:
    scale = groups.abs().max(-1, keepdims=True) / 127
    scaled = groups * _inverse(scale)
    # Halves away from zero; the sum of a half in float32 would carry the number just below it up.
    whole = mx.floor(scaled.abs())
    rounded = mx.sign(scaled) * (whole + (scaled.abs() - whole >= 0.5))
    return [_half(scale), rounded.astype(mx.int8).view(mx.uint8)]


def _q4_0(groups: mx.array) -> list[mx.array]:
    largest = mx.take_along_axis(groups, groups.abs().argmax(-1, keepdims=True), axis=-1)
    scale = largest / -8
    scaled = groups.astype(mx.float64) * _inverse(scale).astype(mx.float64) + 8.5
    return [_half(scale), _nibbles(scaled.astype(mx.float32))]


def _q4_1(groups: mx.array) -> list[mx.array]:
    least = groups.min(-1, keepdims=True)
    scale = (groups.max(-1, keepdims=True) - least) / 15
    return [_half(scale), _half(least), _nibbles((groups - least) * _inverse(scale) + 0.5)]


BLOCKS: dict[str, Callable[[mx.array], list[mx.array]]] = {"Q8_0": _q8_0, "Q4_0": _q4_0, "Q4_1": _q4_1}


def _inverse(scale: mx.array) -> mx.array:
    return mx.where(scale == 0, 0, 1 / mx.where(scale == 0, 1, scale))


def _half(numbers: mx.array) -> mx.array:
    return numbers.astype(mx.float16).view(mx.uint8)


def _nibbles(numbers: mx.array) -> mx.array:
    """Whole parts from 0 to 15: the first 16 of a group in the low halves of bytes, the others in the high ones."""
    whole = mx.clip(mx.floor(numbers), 0, 15).astype(mx.uint8)
    return whole[:, : GROUP // 2] | (whole[:, GROUP // 2 :] << 4)
