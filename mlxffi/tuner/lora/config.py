"""The configuration of adapters: rank, scale, dropout, LoRA or DoRA, and which layers they adapt."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..._errors import ArgumentError
from .. import checks
from ..layers import Scaling

ALL_LINEAR = "all-linear"
# PiSSA by an exact decomposition, or by that many rounds of an iteration.
PISSA = re.compile(r"pissa(?:_niter_(\d+))?")
BIASES = ("none", "all", "lora_only")
# Our names by PEFT's, where they differ.
PEFT_NAMES = {"r": "rank", "lora_alpha": "alpha", "lora_dropout": "dropout", "use_rslora": "rslora"}


@dataclass(frozen=True)
class LoRAConfig:
    """The configuration of a LoRA or DoRA adapter.

    Layers are selected as in mlx-lm (`keys`, `num_layers`) or as in PEFT (`target_modules` and the fields after it).

    Args:
      rank: the rank of the factors.
      scale: the factor of the update.
      alpha: if given, the scale is alpha / rank instead.
      rslora: whether the scale is alpha / sqrt(rank) (rank-stabilised; Kalajdzievski 2023); needs `alpha`.
      dropout: the probability, 0 <= p < 1, with which inputs of the factors are dropped in training.
      use_dora: whether to train each row's magnitude, too (DoRA; Liu et al. 2024).
      num_layers: adapt only that many blocks, the last ones; all if negative, or larger than their number.
      keys: paths of layers within a block (`self_attn.q_proj`), or whole paths (`lm_head`), which are selected
        anywhere. None: all linear, expert and embedding layers of the blocks.
      target_modules: paths of layers, or ends of paths; or a regular expression for whole paths; or "all-linear": all
        linear layers except the output layer.
      exclude_modules: layers that are not adapted, in the same form.
      layers_to_transform: numbers of the blocks that are adapted; needs a list as `target_modules`.
      layers_pattern: names of the lists of blocks.
      rank_pattern: other ranks, by regular expressions for the ends of layers' paths; the first that matches applies.
      alpha_pattern: the same for alpha.
      init_lora_weights: how the factors are initialised: True, so that their product is 0; "pissa" with the largest
        singular values of each weight, "pissa_niter_16" with those that 16 rounds of subspace iteration find; "olora"
        with the start of its QR decomposition. For all but True, the initial product is subtracted from the layer's
        output.
      modules_to_save: paths, or ends of paths, of parts of the model that are trained in full.
      trainable_token_indices: tokens whose embedding rows are trained; or, as in PEFT, tokens by the names of the
        embedding and the output layer.
      bias: which biases are trained: "none", "lora_only" (those of adapted layers) or "all".

    Raises:
      ValueError: a value is out of range, or two exclude each other; the message names them.
    """

    rank: int = 8
    scale: float = 20.0
    alpha: float | None = None
    rslora: bool = False
    dropout: float = 0.0
    use_dora: bool = False
    num_layers: int = -1
    keys: tuple[str, ...] | None = None
    target_modules: str | tuple[str, ...] | None = None
    exclude_modules: str | tuple[str, ...] | None = None
    layers_to_transform: tuple[int, ...] | None = None
    layers_pattern: tuple[str, ...] | None = None
    rank_pattern: Mapping[str, int] = field(default_factory=dict, hash=False)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict, hash=False)
    init_lora_weights: bool | str = True
    modules_to_save: tuple[str, ...] | None = None
    trainable_token_indices: tuple[int, ...] | Mapping[str, tuple[int, ...]] | None = field(default=None, hash=False)
    bias: str = "none"

    def __post_init__(self) -> None:
        _require_numbers(self)
        for name in ("keys", "layers_pattern", "modules_to_save"):
            _set(self, name, _names(name, getattr(self, name)))
        for name in ("target_modules", "exclude_modules"):
            value = getattr(self, name)
            _set(self, name, _pattern(name, value) if isinstance(value, str) else _names(name, value))
        _set(self, "layers_to_transform", _indices("layers_to_transform", self.layers_to_transform))
        _set(self, "trainable_token_indices", _rows(self.trainable_token_indices))
        _require_patterns(self)
        _require_choices(self)
        _require_one_way(self)

    def rank_of(self, path: str) -> int:
        """The rank of a layer's factors.

        Args:
          path: the layer's path.

        Returns:
          The rank, at least 1.
        """
        rank: int = _matched(self.rank_pattern, path, self.rank)
        return rank

    def scale_of(self, path: str) -> float:
        """The factor of a layer's update.

        Args:
          path: the layer's path.

        Returns:
          The scale.
        """
        alpha: float | None = _matched(self.alpha_pattern, path, self.alpha)
        if alpha is None:
            return self.scale
        rank = self.rank_of(path)
        return alpha / (math.sqrt(rank) if self.rslora else rank)

    def alphas(self, paths: Iterable[str]) -> tuple[float, dict[str, float]]:
        """The default alpha, and the alphas of layers that differ, such that each layer's scale is alpha / rank.

        A scale that does not depend on the rank needs another alpha for each rank.

        Args:
          paths: the layers' paths.

        Returns:
          The default, and the others by path.
        """
        if self.alpha is not None:
            return self.alpha, dict(self.alpha_pattern)
        usual = self.scale * self.rank
        found = {path: self.scale_of(path) * self.rank_of(path) for path in paths}
        return usual, {path: alpha for path, alpha in found.items() if alpha != usual}

    def scaling(self, path: str) -> Scaling:
        """The scale and dropout of a layer.

        Args:
          path: the layer's path.

        Returns:
          Both.
        """
        return Scaling(self.scale_of(path), self.dropout)


def from_mlx_lm(parameters: Mapping[str, Any], **options: Any) -> LoRAConfig:
    """The configuration that mlx-lm's `lora_parameters` mean: `scale` takes precedence over `alpha`, with a warning if
    they disagree.

    Args:
      parameters: `rank`, `scale`, `dropout`, `keys`, and whatever else `LoRAConfig` has, also under PEFT's names; None
        means the default.
      options: what is not in `lora_parameters`.

    Returns:
      The configuration.
    """
    given = {PEFT_NAMES.get(name, name): value for name, value in parameters.items() if value is not None}
    found = LoRAConfig(**given, **options)
    if "scale" not in given or math.isclose(found.scale, found.scale_of(""), rel_tol=1e-6):
        return found
    warnings.warn(
        f"lora_parameters: scale {found.scale} counts, as in mlx_lm, and not alpha {found.alpha}, which with rank "
        f"{found.rank} means a scale of {found.scale_of('')}",
        stacklevel=2,
    )
    return replace(found, alpha=None, rslora=False)


def _matched(patterns: Mapping[str, Any], path: str, default: Any) -> Any:
    """The value of the first pattern that matches the end of a path."""
    return next((value for key, value in patterns.items() if re.fullmatch(rf"(.*\.)?({key})", path)), default)


# --- checks ---


def _set(config: LoRAConfig, name: str, value: Any) -> None:
    object.__setattr__(config, name, value)


def _require_numbers(config: LoRAConfig) -> None:
    checks.count("LoRAConfig", "rank", config.rank, 1)
    checks.finite("LoRAConfig", "scale", config.scale)
    checks.fraction("LoRAConfig", "dropout", config.dropout)
    if config.alpha is not None:
        checks.finite("LoRAConfig", "alpha", config.alpha)
    for name in ("rslora", "use_dora"):
        checks.flag("LoRAConfig", name, getattr(config, name))
    if isinstance(config.num_layers, bool) or not isinstance(config.num_layers, int):
        raise ArgumentError(f"[LoRAConfig] num_layers: expected an int, got {config.num_layers!r}")
    if config.num_layers == 0:
        raise ArgumentError("[LoRAConfig] num_layers: expected a number of blocks, or -1 for all, got 0")
    if config.rslora and config.alpha is None:
        raise ArgumentError("[LoRAConfig] rslora: the scale is alpha / sqrt(rank), so alpha must be given; got None")


def _require_choices(config: LoRAConfig) -> None:
    start, name = config.init_lora_weights, "init_lora_weights"
    if not (start is True or (isinstance(start, str) and (start == "olora" or PISSA.fullmatch(start)))):
        raise ArgumentError(f"[LoRAConfig] {name}: expected one of True, pissa, pissa_niter_N, olora, got {start!r}")
    if config.bias not in BIASES:
        raise ArgumentError(f"[LoRAConfig] bias: expected one of {', '.join(BIASES)}, got {config.bias!r}")
    if config.use_dora and config.init_lora_weights is not True:
        raise ArgumentError(f"[LoRAConfig] init_lora_weights: {config.init_lora_weights} goes with LoRA, not with DoRA")


def _names(name: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) and name == "layers_pattern":
        return (value,)
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ArgumentError(f"[LoRAConfig] {name}: expected a list of names, got {value!r}")
    found = tuple(value)
    if not found or not all(isinstance(item, str) and item for item in found):
        raise ArgumentError(f"[LoRAConfig] {name}: expected at least one name and nothing but names, got {value!r}")
    return found


def _pattern(name: str, value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ArgumentError(f"[LoRAConfig] {name}: expected a regular expression, got {value!r}: {error}") from None
    return value


def _indices(name: str, value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    found = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    for index in found:
        checks.count("LoRAConfig", name, index, 0)
    return found or None


def _rows(value: Any) -> Any:
    """Tokens, or tokens by the name of a layer."""
    name = "trainable_token_indices"
    if not isinstance(value, Mapping):
        return _indices(name, value)
    _names(name, value)
    return {layer: _indices(f"{name}[{layer!r}]", rows) or () for layer, rows in value.items()}


def _require_patterns(config: LoRAConfig) -> None:
    for name in ("rank_pattern", "alpha_pattern"):
        patterns = getattr(config, name)
        if not isinstance(patterns, Mapping):
            raise ArgumentError(f"[LoRAConfig] {name}: expected values by pattern, got {patterns!r}")
        for key, value in patterns.items():
            _pattern(name, key)
            if name == "rank_pattern":
                checks.count("LoRAConfig", f"{name}[{key!r}]", value, 1)
            else:
                checks.finite("LoRAConfig", f"{name}[{key!r}]", value)


def _require_one_way(config: LoRAConfig) -> None:
    """Layers are chosen in one of the two ways, and what narrows a choice has one to narrow."""
    if config.target_modules is not None and config.keys is not None:
        raise ArgumentError("[LoRAConfig] keys, target_modules: expected one of them, got both")
    if config.target_modules is not None and config.num_layers > 0:
        raise ArgumentError("[LoRAConfig] num_layers goes with keys; with target_modules give layers_to_transform")
    if config.layers_to_transform is not None and not isinstance(config.target_modules, tuple):
        raise ArgumentError("[LoRAConfig] layers_to_transform: needs a list of names as target_modules")
    if config.exclude_modules is not None and config.target_modules is None:
        raise ArgumentError("[LoRAConfig] exclude_modules: needs target_modules")
