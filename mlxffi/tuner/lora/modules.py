"""LoRA and DoRA of `mlx.nn` models: layers of a model exchanged for adapted ones, and back.

Importing this module needs `mlx.nn` over `mlxffi.core`: call `mlxffi.compat.install()` before anything imports mlx.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..._errors import ArgumentError
from .. import layers
from ..files import PathLike
from ..trees import flatten
from . import fit, formats, wrappers
from .adapter import TrainableParameters
from .beside import put_into
from .config import LoRAConfig, from_mlx_lm
from .files import require_untied
from .targets import Choice, chosen, require_choice
from .wrappers import (
    Adapted,
    DoRAEmbedding,
    DoRALinear,
    DoRASwitchLinear,
    LoRAEmbedding,
    LoRALinear,
    LoRASwitchLinear,
    Module,
)

__all__ = [
    "Adapted",
    "DoRAEmbedding",
    "DoRALinear",
    "DoRASwitchLinear",
    "LoRAEmbedding",
    "LoRALinear",
    "LoRASwitchLinear",
    "fuse_model",
    "linear_to_lora_layers",
    "load_adapters",
    "remove_lora_layers",
    "survival",
    "trainable_parameters",
    "unfuse_model",
]


def linear_to_lora_layers(
    model: Module, num_layers: int, config: LoRAConfig | Mapping[str, Any], use_dora: bool = False
) -> None:
    """Exchange layers of a model for adapted ones. Freeze the model before, so that only the adapters are trained.

    Args:
      model: has `layers`, its blocks.
      num_layers: how many blocks, the last ones; all if negative, or larger than their number.
      config: `rank`, `scale`, `dropout` and perhaps `keys`, as in mlx-lm's configuration; or all that a `LoRAConfig`
        can say, whose own `num_layers` and `use_dora` count then.
      use_dora: DoRA instead of LoRA.

    Raises:
      ValueError: a key matches no layer, or a layer cannot be adapted; the model stays as it was.
    """
    if not isinstance(config, LoRAConfig):
        config = from_mlx_lm(config, num_layers=num_layers, use_dora=use_dora)
    found = _layers(model)
    wanted = require_choice(_choice(model, found, config), found)
    _exchange(model, _wrapped(found, wanted, config))


def load_adapters(model: Module, path: PathLike, *, strict: bool = True) -> Module:
    """Put the adapter, or the parameters, of a directory into a model.

    Args:
      model: without adapters.
      path: of a directory by mlx-lm, us, PEFT, or the Go port; or of a file of tensors in one.
      strict: whether all layers that the configuration chooses must be there.

    Returns:
      The model.

    Raises:
      FileNotFoundError: there is none.
      ValueError: something in the files does not fit the model, which stays as it was; the message names each.
    """
    stored = formats.read(path)
    arrays = stored.arrays()
    if stored.config is None:
        fit.raise_all(str(stored.file), fit.misplaced(arrays, flatten(model.parameters())))
        return model.load_weights(list(arrays.items()), strict=False)
    found = _layers(model)
    require_untied(stored, found)
    parameters = model.parameters()
    changed, problems = put_into(parameters, stored.beside, stored.config)
    if problems or stored.whole or changed is not parameters:
        raise ArgumentError(f"{path}: has weights or biases beside factors, which our own decoder reads (engine own)")
    if stored.writer == "go":
        arrays = {fit.known(name, found): array for name, array in arrays.items()}
    wanted = _choice(model, found, stored.config).paths
    if not strict:
        wanted = [path for path in wanted if any(name.startswith(f"{path}.") for name in arrays)]
    made = _wrapped(found, wanted, stored.config)
    fit.raise_all(str(stored.file), [*stored.strays, *fit.differences(arrays, _parts(made))])
    for name, wrapper in made.items():
        own = [(key[len(name) + 1 :], array) for key, array in arrays.items() if key.startswith(f"{name}.")]
        wrapper.load_weights(own, strict=False)
    _exchange(model, made)
    return model


def remove_lora_layers(model: Module) -> Module:
    """Exchange all adapted layers of a model, LoRA or DoRA, whoever made them, for the layers themselves.

    Args:
      model: with adapted layers, or without.

    Returns:
      `model`.
    """
    _exchange(model, {name: _base(module) for name, module in _adapted(model)})
    return model


def fuse_model(model: Module, dequantize: bool = False) -> Module:
    """Exchange all adapted layers of a model for layers with the adapters in their weights.

    Args:
      model: with adapted layers.
      dequantize: unpack the weights of all quantized layers; else fused ones are quantized again, each as it was.

    Returns:
      `model`.
    """
    _exchange(model, {name: module.fuse(dequantize=dequantize) for name, module in _adapted(model)})
    if dequantize:
        _exchange(model, {name: _dense(module) for name, module in _quantized(model)})
    return model


def unfuse_model(model: Module, path: PathLike, gains: Mapping[str, Any] | None = None) -> Module:
    """Take the adapter of a directory out of the weights that it was fused into, but for rounding.

    Args:
      model: without adapted layers.
      path: as in `load_adapters`; not of parameters themselves.
      gains: for DoRA, as in `lora.unfuse`.

    Returns:
      `model`.

    Raises:
      ValueError: the adapter does not fit, or is DoRA and gains are missing.
    """
    load_adapters(model, path)
    restored = {}
    for name, module in _adapted(model):
        if "m" in module and name not in (gains or {}):
            raise ArgumentError(f"[unfuse_model] gains: for DoRA, expected those of lora.dora_gains; none for {name}")
        bare, adapter = wrappers.node_of(module.base), module.node()["adapters"][0]
        weight = layers.without_adapter(bare, adapter, module.kind, (gains or {}).get(name))
        restored[name] = wrappers.module_of(layers.requantized(bare, weight), module.base)
    _exchange(model, restored)
    return model


def survival(model: Module) -> layers.Survival | None:
    """What is left of a model's adapters after `fuse_model` where it quantizes weights again; None where not.

    Args:
      model: with adapted layers.

    Returns:
      How much of the change remains after rounding; None where no adapted layer is quantized.
    """
    return layers.surviving(
        (module.node(), module.kind) for _, module in _adapted(model) if isinstance(module, Adapted)
    )


def trainable_parameters(model: Module) -> TrainableParameters:
    """Count the parameters of a model without its adapters, and those that are trained.

    Args:
      model: with adapted layers, or without.

    Returns:
      Both numbers.
    """
    leaves = [module for _, module in model.named_modules() if not module.children()]
    trained = flatten(model.trainable_parameters()).values()
    return TrainableParameters(sum(value.size for value in trained), sum(map(_size, leaves)))


# --- layers of a model ---


def _layers(model: Module) -> dict[str, Module]:
    """The layers that can be adapted by path, in the model's order.

    Raises:
      ValueError: some are adapted already.
    """
    already = [name for name, _ in _adapted(model)]
    if already:
        raise ArgumentError(
            f"[LoRA] the model has adapters already, in {already[0]} and {len(already) - 1} more layers"
        )
    # `named_modules` begins at the end.
    named = reversed(model.named_modules())
    return {name: module for name, module in named if hasattr(module, "to_lora") or wrappers.kind_of_module(module)}


def _choice(model: Module, found: Mapping[str, Module], config: LoRAConfig) -> Choice:
    kinds = {name: wrappers.kind_of_module(module) or "linear" for name, module in found.items()}
    return chosen(kinds, config, _blocks(model))


def _blocks(model: Module) -> tuple[str, ...]:
    """Where the blocks of a model are: the paths of the lists that have the modules of `model.layers`."""
    blocks = {id(block) for block in getattr(model, "layers", ())}
    names = [name for name, module in model.named_modules() if id(module) in blocks]
    return tuple({re.escape(name.rpartition(".")[0]) for name in names}) or ("layers",)


def _wrapped(found: Mapping[str, Module], paths: list[str], config: LoRAConfig) -> dict[str, Module]:
    """Adapted layers by path."""
    return {
        path: wrappers.adapted(
            found[path], config.rank_of(path), config.dropout, config.scale_of(path), config.use_dora
        )
        for path in paths
    }


def _parts(made: Mapping[str, Module]) -> dict[str, Any]:
    """The arrays of the adapters of adapted layers by their names in files."""
    return {
        f"{path}.{name}": array
        for path, wrapper in made.items()
        for name, array in flatten(wrapper.parameters()).items()
        if name.split(".")[0] in wrappers.PARTS
    }


def _exchange(model: Module, modules: Mapping[str, Module]) -> None:
    """Put modules in the places of others, by path."""
    for path, module in modules.items():
        *parents, last = path.split(".")
        place: Any = model
        for part in parents:
            place = place[int(part)] if isinstance(place, (list, tuple)) else place[part]
        place[int(last) if isinstance(place, list) else last] = module


def _adapted(model: Module) -> Iterator[tuple[str, Any]]:
    for name, module in model.named_modules():
        if "lora_a" in module:
            yield name, module


def _base(module: Module) -> Module:
    """The layer in an adapted one, of ours or others."""
    found = next((module[name] for name in ("linear", "embedding") if name in module), None)
    if found is None:
        raise ArgumentError(f"[remove_lora_layers] no layer is known in a {type(module).__name__}")
    return found


def _quantized(model: Module) -> Iterator[tuple[str, Module]]:
    for name, module in model.named_modules():
        if wrappers.kind_of_module(module) and layers.is_quantized(wrappers.node_of(module)):
            yield name, module


def _dense(module: Module) -> Module:
    return wrappers.module_of(layers.dequantized(wrappers.node_of(module)), module)


def _size(module: Module) -> int:
    """The number of a layer's parameters, where a quantized weight counts as what it stands for."""
    if "scales" not in module:
        return sum(value.size for value in flatten(module.parameters()).values())
    bias = module["bias"].size if "bias" in module else 0
    return bias + math.prod(layers.dims(wrappers.node_of(module)))
