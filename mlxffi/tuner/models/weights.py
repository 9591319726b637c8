"""The parameters of a decoder: names, which are those of Hugging Face's files, and shapes; read from files, and new."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ... import core as mx
from ..._errors import ArgumentError
from ..files import read_json
from ..layers import Quantization
from ..trees import Tree, differences, unflatten
from .config import DecoderConfig

INDEX = "model.safetensors.index.json"

# Of modes with scales in a format of their own there is one for each pair of bits and group size.
FLOAT_MODES = {(4, 16): "nvfp4", (4, 32): "mxfp4", (8, 32): "mxfp8"}


# --- names and shapes ---


Shape = tuple[int, ...]


def shapes(config: DecoderConfig) -> dict[str, Shape]:
    """The shape of each parameter by its path, unquantized.

    Args:
      config: the decoder.

    Returns:
      Shapes by path, in the decoder's order.
    """
    vocabulary, hidden = config.vocab_size, config.hidden_size
    found: dict[str, Shape] = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(config.num_layers):
        found |= {f"model.layers.{layer}.{name}": shape for name, shape in _block_shapes(config).items()}
    found["model.norm.weight"] = (hidden,)
    if not config.tied:
        found["lm_head.weight"] = (vocabulary, hidden)
    return found if config.branch is None else {f"{config.branch}.{name}": shape for name, shape in found.items()}


def random_parameters(config: DecoderConfig, key: mx.array, *, std: float = 0.02, dtype: mx.Dtype = mx.float32) -> Tree:
    """Parameters of a new decoder: normal weights, norms that change nothing, biases of 0.

    Args:
      config: the decoder.
      key: of the random numbers, from `mlxffi.core.random.key`.
      std: standard deviation of the weights of linear layers and of the embedding.
      dtype: of all parameters.

    Returns:
      The tree, not evaluated.
    """
    wanted = shapes(config)
    keys = mx.random.split(key, len(wanted))
    return unflatten(
        {
            name: _random(config, name, shape, keys[index], std, dtype)
            for index, (name, shape) in enumerate(wanted.items())
        }
    )


def _random(config: DecoderConfig, name: str, shape: Shape, key: mx.array, std: float, dtype: mx.Dtype) -> mx.array:
    if len(shape) == 2:
        return std * mx.random.normal(shape, dtype=dtype, key=key)
    neutral = 0.0 if config.gemma or name.endswith("bias") else 1.0
    return mx.full(shape, neutral, dtype=dtype)


def _block_shapes(config: DecoderConfig) -> dict[str, Shape]:
    hidden, inner = config.hidden_size, config.intermediate_size
    queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    linear = {
        "self_attn.q_proj": (queries, hidden, config.qkv_bias),
        "self_attn.k_proj": (keys, hidden, config.qkv_bias),
        "self_attn.v_proj": (keys, hidden, config.qkv_bias),
        "self_attn.o_proj": (hidden, queries, config.output_bias),
        "mlp.gate_proj": (inner, hidden, config.mlp_bias),
        "mlp.up_proj": (inner, hidden, config.mlp_bias),
        "mlp.down_proj": (hidden, inner, config.mlp_bias),
    }
    found: dict[str, Shape] = {f"{name}.weight": (out, into) for name, (out, into, _) in linear.items()}
    found |= {f"{name}.bias": (out,) for name, (out, _, biased) in linear.items() if biased}
    norms = ["input_layernorm", "post_attention_layernorm"]
    if config.gemma:
        norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    found |= {f"{name}.weight": (hidden,) for name in norms}
    if config.query_key_norm:
        found |= {f"self_attn.{name}.weight": (config.head_dim,) for name in ("q_norm", "k_norm")}
    return found


# --- files ---


def read_arrays(folder: Path) -> dict[str, mx.array]:
    """The arrays of a model's safetensors files by name, not evaluated.

    Args:
      folder: with `model.safetensors`, or an index and the files that it names.

    Returns:
      Arrays by name.

    Raises:
      FileNotFoundError: there are none, or one that the index names is missing.
      ValueError: files and index disagree.
    """
    if (folder / INDEX).exists():
        return _read_indexed(folder)
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise FileNotFoundError(f"{folder}: expected model.safetensors, or {INDEX} and what it names; got neither")
    arrays: dict[str, mx.array] = {}
    for file in files:
        found = _read(file)
        if twice := sorted(arrays.keys() & found.keys()):
            raise ArgumentError(f"{file}: {', '.join(twice)}: other files of the model have them, too")
        arrays |= found
    return arrays


def _read_indexed(folder: Path) -> dict[str, mx.array]:
    index = read_json(folder / INDEX)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(_is_plain(file) for file in places.values()):
        raise ArgumentError(f"{folder / INDEX}: weight_map: expected names of files in this folder by names of tensors")
    found = {file: _read(folder / file) for file in sorted(set(places.values()))}
    missing = sorted(f"{name} ({file})" for name, file in places.items() if name not in found[file])
    if missing:
        raise ArgumentError(f"{folder / INDEX}: these tensors are not in the files that it names: {', '.join(missing)}")
    return {name: found[file][name] for name, file in places.items()}


def _is_plain(file: Any) -> bool:
    return isinstance(file, str) and Path(file).name == file


def _read(file: Path) -> dict[str, mx.array]:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; the model's weights are read from it")
    arrays: dict[str, mx.array] = mx.load(str(file), format="safetensors")
    return arrays


# --- a tree ---


def as_parameters(config: DecoderConfig, arrays: Mapping[str, mx.array], quantization: Mapping[str, Any]) -> Tree:
    """The parameter tree of a decoder; layers that come with scales are quantized nodes.

    Args:
      config: the decoder.
      arrays: by name; what older checkpoints store beside parameters is left out.
      quantization: `quantization` of a config.json: group_size, bits and mode, and the same for some layers by path.

    Returns:
      The tree, in the decoder's order.

    Raises:
      ValueError: parameters are missing, unknown or of another shape; the message names all of them.
    """
    given = {name: value for name, value in arrays.items() if not _is_left_out(config, name)}
    wanted = shapes(config)
    packed = {
        layer: _quantization_of(layer, given, wanted[f"{layer}.weight"][-1], quantization)
        for layer in (_scaled(wanted, given) if quantization else ())
    }
    for layer, scheme in packed.items():
        wanted |= _packed_shapes(layer, wanted[f"{layer}.weight"], scheme)
    problems = differences({name: value.shape for name, value in given.items()}, wanted)
    if problems:
        raise ArgumentError("\n  ".join(["the weights are not those that config.json describes:", *problems]))
    # In the decoder's order, not that of files: in it, new adapters draw their random numbers.
    ordered = {name: given[name] for name in wanted}
    return unflatten({**ordered, **{f"{layer}.quantization": scheme for layer, scheme in packed.items()}})


def _is_left_out(config: DecoderConfig, name: str) -> bool:
    """Whether a tensor is none of the decoder's: what sees, frequencies of rope, an output layer that is tied."""
    if config.branch is not None and not name.startswith(f"{config.branch}."):
        return True
    return name.endswith("rotary_emb.inv_freq") or (config.tied and "lm_head" in name.split("."))


def _scaled(wanted: Mapping[str, Shape], given: Mapping[str, mx.array]) -> list[str]:
    """The layers that come with scales."""
    layers = [name.removesuffix(".weight") for name, shape in wanted.items() if len(shape) == 2]
    return [layer for layer in layers if {f"{layer}.weight", f"{layer}.scales"} <= given.keys()]


# --- quantization ---


def _quantization_of(layer: str, arrays: Mapping[str, mx.array], width: int, stated: Mapping[str, Any]) -> Quantization:
    """How a layer is quantized: as config.json says for it, else as the shapes tell, in the mode of the whole."""
    own = stated.get(layer)
    own = own if isinstance(own, Mapping) else {}
    # mlx_lm writes null for what was not asked for, and means the mode's default.
    given = [own[name] for name in ("group_size", "bits") if own.get(name) is not None]
    if not all(isinstance(number, int) and number > 0 for number in given) or (own and not given):
        raise ArgumentError(f"config.json: quantization: {layer}: expected group_size and bits, got {own!r}")
    if len(given) == 2:
        return Quantization(given[0], given[1], own.get("mode", "affine"))
    scales, weight = arrays[f"{layer}.scales"], arrays[f"{layer}.weight"]
    # Shapes that are no matrices, or do not divide the width, give numbers which do not give these shapes again.
    groups, packed = (max(1, *value.shape[-1:], 1) for value in (scales, weight))
    group_size, bits = max(1, width // groups), packed * 32 // width
    if scales.dtype != mx.uint8:
        return Quantization(group_size, bits, "affine")
    return Quantization(group_size, bits, FLOAT_MODES.get((bits, group_size), str(stated.get("mode"))))


def _packed_shapes(layer: str, shape: Shape, scheme: Quantization) -> dict[str, Shape]:
    """The shapes of what a quantized layer has in the place of a weight."""
    out, width = shape
    scales = (out, width // scheme.group_size)
    found: dict[str, Shape] = {f"{layer}.weight": (out, width * scheme.bits // 32), f"{layer}.scales": scales}
    return {**found, f"{layer}.biases": scales} if scheme.mode == "affine" else found


def quantizations(parameters: Tree, start: str = "") -> dict[str, Quantization]:
    """How each quantized layer of a tree is quantized, by its path.

    Args:
      parameters: the tree.
      start: the path of the tree itself.

    Returns:
      Group size, bits and mode by path; dense layers are left out.
    """
    found: dict[str, Quantization] = {}
    for key, item in parameters.items() if isinstance(parameters, dict) else enumerate(parameters):
        path = f"{start}.{key}" if start else str(key)
        if isinstance(item, Quantization):
            found[start] = item
        elif isinstance(item, (dict, list, tuple)):
            found |= quantizations(item, path)
    return found
