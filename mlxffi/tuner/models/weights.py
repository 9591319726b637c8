"""Arrays of safetensors files, and the parameter tree that they make: everything there, nothing else, in its shape."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ... import core as mx
from ..._errors import ArgumentError
from .._files import read_json
from .._trees import Tree, differences, unflatten
from ..layers import Quantization
from .config import DecoderConfig
from .parameters import Shape, shapes

INDEX = "model.safetensors.index.json"

# Of modes with scales in a format of their own there is one for each pair of bits and group size.
FLOAT_MODES = {(4, 16): "nvfp4", (4, 32): "mxfp4", (8, 32): "mxfp8"}


# --- files ---


def read_arrays(folder: Path) -> dict[str, mx.array]:
    """The arrays of a model's safetensors files by name, not evaluated.

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
    if isinstance(own, Mapping):
        if not all(isinstance(own.get(name), int) and own[name] > 0 for name in ("group_size", "bits")):
            raise ArgumentError(f"config.json: quantization: {layer}: expected group_size and bits, got {own!r}")
        return Quantization(own["group_size"], own["bits"], own.get("mode", "affine"))
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
    """How each quantized layer of a tree is quantized, by its path."""
    found: dict[str, Quantization] = {}
    for key, item in parameters.items() if isinstance(parameters, dict) else enumerate(parameters):
        path = f"{start}.{key}" if start else str(key)
        if isinstance(item, Quantization):
            found[start] = item
        elif isinstance(item, (dict, list, tuple)):
            found |= quantizations(item, path)
    return found
