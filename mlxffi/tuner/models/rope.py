"""Rotary position encodings: the frequencies of the families, and their application to heads.

Su et al. 2021, RoFormer. A pair of features (i, i + head_dim / 2) is rotated by position / theta^(2 i / head_dim).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ... import core as mx
from ..._errors import ArgumentError

SCALING = "rope_scaling: "
# How many positions there are, and how many there were before the encoding was scaled.
LENGTHS = ("max_position_embeddings", "original_max_position_embeddings")


class Turns(NamedTuple):
    """Cosines and sines of the angles by which heads are rotated.

    Args:
      cos: float32 [1 or batch, length, 1, 1, features / 2], or without the first axis.
      sin: [..., 2, features / 2]: with the sign for each of a pair.
    """

    cos: mx.array
    sin: mx.array

    def tables(self) -> tuple[mx.array, mx.array]:
        """Both without the axes that only broadcasting needs.

        Returns:
          [positions, features / 2] and [positions, 2, features / 2].
        """
        half = self.cos.shape[-1]
        return self.cos.reshape(-1, half), self.sin.reshape(-1, 2, half)


@dataclass(frozen=True)
class Rope:
    """A rotary position encoding.

    Args:
      theta: the base of the wavelengths.
      scale: the factor of positions; 1 / factor for linear scaling.
      periods: wavelengths divided by 2 pi, one for each pair of features, where they are not powers of theta.
      magnitude: the factor of what is rotated.
      context: sequences of more tokens than this have other wavelengths throughout; None: none do.
      long_periods: the periods of longer sequences.
      stretch: where there are no `long_periods`: by which the base grows with the length of longer sequences.
    """

    theta: float
    scale: float = 1.0
    periods: tuple[float, ...] | None = None
    magnitude: float = 1.0
    context: int | None = None
    long_periods: tuple[float, ...] | None = None
    stretch: float | None = None

    def __call__(self, x: mx.array, positions: int | mx.array) -> mx.array:
        """Heads, rotated by their positions.

        Args:
          x: floating point [batch, heads, length, head_dim].
          positions: of the first token, where they are consecutive; else int32 [batch, length].
        """
        batch, heads, length, features = x.shape
        x = x if self.magnitude == 1 else x * self.magnitude
        if isinstance(positions, int):
            return self._rotated(x, positions, self._periods(positions + length, features))
        # Each token as a batch of its own, which can begin anywhere.
        tokens = x.transpose(0, 2, 1, 3).reshape(batch * length, heads, 1, features)
        periods = self._periods(None if self.context is None else positions.max() + 1, features)
        rotated = self._rotated(tokens, positions.reshape(-1), periods)
        return rotated.reshape(batch, length, heads, features).transpose(0, 2, 1, 3)

    def turns(self, positions: int | mx.array, length: int, features: int) -> Turns:
        """The rotations for some positions, once for all blocks: MLX's kernel for GPUs spends most time on sines.

        Args:
          positions: of the first token, where they are consecutive; else int32 [batch, length].
          length: number of tokens.
          features: of a head; even.

        Returns:
          Cosines and sines, float32, with `magnitude` in them.
        """
        if isinstance(positions, int):
            steps, periods = mx.arange(positions, positions + length), self._periods(positions + length, features)
        else:
            steps, periods = positions, self._periods(positions.max() + 1, features)
        periods = self.theta ** (mx.arange(0, features, 2) / features) if periods is None else periods
        angles = self.scale * steps[..., None, None, None] / periods
        cos, sin = self.magnitude * mx.cos(angles), self.magnitude * mx.sin(angles)
        return Turns(cos, mx.concatenate([-sin, sin], axis=-2))

    def _periods(self, length: int | mx.array | None, features: int) -> mx.array | None:
        """Those of a sequence of a length; None for powers of theta."""
        usual = None if self.periods is None else mx.array(self.periods)
        if self.context is None or length is None or (isinstance(length, int) and length <= self.context):
            return usual
        if self.long_periods is not None:
            long = mx.array(self.long_periods)
            return long if isinstance(length, int) else mx.where(length > self.context, long, usual)
        assert self.stretch is not None
        grown = self.stretch * mx.maximum(length, self.context) / self.context - (self.stretch - 1)
        base = self.theta * grown ** (features / (features - 2))
        return base ** (mx.arange(0, features, 2) / features)

    def _rotated(self, x: mx.array, offset: int | mx.array, periods: mx.array | None) -> mx.array:
        base = self.theta if periods is None else None
        return mx.fast.rope(
            x, x.shape[-1], traditional=False, base=base, scale=self.scale, offset=offset, freqs=periods
        )


def ropes_from_dict(config: Mapping[str, Any], head_dim: int) -> tuple[Rope, Rope]:
    """The encodings of blocks with full attention and of those with a window, from a config.json.

    Args:
      config: what config.json says.
      head_dim: features of a head.

    Returns:
      (that of full attention, that of a window); the same twice where config.json has one.

    Raises:
      ValueError: the type of scaling is unknown, or a field of it is missing.
    """
    # transformers 5 writes rope_parameters, for each type of block where they differ; before, there were two fields.
    parameters = _section(config, "rope_parameters")
    by_type = "full_attention" in parameters
    full = _section(parameters, "full_attention") if by_type else parameters or _section(config, "rope_scaling")
    lengths = {name: config[name] for name in LENGTHS if config.get(name) is not None}
    rope = _rope({**lengths, "rope_theta": config.get("rope_theta", 10000.0), **full}, head_dim)
    if by_type and "sliding_attention" in parameters:
        sliding = {**lengths, "rope_theta": 10000.0, **_section(parameters, "sliding_attention")}
        return rope, _rope(sliding, head_dim)
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
    if kind == "yarn":
        return _yarn(scaling, theta, head_dim)
    if kind == "longrope":
        return _longrope(scaling, theta, head_dim)
    if kind == "dynamic":
        stretch, context = (positive_number(scaling, name, SCALING) for name in ("factor", LENGTHS[0]))
        return Rope(theta, context=int(context), stretch=stretch)
    raise ArgumentError(
        f"config.json: rope_scaling: rope_type: {kind!r} is not supported, only 'default', 'linear', 'llama3', 'yarn', "
        "'longrope' and 'dynamic' are"
    )


def positive_number(config: Mapping[str, Any], name: str, where: str = "") -> float:
    """A positive number from a config.json, or from an object in it.

    Args:
      config: what config.json says, or an object in it.
      name: of the field.
      where: what stands before the name in the message, such as "rope_scaling: ".

    Returns:
      The number.

    Raises:
      ValueError: the field is missing, or something else.
    """
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


def _lengths(scaling: Mapping[str, Any]) -> tuple[float, float]:
    """By what factor there are more positions than in the original context, and the length of that."""
    most, original = LENGTHS
    context = positive_number(scaling, original if scaling.get(original) is not None else most, SCALING)
    if scaling.get("factor") is not None:
        return positive_number(scaling, "factor", SCALING), context
    return positive_number(scaling, most, SCALING) / context, context


def _powers(theta: float, head_dim: int) -> list[float]:
    return [theta ** (2 * pair / head_dim) for pair in range(head_dim // 2)]


def _yarn(scaling: Mapping[str, Any], theta: float, head_dim: int) -> Rope:
    """Pairs that turn often in the original context as they are, those that turn seldom slower, and a ramp between.

    Source: Peng et al. 2023, YaRN, section 3.4; magnitudes of two logarithms as in DeepSeek-V2.
    """
    factor, context = _lengths(scaling)
    optional = {"beta_fast": 32.0, "beta_slow": 1.0, "mscale": 0.0, "mscale_all_dim": 0.0, "attention_factor": 0.0}
    fast, slow, mscale, mscale_all, given = (
        positive_number(scaling, name, SCALING) if scaling.get(name) else default for name, default in optional.items()
    )

    def pair_that_turns(times: float) -> float:
        return head_dim * math.log(context / (times * 2 * math.pi)) / (2 * math.log(theta))

    def logarithmic(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1

    low, high = pair_that_turns(fast), pair_that_turns(slow)
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    high += 0.001 * (low == high)
    slower = [min(max((pair - low) / (high - low), 0), 1) for pair in range(head_dim // 2)]
    periods = (
        period / (ramp / factor + 1 - ramp) for period, ramp in zip(_powers(theta, head_dim), slower, strict=True)
    )
    both = mscale and mscale_all
    magnitude = given or (logarithmic(mscale) / logarithmic(mscale_all) if both else logarithmic(1))
    return Rope(theta, periods=tuple(periods), magnitude=magnitude)


def _longrope(scaling: Mapping[str, Any], theta: float, head_dim: int) -> Rope:
    """A factor for each wavelength, others in sequences that are longer than the original context.

    Source: Ding et al. 2024, LongRoPE, as Phi-3 has it.
    """
    factor, context = _lengths(scaling)
    magnitude = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(context))
    if scaling.get("attention_factor") is not None:
        magnitude = positive_number(scaling, "attention_factor", SCALING)
    short, long = (_factors(scaling, name, head_dim) for name in ("short_factor", "long_factor"))
    powers = _powers(theta, head_dim)
    periods, long_periods = (
        tuple(each * power for each, power in zip(factors, powers, strict=True)) for factors in (short, long)
    )
    return Rope(theta, periods=periods, magnitude=magnitude, context=int(context), long_periods=long_periods)


def _factors(scaling: Mapping[str, Any], name: str, head_dim: int) -> list[float]:
    found = scaling.get(name)
    if not isinstance(found, list) or len(found) != head_dim // 2:
        raise ArgumentError(f"config.json: {SCALING}{name}: expected {head_dim // 2} numbers, got {found!r}")
    return [positive_number({name: value}, name, SCALING) for value in found]
