"""Adapters for a tree of parameters: make, attach, fuse and unfuse them.

Nothing here changes a tree in place: each function returns a new one, which shares all arrays that stay the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ... import core as mx
from ..._errors import ArgumentError
from .. import checks, layers
from ..layers import Kind, Node, dims, is_quantized
from ..trees import Tree, merged, paths, unflatten
from . import fit
from .config import LoRAConfig
from .targets import chosen, is_embedding, kind_of, layers_of, matches, require_choice

# The name of rows of an embedding that are trained themselves.
ROWS = "token_rows"


@dataclass(frozen=True)
class Adapter:
    """What is trained, and how it is applied.

    Args:
      parameters: a tree with the paths of adapter files: a layer's path, then `lora_a`, `lora_b` or `m`; and directly
        trained parameters of the model, by their own paths.
      config: rank, scale, and so on.
    """

    parameters: Tree
    config: LoRAConfig

    def layers(self) -> dict[str, Node]:
        """The factors of each layer, by path."""
        found: dict[str, Node] = {}
        for path, value in paths(self.parameters):
            layer, _, name = path.rpartition(".")
            if name not in fit.PARTS:
                continue
            if layer not in found:
                found[layer] = {"scaling": self.config.scaling(layer)}
            found[layer][name] = value
        return found

    def whole(self) -> dict[str, mx.array]:
        """The parameters of the model that are trained directly, by path."""
        return {path: value for path, value in paths(self.parameters) if path.rpartition(".")[2] not in fit.PARTS}


# --- making ---


def create_adapter(parameters: Tree, config: LoRAConfig) -> Adapter:
    """Make a new adapter, which changes nothing yet.

    Args:
      parameters: the tree to adapt.
      config: which layers, and how.

    Returns:
      float32 factors: `lora_a` uniform in +-1/sqrt(input width), drawn from `mlxffi.core.random`'s state, and `lora_b`
      0. DoRA also has magnitudes: the norms of the weights' rows.

    Raises:
      ValueError: the configuration selects no layer, or one of its keys matches none.
    """
    checks.instance("create_adapter", "config", config, LoRAConfig)
    made = {
        path: new_factors(node, _kind(path, node), config.rank_of(path), config.use_dora)
        for path, node in adapted_layers(parameters, config).items()
    }
    factors = {f"{path}.{name}": value for path, part in made.items() for name, value in part.items()}
    return Adapter(unflatten(factors | trained_whole(parameters, config, made)), config)


def adapted_layers(parameters: Tree, config: LoRAConfig) -> dict[str, Node]:
    """The layers that a configuration selects.

    Args:
      parameters: the tree.
      config: which layers.

    Returns:
      Nodes by path.

    Raises:
      ValueError: there is none, or a key of the configuration matches none.
    """
    nodes = dict(layers_of(parameters))
    choice = chosen({path: _kind(path, node) for path, node in nodes.items()}, config)
    return {path: nodes[path] for path in require_choice(choice, nodes)}


def trained_whole(parameters: Tree, config: LoRAConfig, adapted: Container[str]) -> dict[str, mx.array]:
    """The parameters that a configuration trains directly, dequantized.

    Args:
      parameters: the tree.
      config: its `modules_to_save`, `trainable_token_indices` and `bias` select them.
      adapted: the paths of the layers with factors.

    Returns:
      Arrays by path.

    Raises:
      ValueError: the model has no module of a name.
    """
    wanted = config.modules_to_save or ()
    dense = map_layers(lambda path, node: layers.dequantized(node) if matches(path, wanted) else node, parameters)
    found = {path: value for path, value in paths(dense) if is_in(path, wanted)}
    lost = next((name for name in wanted if not any(is_in(path, (name,)) for path in found)), None)
    if lost is not None:
        raise ArgumentError(f"[LoRAConfig] modules_to_save: expected names of the model's modules, got {lost!r}")
    return found | _rows(parameters, config) | _biases(parameters, config, adapted)


def _rows(parameters: Tree, config: LoRAConfig) -> dict[str, mx.array]:
    """The rows of embeddings that are trained, under a name of their own."""
    nodes = dict(layers_of(parameters))
    found = {}
    for path, indices in row_places(nodes, config).items():
        entries = dims(nodes[path])[0] if path in nodes else 0
        is_odd = not indices or len(set(indices)) < len(indices) or max(indices) >= entries
        if is_odd or matches(path, config.modules_to_save):
            wanted = f"different tokens below {entries}, of an embedding that is not in modules_to_save"
            got = f"{list(indices)} of {path!r}"
            raise ArgumentError(f"[LoRAConfig] trainable_token_indices: expected {wanted}, got {got}")
        found[f"{path}.{ROWS}"] = layers.dense_weight(nodes[path])[mx.array(indices)]
    return found


def row_places(names: Iterable[str], config: LoRAConfig) -> dict[str, tuple[int, ...]]:
    """The tokens whose embedding rows are trained.

    Args:
      names: the paths of the model's layers.
      config: its `trainable_token_indices` select them.

    Returns:
      Token ids by the path of the layer.
    """
    stated, known = config.trainable_token_indices, list(names)
    if stated is None:
        return {}
    if not isinstance(stated, Mapping):
        return {next(filter(is_embedding, known), ""): stated}
    return {next((path for path in known if matches(path, (name,))), name): rows for name, rows in stated.items()}


def is_in(path: str, modules: tuple[str, ...]) -> bool:
    """Whether a parameter belongs to one of some modules.

    Args:
      path: the parameter's path.
      modules: paths of modules, or ends of paths.

    Returns:
      True if it does.
    """
    parents = [path[: match.start()] for match in re.finditer(r"\.", path)]
    return any(matches(parent, modules) for parent in parents)


def _biases(parameters: Tree, config: LoRAConfig, adapted: Container[str]) -> dict[str, mx.array]:
    if config.bias == "none":
        return {}
    found = {path: value for path, value in paths(parameters) if path.endswith(".bias")}
    return {path: value for path, value in found.items() if config.bias == "all" or path.rpartition(".")[0] in adapted}


def with_rows(parameters: Tree, whole: Mapping[str, mx.array], config: LoRAConfig) -> dict[str, mx.array]:
    """Directly trained parameters, with whole embeddings instead of their trained rows.

    Args:
      parameters: the tree.
      whole: the trained parameters by path.
      config: says which rows they are.

    Returns:
      Arrays by path.
    """
    found = dict(whole)
    for path in [path for path in whole if path.endswith(f".{ROWS}")]:
        layer, nodes = path.removesuffix(f".{ROWS}"), dict(layers_of(parameters))
        weight = mx.array(layers.dense_weight(nodes[layer]))
        weight[mx.array(row_places(nodes, config)[layer])] = found.pop(path).astype(weight.dtype)
        found[f"{layer}.weight"] = weight
    return found


def replaced(parameters: Tree, arrays: Mapping[str, mx.array]) -> Tree:
    """The tree with some arrays replaced; layers whose weight is replaced are dequantized.

    Args:
      parameters: the tree.
      arrays: the new arrays by path.

    Returns:
      A new tree.
    """

    def dense(path: str, node: Node) -> Node:
        return layers.dequantized(node) if f"{path}.weight" in arrays else node

    return merged(map_layers(dense, parameters), unflatten(dict(arrays)))


def new_factors(node: Node, kind: Kind, rank: int, use_dora: bool) -> dict[str, mx.array]:
    """Factors, for DoRA with magnitudes, that do not change a layer yet.

    Args:
      node: the layer.
      kind: its kind.
      rank: at least 1.
      use_dora: whether to add magnitudes.

    Returns:
      float32 arrays by name.
    """
    shapes = fit.shapes(layers.dims(node), kind, rank, use_dora)
    inputs = layers.dims(node)[0 if kind == "embedding" else -1]
    bound = 1 / math.sqrt(inputs)
    found = {"lora_a": mx.random.uniform(-bound, bound, shapes["lora_a"]), "lora_b": mx.zeros(shapes["lora_b"])}
    if use_dora:
        found["m"] = layers.row_norms(layers.dense_weight(node))
    return found


# --- beside the base ---


def attach(base: Tree, *adapters: Adapter) -> Tree:
    """The tree with the factors of adapters added to its nodes, besides those they have already.

    Args:
      base: the tree.
      adapters: for that tree.

    Returns:
      A new tree, which shares its arrays.

    Raises:
      ValueError: factors fit no layer of the base; the message names each.
    """
    nodes = dict(layers_of(base))
    carried: dict[str, list[Node]] = {}
    for adapter in adapters:
        checks.instance("attach", "adapters", adapter, Adapter)
        fit.require("attach", adapter.layers(), nodes, adapter.config)
        for path, factors in adapter.layers().items():
            carried.setdefault(path, list(nodes[path].get("adapters", ()))).append(factors)
    return attached(base, carried, *adapters)


def attached(base: Tree, carried: Mapping[str, Iterable[Node]], *adapters: Adapter) -> Tree:
    """`attach` without a check.

    Args:
      base: the tree.
      carried: the factors that each layer is to have, by path.
      adapters: whose directly trained parameters replace those of the tree.

    Returns:
      A new tree, which shares its arrays.
    """
    # Tuples, which `merged` takes as a whole.
    made = merged(base, unflatten({f"{path}.adapters": tuple(found) for path, found in carried.items()}))
    for adapter in adapters:
        whole = adapter.whole()
        made = replaced(made, with_rows(made, whole, adapter.config)) if whole else made
    return made


def detach(tree: Tree) -> Tree:
    """The tree without any adapters.

    Args:
      tree: with adapters or without.

    Returns:
      A new tree, which shares its arrays.
    """
    return map_layers(lambda path, node: _bare(node), tree)


# --- into the base ---


def fuse(base: Tree, *adapters: Adapter, dequantize: bool = False) -> Tree:
    """Merge adapters, given or attached, into the weights.

    Args:
      base: the tree that they adapt.
      adapters: each is applied to the weights of the base, whatever the others do.
      dequantize: whether to dequantize all weights; otherwise fused ones are quantized again, each as it was.

    Returns:
      A new tree.
    """

    def fused(path: str, node: Node) -> Node:
        plain = layers.dequantized(node) if dequantize else node
        if "adapters" not in node:
            return plain
        return layers.requantized(_bare(plain), layers.adapted_weight(node, _kind(path, node)))

    return map_layers(fused, attach(base, *adapters))


def survival(
    base: Tree, *adapters: Adapter, rounded: Callable[[mx.array], mx.array] | None = None
) -> layers.Survival | None:
    """How much of adapters is left after `fuse` quantizes weights again.

    Args:
      base: the tree without the adapters.
      adapters: for that tree.
      rounded: what a fused weight becomes if it is quantized in another way.

    Returns:
      The shares, or None if nothing is quantized.
    """
    nodes = layers_of(attach(base, *adapters))
    return layers.surviving(((node, _kind(path, node)) for path, node in nodes), rounded)


def dora_gains(base: Tree, adapter: Adapter) -> dict[str, mx.array]:
    """The factors by which DoRA multiplies the rows of each layer's updated weight; `unfuse` needs them.

    Args:
      base: the tree without the adapter.
      adapter: for that tree.

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
    """Undo `fuse`, up to rounding (for quantized weights, up to quantizing them twice).

    Args:
      fused: a tree with the adapter in its weights.
      adapter: one of those that were fused; in its layers, DoRA must have been the only one.
      gains: for DoRA, what `dora_gains` returned for the base.

    Returns:
      A new tree.

    Raises:
      ValueError: the adapter does not fit, or is DoRA and gains are missing.
    """
    factors = adapter.layers()
    if adapter.whole():
        raise ArgumentError(
            f"[unfuse] adapter: expected factors alone; {next(iter(adapter.whole()))} is lost in the model"
        )
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
    """Apply a function to each layer that can be adapted.

    Args:
      function: from a layer's path and node to a new node.
      tree: the parameters.
      start: the path of the tree itself.

    Returns:
      A new tree.
    """
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
      trained: how many are trained.
      total: how many the model has without adapters; a quantized weight counts with its original size.
    """

    trained: int
    total: int

    def __str__(self) -> str:
        millions, all_millions = self.trained / 1e6, self.total / 1e6
        percent = millions * 100 / all_millions if all_millions else 0.0
        return f"Trainable parameters: {percent:.3f}% ({millions:.3f}M/{all_millions:.3f}M)"


def trainable_parameters(parameters: Tree, trained: Tree) -> TrainableParameters:
    """Count parameters, and those that are trained; `str` of the result is mlx-lm's line.

    Args:
      parameters: all, with or without adapters attached.
      trained: those of the adapter, or those of the tree that are trained.

    Returns:
      The numbers.
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
