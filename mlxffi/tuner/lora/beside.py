"""What PEFT's folders have beside factors: weights and biases of the model, rows of its embedding, biases of factors.

They belong into the tree of parameters. A copy that is what the tree has already, as PEFT keeps one of each embedding
with factors, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ... import core as mx
from .. import layers
from ..trees import Tree, flatten, merged, unflatten
from .adapter import map_layers
from .config import LoRAConfig
from .targets import OUTPUT_LAYER, is_embedding, layers_of


class Beside(NamedTuple):
    """Arrays by our names.

    Args:
      weights: parameters of the model by path.
      biases: of the second factors, by the layer's path: [out], scaled as the factors are.
      tokens: new rows of a weight, by the layer's path: their indices, [rows, width].
    """

    weights: dict[str, mx.array]
    biases: dict[str, mx.array]
    tokens: dict[str, tuple[list[int], mx.array]]

    def layers(self) -> set[str]:
        """The paths of the layers that weights belong to."""
        return {path.rpartition(".")[0] for path in self.weights}


NOTHING = Beside({}, {}, {})


def put_into(parameters: Tree, beside: Beside, config: LoRAConfig) -> tuple[Tree, list[str]]:
    """The tree with all of it in its place, or the tree itself where that changes nothing.

    Returns:
      (the tree, a line for each array that has no place in it).
    """
    known, nodes = flatten(parameters), dict(layers_of(parameters))
    found: dict[str, mx.array] = {}
    problems = []
    for path, value in beside.weights.items():
        layer = path.rpartition(".")[0]
        node = nodes.get(layer, {})
        wanted = (
            layers.dims(node) if path == f"{layer}.weight" and node else known[path].shape if path in known else None
        )
        if wanted is None or not _fits(layer, value.shape, wanted):
            problems.append(f"{path}: expected {wanted or 'the name of a parameter'}, got {list(value.shape)}")
        elif layers.is_quantized(node) and path == f"{layer}.weight":
            found[path] = value.astype(node["scales"].dtype if node["scales"].dtype != mx.uint8 else mx.bfloat16)
        elif value.shape != wanted or not mx.array_equal(value.astype(known[path].dtype), known[path]):
            found[path] = value.astype(known[path].dtype)
    for layer, rows in beside.tokens.items():
        weight = layers.dense_weight(nodes[layer]) if layer in nodes else None
        if weight is None or rows[1].shape != (len(rows[0]), weight.shape[-1]) or max(rows[0]) >= weight.shape[0]:
            problems.append(f"{layer}: expected rows of one of the model's embeddings, got {list(rows[1].shape)}")
        else:
            found[f"{layer}.weight"] = _with_rows(weight, *rows)
    for layer, bias in beside.biases.items():
        if layer not in nodes or bias.shape != layers.dims(nodes[layer])[:-1]:
            problems.append(
                f"{layer}: expected a layer of the model with {list(bias.shape)} outputs, got another or none"
            )
        else:
            added = config.scale_of(layer) * bias.astype(mx.float32)
            own = found.get(f"{layer}.bias", nodes[layer].get("bias"))
            dtype = nodes[layer]["scales" if layers.is_quantized(nodes[layer]) else "weight"].dtype
            found[f"{layer}.bias"] = (added if own is None else own + added).astype(dtype if own is None else own.dtype)
    return (_replaced(parameters, found) if found else parameters), problems


def _fits(layer: str, shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether a parameter may have a shape: that of the tree's, or one for another number of tokens."""
    resizable = is_embedding(layer) or layer.rpartition(".")[2] == OUTPUT_LAYER
    return shape == wanted or (resizable and len(shape) == len(wanted) and shape[1:] == wanted[1:])


def _with_rows(weight: mx.array, indices: list[int], rows: mx.array) -> mx.array:
    changed = mx.array(weight)
    changed[mx.array(indices)] = rows.astype(weight.dtype)
    return changed


def _replaced(parameters: Tree, arrays: Mapping[str, mx.array]) -> Tree:
    def dense(path: str, node: Any) -> Any:
        return layers.dequantized(node) if f"{path}.weight" in arrays else node

    return merged(map_layers(dense, parameters), unflatten(arrays))
