"""The files that a run leaves in its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from .. import _files
from .._trees import Tree, flatten
from ..distributed import World
from ..lora import Adapter, save_adapter
from ..models.tunable import Tunable
from .args import TrainingArgs
from .checkpoint import STATE_FILE, Checkpoint, write_checkpoint

ADAPTER_FILE = "adapters.safetensors"
BEST_FILE = "best_adapters.safetensors"

# Writes trained parameters to a file.
Writer: TypeAlias = Callable[[Path, Tree], None]


def write_parameters(path: Path, trained: Tree) -> None:
    """Write trained parameters by path, as a safetensors file."""
    _files.write_arrays(path, flatten(trained), {"format": "mlx"})


def writer_for(model: Tunable) -> Writer:
    """What writes a model's trained parameters: an adapter as one, with its adapter_config.json."""
    adapter = getattr(model, "adapter", None)
    if not isinstance(adapter, Adapter):
        return write_parameters
    config = adapter.config
    return lambda path, trained: save_adapter(path.parent, Adapter(trained, config), name=path.name)


class Saver:
    """Writes what is to be kept, once for each iteration; nothing without a folder."""

    def __init__(self, folder: Path | None, args: TrainingArgs, world: World, write: Writer):
        self._folder, self._args, self._world, self._write = folder, args, world, write
        # For which iterations the files are.
        self._state_of = self._parameters_of = -1

    def is_done(self, iteration: int) -> None:
        """Take the files of an iteration as written."""
        self._state_of = self._parameters_of = iteration

    def forget_parameters(self) -> None:
        """Take parameters as not written: those of this iteration have changed."""
        self._parameters_of = -1

    def state(self, checkpoint: Checkpoint) -> None:
        """Write the state of the run. All processes call this."""
        iteration = checkpoint.progress.iteration
        if self._folder is not None and self._state_of != iteration:
            write_checkpoint(self._folder / STATE_FILE, checkpoint, self._args, self._world)
            self._state_of = iteration

    def parameters(self, iteration: int, trained: Tree) -> tuple[Path, ...]:
        """Write the parameters under their name and under the iteration's number; which files were written."""
        if self._folder is None or self._parameters_of == iteration or not self._world.is_writer:
            return ()
        files = self._folder / ADAPTER_FILE, self._folder / f"{iteration:07d}_{ADAPTER_FILE}"
        for file in files:
            self._write(file, trained)
        self._parameters_of = iteration
        return files

    def best(self, trained: Tree) -> None:
        """Write the parameters of the best validation."""
        if self._folder is not None and self._world.is_writer:
            self._write(self._folder / BEST_FILE, trained)
