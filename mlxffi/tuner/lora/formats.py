"""Adapter directories of mlx-lm, PEFT and the Go port: found, told apart, and read into one form.

A directory has `adapter_config.json`, whose keys tell who wrote it, and one file of tensors. What is read here is not
yet checked against a model; `fit` does that.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ... import core as mx
from ..._errors import ArgumentError, Error
from ..files import PathLike, read_object
from . import peft
from .beside import NOTHING, Beside
from .config import LoRAConfig, from_mlx_lm
from .fit import PARTS

CONFIG = "adapter_config.json"
TENSORS = "adapters.safetensors"
MAX_CONFIG_BYTES = 1 << 20
MAX_TENSOR_BYTES = 16 << 30

# The names of the file of tensors, each writer's own first.
NAMES = {
    "mlx-lm": (TENSORS, "adapter.safetensors", peft.TENSORS),
    "peft": (peft.TENSORS, TENSORS, "adapter.safetensors"),
    "go": ("adapter.safetensors", TENSORS),
}
PEFT_KEYS = ("peft_type", "r", "lora_alpha", "target_modules")
GO_KEYS = ("lora_layers", "rank", "alpha")

# Go's defaults, and mlx-lm's for configurations that lack a value.
GO_RANK, GO_ALPHA_BY_RANK = 8, 2
MLX_LM_NUM_LAYERS = 16


class Stored(NamedTuple):
    """An adapter from files.

    Args:
      file: of the tensors.
      writer: "mlx-lm", "peft" or "go".
      config: None where the tensors are whole parameters (`fine_tune_type` "full").
      parts: arrays by name (`lora_a`, ...) by the layer's path; whole parameters by name likewise.
      strays: a line for each tensor that is no part of an adapter by its name.
      beside: what PEFT stores beside factors.
      whole: parameters of the model by path that we store beside factors.
    """

    file: Path
    writer: str
    config: LoRAConfig | None
    parts: dict[str, dict[str, mx.array]]
    strays: list[str]
    beside: Beside = NOTHING
    whole: Mapping[str, mx.array] = MappingProxyType({})

    def arrays(self) -> dict[str, mx.array]:
        """The arrays by their full names."""
        return {
            f"{layer}.{name}".lstrip("."): array for layer, part in self.parts.items() for name, array in part.items()
        }


def read(path: PathLike) -> Stored:
    """Read an adapter from a directory, or from a file of tensors next to an `adapter_config.json`.

    Args:
      path: a directory, or a `.safetensors` file in one.

    Returns:
      Its tensors by our names, its configuration, and which program wrote it: "mlx-lm", "peft" or "go".

    Raises:
      FileNotFoundError: there is none.
      ValueError: the files are not regular, too large, or not what they should be.
    """
    given = Path(path)
    folder = given.parent if given.suffix == ".safetensors" and not given.is_dir() else given
    settings = _read_config(folder / CONFIG)
    writer = _writer(folder / CONFIG, settings)
    file = _tensor_file(folder, writer) if folder == given else _regular(given, MAX_TENSOR_BYTES)
    arrays, metadata = _read_tensors(file)
    _require_same(file, settings, metadata)
    if writer == "peft":
        parts, beside, strays = peft.parts(arrays, settings)
        return Stored(file, writer, peft.config(folder / CONFIG, settings, parts), parts, strays, beside)
    grouped = _grouped(arrays)
    if writer == "go":
        parts = {path: _turned(part) for path, part in grouped.items()}
        return Stored(file, writer, _go_config(folder / CONFIG, settings, parts), parts, [])
    config = _mlx_lm_config(folder / CONFIG, settings, grouped, "mlxffi" in metadata)
    if config is None or not (config.modules_to_save or config.trainable_token_indices or config.bias != "none"):
        return Stored(file, writer, config, grouped, [])
    whole = {path: arrays.pop(path) for path in list(arrays) if path.rpartition(".")[2] not in PARTS}
    return Stored(file, writer, config, _grouped(arrays), [], whole=whole)


def added_tokens(path: PathLike) -> list[str]:
    """The tokens that were added to the model of an adapter directory before training.

    Args:
      path: the adapter's directory, or the file of tensors in it.

    Returns:
      The tokens' texts, in the order in which they were added; empty where none were.

    Raises:
      ValueError: adapter_config.json is not what it should be.
    """
    file = (Path(path).parent if Path(path).suffix == ".safetensors" else Path(path)) / CONFIG
    found = (_read_config(file).get("add_tokens") if file.exists() else None) or []
    if not isinstance(found, list) or not all(isinstance(token, str) for token in found):
        raise ArgumentError(f"{file}: add_tokens: expected a list of texts, got {found!r}")
    return found


# --- files ---


def _regular(path: Path, most: int) -> Path:
    """A path, if there is a regular file that is not too large."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ArgumentError(f"{path}: expected a regular file")
    if found.st_size > most:
        raise ArgumentError(f"{path}: expected at most {most} bytes, got {found.st_size}")
    return path


def _read_config(path: Path) -> dict[str, Any]:
    return read_object(_regular(path, MAX_CONFIG_BYTES))


def _writer(path: Path, settings: Mapping[str, Any]) -> str:
    if "lora_parameters" in settings or "fine_tune_type" in settings:
        return "mlx-lm"
    for writer, keys in (("peft", PEFT_KEYS), ("go", GO_KEYS)):
        if any(key in settings for key in keys):
            return writer
    raise ArgumentError(f"{path}: expected mlx-lm's lora_parameters, PEFT's r or the Go port's rank; got none of them")


def _tensor_file(folder: Path, writer: str) -> Path:
    for name in NAMES[writer]:
        if (folder / name).exists():
            return _regular(folder / name, MAX_TENSOR_BYTES)
    pickled = " (adapter_model.bin is a pickle, which is not read)" if (folder / "adapter_model.bin").exists() else ""
    raise FileNotFoundError(f"{folder}: expected one of {', '.join(NAMES[writer])}; there is none{pickled}")


def _read_tensors(path: Path) -> tuple[dict[str, mx.array], dict[str, str]]:
    try:
        arrays, metadata = mx.load(str(path), return_metadata=True)
    except Error as error:
        raise ArgumentError(f"{path}: expected a safetensors file: {error}") from error
    return arrays, metadata


def _require_same(file: Path, settings: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Files that we wrote belong together: not the tensors of one save and the configuration of another."""
    if "mlxffi" not in metadata:
        return
    for name, value in stamp(settings).items():
        if metadata.get(name) != value:
            raise ArgumentError(
                f"{file}: was saved with {name} {metadata.get(name)}, but {CONFIG} beside it says {value}: "
                "they are not of one save"
            )


def stamp(settings: Mapping[str, Any]) -> dict[str, str]:
    """What the metadata of a file of tensors says about the configuration next to it.

    Args:
      settings: what adapter_config.json says.

    Returns:
      Rank, scale, alpha and `fine_tune_type` as texts by name, without those that it lacks.
    """
    given = settings.get("lora_parameters")
    found = {name: given.get(name) for name in ("rank", "scale", "alpha")} if isinstance(given, dict) else {}
    found["fine_tune_type"] = settings.get("fine_tune_type")
    return {name: str(value) for name, value in found.items() if value is not None}


def _grouped(arrays: Mapping[str, mx.array]) -> dict[str, dict[str, mx.array]]:
    found: dict[str, dict[str, mx.array]] = {}
    for name, array in arrays.items():
        path, _, part = name.rpartition(".")
        found.setdefault(path, {})[part] = array
    return found


# --- mlx-lm ---


def _mlx_lm_config(
    path: Path, settings: Mapping[str, Any], parts: Mapping[str, Any], is_ours: bool
) -> LoRAConfig | None:
    kind = settings.get("fine_tune_type", "lora")
    if kind == "full":
        return None
    if kind not in ("lora", "dora"):
        raise ArgumentError(f"{path}: fine_tune_type: expected lora, dora or full, got {kind!r}")
    given = settings.get("lora_parameters", {})
    if not isinstance(given, dict):
        raise ArgumentError(f"{path}: lora_parameters: expected an object, got {given!r}")
    if given.get("scale") is None and given.get("alpha") is None:
        raise ArgumentError(f"{path}: lora_parameters: expected a scale, which mlx_lm requires, too; got none")
    names = [*("rank", "scale", "alpha", "rslora", "dropout", "keys", "rank_pattern", "alpha_pattern")]
    names += ["modules_to_save", "trainable_token_indices", "bias"] if is_ours else []
    # An empty list of keys, or none, means all.
    parameters = {name: given[name] for name in names if given.get(name) not in (None, [])}
    if "keys" not in parameters and not is_ours:
        # What was meant by all has changed from version to version; the tensors tell.
        parameters["keys"] = tuple(parts) or None
    use_dora = kind == "dora" or settings.get("use_dora") is True
    # There, 0 blocks are all of them.
    num_layers = settings.get("num_layers", MLX_LM_NUM_LAYERS) or -1
    return _configured(path, from_mlx_lm, parameters, use_dora=use_dora, num_layers=num_layers)


# --- the Go port ---


def _go_config(path: Path, settings: Mapping[str, Any], parts: Mapping[str, Any]) -> LoRAConfig:
    """The Go port's configuration, in which 0 means its default, and all blocks are adapted."""
    inner = {re.sub(r"^(model\.)?layers\.\d+\.", "", layer) for layer in parts}
    rank, alpha = settings.get("rank") or GO_RANK, settings.get("alpha")
    keys = settings.get("lora_layers") or sorted(inner)
    return _configured(path, LoRAConfig, rank=rank, keys=keys, alpha=alpha or GO_ALPHA_BY_RANK * rank)


def _configured(path: Path, make: Callable[..., LoRAConfig], *given: Any, **options: Any) -> LoRAConfig:
    try:
        return make(*given, **options)
    except ArgumentError as error:
        raise ArgumentError(f"{path}: {error}") from None


def _turned(part: Mapping[str, mx.array]) -> dict[str, mx.array]:
    """Go has A as [rank, in] and B as [out, rank]."""
    return {name: array.T if name in ("lora_a", "lora_b") else array for name, array in part.items()}
