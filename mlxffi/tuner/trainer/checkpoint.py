"""What a run leaves in its folder: parameters, and its state in one file, whole or not there, from which it goes on.

The state holds the parameters, the optimizer's state, the keys of dropout, a window of gradients that is still open,
the parameters that a loss compares with, and, as JSON among the metadata, the progress and the position in the data.
With several processes it holds the sums over them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

from ... import core as mx
from ..._errors import ArgumentError, Error
from ..distributed import World
from ..files import PathLike, write_arrays
from ..lora import Adapter, save_adapter
from ..models.functional import Tunable
from ..trees import Tree, differences, flatten, kind, kinds, map_paths, unflatten
from .args import TrainingArgs
from .step import State, Window

STATE_FILE = "training_state.safetensors"
FORMAT = {"format": "mlxffi.training", "version": "1"}

# A run that goes on under others of these would be another run; the batches look after theirs.
SAME = ("grad_accumulation_steps", "save_best")


TYPES: dict[str, Any] = {
    "int": int,
    "float": float,
    "float | None": (float, type(None)),
    "int | None": (int, type(None)),
    "list[float]": list,
}


@dataclass
class Progress:
    """How far a run is, and what it will report next.

    Args:
      iteration: iterations done.
      trained_tokens: targets up to the last report, in all processes.
      loss, targets, tokens, sums: sums since the last report, in this process; see `Metrics`.
      batches, skipped: iterations, and updates left out, since the last report.
      seconds: spent on iterations since the last report.
      grad_norm: of the last update.
      val_loss: of the last validation.
      best_val_loss, best_iteration: of the best one.
      worse: validations since the best one.
    """

    iteration: int = 0
    trained_tokens: int = 0
    loss: float = 0.0
    targets: float = 0.0
    tokens: float = 0.0
    sums: list[float] = field(default_factory=list)
    batches: int = 0
    skipped: int = 0
    seconds: float = 0.0
    grad_norm: float = 0.0
    val_loss: float | None = None
    best_val_loss: float | None = None
    best_iteration: int | None = None
    worse: int = 0

    def begin_interval(self) -> None:
        """Forget what has been reported."""
        self.forget_sums()
        self.seconds = 0.0
        self.batches = self.skipped = 0

    def forget_sums(self) -> None:
        """Forget the sums since the last report, in this process."""
        self.loss = self.targets = self.tokens = 0.0
        self.sums = [0.0] * len(self.sums)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Progress:
        """The progress of which `values` has the fields.

        Args:
          values: what JSON was read as.

        Returns:
          The progress.

        Raises:
          ValueError: a field is missing, unknown, or of another type; the message names it.
        """
        types = {entry.name: str(entry.type) for entry in fields(cls)}
        for name in sorted(types.keys() ^ values.keys()):
            raise ArgumentError(f"progress.{name}: {'expected a number, got none' if name in types else 'unknown'}")
        for name, wanted in types.items():
            if not isinstance(values[name], TYPES[wanted]) or isinstance(values[name], bool):
                raise ArgumentError(f"progress.{name}: expected {wanted}, got {values[name]!r}")
        return cls(**values)


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on.

    Args:
      state: parameters and what else a step replaces.
      progress: how far the run is.
      position: in the data, as `state()` of the batches gives it.
      best: the parameters of the best validation, where the run is to end with them.
      settings: of the adapter, the optimizer and the loss; see `settings_of`.
    """

    state: State
    progress: Progress
    position: Any
    settings: Mapping[str, Any]
    best: Tree | None = None


def settings_of(model: Tunable, optimizer: Any, loss: Any) -> dict[str, Any]:
    """The settings of model, optimizer and loss that must be the same when a run is resumed.

    The shapes of factors do not tell how they are scaled, nor what they began with; and the states of some optimizers
    look alike.

    Args:
      model: the scale and start of its adapter count, if it has one.
      optimizer: its class counts; its learning rate and the like may change.
      loss: its `settings` count, if it has any.

    Returns:
      Values by name, which JSON can hold.
    """
    adapter: Adapter | None = getattr(model, "adapter", None)
    names = ("scale", "alpha", "rslora", "alpha_pattern", "init_lora_weights")
    of_adapter = {} if adapter is None else {name: getattr(adapter.config, name) for name in names}
    return {**of_adapter, "optimizer": type(optimizer).__name__, **getattr(loss, "settings", {})}


# --- writing ---


def write_checkpoint(path: PathLike, checkpoint: Checkpoint, args: TrainingArgs, world: World) -> None:
    """Write the state of a run; all processes call this, and one writes.

    Args:
      path: of the safetensors file, which is replaced atomically.
      checkpoint: this process's state of the run.
      args: those of the run, which are kept with it.
      world: the processes that train together.
    """
    arrays, progress = _gathered(checkpoint, world)
    if world.is_writer:
        about = {"progress": asdict(progress), "position": checkpoint.position, "args": asdict(args)}
        about["settings"] = dict(checkpoint.settings)
        write_arrays(path, arrays, {**FORMAT, **{name: json.dumps(item) for name, item in about.items()}})


def _gathered(checkpoint: Checkpoint, world: World) -> tuple[dict[str, mx.array], Progress]:
    """What is to be written: of what each process has for itself, the sums, and the keys one below the other."""
    state = checkpoint.state
    arrays = {
        **_prefixed("trained", flatten(state.trained)),
        **_prefixed("optimizer", flatten(state.optimizer)),
        "random": world.gathered(state.random),
        **_prefixed("reference", flatten(state.reference or {})),
    }
    if checkpoint.best is not None:
        arrays |= _prefixed("best", flatten(checkpoint.best))
    if state.window is not None:
        summed = world.summed({**_prefixed("gradients", state.window.gradients), "targets": state.window.targets})
        arrays |= _prefixed("window", summed)
    # Here, as each process has to take its part.
    mx.eval(arrays)
    mine = checkpoint.progress
    loss, targets, tokens, *sums = world.totals([mine.loss, mine.targets, mine.tokens, *mine.sums])
    return arrays, replace(mine, loss=loss, targets=targets, tokens=tokens, sums=sums)


def _prefixed(name: str, arrays: Mapping[str, mx.array]) -> dict[str, mx.array]:
    return {f"{name}.{path}": item for path, item in arrays.items()}


# --- reading ---


def read_checkpoint(
    path: PathLike, fresh: State, args: TrainingArgs, world: World, settings: Mapping[str, Any]
) -> Checkpoint:
    """Read the state of a run.

    Args:
      path: of the file.
      fresh: the state of that run as it was at its beginning: which parameters, which optimizer.
      args: how the run goes on; what decides which batches make which updates must be as it was.
      world: where it has more or fewer processes than before, dropout differs from then on.
      settings: of the adapter, the optimizer and the loss; see `settings_of`.

    Returns:
      The state from which the run goes on, evaluated; sums of other processes than the writer are 0.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no such file, or of another run; the message tells what differs.
    """
    arrays, about = _read(path)
    name = os.fspath(path)
    of_args = [{key: values.get(key) for key in SAME} for values in (about["args"], asdict(args))]
    _require_same(name, {**of_args[0], **about["settings"]}, {**of_args[1], **settings})
    keys = arrays.pop("random", mx.zeros([0, 2], mx.uint32))
    has_best = any(path.startswith("best.") for path in arrays)
    wanted = _wanted(fresh, any(path.startswith("window.") for path in arrays), has_best)
    wrong = differences(kinds(arrays), wanted)
    if wrong:
        raise ArgumentError("\n  ".join([f"{name}: the state is not of this model and optimizer:", *wrong]))
    state, progress = _state(fresh, arrays, _key(name, keys, world), world), about["progress"]
    best = map_paths(lambda path, _: arrays[f"best.{path}"], fresh.trained) if has_best else None
    mx.eval(state, best)
    if not world.is_writer:
        progress.forget_sums()
    return Checkpoint(state, progress, about["position"], settings, best)


def read_reference(path: PathLike) -> Tree:
    """Read the parameters with which a run began; its state has them if the loss compares with them.

    Args:
      path: of the state's file.

    Returns:
      A tree like the model's `trainable()`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no state of a run, or none that has them.
    """
    found = {name.partition(".")[2]: item for name, item in _read(path)[0].items() if name.startswith("reference.")}
    if not found:
        raise ArgumentError(f"{path}: expected a state with the parameters that the run began with, got one without")
    return unflatten(found)


def _read(path: PathLike) -> tuple[dict[str, mx.array], dict[str, Any]]:
    """The arrays of a file and its metadata."""
    name = os.fspath(path)
    if not Path(name).is_file():
        raise FileNotFoundError(f"{name}: there is no training state to go on from")
    try:
        arrays, metadata = mx.load(name, format="safetensors", return_metadata=True)
    except Error as error:
        raise ArgumentError(f"{name}: expected a training state, got what cannot be read: {error}") from None
    if any(metadata.get(key) != value for key, value in FORMAT.items()):
        found = {key: metadata.get(key) for key in FORMAT}
        raise ArgumentError(f"{name}: expected a training state with the metadata {FORMAT}, got {found}")
    try:
        about = {key: _object(key, metadata.get(key)) for key in ("progress", "position", "args", "settings")}
        return arrays, {**about, "progress": Progress.from_json(about["progress"])}
    except ArgumentError as error:
        raise ArgumentError(f"{name}: in the metadata: {error}") from None


def _object(key: str, text: str | None) -> dict[str, Any]:
    """What a text of the metadata says."""
    try:
        found = json.loads(text or "")
    except (json.JSONDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ArgumentError(f"{key}: expected a JSON object, got {text!r}")
    return found


def _require_same(name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    differing = [key for key in sorted({*then, *now}) if then.get(key) != now.get(key)]
    changed = [f"{key} was {then.get(key)}, not {now.get(key)}" for key in differing]
    if changed:
        raise ArgumentError(f"{name}: the run can only go on as it began: {'; '.join(changed)}")


def _wanted(fresh: State, in_window: bool, has_best: bool) -> dict[str, str]:
    """Dtypes and shapes of the arrays that are to be there, by name."""
    trained = flatten(fresh.trained)
    found = kinds({**_prefixed("trained", trained), **_prefixed("optimizer", flatten(fresh.optimizer))})
    found |= kinds(_prefixed("reference", flatten(fresh.reference or {})))
    if has_best:
        found |= kinds(_prefixed("best", trained))
    if in_window:
        found |= {f"window.gradients.{path}": f"float32 {list(item.shape)}" for path, item in trained.items()}
        found["window.targets"] = "float32 []"
    return found


def _key(name: str, keys: mx.array, world: World) -> mx.array:
    """This process's key of dropout."""
    if keys.dtype != mx.uint32 or keys.ndim != 2 or keys.shape[0] == 0 or keys.shape[1] != 2:
        raise ArgumentError(f"{name}: random: expected the keys of dropout, uint32 [processes, 2], got {kind(keys)}")
    return (keys if keys.shape[0] == world.size else mx.random.split(keys[0], world.size))[world.rank]


def _state(fresh: State, arrays: Mapping[str, mx.array], key: mx.array, world: World) -> State:
    window = None
    if "window.targets" in arrays:
        # The sums of all processes go on in one of them.
        share = (lambda item: item) if world.is_writer else mx.zeros_like
        gradients = {path: share(arrays[f"window.gradients.{path}"]) for path in flatten(fresh.trained)}
        window = Window(gradients, share(arrays["window.targets"]))
    return State(
        map_paths(lambda path, _: arrays[f"trained.{path}"], fresh.trained),
        map_paths(lambda path, _: arrays[f"optimizer.{path}"], fresh.optimizer),
        key,
        window,
        None if fresh.reference is None else map_paths(lambda path, _: arrays[f"reference.{path}"], fresh.reference),
    )


# --- the files that a run leaves in its folder ---


ADAPTER_FILE = "adapters.safetensors"
BEST_FILE = "best_adapters.safetensors"

# Writes trained parameters to a file.
Writer: TypeAlias = Callable[[Path, Tree], None]


def write_parameters(path: Path, trained: Tree) -> None:
    """Write trained parameters by path, as a safetensors file.

    Args:
      path: of the file, which is replaced atomically.
      trained: a tree of arrays.
    """
    write_arrays(path, flatten(trained), {"format": "mlx"})


def writer_for(model: Tunable) -> Writer:
    """What writes a model's trained parameters: an adapter as one, with its adapter_config.json.

    Args:
      model: about to be trained.

    Returns:
      A function of (path, tree of trained parameters).
    """
    adapter = getattr(model, "adapter", None)
    if not isinstance(adapter, Adapter):
        return write_parameters
    config = adapter.config
    return lambda path, trained: save_adapter(path.parent, Adapter(trained, config), name=path.name)


class Saver:
    """Writes what is to be kept, once for each iteration; nothing without a folder.

    Args:
      folder: where files are written; None for nowhere.
      args: those of the run.
      world: the processes that train together.
      write: writes parameters; see `writer_for`.
    """

    def __init__(self, folder: Path | None, args: TrainingArgs, world: World, write: Writer):
        self._folder, self._args, self._world, self._write = folder, args, world, write
        # For which iterations the files are.
        self._state_of = self._parameters_of = -1

    def is_done(self, iteration: int) -> None:
        """Count the files of an iteration as written.

        Args:
          iteration: one that a resumed run begins after.
        """
        self._state_of = self._parameters_of = iteration

    def forget_parameters(self) -> None:
        """Count the parameters as not written: those of this iteration have changed."""
        self._parameters_of = -1

    def state(self, checkpoint: Checkpoint) -> None:
        """Write the state of the run. All processes call this.

        Args:
          checkpoint: this process's; nothing is written twice for one iteration, or where there is no folder.
        """
        iteration = checkpoint.progress.iteration
        if self._folder is not None and self._state_of != iteration:
            write_checkpoint(self._folder / STATE_FILE, checkpoint, self._args, self._world)
            self._state_of = iteration

    def parameters(self, iteration: int, trained: Tree) -> tuple[Path, ...]:
        """Write the parameters under their name and under the iteration's number.

        Args:
          iteration: iterations done.
          trained: a tree of arrays.

        Returns:
          The files' paths; empty in processes that do not write, or where this iteration's files are there already.
        """
        if self._folder is None or self._parameters_of == iteration or not self._world.is_writer:
            return ()
        files = self._folder / ADAPTER_FILE, self._folder / f"{iteration:07d}_{ADAPTER_FILE}"
        for file in files:
            self._write(file, trained)
        self._parameters_of = iteration
        return files

    def best(self, trained: Tree, name: str = BEST_FILE) -> tuple[Path, ...]:
        """Write the parameters of the best validation.

        Args:
          trained: a tree of arrays.
          name: of the file in the run's folder.

        Returns:
          The file's path; empty in processes that do not write.
        """
        if self._folder is None or not self._world.is_writer:
            return ()
        self._write(self._folder / name, trained)
        return (self._folder / name,)
