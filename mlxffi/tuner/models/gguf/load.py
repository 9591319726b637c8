"""A decoder out of a GGUF file, whose blocks of 4 and 8 bits stay as they are."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any

from .... import core as mx
from ...._errors import ArgumentError
from ...files import PathLike
from ...trees import Tree, flatten
from ..config import DecoderConfig
from ..weights import as_parameters
from . import architecture, names
from .header import read_header

# What MLX packs as llama.cpp does, number by number, and what needs no decoding.
KEPT = ("Q4_0", "Q4_1", "Q8_0", "F32", "F16", "BF16")
QUANTIZATION = {"group_size": 32, "bits": 4, "mode": "affine"}


def load_parameters(path: PathLike) -> tuple[dict[str, Any], DecoderConfig, Tree]:
    """A config.json for a GGUF file, the decoder that it describes, and its parameters, evaluated.

    Q4_0, Q4_1 and Q8_0 are affine weights in groups of 32; a warning tells of tensors of other types, which are
    decoded to floating point. Norms and biases have the dtype of the embedding.

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
    factors = arrays.pop(architecture.FREQUENCIES, None)
    if factors is not None:
        config = architecture.scaled_by(factors.tolist(), config)
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
