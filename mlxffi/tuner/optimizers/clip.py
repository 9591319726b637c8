"""Gradients of bounded size."""

from __future__ import annotations

from ... import core as mx
from ...core import array
from .. import _checks, _trees
from .._trees import Tree


def clip_grad_norm(grads: Tree, max_norm: float) -> tuple[Tree, array]:
    """Gradients scaled down, all by one factor, so that their common norm is at most `max_norm`.

    Squares are added in float32 whatever the gradients' dtypes, in the tree's order.

    Args:
      grads: a tree of arrays, each of which keeps its dtype.
      max_norm: at least 0.

    Returns:
      (grads, norm): the norm, float32 [], is the one before.
    """
    _checks.non_negative("clip_grad_norm", "max_norm", max_norm)
    squares = [mx.sum(mx.square(gradient.astype(mx.float32))) for _, gradient in _trees.paths(grads)]
    norm = mx.sqrt(sum(squares, mx.array(0.0)))
    factor = mx.minimum(max_norm / (norm + 1e-6), 1.0)
    return _trees.tree_map(lambda gradient: (gradient * factor).astype(gradient.dtype), grads), norm
