"""Adapter files: written in the formats of mlx-lm and PEFT; those and the Go port's are read, and checked strictly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from ... import __version__
from ... import core as mx
from ..._errors import ArgumentError
from .. import checks, layers
from ..files import PathLike, write_arrays, write_json
from ..layers import Kind
from ..trees import Tree, flatten, merged, unflatten
from . import fit, formats, peft
from .adapter import Adapter, trained_whole
from .beside import put_into
from .config import LoRAConfig
from .targets import OUTPUT_LAYER, chosen, is_embedding, kind_of, layers_of

Dims = Mapping[str, "tuple[tuple[int, ...], Kind]"]


# --- writing ---


def save_adapter(
    folder: PathLike,
    adapter: Adapter,
    *,
    extra: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    name: str = formats.TENSORS,
) -> None:
    """Write `adapters.safetensors` and `adapter_config.json`, as mlx-lm reads them.

    mlx-lm supports one rank and one scale for all layers, and only factors: it refuses adapters that have patterns or
    other trained parameters, but reads their fused models.

    Args:
      folder: created if it does not exist; each file is replaced atomically.
      adapter: the adapter to write.
      extra: more entries of the configuration, such as options of the run; ours take precedence.
      metadata: more strings for the file of tensors.
      name: the name of the file of tensors; mlx-lm numbers those that it keeps, as in `0000100_adapters.safetensors`.
    """
    checks.instance("save_adapter", "adapter", adapter, Adapter)
    config = adapter.config
    settings = {**(extra or {}), **_mlx_lm_settings(config, list(adapter.layers()))}
    _save(Path(folder), name, flatten(adapter.parameters), settings, metadata)


def save_full(
    folder: PathLike,
    parameters: Tree,
    *,
    extra: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    name: str = formats.TENSORS,
) -> None:
    """Write directly trained parameters (`fine_tune_type` "full") in the form of `save_adapter`.

    Args:
      folder: created if it does not exist.
      parameters: the tree to write.
      extra: more entries of the configuration.
      metadata: more strings for the file of tensors.
      name: the name of the file of tensors.
    """
    _save(Path(folder), name, flatten(parameters), {**(extra or {}), "fine_tune_type": "full"}, metadata)


def export_peft(
    adapter: Adapter,
    folder: PathLike,
    base_model_name: str | None = None,
    *,
    task_type: str | None = "CAUSAL_LM",
    tied: bool = False,
) -> None:
    """Write an adapter in PEFT's format: `adapter_model.safetensors` and `adapter_config.json`.

    Args:
      adapter: LoRA or DoRA of linear layers, or LoRA of embeddings, which are recognised by name.
      folder: created if it does not exist.
      base_model_name: the name by which PEFT loads the model.
      task_type: PEFT's class of models.
      tied: whether the model's embedding is also its output layer; adapters of it change both here, but only the input
        in PEFT, so they are refused.

    Raises:
      ValueError: PEFT has no such adapter, as for expert layers or DoRA of embeddings.
    """
    embeddings = [path for path in adapter.layers() if is_embedding(path)]
    if tied and embeddings:
        raise ArgumentError(
            f"[export_peft] {embeddings[0]}: this embedding is the output layer, too; an adapter changes both uses "
            "here, and in PEFT the input only"
        )
    tensors, settings = peft.tensors(adapter), peft.settings(adapter, base_model_name, task_type)
    if tied:
        tensors, settings = peft.untied(tensors, settings)
    write_arrays(Path(folder) / peft.TENSORS, tensors, {"format": "pt"})
    write_json(Path(folder) / formats.CONFIG, settings)


def _save(
    folder: Path, name: str, arrays: dict[str, mx.array], settings: dict[str, Any], metadata: Mapping[str, str] | None
) -> None:
    if not name.endswith(".safetensors"):
        raise ArgumentError(f"[save_adapter] name: expected one that ends in .safetensors, got {name!r}")
    about = {**(metadata or {}), "format": "mlx", "mlxffi": __version__, **formats.stamp(settings)}
    write_arrays(folder / name, arrays, about)
    write_json(folder / formats.CONFIG, settings)


def _mlx_lm_settings(config: LoRAConfig, paths: list[str]) -> dict[str, Any]:
    """The entries of mlx-lm's configuration, and ours where it has none."""
    given: dict[str, Any] = {"rank": config.rank, "dropout": config.dropout}
    if config.rank_pattern or config.alpha_pattern:
        # Without a scale, mlx-lm says that it lacks one, rather than take the wrong one.
        alpha, alphas = config.alphas(paths)
        given |= {"rank_pattern": dict(config.rank_pattern), "alpha": alpha, "alpha_pattern": alphas}
    else:
        given |= {"scale": config.scale_of(""), **({} if config.alpha is None else {"alpha": config.alpha})}
    if config.rslora:
        given["rslora"] = True
    for name in ("modules_to_save", "trainable_token_indices"):
        if (value := getattr(config, name)) is not None:
            given[name] = dict(value) if isinstance(value, Mapping) else list(value)
    if config.bias != "none":
        given["bias"] = config.bias
    keys = config.keys if config.target_modules is None else tuple(paths)
    if keys is not None:
        given["keys"] = list(keys)
    kind = "dora" if config.use_dora else "lora"
    return {"fine_tune_type": kind, "num_layers": config.num_layers, "lora_parameters": given}


# --- reading ---


def read_adapter(path: PathLike) -> Adapter:
    """Read an adapter without a model to check it against.

    Args:
      path: a folder, or a file of tensors next to an `adapter_config.json`.

    Returns:
      The adapter, in our orientation, with the paths that the file has.

    Raises:
      FileNotFoundError: there is none.
      ValueError: the files are not what they should be, or a part is missing, unknown, or of another rank than the
        configuration's; the message names each.
    """
    stored, config = _read(path)
    found = [*stored.strays, *fit.problems_within(stored.parts, config)]
    found += [f"{path}: stands beside the factors, and needs a tree (load_into)" for path in chain(*stored.beside)]
    fit.raise_all(str(stored.file), found)
    whole = {path: stored.whole[path] for path in sorted(stored.whole, key=_numerically)}
    return _adapter(stored.parts, sorted(stored.parts, key=_numerically), whole, config)


def load_adapter(path: PathLike, parameters: Tree, *, strict: bool = True) -> Adapter:
    """Read an adapter for a tree of parameters.

    Args:
      path: a folder, or a file of tensors next to an `adapter_config.json`, written by mlxffi, mlx-lm, PEFT or the Go
        port.
      parameters: the tree that it is for.
      strict: whether exactly the layers that the configuration selects must be there; otherwise those that are there
        are adapted, each whole.

    Returns:
      The adapter.

    Raises:
      FileNotFoundError: there is none.
      ValueError: the files are not what they should be, or something in them does not fit the tree, or stands beside
        the adapter, as PEFT may have trained weights themselves; the message names each.
    """
    tree, adapter = load_into(path, parameters, strict=strict)
    if tree is not parameters:
        raise ArgumentError(f"{path}: has weights or biases beside factors, which lora.load_into puts into the tree")
    return adapter


def load_into(path: PathLike, parameters: Tree, *, strict: bool = True) -> tuple[Tree, Adapter]:
    """Read an adapter, and apply what PEFT stores besides it: weights, biases, and rows of embeddings.

    A tree without an output layer of its own has none that could stay what it was, as PEFT lets it: factors of its
    embedding are refused. `models.load_model` gives it one.

    Args:
      path: as for `load_adapter`.
      parameters: the tree that it is for.
      strict: as for `load_adapter`.

    Returns:
      The tree, changed where the adapter requires it, and the adapter.
    """
    stored, config = _read(path)
    parameters, problems = put_into(parameters, stored.beside, config)
    dims = {path: (layers.dims(node), kind_of(path, node) or "linear") for path, node in layers_of(parameters)}
    require_untied(stored, dims)
    wanted = trained_whole(parameters, config, stored.parts)
    problems += fit.differences(stored.whole, wanted)
    return parameters, _fitted(stored, config, dims, problems, list(wanted), strict)


def require_untied(stored: formats.Stored, names: Iterable[str]) -> None:
    """Check that PEFT did not adapt, as input only, an embedding that is also the output layer.

    Args:
      stored: what the files have.
      names: paths of the model's layers.

    Raises:
      ValueError: it did.
    """
    tied = [path for path in stored.parts if is_embedding(path)]
    if stored.writer == "peft" and tied and not any(name.rpartition(".")[2] == OUTPUT_LAYER for name in names):
        raise ArgumentError(
            f"{stored.file}: {tied[0]}: this embedding is the output layer of the model, too, and PEFT adapts its use "
            "as input only; the model needs an output layer of its own (models.load_model gives it one)"
        )


def _fitted(
    stored: formats.Stored, config: LoRAConfig, dims: Dims, problems: list[str], whole: list[str], strict: bool
) -> Adapter:
    parts = (
        {fit.known(layer, dims): part for layer, part in stored.parts.items()}
        if stored.writer == "go"
        else stored.parts
    )
    found = [*stored.strays, *problems, *fit.problems(parts, dims, config)]
    if strict:
        found += _choice_problems(parts, dims, config)
    fit.raise_all(str(stored.file), found)
    beside = {path: stored.whole[path] for path in whole}
    return _adapter(parts, [path for path in dims if path in parts], beside, config)


def load_full(path: PathLike, parameters: Tree) -> Tree:
    """The tree with the parameters in a folder whose `fine_tune_type` is "full".

    Args:
      path: the folder.
      parameters: the tree that they are for.

    Returns:
      A new tree.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it has another type, or a tensor has no place, or not the shape of what is there; the message names
        each.
    """
    stored = formats.read(path)
    if stored.config is not None:
        raise ArgumentError(f"{path}: expected fine_tune_type full; it is an adapter, which load_adapter reads")
    arrays, known = stored.arrays(), flatten(parameters)
    fit.raise_all(str(stored.file), fit.misplaced(arrays, known))
    return merged(parameters, unflatten(arrays))


def _read(path: PathLike) -> tuple[formats.Stored, LoRAConfig]:
    stored = formats.read(path)
    if stored.config is None:
        raise ArgumentError(f"{path}: has whole parameters (fine_tune_type full), which load_full reads")
    return stored, stored.config


def _adapter(
    parts: Mapping[str, Mapping[str, mx.array]], order: list[str], whole: dict[str, mx.array], config: LoRAConfig
) -> Adapter:
    """An adapter in the order in which it is made, which files do not keep: sums over it are the same to the bit."""
    names = [(layer, name) for layer in order for name in fit.PARTS if name in parts[layer]]
    return Adapter(unflatten({f"{layer}.{name}": parts[layer][name] for layer, name in names} | whole), config)


def _numerically(path: str) -> list[tuple[int, str]]:
    """What sorts layer 10 after layer 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.split(".")]


def _choice_problems(parts: Mapping[str, Any], dims: Dims, config: LoRAConfig) -> Iterator[str]:
    wanted = chosen({path: kind for path, (_, kind) in dims.items()}, config).paths
    if not parts:
        yield "expected factors of at least one layer, got none"
    for path in wanted:
        if path not in parts:
            yield f"{path}: missing, although the configuration chooses this layer"
    for path in parts:
        if path in dims and path not in wanted:
            yield f"{path}: the configuration does not choose this layer"
