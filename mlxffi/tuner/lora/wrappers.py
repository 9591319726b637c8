"""Adapted layers of `mlx.nn` models, with mlx-lm's names; what they compute is what `mlxffi.tuner.layers` does.

Importing this module needs `mlx.nn` over `mlxffi.core`: call `mlxffi.compat.install()` before anything imports mlx.
"""

from __future__ import annotations

import copy
import sys
from typing import Any, ClassVar, TypeAlias

from ... import core as mx
from ..._errors import ArgumentError
from .. import layers
from ..checks import fraction, required
from ..layers import Kind, Node, Quantization, Scaling
from .adapter import new_factors

if sys.modules.get("mlx.core") is not mx:
    raise ImportError(
        "mlxffi.tuner.lora's modules are those of mlx.nn over mlxffi.core: "
        "call mlxffi.compat.install() before anything imports mlx, or run with python -m mlxffi run"
    )

nn = required("mlx.nn", "lm")
# To type checkers, mlx.nn's modules have arrays of mlx.core.
Module: TypeAlias = Any

PARTS = ("lora_a", "lora_b", "m")

# Layers by class. mlx_lm's expert layers are known by name, which does not import mlx_lm.
CLASSES: dict[Kind, tuple[type, ...]] = {
    "linear": (nn.Linear, nn.QuantizedLinear),
    "embedding": (nn.Embedding, nn.QuantizedEmbedding),
}
SWITCH = ("SwitchLinear", "QuantizedSwitchLinear")


# --- modules as nodes ---


def kind_of_module(module: Module) -> Kind | None:
    """What sort of layer a module is; None for others, and for those derived from one that compute something else.

    Args:
      module: any.

    Returns:
      "linear", "embedding", "switch", or None.
    """
    if type(module).__name__ in SWITCH and "weight" in module:
        return "switch"
    for kind, classes in CLASSES.items():
        if any(isinstance(module, known) and type(module).__call__ is known.__call__ for known in classes):
            return kind
    return None


def node_of(module: Module) -> Node:
    """A layer's parameters as a node.

    Args:
      module: a layer, without an adapter.

    Returns:
      Its arrays by name, and how it is quantized.

    Raises:
      ValueError: it has a global scale (mode nvfp4), for which nodes have no place.
    """
    if module.get("global_scale") is not None:
        raise ArgumentError(f"[LoRA] a {type(module).__name__} with a global scale cannot be adapted")
    node = {name: module[name] for name in (*layers.PACKED, "bias") if module.get(name) is not None}
    if layers.is_quantized(node):
        node["quantization"] = Quantization(module.group_size, module.bits, module.mode)
    return node


def module_of(node: Node, like: Module) -> Module:
    """A layer with a node's parameters: of the class of another, or of its dense one where the node is dense.

    Args:
      node: as `node_of` gives it.
      like: a layer, which stays as it is.

    Returns:
      A new layer, in training or not as that one.
    """
    if layers.is_quantized(node_of(like)) and not layers.is_quantized(node):
        made = _dense(like, "bias" in node)
    else:
        made = copy.copy(like)
        made._no_grad = set(like._no_grad)
    made.update({name: node[name] for name in (*layers.PACKED, "bias") if name in node})
    return made.train(like.training)


def _dense(like: Module, bias: bool) -> Module:
    """A dense layer of a quantized one's kind, whose parameters are yet to be set."""
    kind = kind_of_module(like)
    if kind == "switch":
        made: Module = sys.modules[type(like).__module__].SwitchLinear(1, 1, 1, bias=bias)
        return made
    return nn.Embedding(1, 1) if kind == "embedding" else nn.Linear(1, 1, bias=bias)


# --- adapted layers ---


class Adapted(nn.Module):  # type: ignore[misc,name-defined]
    """A layer with an adapter: the layer itself, and factors that are trained beside it.

    Args:
      base: the layer; it is frozen or not as it was.
      r: rank of the factors.
      dropout: the probability with which inputs of the factors are dropped in training.
      scale: multiplies the factors' product.
    """

    kind: ClassVar[Kind] = "linear"
    use_dora: ClassVar[bool] = False
    # The name of the layer itself, and so the beginning of its parameters' names.
    base_name: ClassVar[str] = "linear"

    def __init__(self, base: Module, r: int = 8, dropout: float = 0.0, scale: float = 20.0):
        super().__init__()
        if kind_of_module(base) != self.kind:
            name = type(self).__name__
            raise ArgumentError(f"[{name}] base: expected a layer of the kind {self.kind}, got {type(base).__name__}")
        self[self.base_name] = base
        self.scale = scale
        self.dropout = fraction(type(self).__name__, "dropout", dropout)
        for part, value in new_factors(node_of(base), self.kind, r, self.use_dora).items():
            self[part] = value
        self.train(base.training)

    @classmethod
    def from_base(cls, base: Module, r: int = 8, dropout: float = 0.0, scale: float = 20.0) -> Adapted:
        """The adapted layer of a layer, which does what that does until it is trained.

        Args:
          base: the layer.
          r: rank of the factors; at least 1.
          dropout: the probability with which inputs of the factors are dropped, from 0 to below 1.
          scale: multiplies the factors' product.

        Returns:
          A new layer.
        """
        return cls(base, r, dropout, scale)

    @property
    def base(self) -> Module:
        """The layer itself."""
        found: Module = self[self.base_name]
        return found

    def node(self) -> Node:
        """The layer and its adapter as a node."""
        parts = {name: self[name] for name in PARTS if name in self}
        return {**node_of(self.base), "adapters": ({**parts, "scaling": Scaling(self.scale, self.dropout)},)}

    def fuse(self, dequantize: bool = False) -> Module:
        """The layer with the adapter in its weight.

        Args:
          dequantize: unpack a quantized weight; else it is quantized again, as it was.

        Returns:
          A new layer without an adapter.
        """
        bare = node_of(self.base)
        bare = layers.dequantized(bare) if dequantize else bare
        return module_of(layers.requantized(bare, layers.adapted_weight(self.node(), self.kind)), self.base)


class LoRALinear(Adapted):
    """A linear layer with LoRA; see `mlxffi.tuner.layers.linear`."""

    def __call__(self, x: mx.array) -> mx.array:
        return layers.linear(self.node(), x, training=self.training)


class LoRAEmbedding(Adapted):
    """A table of embeddings with LoRA; see `mlxffi.tuner.layers.embedding`."""

    kind = "embedding"
    base_name = "embedding"

    def __call__(self, x: mx.array) -> mx.array:
        return layers.embedding(self.node(), x, training=self.training)

    def as_linear(self, x: mx.array) -> mx.array:
        """The table as the output layer.

        Args:
          x: floating point [..., features].

        Returns:
          floating point [..., rows of the table].
        """
        return layers.as_linear(self.node(), x, training=self.training)


class LoRASwitchLinear(Adapted):
    """Expert layers with LoRA; see `mlxffi.tuner.layers.switch_linear`."""

    kind = "switch"

    def __call__(self, x: mx.array, indices: mx.array, sorted_indices: bool = False) -> mx.array:
        node = self.node()
        return layers.switch_linear(node, x, indices, sorted_indices=sorted_indices, training=self.training)


class DoRALinear(LoRALinear):
    """A linear layer with DoRA."""

    use_dora = True


class DoRAEmbedding(LoRAEmbedding):
    """A table of embeddings with DoRA."""

    use_dora = True


class DoRASwitchLinear(LoRASwitchLinear):
    """Expert layers with DoRA."""

    use_dora = True


WRAPPERS: dict[tuple[Kind, bool], type[Adapted]] = {
    (wrapper.kind, wrapper.use_dora): wrapper
    for wrapper in (LoRALinear, LoRAEmbedding, LoRASwitchLinear, DoRALinear, DoRAEmbedding, DoRASwitchLinear)
}


def adapted(module: Any, r: int, dropout: float, scale: float, use_dora: bool) -> Module:
    """The adapted layer of a layer: one that makes its own (`to_lora`) is asked for it.

    Args:
      module: the layer.
      r: rank of the factors; at least 1.
      dropout: the probability with which inputs of the factors are dropped, from 0 to below 1.
      scale: multiplies the factors' product.
      use_dora: DoRA instead of LoRA.

    Returns:
      A layer that holds the other.

    Raises:
      ValueError: there is none.
    """
    if hasattr(module, "to_lora"):
        if use_dora:
            raise ArgumentError(f"[DoRA] a {type(module).__name__} makes its own LoRA layer, and no DoRA layer")
        made: Module = module.to_lora(r=r, scale=scale, dropout=dropout)
        return made
    kind = kind_of_module(module)
    if kind is None:
        raise ArgumentError(f"[LoRA] a {type(module).__name__} cannot be adapted")
    return WRAPPERS[kind, use_dora].from_base(module, r, dropout, scale)
