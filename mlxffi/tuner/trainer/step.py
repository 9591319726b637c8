"""The training step: a pure function of a state and a batch, compiled once for each width of batches.

Gradients are those of the sum of a batch's losses. The batches of a window add theirs up, and its last one divides by
the number of targets in all of them: an update is then the same however its records were cut into batches, and however
these were spread over processes. What is not finite makes the update be left out, which needs no wait for a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeAlias

from ... import core as mx
from ..._errors import ArgumentError
from .. import checks
from ..datasets.examples import Batch
from ..distributed import World
from ..losses import default_loss, sums_of
from ..models.checkpointing import random_numbers_from
from ..models.functional import Tunable
from ..models.prepared import preparation_of
from ..optimizers.base import Share, is_elementwise, updated_where
from ..optimizers.clipping import clip_factor, gradient_norm
from ..trees import Tree, flatten, merged, refilled
from .args import TrainingArgs
from .packing import Packing

# From logits and a batch to the sum of its losses and the number of what they are of, targets or groups of sequences,
# each float32 []. A third array, float32 [n], has the sums of which its method `figures` makes numbers to report.
Loss: TypeAlias = Callable[[mx.array, Batch], "tuple[mx.array, ...]"]
Gradients: TypeAlias = dict[str, mx.array]

# A norm that no gradient exceeds.
NO_LIMIT = 3e38


class Optimizer(Protocol):
    """Pure functions over trees of arrays; a state has a `learning_rate`, float32 []."""

    def init(self, parameters: Tree) -> Tree:
        """The state before the first update.

        Args:
          parameters: to be trained.

        Returns:
          A tree of arrays.
        """
        ...

    def update(self, gradients: Tree, state: Tree, parameters: Tree) -> tuple[Tree, Tree]:
        """The parameters and the state after an update.

        Args:
          gradients: of the form of the parameters.
          state: what `init` or the last `update` gave.
          parameters: before the update.

        Returns:
          (new parameters, new state).
        """
        ...


class Window(NamedTuple):
    """What the batches since the last update came to.

    Args:
      gradients: sums over targets, by path.
      targets: float32 []: how many (of whatever the loss counts); NaN after a loss that was not finite.
    """

    gradients: Gradients
    targets: mx.array


class State(NamedTuple):
    """All that a step reads and replaces; while a run trains, in packed form.

    Args:
      trained: the parameters, as the model's `trainable()` gives them; packed, arrays by name.
      optimizer: its state.
      random: the key that dropout draws from, uint32 [2].
      window: None right after an update.
      reference: the parameters at the beginning of the run, for losses that compare with them; else None.
    """

    trained: Tree
    optimizer: Tree
    random: mx.array
    window: Window | None
    reference: Tree | None = None


class Metrics(NamedTuple):
    """What a step tells, as numbers.

    Args:
      loss: the sum of losses.
      targets: how many they are, in what the loss counts.
      norm: of the update's gradient.
      applied: whether the update was applied.
      tokens: how many targets the batch has.
      sums: what the loss makes figures of.
    """

    loss: float
    targets: float
    norm: float
    applied: float
    tokens: float
    sums: tuple[float, ...] = ()

    @classmethod
    def of(cls, results: mx.array) -> Metrics:
        """The metrics of a step; waits for its results.

        Args:
          results: float32 [5 + sums], the second result of a step.

        Returns:
          The numbers.
        """
        loss, targets, norm, applied, tokens, *sums = results.tolist()
        return cls(loss, targets, norm, applied, tokens, tuple(sums))


Step: TypeAlias = Callable[[State, Batch, bool], tuple[State, mx.array]]
Apply: TypeAlias = Callable[[State], tuple[State, mx.array, mx.array]]
Score: TypeAlias = "Callable[[Tree, Batch, Tree | None], mx.array]"


def needs_reference(loss: Loss) -> bool:
    """Whether a loss compares with the model as it was when the run began.

    Args:
      loss: any.

    Returns:
      Its `needs_reference`; False where it has none.
    """
    return bool(getattr(loss, "needs_reference", False))


def initial_state(model: Tunable, optimizer: Optimizer, seed: int, world: World, loss: Loss = default_loss) -> State:
    """The state before the first step: the writing process's parameters, and for each process its own key for dropout.

    Args:
      model: whose `trainable()` parameters are where the run begins.
      optimizer: makes the first of its states.
      seed: of dropout's random numbers.
      world: the processes that train together.
      loss: whether it compares with the model as it was decides whether the state keeps that.

    Returns:
      A state that is not packed.
    """
    trained = refilled(model.trainable(), world.from_writer(flatten(model.trainable())))
    keys = mx.random.split(mx.random.key(seed), world.size)
    reference = trained if needs_reference(loss) else None
    return State(trained, optimizer.init(flatten(trained)), keys[world.rank], None, reference)


def first_state(
    model: Tunable, optimizer: Optimizer, seed: int, world: World, loss: Loss = default_loss, checkpoint: bool = False
) -> State:
    """`initial_state` in packed form.

    Args:
      model, optimizer, seed, world, loss: as in `initial_state`.
      checkpoint: as in `packing_of`.

    Returns:
      A packed state.
    """
    return packed(initial_state(model, optimizer, seed, world, loss), packing_of(model, optimizer, checkpoint))


def packing_of(model: Tunable, optimizer: Optimizer, checkpoint: bool = False) -> Packing:
    """How a model's parameters are packed while they are trained with an optimizer.

    Args:
      model: to be trained.
      optimizer: one that is `elementwise` lets arrays be joined.
      checkpoint: whether blocks are computed again for the gradient.

    Returns:
      How to pack a tree like the model's `trainable()`.
    """
    joints = getattr(_running(model, optimizer, checkpoint), "joints", None)
    return Packing(model.trainable(), not is_elementwise(optimizer), joints)


def _running(model: Tunable, optimizer: Optimizer, checkpoint: bool) -> Tunable:
    """A model as steps run it: with joined layers, unless an optimizer looks at each array as a whole, or blocks are
    checkpointed, which is for memory: with joined layers they take twice as much.
    """
    join = getattr(model, "with_joints", None)
    found: Tunable = join() if join and is_elementwise(optimizer) and not checkpoint else model
    return found


def packed(state: State, packing: Packing) -> State:
    """A state in packed form, which steps take.

    Args:
      state: as `initial_state` gives it.
      packing: of the model and the optimizer.

    Returns:
      The state in packed form.
    """
    window = state.window and state.window._replace(gradients=packing.pack(state.window.gradients))
    trained, moments = packing.pack(flatten(state.trained)), packing.pack_moments(state.optimizer)
    reference = None if state.reference is None else packing.pack(flatten(state.reference))
    return State(trained, moments, state.random, window, reference)


def unpacked(state: State, packing: Packing) -> State:
    """The inverse of `packed`.

    Args:
      state: in packed form.
      packing: of the model and the optimizer.

    Returns:
      The state with trees as the model has them.
    """
    window = state.window and state.window._replace(gradients=packing.unpack(state.window.gradients))
    reference = None if state.reference is None else packing.tree(state.reference)
    return State(packing.tree(state.trained), packing.unpack_moments(state.optimizer), state.random, window, reference)


def make_step(model: Tunable, optimizer: Optimizer, loss: Loss, args: TrainingArgs, world: World) -> Step:
    """Make a function of (packed state, batch, whether an update is due) to the new state and the step's metrics.

    Args:
      model: to be trained.
      optimizer: makes updates of gradients.
      loss: gives sums and counts, as `default_loss` does.
      args: how many batches make an update, how gradients are clipped, whether the step is compiled.
      world: the processes whose gradients are summed.

    Returns:
      The function; its result is lazy. `Metrics.of` reads the array, float32 [5 + sums of the loss].
    """
    apply, packing = _make_apply(optimizer, args, world), packing_of(model, optimizer, args.grad_checkpoint)
    model = _running(model, optimizer, args.grad_checkpoint)
    prepared = preparation_of(model, packing.pack_joined)

    def of_arrays(arrays: Gradients, batch: Batch) -> tuple[mx.array, ...]:
        trained = packing.joined_tree(arrays)
        return _loss(model, loss, trained, batch, training=True, checkpoint=args.grad_checkpoint)

    def step(state: State, batch: Batch, due: bool) -> tuple[State, mx.array]:
        arrays = packing.joined(prepared(state.trained))
        reference = state.reference and packing.joined_tree(packing.joined(prepared(state.reference)))
        batch = _prepared(model, loss, packing.joined_tree(arrays), batch, reference)
        with random_numbers_from(state.random):
            (total, count, *sums), found = mx.value_and_grad(of_arrays)(arrays, batch)
            random = mx.random.state[0]
        gradients = prepared.gradients(packing.pack_joined(found))
        window = _added(state.window, gradients, mx.where(mx.isfinite(total), count, mx.nan), args)
        state = state._replace(random=random, window=window)
        norm = applied = mx.zeros([])
        if due:
            state, norm, applied = apply(state)
        found = mx.stack([total, count, norm, applied, batch.weights.sum()])
        return state, mx.concatenate([found, *sums])

    return mx.compile(step) if args.compile else step


def make_apply(optimizer: Optimizer, args: TrainingArgs, world: World) -> Apply:
    """Make the update of a window that ends early: from a packed state to (state, gradient norm, whether applied).

    Args:
      optimizer, args, world: as in `make_step`.

    Returns:
      The function; the norm, float32 [], is of the mean gradient before clipping; whether applied, 1 or 0.
    """
    apply = _make_apply(optimizer, args, world)
    return mx.compile(apply) if args.compile else apply


def make_score(model: Tunable, loss: Loss, compile: bool) -> Score:
    """Make a function of (parameters, batch, reference) to a loss's sums without dropout.

    Args:
      model: to be evaluated.
      loss: gives sums and counts, as `default_loss` does.
      compile: trace the model once for each width and run it as one graph.

    Returns:
      The function, whose result is lazy, float32 [2 + sums]: the sum of losses, how many they are (targets or groups),
      and what the loss makes figures of.
    """

    def score(trained: Tree, batch: Batch, reference: Tree | None) -> mx.array:
        total, count, *sums = _loss(model, loss, trained, _prepared(model, loss, trained, batch, reference))
        return mx.concatenate([mx.stack([total, count]), *sums])

    return mx.compile(score) if compile else score


def _prepared(model: Tunable, loss: Loss, trained: Tree, batch: Batch, reference: Tree | None) -> Batch:
    """A batch with what a loss needs to know of it and gives no gradient."""
    prepared = getattr(loss, "prepared", None)
    found: Batch = batch if prepared is None else prepared(model, trained, reference, batch)
    return found


def _loss(
    model: Tunable, loss: Loss, trained: Tree, batch: Batch, *, training: bool = False, checkpoint: bool = False
) -> tuple[mx.array, ...]:
    options: dict[str, Any] = {"segments": batch.input_segments, "training": training, "checkpoint": checkpoint}
    found = _loss_of_hidden(model, loss, trained, batch, options)
    found = found or sums_of(loss(model.logits(trained, batch.inputs, **options), batch))
    return tuple(item.astype(mx.float32) for item in found)


def _loss_of_hidden(
    model: Tunable, loss: Loss, trained: Tree, batch: Batch, options: dict[str, Any]
) -> tuple[mx.array, ...] | None:
    """The loss without logits; None where model or loss knows no such way."""
    of_hidden, hidden = getattr(loss, "of_hidden", None), getattr(model, "hidden", None)
    both = of_hidden and hidden and hidden(trained, batch.inputs, **options)
    found: tuple[mx.array, ...] | None = of_hidden(*both, batch) if of_hidden and both else None
    return found


def _added(window: Window | None, gradients: Gradients, count: mx.array, args: TrainingArgs) -> Window:
    """A window with one batch more; where there may be several, gradients are added up in float32."""
    if args.grad_accumulation_steps > 1:
        gradients = {path: item.astype(mx.float32) for path, item in gradients.items()}
    if window is None:
        return Window(gradients, count)
    return Window({path: window.gradients[path] + item for path, item in gradients.items()}, window.targets + count)


def _make_apply(optimizer: Optimizer, args: TrainingArgs, world: World) -> Apply:
    def apply(state: State) -> tuple[State, mx.array, mx.array]:
        assert state.window is not None
        gradients, targets = _of_all(state.window, world)
        parameters = state.trained
        each = mx.where(targets == 0, 0, 1 / targets)
        norm = each * gradient_norm(gradients)
        factor = clip_factor(norm, NO_LIMIT if args.max_grad_norm is None else args.max_grad_norm)
        share = Share(each * factor, mx.isfinite(norm) & (targets > 0))
        trained, made = updated_where(optimizer, share, gradients, state.optimizer, parameters)
        state = state._replace(trained=trained, optimizer=made, window=None)
        return state, norm, share.applied.astype(mx.float32)

    return apply


def _of_all(window: Window, world: World) -> Window:
    found = world.summed({**window.gradients, "": window.targets})
    targets = found.pop("")
    return Window(found, targets)


# --- evaluation ---


class Evaluation(NamedTuple):
    """What batches come to.

    Args:
      loss: the mean, None where there was nothing to take it of.
      figures: what the loss reports besides, by name.
    """

    loss: float | None
    figures: Mapping[str, float]


def evaluate(
    model: Tunable, batches: Iterable[Batch], num_batches: int = -1, *, loss: Loss = default_loss, compile: bool = True
) -> float:
    """The mean loss per target, in nats; for a loss of groups of sequences, per group.

    Args:
      model: evaluated with its own parameters, without dropout.
      batches: this process's, once through.
      num_batches: how many of them to take; -1 for all.
      loss: gives sums and counts, as `default_loss` does; one without a reference, or with one of its own.
      compile: trace the model once for each width and run it as one graph.

    Returns:
      The mean over all batches.

    Raises:
      ValueError: there is no batch, or no target in any, or the loss needs to know how the model was.
    """
    if needs_reference(loss):
        raise ArgumentError("[evaluate] loss: expected one that needs no reference; evaluate_from takes one")
    found = evaluate_from(model, None, batches, num_batches, loss=loss, compile=compile).loss
    assert found is not None
    return found


def evaluate_from(
    model: Tunable,
    reference: Tree | None,
    batches: Iterable[Batch],
    num_batches: int = -1,
    *,
    loss: Loss,
    compile: bool = True,
) -> Evaluation:
    """`evaluate`, with a reference and with what a loss reports besides.

    Args:
      model: evaluated with its own parameters, without dropout.
      reference: those of the model's `trainable()` parameters that were others; None where the loss does not ask.
      batches: this process's, once through.
      num_batches: how many of them to take; -1 for all.
      loss: gives sums and counts, as `default_loss` does.
      compile: trace the model once for each width and run it as one graph.

    Returns:
      The mean loss, as `evaluate` gives it, and the loss's figures by name.

    Raises:
      ValueError: there is no batch, or no target in any.
    """
    checks.capable("evaluate", "model", model, "trainable", "logits")
    checks.capable("evaluate", "loss", loss, "__call__")
    score, trained = make_score(model, loss, compile), model.trainable()
    reference = None if reference is None else merged(trained, reference)
    most = None if num_batches < 0 else num_batches
    found = evaluation(score, loss, trained, reference, islice(batches, most), World())
    if found.loss is None:
        raise ArgumentError("[evaluate] batches: expected one with a target, got none")
    return found


def evaluation(
    score: Score, loss: Loss, trained: Tree, reference: Tree | None, batches: Iterable[Batch], world: World
) -> Evaluation:
    """The result of a score over all batches; processes wait for each other.

    Args:
      score: what `make_score` gave.
      loss: its loss, for the figures.
      trained: the parameters.
      reference: those that the loss compares with; None for none.
      batches: this process's, once through.
      world: the processes whose sums are added.

    Returns:
      The mean loss, None where there was no target, and the loss's figures by name.
    """
    sums: list[float] = []
    running: list[mx.array] = []
    for batch in batches:
        checks.instance("evaluate", "batches", batch, Batch)
        running.append(score(trained, batch, reference))
        mx.async_eval(running[-1])
        if len(running) > 1:
            sums = added(sums, running.pop(0).tolist())
    for result in running:
        sums = added(sums, result.tolist())
    total, count, *rest = world.totals(sums or [0.0, 0.0])
    return Evaluation(total / count if count else None, figures_of(loss, rest))


def figures_of(loss: Loss, sums: Sequence[float]) -> Mapping[str, float]:
    """The numbers that a loss reports, computed from its sums.

    Args:
      loss: with a method `figures` where it has sums.
      sums: over all batches.

    Returns:
      Numbers by name; empty without sums.
    """
    return loss.figures(sums) if sums else {}  # type: ignore[attr-defined]


def added(sums: Sequence[float], more: Sequence[float]) -> list[float]:
    """Add numbers to sums.

    Args:
      sums: so far; empty for none yet.
      more: as many numbers.

    Returns:
      A new list.
    """
    return [a + b for a, b in zip(sums or [0.0] * len(more), more, strict=True)]
