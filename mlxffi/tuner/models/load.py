"""Loading models from Hugging Face directories, and saving them."""

from __future__ import annotations

import os
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from ... import core as mx
from ..._errors import ArgumentError
from .. import checks, lora
from ..files import PathLike, is_taken, read_object, write_arrays, write_json
from ..layers import dims
from ..lora import formats
from ..lora.targets import OUTPUT_LAYER
from ..trees import Tree, flatten
from . import decoder
from .config import SEEING, TEXT_BRANCH, TEXT_PART, DecoderConfig, text_part
from .functional import FunctionalModel, Halves, Wanted
from .gguf.file import is_gguf
from .gguf.model import load_parameters as load_gguf
from .new_tokens import EMBEDDING, with_new_tokens
from .tokenizer import Tokenizer
from .weights import INDEX, as_parameters, quantizations, read_arrays

# A file of weights is no larger, unless a single array is.
SHARD_BYTES = 5 * 10**9

# What belongs to a model beside its weights and config.json.
COMPANIONS = (
    "tokenizer*.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template.*",
    "additional_chat_templates/*.jinja",
    "generation_config.json",
    "*processor_config.json",
)


def decoder_model(
    config: DecoderConfig,
    parameters: Tree,
    adapter: lora.Adapter | None = None,
    trainable: Wanted | None = None,
    *,
    noise: float = 0.0,
) -> FunctionalModel:
    """A decoder as a model to train.

    Args:
      config: the architecture.
      parameters: the tree.
      adapter: what is trained, if given; see `FunctionalModel`.
      trainable: which parameters are trained without an adapter; see `FunctionalModel`.
      noise: NEFTune's alpha; 0: no noise.

    Returns:
      The model.
    """
    checks.instance("decoder_model", "config", config, DecoderConfig)
    return FunctionalModel(
        parameters,
        partial(decoder.logits, config, noise=noise),
        adapter,
        trainable,
        halves=Halves(partial(decoder.hidden, config, noise=noise), partial(decoder.output_layer, config)),
        new_cache=partial(decoder.new_cache, config),
        vocab_size=config.vocab_size,
        joined=decoder.JOINED,
    )


# --- reading ---


def load_model(
    path: PathLike, adapter_path: PathLike | None = None
) -> tuple[FunctionalModel, Tokenizer, dict[str, Any]]:
    """Load a model from a Hugging Face directory or a GGUF file.

    Args:
      path: a folder with config.json, safetensors files and tokenizer files, or a GGUF file.
      adapter_path: a folder with an adapter for it, or with directly trained parameters.

    Returns:
      The model, its tokenizer, and the contents of config.json; the adapter, if there is one, is what is trained.

    Raises:
      FileNotFoundError: the folder or a file in it is missing.
      ValueError: a file is not as it should be; the message names it and what is wrong.
    """
    folder = Path(path)
    config, architecture, parameters = load_parameters(folder)
    tokenizer = Tokenizer.from_directory(folder)
    if adapter_path is None:
        return decoder_model(architecture, parameters), tokenizer, config
    if tokens := formats.added_tokens(adapter_path):
        architecture, parameters, _ = with_new_tokens(architecture, parameters, tokenizer, tokens)
    return decoder_model(*adapted(architecture, parameters, Path(adapter_path))), tokenizer, config


def load_parameters(path: PathLike) -> tuple[dict[str, Any], DecoderConfig, Tree]:
    """Load configuration and parameters from a Hugging Face directory or a GGUF file.

    For a GGUF file, the configuration is made from its metadata.

    Args:
      path: the folder or file.

    Returns:
      The contents of config.json, the architecture, and the evaluated parameters.

    Raises:
      FileNotFoundError: there is no such folder or file.
      ValueError: a file is not valid; the message names it.
    """
    if is_gguf(path):
        return load_gguf(path)
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: expected a folder with a model, found none")
    config = read_object(folder / "config.json")
    architecture = DecoderConfig.from_dict(config)
    arrays = read_arrays(folder)
    if text_part(config).get("tie_word_embeddings") is None:
        architecture = replace(architecture, tied=not _has_output_layer(arrays))
    parameters = as_parameters(architecture, arrays, _quantization(config))
    mx.eval(flatten(parameters))
    return config, architecture, parameters


def _has_output_layer(arrays: Mapping[str, mx.array]) -> bool:
    return any("lm_head" in name.split(".") for name in arrays)


def adapted(
    architecture: DecoderConfig, parameters: Tree, path: Path
) -> tuple[DecoderConfig, Tree, lora.Adapter | None]:
    """Load what was trained for a model: an adapter, or parameters that replace the model's own.

    If PEFT adapted or replaced an embedding that is also the output layer, or only that layer, the two are separated.

    Args:
      architecture: the model's.
      parameters: the model's.
      path: the folder with the adapter.

    Returns:
      The architecture, the parameters, and the adapter, if there is one.
    """
    stored = formats.read(path)
    if stored.config is None:
        return architecture, lora.load_full(path, parameters), None
    touched = {layer.rpartition(".")[2] for layer in {*stored.parts, *stored.beside.layers()}}
    parts = stored.writer == "peft" and architecture.tied and touched & {EMBEDDING, OUTPUT_LAYER}
    if parts:
        parameters = _with_output_layer(architecture, parameters)
    parameters, adapter = lora.load_into(path, parameters)
    root = parameters if architecture.branch is None else parameters[architecture.branch]
    entries = dims(root["model"][EMBEDDING])[0]
    return replace(architecture, tied=architecture.tied and not parts, vocab_size=entries), parameters, adapter


def _with_output_layer(architecture: DecoderConfig, parameters: Tree) -> Tree:
    """A tree in which the output layer is a layer of its own, with the embedding's arrays."""
    root = parameters if architecture.branch is None else parameters[architecture.branch]
    root = {**root, OUTPUT_LAYER: dict(root["model"][EMBEDDING])}
    return root if architecture.branch is None else {**parameters, architecture.branch: root}


def _quantization(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """How config.json says that layers are quantized; {} where they are not."""
    found = config.get("quantization") or config.get("quantization_config") or {}
    if not isinstance(found, dict):
        raise ArgumentError(f"config.json: quantization: expected an object, got {found!r}")
    if "quant_method" in found:
        raise ArgumentError(
            f"config.json: quantization_config: quant_method {found['quant_method']!r} is not supported; "
            "expected `quantization` as mlx_lm.convert writes it"
        )
    return found


# --- writing ---


def save_model(
    path: PathLike,
    parameters: Tree,
    config: Mapping[str, Any],
    tokenizer_files_from: PathLike | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a model as a Hugging Face directory, which appears only when it is complete.

    Args:
      path: the folder; it must be new or empty.
      parameters: a tree without adapters (`lora.fuse` merges them).
      config: the original config.json; quantization and tied embeddings are updated from the parameters.
      tokenizer_files_from: the model's folder, from which the tokenizer, generation settings, and arrays that do not
        belong to the decoder (a vision tower) are copied; or a GGUF file, whose tokenizer is written.
      tokenizer: a tokenizer with other tokens, whose tokenizer.json is written instead.
      shard_bytes: the maximum size of a file of weights, unless a single array is larger.

    Raises:
      FileExistsError: the folder is not empty.
      ValueError: a layer carries an adapter.
    """
    arrays = {**_what_sees(config, tokenizer_files_from), **flatten(parameters)}
    carried = sorted({name.partition(".adapters.")[0] for name in arrays if ".adapters." in name})
    if carried:
        raise ArgumentError(f"[save_model] parameters: adapters must be fused; {', '.join(carried)} carry some")
    about = config_of(config, parameters)
    write_model(path, arrays, about, tokenizer_files_from, tokenizer=tokenizer, shard_bytes=shard_bytes)


def write_model(
    path: PathLike,
    arrays: Mapping[str, mx.array],
    config: Mapping[str, Any],
    tokenizer_files_from: PathLike | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write arrays as a Hugging Face directory, with config.json as given; see `save_model`.

    Args:
      path: the folder; it must be new or empty.
      arrays: by name.
      config: the contents of config.json.
      tokenizer_files_from: as for `save_model`.
      tokenizer: as for `save_model`.
      shard_bytes: as for `save_model`.
    """
    with _new_folder(Path(path).resolve()) as folder:
        _write_arrays(folder, arrays, shard_bytes)
        if tokenizer_files_from is not None and is_gguf(tokenizer_files_from):
            Tokenizer.from_directory(tokenizer_files_from).save(folder)
        elif tokenizer_files_from is not None:
            copy_companions(Path(tokenizer_files_from), folder)
        if tokenizer is not None:
            tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        write_json(folder / "config.json", config)


def _what_sees(config: Mapping[str, Any], source: PathLike | None) -> dict[str, mx.array]:
    """The arrays of a model that are none of its decoder's, as its folder has them."""
    if config.get("model_type") != SEEING:
        return {}
    if source is None:
        warnings.warn("[save_model] without the model's own folder, what sees in it is not written", stacklevel=3)
        return {}
    return {name: value for name, value in read_arrays(Path(source)).items() if not name.startswith(f"{TEXT_BRANCH}.")}


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A folder to write to, which takes the place of a new or empty one once the block has ended well."""
    if is_taken(target):
        raise FileExistsError(f"{target}: a model is written to a new or empty folder; this is there already")
    beside = target.with_name(f".{os.getpid()}.{target.name}")
    beside.mkdir(parents=True)
    try:
        yield beside
        os.replace(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write_arrays(folder: Path, arrays: Mapping[str, mx.array], shard_bytes: int) -> None:
    shards: list[dict[str, mx.array]] = [{}]
    size = 0
    for name, value in arrays.items():
        if shards[-1] and size + value.nbytes > shard_bytes:
            shards, size = [*shards, {}], 0
        shards[-1][name] = value
        size += value.nbytes
    names = [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
    names = names if len(shards) > 1 else ["model.safetensors"]
    for name, shard in zip(names, shards, strict=True):
        write_arrays(folder / name, shard, {"format": "mlx"})
    places = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
    total = sum(value.nbytes for value in arrays.values())
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})


def copy_companions(source: Path, folder: Path) -> None:
    """Copy a model's files other than weights and config.json.

    Args:
      source: the model's folder.
      folder: where they go.
    """
    for file in sorted(file for pattern in COMPANIONS for file in source.glob(pattern)):
        copy = folder / file.relative_to(source)
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copy)


def config_of(config: Mapping[str, Any], parameters: Tree) -> dict[str, Any]:
    """A config.json updated for changed parameters.

    Args:
      config: the original contents.
      parameters: the new parameters.

    Returns:
      The new contents.
    """
    left = {key: value for key, value in config.items() if key not in ("quantization", "quantization_config")}
    if isinstance(left.get(TEXT_PART), dict):
        left[TEXT_PART] = dict(left[TEXT_PART])
    arrays = flatten(parameters)
    left["tie_word_embeddings"] = not _has_output_layer(arrays)
    entries = next((value.shape[0] for name, value in arrays.items() if name.endswith(f"{EMBEDDING}.weight")), None)
    for part in (left, left.get(TEXT_PART)):
        if isinstance(part, dict) and "vocab_size" in part and entries is not None:
            part["vocab_size"] = entries
    schemes = quantizations(parameters)
    if not schemes:
        return left
    most = Counter(schemes.values()).most_common(1)[0][0]
    others = {layer: asdict(scheme) for layer, scheme in schemes.items() if scheme != most}
    return {**left, "quantization": {**asdict(most), **others}}
