"""The interface of optimizers: a configuration that never changes, and two pure functions over trees of arrays.

    init(params)                -> state
    update(grads, state, params) -> (params, state)

    state = {"step": uint64 [], "learning_rate": float32 [], "<moment>": a tree like params, ...}

All arithmetic is in the parameter's dtype, as in mlx.optimizers: parameters and moments keep it, and the scalars of a
formula are rounded to it. They are made once per step for each dtype, not for each array. float16 is the exception:
squares of gradients leave its range at both ends, so moments and arithmetic are float32. On GPUs an optimizer that
has a kernel updates many arrays by one, whose arithmetic is float32 for all dtypes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias

from ... import core as mx
from ..._errors import ArgumentError
from ...core import Dtype, array
from .. import checks
from ..layers import on_cpu
from ..schedules import Schedule
from ..trees import Tree, differences, flatten, kind, kinds, map_paths, paths, refilled, tree_map

LearningRate: TypeAlias = "float | Schedule"
State: TypeAlias = "dict[str, Any]"

# The moments of one parameter by name, and the step of one parameter: (gradient, parameter, moments) -> both anew.
Moments: TypeAlias = "dict[str, array]"
Rule: TypeAlias = "Callable[[array, array, Moments], tuple[array, Moments]]"
# The same of many parameters.
Arrays: TypeAlias = "list[array]"
RuleOfMany: TypeAlias = "Callable[[Arrays, Arrays, dict[str, Arrays]], tuple[Arrays, dict[str, Arrays]]]"


class Share(NamedTuple):
    """What of gradients an update takes.

    Args:
      scale: float32 [], their factor.
      applied: bool []; where it is false, everything stays what it was.
    """

    scale: array
    applied: array


class Optimizer(ABC):
    """How parameters are updated from gradients. Optimizers can be shared: everything that changes is in the state."""

    # Whether what becomes of a number follows from its own gradient and moments alone, so that arrays may be joined.
    elementwise: ClassVar[bool] = False

    @abstractmethod
    def init(self, params: Tree) -> State:
        """The state before the first step.

        Args:
          params: a tree of floating-point arrays.

        Returns:
          A tree of arrays: `step`, uint64 [], the steps done; `learning_rate`, float32 [], the rate of the last step
          (here of the first one to come); and the moments by their names.

        Raises:
          ValueError: a parameter is not floating point.
        """

    @abstractmethod
    def update(self, grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        """The parameters and the state after a step.

        Args:
          grads: a tree with the paths of `params`. Where it has None or nothing, the parameter and its moments do not
            change.
          state: from `init` or the last `update`.
          params: the tree that the state was made for.

        Returns:
          (params, state): trees like those given, with the same dtypes.

        Raises:
          ValueError: a gradient has no parameter, is no array, or has another shape; the message names its path.
        """

    def load_state(self, arrays: Mapping[str, array], params: Tree) -> State:
        """Restore a state from the arrays of its `flatten`, as a file has them.

        Args:
          arrays: by path, such as `m.layers.0.weight`.
          params: the parameters that the state belongs to.

        Returns:
          The state.

        Raises:
          ValueError: an array is missing, unknown, or of another shape or dtype than `init(params)` has; the message
            names all that are.
        """
        fresh = self.init(params)
        wanted = flatten(fresh)
        wrong = differences(kinds(arrays), kinds(wanted))
        if wrong:
            raise ArgumentError(f"[{self._name}.load_state] the arrays are not this state: {'; '.join(wrong)}")
        return {name: map_paths(lambda path, _: arrays[path], tree, start=name) for name, tree in fresh.items()}

    @property
    def _name(self) -> str:
        return type(self).__name__


# --- optimizers that treat each array by itself ---


@dataclass(frozen=True)
class ArrayOptimizer(Optimizer):
    """An optimizer that applies one rule to each array separately.

    Args:
      learning_rate: a number of at least 0, or a schedule.
    """

    learning_rate: LearningRate | None

    # The names of the moments of a `kernel`, where there is one.
    kernel_moments: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if not callable(self.learning_rate):
            checks.non_negative(self._name, "learning_rate", self.learning_rate)

    @abstractmethod
    def moments(self, parameter: array) -> Moments:
        """The moments of a parameter before the first step.

        Args:
          parameter: floating point, any shape.

        Returns:
          Arrays by name.
        """

    @abstractmethod
    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        """The update rule for parameters of one dtype, with everything they share computed already.

        Args:
          step: uint64 [], counted from 1.
          rate: float32 [].
          dtype: of the gradient, the parameter and its moments; never float16.

        Returns:
          A function from gradient, parameter and moments to the new parameter and moments.
        """

    def kernel(self, step: array, rate: array, share: Share) -> RuleOfMany:
        """The update rule for all dtypes, as a kernel of GPUs.

        Args:
          step, rate: as in `rule`.
          share: by what the rule multiplies gradients, and whether it changes anything.

        Returns:
          A function from gradients, parameters and moments, of their own dtypes, to the new parameters and moments.
        """
        raise NotImplementedError(f"[{self._name}] has no kernel")

    def rate(self, step: array) -> array:
        """The learning rate of the next step.

        Args:
          step: uint64 [], the steps done.

        Returns:
          float32 [].
        """
        rate = self.learning_rate
        found = rate(step) if callable(rate) else rate
        if not isinstance(found, array):
            return mx.array(checks.finite(self._name, "learning_rate", found), mx.float32)
        if found.ndim:
            shape = list(found.shape)
            raise ArgumentError(f"[{self._name}] learning_rate: expected a schedule that gives one number, got {shape}")
        return found.astype(mx.float32)

    def init(self, params: Tree) -> State:
        by_path = {path: self._fresh(path, parameter) for path, parameter in paths(params)}
        names = dict.fromkeys(name for moments in by_path.values() for name in moments)
        step = mx.array(0, mx.uint64)
        return {"step": step, "learning_rate": self.rate(step)} | {
            name: map_paths(lambda path, _, name=name: by_path[path].get(name), params) for name in names
        }

    def update(self, grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        return self._update(Share(mx.array(1.0), mx.array(True)), grads, state, params)

    def update_where(self, share: Share, grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        """`update` by a kernel with a share of the gradients.

        Args:
          share: of all gradients.
          grads, state, params: as in `update`.

        Returns:
          As `update`.
        """
        made, after = self._update(share, grads, state, params)
        return made, after | {name: mx.where(share.applied, after[name], state[name]) for name in SCALARS}

    def _update(self, share: Share, grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        """An update that on CPUs takes no notice of the share."""
        arrays = flatten(params)
        gradients = gradients_of(self._name, grads, arrays)
        require_state(self._name, state, *SCALARS)
        moments = {name: flatten(tree) for name, tree in state.items() if name not in SCALARS}
        step, rate = state["step"] + 1, self.rate(state["step"])
        if uses_kernel(self):
            self._follow_kernel(gradients, self.kernel(step, rate, share), arrays, moments)
        else:
            self._follow(gradients, lambda dtype: in_dtype(self.rule(step, rate, dtype), dtype), arrays, moments)
        trees = {name: refilled(state[name], found) for name, found in moments.items()}
        return refilled(params, arrays), {"step": step, "learning_rate": rate, **trees}

    def _follow(
        self,
        gradients: Mapping[str, array],
        rule_of: Callable[[Dtype], Rule],
        arrays: dict[str, array],
        moments: Mapping[str, dict[str, array]],
    ) -> None:
        """Put the new parameters and moments in the places of those by path."""
        rules: dict[Dtype, Rule] = {}
        for path, gradient in gradients.items():
            dtype = working_dtype(arrays[path])
            if dtype not in rules:
                rules[dtype] = rule_of(dtype)
            found = {name: of[path] for name, of in moments.items() if path in of}
            try:
                made, after = rules[dtype](gradient, arrays[path], found)
            except KeyError as missing:
                raise self._lacks(missing.args[0], path) from None
            arrays[path] = made.astype(arrays[path].dtype)
            for name, value in after.items():
                moments[name][path] = value

    def _follow_kernel(
        self,
        gradients: Mapping[str, array],
        rule: RuleOfMany,
        arrays: dict[str, array],
        moments: Mapping[str, dict[str, array]],
    ) -> None:
        """`_follow` for all arrays at once."""
        for name in self.kernel_moments:
            for path in gradients:
                if path not in moments.get(name, {}):
                    raise self._lacks(name, path)
        old = {name: [moments[name][path] for path in gradients] for name in self.kernel_moments}
        made, after = rule(list(gradients.values()), [arrays[path] for path in gradients], old)
        arrays.update(zip(gradients, made, strict=True))
        for name, values in after.items():
            moments[name].update(zip(gradients, values, strict=True))

    def _lacks(self, moment: str, path: str) -> ArgumentError:
        return ArgumentError(f"[{self._name}.update] state: expected {moment}.{path}, got none")

    def _fresh(self, path: str, parameter: array) -> Moments:
        if not mx.issubdtype(parameter.dtype, mx.floating):
            raise ArgumentError(
                f"[{self._name}.init] {path}: expected a floating-point parameter, got {kind(parameter)}"
            )
        return self.moments(parameter.astype(working_dtype(parameter)))


def working_dtype(parameter: array) -> Dtype:
    """The dtype in which a parameter's moments are kept and its update is computed.

    Args:
      parameter: floating point, any shape.

    Returns:
      float32 for float16, else the parameter's dtype.
    """
    return mx.float32 if parameter.dtype == mx.float16 else parameter.dtype


def in_dtype(rule: Rule, dtype: Dtype) -> Rule:
    """A rule that casts what it is given.

    Args:
      rule: for gradients and parameters of the dtype.
      dtype: in which it computes.

    Returns:
      The same for all dtypes.
    """
    return lambda g, w, moments: rule(g.astype(dtype), w.astype(dtype), moments)


def uses_kernel(optimizer: object) -> bool:
    """Whether an optimizer updates arrays by a kernel.

    Args:
      optimizer: ours, or another.

    Returns:
      True on GPUs, for one that has a kernel.
    """
    return bool(getattr(optimizer, "kernel_moments", ())) and not on_cpu()


def updated_where(
    optimizer: Any, share: Share, grads: Mapping[str, array], state: State, params: Mapping[str, array]
) -> tuple[Tree, State]:
    """An update with a share of gradients.

    Args:
      optimizer: ours, or another.
      share: of all gradients.
      grads, params: by path, as many.
      state: the optimizer's.

    Returns:
      (params, state), as they were where the update is not applied.
    """
    made: tuple[Tree, State]
    if uses_kernel(optimizer):
        made = optimizer.update_where(share, grads, state, params)
        return made
    scaled = {path: (grads[path] * share.scale).astype(working_dtype(item)) for path, item in params.items()}
    made = tree_map(
        lambda new, old: mx.where(share.applied, new, old), optimizer.update(scaled, state, params), (params, state)
    )
    return made


def is_elementwise(optimizer: object) -> bool:
    """Whether an optimizer looks at each number by itself.

    Args:
      optimizer: ours, or another, which does so only if it says so.

    Returns:
      True where arrays may be joined for it.
    """
    return bool(getattr(optimizer, "elementwise", False))


SCALARS = ("step", "learning_rate")


def gradients_of(owner: str, grads: Tree, arrays: Mapping[str, array]) -> dict[str, array]:
    """The gradients that have elements, by path; each must have the path and shape of a parameter.

    Args:
      owner: the optimizer's name, for errors.
      grads: a tree of arrays, with None or nothing where there is no gradient.
      arrays: the parameters by path.

    Returns:
      Arrays by path.

    Raises:
      ValueError: one is not; the message names its path.
    """
    found = {}
    for path, gradient in _leaves(grads, "", []):
        if not isinstance(gradient, array):
            raise ArgumentError(f"[{owner}.update] grads.{path}: expected an array, got {type(gradient).__name__}")
        if path not in arrays:
            raise ArgumentError(
                f"[{owner}.update] grads.{path}: expected the path of a parameter, got none of that path"
            )
        if gradient.shape != arrays[path].shape:
            shapes = f"{list(arrays[path].shape)}, got {list(gradient.shape)}"
            raise ArgumentError(f"[{owner}.update] grads.{path}: expected the shape of the parameter, {shapes}")
        if gradient.size:
            found[path] = gradient
    return found


def _leaves(tree: Tree, start: str, found: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """All in a tree that is neither None nor a branch, with its path, appended to a list."""
    if isinstance(tree, (dict, list, tuple)):
        items: Iterable[tuple[Any, Any]] = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, item in items:
            _leaves(item, f"{start}.{key}" if start else str(key), found)
    elif tree is not None:
        found.append((start, tree))
    return found


def require_state(owner: str, state: State, *names: str) -> None:
    """Check that a state has these entries.

    Args:
      owner: the optimizer's name, for errors.
      state: the state.
      names: the entries.

    Raises:
      ValueError: one is missing.
    """
    for name in names:
        if name not in state:
            raise ArgumentError(f"[{owner}.update] state: expected {name}, as init gives it, got {', '.join(state)}")


def scalars(dtype: Dtype, *values: float) -> list[array]:
    """Numbers as arrays of a dtype.

    Args:
      dtype: the dtype.
      values: the numbers.

    Returns:
      Arrays of shape [].
    """
    return [mx.array(value, dtype) for value in values]


def zeros(parameter: array, *names: str) -> Moments:
    """Moments of 0, with the shape and dtype of a parameter.

    Args:
      parameter: any array.
      names: the moments' names.

    Returns:
      Arrays by name.
    """
    return {name: mx.zeros_like(parameter) for name in names}


# --- several optimizers ---


Filter: TypeAlias = "Callable[[str, array], bool]"


@dataclass(frozen=True)
class MultiOptimizer(Optimizer):
    """Several optimizers; each parameter uses the first one whose filter accepts it, or else the last one.

    Its state has the `step` and the `learning_rate` of the first optimizer, and the states of all as `states`.

    Args:
      optimizers: at least one.
      filters: for each optimizer but the last, a predicate over a parameter's path and the parameter. Its result must
        not depend on the parameter's values, which change.
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
        parts = self._parts(flatten(params))
        return _state([optimizer.init(part) for optimizer, part in zip(self.optimizers, parts, strict=True)])

    def update(self, grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        arrays = flatten(params)
        gradients = gradients_of("MultiOptimizer", grads, arrays)
        states = []
        for optimizer, old, part in zip(self.optimizers, self._states(state), self._parts(arrays), strict=True):
            own = {path: gradients[path] for path in part if path in gradients}
            updated, new = optimizer.update(own, old, part)
            arrays.update(updated)
            states.append(new)
        return refilled(params, arrays), _state(states)

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
