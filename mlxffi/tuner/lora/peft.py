"""PEFT's adapter directories: how its configuration and its names of tensors say what ours do.

Its factors are the transposes of ours. A field of the configuration that would change what the adapter does, and that
we do not know, is an error: a new way to train must not be read as plain LoRA.

Source: PEFT's LoraConfig (0.21).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ... import core as mx
from ..._errors import ArgumentError
from ..trees import flatten
from . import fit
from .adapter import ROWS, Adapter, is_in, row_places
from .beside import Beside
from .config import LoRAConfig
from .targets import OUTPUT_LAYER, is_embedding

TENSORS = "adapter_model.safetensors"
PREFIX = "base_model.model."
RANK, ALPHA = 8, 8

# Our name of a part by PEFT's, for layers and for embeddings, whose A takes the input as well.
PARTS = {
    "lora_A.weight": "lora_a",
    "lora_B.weight": "lora_b",
    "lora_embedding_A": "lora_a",
    "lora_embedding_B": "lora_b",
    "lora_magnitude_vector": "m",
    "lora_magnitude_vector.weight": "m",
}
NAME = re.compile(rf"{re.escape(PREFIX)}(.+?)\.({'|'.join(map(re.escape, PARTS))})")
# What stands beside factors: parameters of the model, biases of second factors, and rows of an embedding.
WHOLE = re.compile(rf"{re.escape(PREFIX)}(?P<layer>.+?)(\.base_layer)?\.(?P<part>weight|bias)")
FACTOR_BIAS, TOKENS = ".lora_B.bias", ".token_adapter.trainable_tokens_delta"

READ = {
    "r": "rank",
    "lora_alpha": "alpha",
    "use_rslora": "rslora",
    "lora_dropout": "dropout",
    "use_dora": "use_dora",
    "target_modules": "target_modules",
    "exclude_modules": "exclude_modules",
    "layers_to_transform": "layers_to_transform",
    "layers_pattern": "layers_pattern",
    "rank_pattern": "rank_pattern",
    "alpha_pattern": "alpha_pattern",
}
# What says nothing about what the trained adapter does. (Our weights are [out, in] whatever fan_in_fan_out says of
# the model's own, and so are updates.)
BENIGN = {
    "auto_mapping", "base_model_name_or_path", "corda_config", "ensure_weight_tying", "eva_config", "fan_in_fan_out",
    "inference_mode", "loftq_config", "lora_ga_config", "megatron_config", "megatron_core", "peft_type", "peft_version",
    "qalora_group_size", "revision", "runtime_config", "task_type",
}  # fmt: skip
# What says which parameters stand beside the factors, where the tensors say so themselves; and of which types it is.
BESIDE: dict[str, Any] = {"modules_to_save": list, "lora_bias": bool, "trainable_token_indices": (list, dict)}
# Ways to begin that leave the base model as it is; others put a part of it into the adapter.
INITIALISATIONS = ("gaussian", "eva", "orthogonal")


# --- reading ---


def config(path: Path, settings: Mapping[str, Any], parts: Mapping[str, Any]) -> LoRAConfig:
    """A PEFT configuration as ours.

    Args:
      path: of the file, for messages.
      settings: what it says.
      parts: the tensors, which say what is adapted where the configuration does not.

    Returns:
      Ours, with PEFT's own default where `settings` lacks a field: rank 8, alpha 8.

    Raises:
      ValueError: it has a field that asks for something else than LoRA or DoRA; the message names each.
    """
    refused = [f"{name}: {value!r}" for name, value in settings.items() if not _understood(name, value)]
    if refused:
        raise ArgumentError("\n  ".join([f"{path}: asks for what is not LoRA or DoRA as we know it:", *refused]))
    given = {ours: settings[name] for name, ours in READ.items() if settings.get(name) not in (None, [], {})}
    options = {"rank": RANK, "alpha": ALPHA, **given}
    if settings.get("ensure_weight_tying") and isinstance(options.get("target_modules"), list):
        # An output layer that is the embedding is adapted with that.
        tied = [path for path in parts if is_embedding(path) or path.rpartition(".")[2] == OUTPUT_LAYER]
        options["target_modules"] = [*options["target_modules"], *tied]
    if "target_modules" not in options:
        options = {**options, "keys": tuple(parts)}
        options.pop("exclude_modules", None)
    try:
        return LoRAConfig(**options)
    except ArgumentError as error:
        raise ArgumentError(f"{path}: {error}") from None


def _understood(name: str, value: Any) -> bool:
    """Whether a field is one that we read, or one that changes nothing."""
    if name == "peft_type":
        return isinstance(value, str) and value.upper() == "LORA"
    if name == "bias":
        return value in ("none", "all", "lora_only", None)
    if name in BESIDE:
        return value is None or isinstance(value, BESIDE[name])
    if name == "init_lora_weights":
        return value is None or isinstance(value, bool) or value in INITIALISATIONS
    return name in READ or name in BENIGN or value is None or value is False or value in ([], {})


def parts(
    arrays: Mapping[str, mx.array], settings: Mapping[str, Any]
) -> tuple[dict[str, dict[str, mx.array]], Beside, list[str]]:
    """PEFT's tensors by our names and in our layout.

    Args:
      arrays: by PEFT's names.
      settings: the configuration, which says to which tokens rows belong.

    Returns:
      (the factors' parts by name by the layer's path, weights, rows and biases beside them, a line for each tensor with
      another name).
    """
    found: dict[str, dict[str, mx.array]] = {}
    beside, strays = Beside({}, {}, {}), []
    for name, array in arrays.items():
        if match := NAME.fullmatch(name):
            part = PARTS[match[2]]
            found.setdefault(match[1], {})[part] = array if part == "m" else array.T
        elif name.startswith(PREFIX) and name.endswith(FACTOR_BIAS):
            beside.biases[name.removeprefix(PREFIX).removesuffix(FACTOR_BIAS)] = array
        elif name.startswith(PREFIX) and name.endswith(TOKENS):
            layer = name.removeprefix(PREFIX).removesuffix(TOKENS)
            beside.tokens[layer] = (_tokens(settings, layer), array)
        elif match := WHOLE.fullmatch(name):
            beside.weights[f"{match['layer']}.{match['part']}"] = array
        else:
            strays.append(f"{name}: not a part of a LoRA adapter")
    return found, beside, strays


def _tokens(settings: Mapping[str, Any], layer: str) -> list[int]:
    """The tokens whose rows of a layer were trained."""
    stated = settings.get("trainable_token_indices")
    if isinstance(stated, dict):
        stated = next((value for name, value in stated.items() if f".{layer}".endswith(f".{name}")), None)
    if not isinstance(stated, list) or not stated or not all(type(token) is int and token >= 0 for token in stated):
        raise ArgumentError(f"trainable_token_indices: expected the tokens of {layer}, got {stated!r}")
    return stated


# --- writing ---


def tensors(adapter: Adapter) -> dict[str, mx.array]:
    """An adapter's tensors by PEFT's names and in its layout.

    Args:
      adapter: to be written.

    Returns:
      Arrays by PEFT's names; of linear layers `lora_A` [rank, in] and `lora_B` [out, rank], with DoRA magnitudes [out].

    Raises:
      ValueError: PEFT has no such layers; the message names each.
    """
    problems = list(_unknown_to_peft(adapter))
    if problems:
        raise ArgumentError("\n  ".join(["[export_peft] PEFT has no such adapters:", *problems]))
    nodes, found = adapter.layers(), {}
    for path, array in flatten(adapter.parameters).items():
        layer, _, part = path.rpartition(".")
        if part == ROWS:
            found[f"{PREFIX}{layer}{TOKENS}"] = array
            continue
        if part not in fit.PARTS:
            found[f"{PREFIX}{layer}{'.base_layer' if layer in nodes else ''}.{part}"] = array
            continue
        found[f"{PREFIX}{layer}.{_name(layer, part)}"] = array if part == "m" else mx.contiguous(array.T)
    return found


def _unknown_to_peft(adapter: Adapter) -> Iterator[str]:
    for path, factors in adapter.layers().items():
        if factors["lora_a"].ndim != 2:
            yield f"{path}: an expert layer; PEFT adapts each expert as a layer of its own"
        elif is_embedding(path) and "m" in factors:
            yield f"{path}: DoRA of an embedding; PEFT's magnitudes belong to columns, ours to rows"


def _name(layer: str, part: str) -> str:
    if part == "m":
        return "lora_magnitude_vector"
    side = part[-1].upper()
    return f"lora_embedding_{side}" if is_embedding(layer) else f"lora_{side}.weight"


def settings(adapter: Adapter, base_model_name: str | None, task_type: str | None) -> dict[str, Any]:
    """An adapter's configuration as PEFT has it.

    Args:
      adapter: to be described.
      base_model_name: the model that PEFT is to load; None for none.
      task_type: such as "CAUSAL_LM"; None for none.

    Returns:
      The entries of PEFT's adapter_config.json.
    """
    config = adapter.config
    paths = list(adapter.layers())
    alpha, alphas = config.alphas(paths)
    return {
        "peft_type": "LORA",
        "task_type": task_type,
        "base_model_name_or_path": base_model_name,
        "inference_mode": True,
        "bias": config.bias,
        "modules_to_save": _saved_modules(adapter) or None,
        "trainable_token_indices": _indices_of(adapter),
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "r": config.rank,
        "lora_dropout": config.dropout,
        "use_dora": config.use_dora,
        "use_rslora": config.rslora,
        "rank_pattern": dict(config.rank_pattern),
        "lora_alpha": alpha,
        "alpha_pattern": alphas,
        **(_as_chosen(config) if config.target_modules is not None else _as_found(paths)),
    }


def _saved_modules(adapter: Adapter) -> list[str]:
    """The modules that are trained themselves by whole paths: PEFT takes what merely ends in a name, too."""
    names = adapter.config.modules_to_save or ()
    return list(dict.fromkeys(path.rpartition(".")[0] for path in adapter.whole() if is_in(path, names)))


def _indices_of(adapter: Adapter) -> dict[str, list[int]] | None:
    """The tokens whose rows are trained, by the name of the embedding."""
    tables = [path.removesuffix(f".{ROWS}") for path in adapter.whole() if path.endswith(f".{ROWS}")]
    places = row_places(tables, adapter.config)
    return {table.split(".")[-1]: list(places[table]) for table in tables} or None


def untied(arrays: dict[str, mx.array], about: dict[str, Any]) -> tuple[dict[str, mx.array], dict[str, Any]]:
    """Tensors and configuration for a model whose embedding is also its output layer: PEFT trains the two separately.

    Args:
      arrays: by PEFT's names.
      about: PEFT's configuration, with `modules_to_save`.

    Returns:
      (tensors with the output layer's own weight, the configuration that names it); both as they came where the tensors
      hold no embedding.
    """
    table = next((name for name in arrays if is_embedding(name.removesuffix(".weight"))), None)
    if table is None:
        return arrays, about
    saved = [*about["modules_to_save"], OUTPUT_LAYER]
    return {**arrays, f"{PREFIX}{OUTPUT_LAYER}.weight": arrays[table]}, {**about, "modules_to_save": saved}


def _as_chosen(config: LoRAConfig) -> dict[str, Any]:
    names = ("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern")
    found = {name: getattr(config, name) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _as_found(paths: list[str]) -> dict[str, Any]:
    """The layers by name: paths inside of blocks and the blocks' numbers where that tells them, else whole paths."""
    matches = [re.fullmatch(r".+\.layers\.(\d+)\.(.+)", path) for path in paths]
    numbers = sorted({int(match[1]) for match in matches if match})
    names = sorted({match[2] for match in matches if match})
    if not all(matches) or len(paths) != len(numbers) * len(names):
        return {"target_modules": sorted(paths)}
    return {"target_modules": names, "layers_to_transform": numbers, "layers_pattern": "layers"}
