"""How much of a model is trained."""

from __future__ import annotations

import math
from typing import NamedTuple

from ... import core as mx
from .._trees import Tree, paths
from ..layers import dims, is_quantized


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
