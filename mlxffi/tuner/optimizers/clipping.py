"""Gradients of bounded size."""

from __future__ import annotations

from ... import core as mx
from ...core import array
from ...fused import sum_of_squares
from .. import checks
from ..trees import Tree, paths, tree_map


def clip_grad_norm(grads: Tree, max_norm: float) -> tuple[Tree, array]:
    """Scale gradients down by one factor, so that their total norm is at most `max_norm`.

    Squares are added in float32 whatever the gradients' dtypes, in the tree's order.

    Args:
      grads: a tree of arrays, each of which keeps its dtype.
      max_norm: at least 0.

    Returns:
      (grads, norm): the norm, float32 [], is the one before.
    """
    checks.non_negative("clip_grad_norm", "max_norm", max_norm)
    norm = gradient_norm(grads)
    factor = clip_factor(norm, max_norm)
    return tree_map(lambda gradient: (gradient * factor).astype(gradient.dtype), grads), norm


def gradient_norm(grads: Tree) -> array:
    """The root of the sum of all squares.

    Args:
      grads: a tree of arrays.

    Returns:
      float32 [].
    """
    return mx.sqrt(sum_of_squares([gradient for _, gradient in paths(grads)] or [mx.zeros([])]))


def clip_factor(norm: array, max_norm: float) -> array:
    """By what gradients are multiplied.

    Args:
      norm: of them.
      max_norm: at least 0.

    Returns:
      float32 [], at most 1.
    """
    return mx.minimum(max_norm / (norm + 1e-6), 1.0)
