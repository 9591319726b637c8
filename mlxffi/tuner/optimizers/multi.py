"""Several optimizers, each for a part of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..._errors import ArgumentError
from ...core import array
from .. import _trees
from .._trees import Tree
from .base import Optimizer, State, gradients_of, require_state

Filter: TypeAlias = "Callable[[str, array], bool]"


@dataclass(frozen=True)
class MultiOptimizer(Optimizer):
    """Each parameter follows the first optimizer whose filter wants it, or the last one.

    Its state has the `step` and the `learning_rate` of the first optimizer, and the states of all as `states`.

    Args:
      optimizers: at least one.
      filters: for each optimizer but the last, whether it is for a parameter, from its path and the parameter itself.
        What a filter says must not depend on the parameter's values, which change.
    """

    optimizers: Sequence[Optimizer]
    filters: Sequence[Filter] = ()

    def __post_init__(self) -> None:
        for name in ("optimizers", "filters"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.optimizers or len(self.filters) != len(self.optimizers) - 1:
            found = f"got {len(self.filters)} filters for {len(self.optimizers)} optimizers"
            raise ArgumentError(f"[MultiOptimizer] filters: expected one fewer than there are optimizers, {found}")

    def init(self, params: Tree) -> State:
        parts = self._parts(_trees.flatten(params))
        return _state([optimizer.init(part) for optimizer, part in zip(self.optimizers, parts, strict=True)])

    def update(self, grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        arrays = _trees.flatten(params)
        gradients = gradients_of("MultiOptimizer", grads, arrays)
        states = []
        for optimizer, old, part in zip(self.optimizers, self._states(state), self._parts(arrays), strict=True):
            own = {path: gradients[path] for path in part if path in gradients}
            updated, new = optimizer.update(own, old, part)
            arrays.update(updated)
            states.append(new)
        return _trees.refilled(params, arrays), _state(states)

    def _states(self, state: State) -> list[State]:
        require_state("MultiOptimizer", state, "states")
        states: list[State] = state["states"]
        if len(states) != len(self.optimizers):
            wanted = f"the states of {len(self.optimizers)} optimizers, got {len(states)}"
            raise ArgumentError(f"[MultiOptimizer.update] state.states: expected {wanted}")
        return states

    def _parts(self, arrays: dict[str, array]) -> list[dict[str, array]]:
        """What each optimizer is for, by path: such dicts are trees with the same paths."""
        parts: list[dict[str, array]] = [{} for _ in self.optimizers]
        for path, parameter in arrays.items():
            wanted = (place for place, wants in enumerate(self.filters) if wants(path, parameter))
            parts[next(wanted, -1)][path] = parameter
        return parts


def _state(states: list[State]) -> State:
    return {"step": states[0]["step"], "learning_rate": states[0]["learning_rate"], "states": states}
