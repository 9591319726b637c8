"""Adapters beside a tree of parameters: made, put into it, fused with it, and taken out again.

Nothing here changes a tree in place: each function gives a new one, which shares all arrays that stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ... import core as mx
from ..._errors import ArgumentError
from .. import layers
from ..layers import Kind, Node, dims, is_quantized
from ..trees import Tree, merged, paths, unflatten
from . import fit
from .config import LoRAConfig
from .targets import chosen, kind_of, layers_of, require_choice


@dataclass(frozen=True)
class Adapter:
    """What is trained, and how it is used.

    Args:
      parameters: a tree whose paths are those of adapter files: a layer's path, then `lora_a`, `lora_b`, or `m`.
      config: rank, scale, and so on.
    """

    parameters: Tree
    config: LoRAConfig

    def layers(self) -> dict[str, Node]:
        """The factors of each layer by its path, as an adapted node has them."""
        found: dict[str, Node] = {}
        for path, value in paths(self.parameters):
            layer, _, name = path.rpartition(".")
            if layer not in found:
                found[layer] = {"scaling": self.config.scaling(layer)}
            found[layer][name] = value
        return found


# --- making ---


def create_adapter(parameters: Tree, config: LoRAConfig) -> Adapter:
    """A new adapter, which changes nothing yet.

    Args:
      parameters: the tree to adapt.
      config: which layers, and how.

    Returns:
      float32 factors: the one that takes the input uniform in +-1/sqrt(its width), from `mlxffi.core.random`'s state;
      the other 0. For DoRA also magnitudes: the norms of the weights' rows.

    Raises:
      ValueError: no layer of the tree is chosen, or a key of the configuration matches none.
    """
    nodes = dict(layers_of(parameters))
    choice = chosen({path: kind_of(path, node) or "linear" for path, node in nodes.items()}, config)
    made = {}
    for path in require_choice(choice, nodes):
        node, kind = nodes[path], kind_of(path, nodes[path]) or "linear"
        made[path] = new_factors(node, kind, config.rank_of(path), config.use_dora)
    return Adapter(
        unflatten({f"{path}.{name}": value for path, part in made.items() for name, value in part.items()}), config
    )


def new_factors(node: Node, kind: Kind, rank: int, use_dora: bool) -> dict[str, mx.array]:
    """The factors, for DoRA also the magnitudes, with which a layer does what it does without."""
    shapes = fit.shapes(layers.dims(node), kind, rank, use_dora)
    inputs = layers.dims(node)[0 if kind == "embedding" else -1]
    bound = 1 / math.sqrt(inputs)
    found = {"lora_a": mx.random.uniform(-bound, bound, shapes["lora_a"]), "lora_b": mx.zeros(shapes["lora_b"])}
    if use_dora:
        found["m"] = layers.row_norms(layers.dense_weight(node))
    return found


# --- beside the base ---


def attach(base: Tree, *adapters: Adapter) -> Tree:
    """The tree in which adapted nodes carry the factors of adapters, besides those that they carry already.

    Raises:
      ValueError: factors fit no layer of the base; the message names each.
    """
    nodes = dict(layers_of(base))
    carried: dict[str, list[Node]] = {}
    for adapter in adapters:
        fit.require("attach", adapter.layers(), nodes, adapter.config)
        for path, factors in adapter.layers().items():
            carried.setdefault(path, list(nodes[path].get("adapters", ()))).append(factors)
    # Tuples, which `merged` takes as a whole.
    return merged(base, unflatten({f"{path}.adapters": tuple(found) for path, found in carried.items()}))


def detach(tree: Tree) -> Tree:
    """The tree without any adapters."""
    return map_layers(lambda path, node: _bare(node), tree)


# --- into the base ---


def fuse(base: Tree, *adapters: Adapter, dequantize: bool = False) -> Tree:
    """The tree in which adapters, given or attached, are part of the weights.

    Args:
      base: the tree that they adapt.
      adapters: each changes the weights of the base by what it was trained to, whatever the others do.
      dequantize: unpack all quantized weights; else fused ones are quantized again, each as it was.
    """

    def fused(path: str, node: Node) -> Node:
        plain = layers.dequantized(node) if dequantize else node
        if "adapters" not in node:
            return plain
        return layers.requantized(_bare(plain), layers.adapted_weight(node, _kind(path, node)))

    return map_layers(fused, attach(base, *adapters))


def survival(base: Tree, *adapters: Adapter) -> layers.Survival | None:
    """What is left of adapters after `fuse` where it quantizes weights again; None where it does not."""
    return layers.surviving((node, _kind(path, node)) for path, node in layers_of(attach(base, *adapters)))


def dora_gains(base: Tree, adapter: Adapter) -> dict[str, mx.array]:
    """What DoRA multiplies the rows of each layer's updated weight by: what `unfuse` needs to undo it.

    Returns:
      float32 [..., out] by the layer's path; none for LoRA.
    """
    nodes = dict(layers_of(attach(base, adapter)))
    return {
        path: layers.gain(layers.dense_weight(nodes[path]), factors, _kind(path, nodes[path]))
        for path, factors in adapter.layers().items()
        if "m" in factors
    }


def unfuse(fused: Tree, adapter: Adapter, gains: dict[str, mx.array] | None = None) -> Tree:
    """The tree as it was before `fuse`, but for rounding (for quantized weights: but for quantizing them twice).

    Args:
      fused: a tree with the adapter in its weights.
      adapter: one of those that were fused; DoRA must have been the only one in its layers.
      gains: for DoRA, what `dora_gains` gave for the base: the norms that it removes cannot be told from its result.

    Raises:
      ValueError: the adapter does not fit, or is DoRA and gains are missing.
    """
    factors = adapter.layers()
    fit.require("unfuse", factors, dict(layers_of(fused)), adapter.config)
    missing = [path for path in factors if adapter.config.use_dora and path not in (gains or {})]
    if missing:
        raise ArgumentError(
            f"[unfuse] gains: for DoRA, expected those of dora_gains(base, adapter); none for {missing}"
        )

    def restored(path: str, node: Node) -> Node:
        if path not in factors:
            return node
        weight = layers.without_adapter(node, factors[path], _kind(path, node), (gains or {}).get(path))
        return layers.requantized(node, weight)

    return map_layers(restored, fused)


# --- nodes ---


def map_layers(function: Callable[[str, Node], Node], tree: Tree, start: str = "") -> Tree:
    """The tree with what a function gives for the path and node of each layer that can be adapted."""
    if isinstance(tree, dict):
        if start and kind_of(start, tree):
            return function(start, tree)
        return {key: map_layers(function, item, f"{start}.{key}" if start else str(key)) for key, item in tree.items()}
    if isinstance(tree, (list, tuple)):
        inner: list[Any] = [map_layers(function, item, f"{start}.{index}") for index, item in enumerate(tree)]
        return type(tree)(inner)
    return tree


def _bare(node: Node) -> Node:
    return {key: value for key, value in node.items() if key != "adapters"}


def _kind(path: str, node: Node) -> Kind:
    return kind_of(path, node) or "linear"


# --- how much of a model is trained ---


class TrainableParameters(NamedTuple):
    """Numbers of parameters.

    Args:
      trained: those that are trained.
      total: those of the model without its adapters, where a quantized weight counts as what it stands for.
    """

    trained: int
    total: int

    def __str__(self) -> str:
        millions, all_millions = self.trained / 1e6, self.total / 1e6
        percent = millions * 100 / all_millions if all_millions else 0.0
        return f"Trainable parameters: {percent:.3f}% ({millions:.3f}M/{all_millions:.3f}M)"


def trainable_parameters(parameters: Tree, trained: Tree) -> TrainableParameters:
    """Count the parameters of a tree, and those that are trained; as text, it is mlx-lm's line.

    Args:
      parameters: all, with or without adapters attached.
      trained: those of the adapter, or those of the tree that are trained.
    """
    return TrainableParameters(sum(value.size for _, value in paths(trained)), _size(parameters))


def _size(tree: Tree) -> int:
    if isinstance(tree, mx.array):
        return tree.size
    if isinstance(tree, dict):
        inner = sum(_size(item) for key, item in tree.items() if key not in ("adapters", "scales", "biases", "weight"))
        if not isinstance(tree.get("weight"), mx.array):
            return inner + sum(_size(tree[key]) for key in ("scales", "biases", "weight") if key in tree)
        return inner + (math.prod(dims(tree)) if is_quantized(tree) else tree["weight"].size)
    return sum(_size(item) for item in tree) if isinstance(tree, (list, tuple)) else 0
