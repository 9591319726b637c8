"""Models and adapters as GGUF files that llama.cpp loads, and decoders out of such files.

Blocks of 4 and 8 bits stay as they are when they are read.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .... import core as mx
from ...._errors import ArgumentError
from ...files import PathLike
from ...layers import Node, dequantized, factors
from ...lora.adapter import Adapter, map_layers
from ...lora.targets import is_embedding
from ...trees import Tree, flatten
from ..config import DecoderConfig
from ..weights import as_parameters
from . import architecture, blocks, names
from .blocks import GROUP, PACKED, SIZES
from .file import Tensor, read_header, write_gguf
from .tokenizer import tokenizer_metadata

if TYPE_CHECKING:
    from ..tokenizer import Tokenizer

# What llama.cpp calls a file whose matrices have a type.
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "BF16": 32}
QUANTIZATION_VERSION = 2


def export_model(
    path: PathLike, parameters: Tree, config: Mapping[str, Any], tokenizer: Tokenizer, kind: str = "F16"
) -> None:
    """Write a model as a GGUF file.

    Matrices have the type that is asked for, but for F16 where a width is no multiple of 32; all else is F32. The
    blocks of Q8_0, Q4_0 and Q4_1 are those of llama.cpp's own rule.

    Args:
      path: of the file.
      parameters: a tree without adapters; quantized layers are unpacked.
      config: what config.json says of it.
      tokenizer: its own.
      kind: "F32", "F16", "BF16", "Q8_0", "Q4_0" or "Q4_1".

    Raises:
      ValueError: llama.cpp has no such model, tokenizer or type; the message says why.
    """
    if kind not in SIZES:
        raise ArgumentError(f"[export_model] kind: expected one of {', '.join(SIZES)}, got {kind!r}")
    decoder = DecoderConfig.from_dict(config)
    metadata = {
        **architecture.metadata_of(config, decoder),
        "general.type": "model",
        "general.name": Path(path).stem,
        "general.file_type": FILE_TYPES[kind],
        **({"general.quantization_version": QUANTIZATION_VERSION} if kind in PACKED else {}),
        **tokenizer_metadata(tokenizer, decoder.vocab_size),
    }
    root = parameters if decoder.branch is None else parameters[decoder.branch]
    dense = flatten(map_layers(lambda _, node: dequantized(node), root))
    tensors = {name: _tensor(value, kind) for name, value in names.to_gguf(dense, decoder).items()}
    frequencies = architecture.frequency_factors(config, decoder)
    tensors |= {name: Tensor(mx.array(numbers), "F32") for name, numbers in frequencies.items()}
    _tell_unpacked(kind, tensors)
    write_gguf(path, metadata, tensors)


def _tensor(value: mx.array, kind: str) -> Tensor:
    if value.ndim == 1:
        return Tensor(value, "F32")
    return Tensor(value, "F16" if kind in PACKED and value.shape[-1] % GROUP else kind)


def rounded(value: mx.array, kind: str) -> mx.array:
    """A matrix with the values that it has in a file of a packed type.

    Args:
      value: floating point [rows, columns]; rounded to float16 where columns is no multiple of 32.
      kind: the type: Q8_0, Q4_0 or Q4_1.

    Returns:
      float32 [rows, columns].
    """
    tensor = _tensor(value, kind)
    return value.astype(mx.float16).astype(mx.float32) if tensor.kind == "F16" else blocks.rounded(value, kind)


def _tell_unpacked(kind: str, tensors: Mapping[str, Tensor]) -> None:
    odd = [name for name, tensor in tensors.items() if kind in PACKED and tensor.kind == "F16"]
    if odd:
        warnings.warn(
            f"{len(odd)} tensors are F16, whose width is no multiple of {GROUP}: {', '.join(odd)}", stacklevel=3
        )


def export_adapter(path: PathLike, adapter: Adapter, decoder: DecoderConfig) -> None:
    """Write a LoRA adapter as a GGUF file, which llama.cpp's `--lora` puts beside the model's own.

    Args:
      path: of the file.
      adapter: LoRA of linear layers.
      decoder: of the model that it is for.

    Raises:
      ValueError: as of `require_exportable`.
    """
    require_exportable(adapter)
    layers = adapter.layers()
    ranks = {layer: parts["lora_a"].shape[-1] for layer, parts in layers.items()}
    alpha = float(adapter.config.alphas(list(layers))[0])
    metadata = {
        "general.architecture": architecture.ARCHITECTURES[decoder.family],
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": alpha,
    }
    tensors: dict[str, Tensor] = {}
    for layer, parts in layers.items():
        tensors |= _factors(layer.removeprefix(f"{decoder.branch}."), parts, alpha / ranks[layer], decoder)
    write_gguf(path, metadata, tensors)


def require_exportable(adapter: Adapter) -> None:
    """Raise unless llama.cpp can apply an adapter: no DoRA, no embedding, no parameters of the model themselves.

    Args:
      adapter: about to be written.

    Raises:
      ValueError: it cannot; the message names the layers.
    """
    layers = adapter.layers().items()
    odd = sorted([*(path for path, parts in layers if "m" in parts or is_embedding(path)), *adapter.whole()])
    if odd:
        raise ArgumentError(
            f"[export_adapter] adapter: llama.cpp has LoRA of linear layers only, neither DoRA nor embeddings nor "
            f"parameters beside the factors; got {', '.join(odd)}; fuse --export-gguf writes the model with the "
            "adapter in it"
        )


def _factors(layer: str, parts: Node, scale: float, decoder: DecoderConfig) -> dict[str, Tensor]:
    """The factors of a layer, for a program that multiplies their product by a scale."""
    down, up = factors(parts, "linear")
    up = up.swapaxes(-1, -2) * (parts["scaling"].scale / scale)
    up = names.permuted(up, names.rotated_heads(layer, decoder))
    name = f"{names.llama_cpp(layer, decoder)}.weight"
    return {f"{name}.lora_a": Tensor(down.swapaxes(-1, -2), "F32"), f"{name}.lora_b": Tensor(up, "F32")}


# --- from a file ---


# What MLX packs as llama.cpp does, number by number, and what needs no decoding.
KEPT = ("Q4_0", "Q4_1", "Q8_0", "F32", "F16", "BF16")
QUANTIZATION = {"group_size": 32, "bits": 4, "mode": "affine"}


def load_parameters(path: PathLike) -> tuple[dict[str, Any], DecoderConfig, Tree]:
    """A config.json for a GGUF file, the decoder that it describes, and its parameters, evaluated.

    Q4_0, Q4_1 and Q8_0 are affine weights in groups of 32; a warning tells of tensors of other types, which are
    decoded to floating point. Norms and biases have the dtype of the embedding.

    Args:
      path: of the file.

    Returns:
      (what config.json would say, the decoder, a tree).

    Raises:
      ValueError: the file is broken, or its architecture is not supported; the message says how.
    """
    header = read_header(path)
    arrays: dict[str, mx.array] = mx.load(os.fspath(path), format="gguf")
    try:
        config, decoder, parameters = _decoder(header.metadata, arrays)
    except ArgumentError as error:
        raise ArgumentError(f"{os.fspath(path)}: {error}") from None
    mx.eval(flatten(parameters))
    _tell_decoded(path, header.types)
    return config, decoder, parameters


def _decoder(metadata: Mapping[str, Any], arrays: dict[str, mx.array]) -> tuple[dict[str, Any], DecoderConfig, Tree]:
    if "token_embd.weight" not in arrays or arrays["token_embd.weight"].ndim != 2:
        raise ArgumentError("expected a model, got a file without a matrix token_embd.weight")
    config = architecture.config_from(metadata, arrays["token_embd.weight"].shape[0], arrays)
    scaling = (architecture.FREQUENCIES, architecture.SHORT, architecture.LONG)
    config = architecture.scaled_by({name: arrays.pop(name).tolist() for name in scaling if name in arrays}, config)
    decoder = DecoderConfig.from_dict(config)
    named = _in_one_dtype(names.from_gguf(arrays, decoder))
    return config, decoder, as_parameters(decoder, named, QUANTIZATION)


def _in_one_dtype(arrays: Mapping[str, mx.array]) -> dict[str, mx.array]:
    """Vectors, which files have in float32, in the dtype of what the embedding gives them to work on."""
    embedding = "model.embed_tokens"
    dtype = arrays.get(f"{embedding}.scales", arrays[f"{embedding}.weight"]).dtype
    return {name: value.astype(dtype) if value.ndim == 1 else value for name, value in arrays.items()}


def _tell_decoded(path: PathLike, types: Mapping[str, str]) -> None:
    decoded = Counter(kind for kind in types.values() if kind not in KEPT)
    if decoded:
        counts = ", ".join(f"{count} of type {kind}" for kind, count in sorted(decoded.items()))
        warnings.warn(f"{os.fspath(path)}: these tensors are decoded to floating point: {counts}", stacklevel=3)
