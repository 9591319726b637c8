"""Rotary position encodings: the frequencies of the families, and their application to heads.

Su et al. 2021, RoFormer. A pair of features (i, i + head_dim / 2) is rotated by position / theta^(2 i / head_dim).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ... import core as mx
from ..._errors import ArgumentError


@dataclass(frozen=True)
class Rope:
    """A rotary position encoding.

    Args:
      theta: the base of the wavelengths.
      scale: the factor of positions; 1 / factor for linear scaling.
      periods: wavelengths divided by 2 pi, one for each pair of features, where they are not powers of theta.
    """

    theta: float
    scale: float = 1.0
    periods: tuple[float, ...] | None = None

    def __call__(self, x: mx.array, positions: int | mx.array) -> mx.array:
        """Heads, rotated by their positions.

        Args:
          x: floating point [batch, heads, length, head_dim].
          positions: of the first token, where they are consecutive; else int32 [batch, length].
        """
        if isinstance(positions, int):
            return self._rotated(x, positions)
        batch, heads, length, features = x.shape
        # Each token as a batch of its own, which can begin anywhere.
        tokens = x.transpose(0, 2, 1, 3).reshape(batch * length, heads, 1, features)
        rotated = self._rotated(tokens, positions.reshape(-1))
        return rotated.reshape(batch, length, heads, features).transpose(0, 2, 1, 3)

    def _rotated(self, x: mx.array, offset: int | mx.array) -> mx.array:
        periods = None if self.periods is None else mx.array(self.periods)
        base = self.theta if periods is None else None
        return mx.fast.rope(
            x, x.shape[-1], traditional=False, base=base, scale=self.scale, offset=offset, freqs=periods
        )


def ropes_from_dict(config: Mapping[str, Any], head_dim: int) -> tuple[Rope, Rope]:
    """The encodings of blocks with full attention and of those with a window, from a config.json.

    Raises:
      ValueError: the type of scaling is unknown, or a field of it is missing.
    """
    # transformers 5 writes rope_parameters, for each type of block where they differ; before, there were two fields.
    parameters = config.get("rope_parameters") or {}
    by_type = "full_attention" in parameters
    full = parameters["full_attention"] if by_type else parameters or config.get("rope_scaling") or {}
    rope = _rope(full, full.get("rope_theta", config.get("rope_theta", 10000.0)), head_dim)
    if by_type and "sliding_attention" in parameters:
        local = parameters["sliding_attention"]
        return rope, _rope(local, local.get("rope_theta", 10000.0), head_dim)
    if "rope_local_base_freq" in config:
        return rope, Rope(float(config["rope_local_base_freq"]))
    return rope, rope


def _rope(scaling: Mapping[str, Any], theta: float, head_dim: int) -> Rope:
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return Rope(float(theta))
    if kind == "linear":
        return Rope(float(theta), scale=1 / _number(scaling, "factor"))
    if kind == "llama3":
        return Rope(float(theta), periods=_llama3_periods(scaling, float(theta), head_dim))
    raise ArgumentError(
        f"config.json: rope_scaling: rope_type: {kind!r} is not supported, only 'default', 'linear' and 'llama3' are"
    )


def _number(scaling: Mapping[str, Any], name: str) -> float:
    value = scaling.get(name)
    if not isinstance(value, (int, float)) or not value > 0:
        raise ArgumentError(f"config.json: rope_scaling: {name}: expected a positive number, got {value!r}")
    return float(value)


def _llama3_periods(scaling: Mapping[str, Any], theta: float, head_dim: int) -> tuple[float, ...]:
    """Long wavelengths times a factor, short ones as they are, and a blend of frequencies between.

    Source: Llama 3.1's reference implementation, `apply_scaling`.
    """
    factor, context = _number(scaling, "factor"), _number(scaling, "original_max_position_embeddings")
    low, high = _number(scaling, "low_freq_factor"), _number(scaling, "high_freq_factor")

    def scaled(period: float) -> float:
        turns = context / (2 * math.pi * period)  # in the original context
        if turns < low:
            return period * factor
        if turns > high:
            return period
        blend = (turns - low) / (high - low)
        return period / ((1 - blend) / factor + blend)

    return tuple(scaled(theta ** (2 * pair / head_dim)) for pair in range(head_dim // 2))
