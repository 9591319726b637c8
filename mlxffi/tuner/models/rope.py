"""Rotary position encodings: the frequencies of the families, and their application to heads.

Su et al. 2021, RoFormer. A pair of features (i, i + head_dim / 2) is rotated by position / theta^(2 i / head_dim).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ... import core as mx
from ..._errors import ArgumentError

SCALING = "rope_scaling: "


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
    parameters = _section(config, "rope_parameters")
    by_type = "full_attention" in parameters
    full = _section(parameters, "full_attention") if by_type else parameters or _section(config, "rope_scaling")
    rope = _rope({"rope_theta": config.get("rope_theta", 10000.0), **full}, head_dim)
    if by_type and "sliding_attention" in parameters:
        return rope, _rope({"rope_theta": 10000.0, **_section(parameters, "sliding_attention")}, head_dim)
    if "rope_local_base_freq" in config:
        return rope, Rope(positive_number(config, "rope_local_base_freq"))
    return rope, rope


def _section(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object in a config.json, without what is null in it; {} where there is none."""
    found = config.get(name) or {}
    if not isinstance(found, dict):
        raise ArgumentError(f"config.json: {name}: expected an object, got {found!r}")
    return {key: value for key, value in found.items() if value is not None}


def _rope(scaling: Mapping[str, Any], head_dim: int) -> Rope:
    theta = positive_number(scaling, "rope_theta", SCALING)
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return Rope(theta)
    if kind == "linear":
        return Rope(theta, scale=1 / positive_number(scaling, "factor", SCALING))
    if kind == "llama3":
        return Rope(theta, periods=_llama3_periods(scaling, theta, head_dim))
    raise ArgumentError(
        f"config.json: rope_scaling: rope_type: {kind!r} is not supported, only 'default', 'linear' and 'llama3' are"
    )


def positive_number(config: Mapping[str, Any], name: str, where: str = "") -> float:
    """A positive number in a config.json, or in an object of it that `where` begins to name."""
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= sys.float_info.max:
        raise ArgumentError(f"config.json: {where}{name}: expected a positive number, got {value!r}")
    return float(value)


def _llama3_periods(scaling: Mapping[str, Any], theta: float, head_dim: int) -> tuple[float, ...]:
    """Long wavelengths times a factor, short ones as they are, and a blend of frequencies between.

    Source: Llama 3.1's reference implementation, `apply_scaling`.
    """
    names = ("factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor")
    factor, context, low, high = (positive_number(scaling, name, SCALING) for name in names)

    def scaled(period: float) -> float:
        turns = context / (2 * math.pi * period)  # in the original context
        if turns < low:
            return period * factor
        if turns > high:
            return period
        blend = (turns - low) / (high - low)
        return period / ((1 - blend) / factor + blend)

    return tuple(scaled(theta ** (2 * pair / head_dim)) for pair in range(head_dim // 2))
