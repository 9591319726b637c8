"""The loop around the training step: when to report, to validate, to save, and to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from ... import core as mx
from ..._errors import ArgumentError, OperationError
from .. import checks
from ..distributed import World
from ..files import PathLike, locked
from ..losses import default_loss
from ..models.functional import Tunable
from ..trees import Tree, flatten
from .args import TrainingArgs
from .callbacks import Callback, SaveReport, StartReport, StepReport, TrainReport, TrainResult, ValReport, tell
from .checkpoint import (
    ADAPTER_FILE,
    STATE_FILE,
    Checkpoint,
    Progress,
    Saver,
    Writer,
    read_checkpoint,
    settings_of,
    writer_for,
)
from .data import Data, TrainSet, ValidSet
from .step import (
    Loss,
    Metrics,
    Optimizer,
    added,
    evaluation,
    figures_of,
    first_state,
    make_apply,
    make_score,
    make_step,
    packed,
    packing_of,
    unpacked,
)


def train(
    model: Tunable,
    optimizer: Optimizer,
    train_set: TrainSet,
    valid_set: ValidSet | None = None,
    args: TrainingArgs = TrainingArgs(),  # noqa: B008 - frozen
    *,
    loss: Loss = default_loss,
    folder: PathLike | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    write: Writer | None = None,
) -> TrainResult:
    """Train a model; it has the trained parameters after each step, however the run ends.

    Args:
      model: its `trainable()` parameters are trained.
      optimizer: pure functions `init` and `update`.
      train_set: examples, or batches with an order of their own; see `Data`.
      valid_set: the same for validation, before the first step, at intervals, and after the last update.
      args: how to train.
      loss: returns the sum of a batch's losses and the number of its targets, or groups. Losses of preferences compare
        with the parameters at the start of the run, which its state keeps.
      folder: for adapters.safetensors, its numbered copies, the best adapter, and the state of the run; None writes
        nothing.
      resume: whether to continue from the state in `folder`.
      callbacks: observe the run, and may stop it.
      write: writes the trained parameters to a path; None: `save_adapter` if the model has an adapter, else the
        parameters by path.

    Returns:
      How the run ended.

    Raises:
      FileNotFoundError: there is no state to resume from.
      ValueError: it is the state of another run, or there are too few examples for a batch.
      RuntimeError: an update was not finite and was skipped, and `args.nan_guard` is "raise"; no batch since the last
        report had a finite loss, or none had a target; or another run writes to the folder.
    """
    if resume and folder is None:
        raise ArgumentError("[train] resume: expected a folder with the state of a run, got none")
    _require(model, optimizer, args, loss, callbacks, write)
    world = World()
    data = Data(train_set, valid_set, args, world, getattr(model, "vocab_size", None))
    args = replace(args, iters=data.iterations())
    saver = Saver(None if folder is None else Path(folder), args, world, write or writer_for(model))
    run = _Run(model, optimizer, data, args, world, loss, saver, callbacks)
    lock = locked(folder) if folder is not None and world.is_writer else nullcontext()
    try:
        with lock, wired_memory():
            run.begin(Path(folder) / STATE_FILE if folder is not None and resume else None)
            run.iterate()
            return run.end()
    except BaseException as error:
        tell(callbacks, "on_exception", error)
        raise


def _require(
    model: Tunable, optimizer: Optimizer, args: TrainingArgs, loss: Loss, callbacks: Sequence[Callback], write: Any
) -> None:
    checks.capable("train", "model", model, "trainable", "update", "logits")
    checks.capable("train", "optimizer", optimizer, "init", "update")
    checks.instance("train", "args", args, TrainingArgs)
    checks.capable("train", "loss", loss, "__call__")
    checks.capable("train", "callbacks", callbacks, "__iter__", "__len__")
    for index, callback in enumerate(callbacks):
        checks.instance("train", f"callbacks[{index}]", callback, Callback)
    if write is not None:
        checks.capable("train", "write", write, "__call__")


class _Run:
    """One run: what it was given, its state, and how far it is."""

    def __init__(
        self,
        model: Tunable,
        optimizer: Optimizer,
        data: Data,
        args: TrainingArgs,
        world: World,
        loss: Loss,
        saver: Saver,
        callbacks: Sequence[Callback],
    ):
        self._model, self._data, self._args, self._world, self._loss = model, data, args, world, loss
        self._saver, self._callbacks, self._settings = saver, callbacks, settings_of(model, optimizer, loss)
        self._step = make_step(model, optimizer, loss, args, world)
        self._apply = make_apply(optimizer, args, world)
        self._score = make_score(model, loss, args.compile)
        self._packing = packing_of(model, optimizer, args.grad_checkpoint)
        self._state = first_state(model, optimizer, args.seed, world, loss, args.grad_checkpoint)
        self._progress = Progress()
        # Why this process wants to stop, and why all of them do.
        self._wish: str | None = None
        self._stop: str | None = None
        # The last step, if its metrics have not been read yet: iteration, metrics, whether it ended a window.
        self._pending: tuple[int, mx.array, bool] | None = None
        self._validated = -1
        # The parameters of the best validation, where the run is to end with them.
        self._best: Tree | None = None
        # Whether a loss since the last report was not finite.
        self._not_finite = False

    # --- the parts of a run ---

    def begin(self, resumed: Path | None) -> None:
        """Take up the state in a file, or validate the model as it came."""
        if resumed is not None:
            fresh = unpacked(self._state, self._packing)
            checkpoint = read_checkpoint(resumed, fresh, self._args, self._world, self._settings)
            self._state, self._progress = packed(checkpoint.state, self._packing), checkpoint.progress
            self._best = checkpoint.best
            self._data.restore(checkpoint.position)
            self._saver.is_done(self._progress.iteration)
        self._model.update(self._trained())
        mx.eval(self._model.parameters(), self._state)
        size = sum(item.size for item in flatten(self._state.trained).values())
        self._tell("on_start", StartReport(self._args, self._progress.iteration, size))
        if resumed is None:
            self._validate()

    def iterate(self) -> None:
        """Train until all iterations are done or a stop is asked for."""
        while self._stop is None and self._progress.iteration < self._args.iters:
            with self._timed():
                self._train_on_batch()
            self._follow_schedule()

    def _follow_schedule(self) -> None:
        """What is due after an iteration, whether or not the run ends with it."""
        args, done = self._args, self._progress.iteration
        if done % args.steps_per_report == 0:
            self._report()
        if done % args.steps_per_eval == 0:
            self._validate()
        if done % args.steps_per_save == 0:
            self._save()

    def end(self) -> TrainResult:
        """Save the state from which a longer run would go on; then apply what is left, report, validate and save."""
        self._catch_up()
        self._saver.state(self._checkpoint())
        if self._state.window is not None:
            self._close_window()
        if self._progress.batches:
            self._report()
        if self._stop is None and self._validated != self._progress.iteration:
            self._validate()
        self._save()
        self._take_best()
        result = self._result()
        self._tell("on_end", result)
        return result

    def _result(self) -> TrainResult:
        done = self._progress
        return TrainResult(
            done.iteration, done.trained_tokens, done.val_loss, done.best_val_loss, done.best_iteration, self._stop
        )

    # --- a step ---

    def _train_on_batch(self) -> None:
        """Start the work on the next batch, then wait for that on the one before."""
        batch, args = self._data.next(), self._args
        iteration = self._progress.iteration + 1
        due = iteration % args.grad_accumulation_steps == 0
        self._state, results = self._step(self._state, batch, due)
        trained = self._trained()
        self._model.update(trained)
        mx.async_eval(self._state, results)
        self._progress.iteration = iteration
        before, self._pending = self._pending, (iteration, results, due)
        self._read(before)
        self._tell("on_step", StepReport(iteration, trained, results, due))
        keep_cache_below(args.clear_cache_threshold)

    def _catch_up(self) -> None:
        """Wait for the last step."""
        before, self._pending = self._pending, None
        with self._timed():
            self._read(before)

    def _read(self, step: tuple[int, mx.array, bool] | None) -> None:
        """Wait for a step and count its metrics."""
        if step is None:
            return
        iteration, results, due = step
        metrics, progress = Metrics.of(results), self._progress
        is_finite = math.isfinite(metrics.loss)
        if self._args.nan_guard == "raise" and not (is_finite and math.isfinite(metrics.norm)):
            raise _not_finite(iteration, metrics)
        progress.batches += 1
        if is_finite:
            progress.loss += metrics.loss
            progress.targets += metrics.targets
            progress.tokens += metrics.tokens
            progress.sums = added(progress.sums, metrics.sums)
        self._not_finite |= not is_finite
        if due:
            progress.grad_norm = metrics.norm
            progress.skipped += not metrics.applied

    def _close_window(self) -> None:
        """Update with the gradients of fewer batches than a window has."""
        self._state, norm, applied = self._apply(self._state)
        self._model.update(self._trained())
        self._saver.forget_parameters()
        self._validated = -1
        self._progress.grad_norm = norm.item()
        self._progress.skipped += not applied.item()

    @contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._progress.seconds += time.perf_counter() - start

    # --- what happens between steps ---

    def _report(self) -> None:
        self._catch_up()
        progress = self._progress
        sums = [progress.loss, progress.targets, progress.tokens, *progress.sums]
        loss, targets, tokens, *rest = self._world.totals(sums)
        is_last = self._stop is not None or progress.iteration >= self._args.iters
        if not targets and (self._world.any(self._not_finite) or (is_last and not progress.trained_tokens)):
            raise _nothing_learned(progress)
        self._not_finite = False
        progress.trained_tokens += round(tokens)
        report = TrainReport(
            iteration=progress.iteration,
            train_loss=loss / targets if targets else math.nan,
            learning_rate=float(self._state.optimizer["learning_rate"].item()),
            grad_norm=progress.grad_norm,
            iterations_per_second=progress.batches / progress.seconds,
            tokens_per_second=tokens / progress.seconds,
            trained_tokens=progress.trained_tokens,
            skipped_steps=progress.skipped,
            peak_memory=mx.get_peak_memory() / 1e9,
            seconds=progress.seconds,
            figures=figures_of(self._loss, rest),
        )
        progress.begin_interval()
        self._tell("on_train_report", report)
        self._agree()

    def _validate(self) -> None:
        if not self._data.validates:
            return
        self._catch_up()
        start, progress = time.perf_counter(), self._progress
        batches = islice(self._data.validation(), None if self._args.val_batches < 0 else self._args.val_batches)
        trained, reference = self._trained(), self._state.reference
        compared = None if reference is None else self._packing.tree(reference)
        found = evaluation(self._score, self._loss, trained, compared, batches, self._world)
        seconds = time.perf_counter() - start
        progress.val_loss, self._validated = found.loss, progress.iteration
        is_best = found.loss is not None and self._judge(found.loss)
        if is_best:
            self._saver.best(trained)
            self._best = trained if self._args.save_best else None
        lost = round(self._world.totals([self._data.without_targets])[0])
        val_loss = math.nan if found.loss is None else found.loss
        self._tell("on_val_report", ValReport(progress.iteration, val_loss, seconds, is_best, lost, found.figures))
        self._agree()

    def _judge(self, val_loss: float) -> bool:
        """Whether a validation is the best so far; too many that are not ask to stop."""
        progress, args = self._progress, self._args
        best = math.inf if progress.best_val_loss is None else progress.best_val_loss
        if val_loss < best - args.early_stop_delta:
            progress.best_val_loss, progress.best_iteration, progress.worse = val_loss, progress.iteration, 0
            return True
        progress.worse += 1
        if 0 < args.early_stop <= progress.worse:
            self._wish = f"{progress.worse} validations in a row without a better loss than {best:.4f}"
        return False

    def _save(self) -> None:
        self._catch_up()
        self._saver.state(self._checkpoint())
        files = self._saver.parameters(self._progress.iteration, self._trained())
        if files:
            self._tell("on_save", SaveReport(self._progress.iteration, files))
        self._agree()

    def _take_best(self) -> None:
        """Let the model have the parameters of the best validation, and their file under the name of the last ones."""
        if self._best is None:
            return
        self._model.update(self._best)
        files = self._saver.best(self._best, ADAPTER_FILE)
        if files:
            self._tell("on_save", SaveReport(self._progress.best_iteration or 0, files))

    def _checkpoint(self) -> Checkpoint:
        state = unpacked(self._state, self._packing)
        return Checkpoint(state, self._progress, self._data.position(), self._settings, self._best)

    def _trained(self) -> Tree:
        """The parameters as the model has them."""
        return self._packing.tree(self._state.trained)

    # --- callbacks ---

    def _tell(self, event: str, report: object) -> None:
        """Tell the callbacks; a single process stops at once where one of them asks for it."""
        self._wish = tell(self._callbacks, event, report) or self._wish
        if self._world.size == 1:
            self._stop = self._wish

    def _agree(self) -> None:
        """Stop where any process wants to."""
        if self._world.any(self._wish is not None):
            self._stop = self._wish or "another process asked to stop"


def _not_finite(iteration: int, metrics: Metrics) -> OperationError:
    return OperationError(
        f"[train] iteration {iteration}: expected a finite loss and gradient, got the loss {metrics.loss} and a "
        f"gradient of norm {metrics.norm}; the update was left out. A lower learning rate, max_grad_norm or float32 "
        "parameters may help, and nan_guard='skip' goes on without such updates"
    )


def _nothing_learned(progress: Progress) -> OperationError:
    first = progress.iteration - progress.batches + 1
    return OperationError(
        f"[train] iterations {first} to {progress.iteration}: expected a batch with a target and a finite loss, "
        "got none"
    )


# --- limits of memory ---


@contextmanager
def wired_memory() -> Iterator[None]:
    """On Metal, let as much memory stay resident as the system recommends; afterwards the limit is what it was.

    Elsewhere there is no such limit.
    """
    if not mx.metal.is_available():
        yield
        return
    before = mx.set_wired_limit(int(mx.device_info()["max_recommended_working_set_size"]))
    try:
        yield
    finally:
        mx.synchronize()
        mx.set_wired_limit(before)


def keep_cache_below(threshold: int) -> None:
    """Release cached memory if there is more than a threshold.

    Args:
      threshold: bytes; 0: no limit.
    """
    if 0 < threshold < mx.get_cache_memory():
        mx.clear_cache()
