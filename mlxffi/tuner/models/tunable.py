"""What the trainer asks of a model: parameters, and logits as a pure function of those that are trained."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ...core import array
from .._trees import Tree


@runtime_checkable
class Tunable(Protocol):
    """A model that can be trained: `FunctionalModel` over a (parameters, forward) pair, `ModuleModel` over mlx.nn."""

    def trainable(self) -> Tree:
        """The parameters to train, as a tree whose paths are those in adapter files."""
        ...

    def parameters(self) -> Tree:
        """All parameters."""
        ...

    def update(self, trained: Tree) -> None:
        """Put trained parameters (a tree like `trainable()`) in the places of the model's own."""
        ...

    def logits(
        self,
        trained: Tree,
        tokens: array,
        *,
        segments: array | None = None,
        training: bool = False,
        checkpoint: bool = False,
    ) -> array:
        """The logits for the token that follows each token, as a function of the trained parameters.

        Args:
          trained: a tree like `trainable()`.
          tokens: int32 [batch, positions].
          segments: int32 [batch, positions], where several documents were packed into a row: tokens see those of
            their own segment only, and each segment's positions begin at 0.
          training: whether dropout is active; it draws from `mlxffi.core.random`'s state.
          checkpoint: compute each block again in the backward pass, instead of keeping what it computed.

        Returns:
          floating point [batch, positions, vocabulary].
        """
        ...
