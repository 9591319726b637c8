"""What a run writes: its checkpoint and its loss curve. A file is there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure

import mlxffi
from mlxffi import io

from . import job, text
from .config import Config, UsageError
from .job import State

FORMAT = "mlxffi quickstart 1"


# --- the folder ---


def make_folder(folder: Path) -> None:
    """Make a folder and see that files can be written to it, before any time is spent on training.

    Raises:
      UsageError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(f"the output folder {folder} cannot be written to: {error.strerror}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; what was written takes the place of `path` once it is complete."""
    partial = path.with_name(f"partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


# --- checkpoint ---


def save_checkpoint(path: Path, config: Config, state: State) -> None:
    """Write all that a run needs to go on as if it had never stopped."""
    history = {"training": state.training, "validation": list(state.validation.items())}
    metadata = {
        "format": FORMAT,
        "config": json.dumps(asdict(config)),
        "history": json.dumps(history),
        "text": fingerprint(),
    }
    with replacing(path) as partial:
        io.save_safetensors(partial, dict(zip(job.names(config), state.arrays, strict=True)), metadata)


def load_checkpoint(path: Path) -> tuple[Config, State]:
    """Read a checkpoint.

    Raises:
      UsageError: there is no such file, it is no checkpoint of this program, or it was trained on another text.
    """
    if not path.is_file():
        raise UsageError(f"there is no checkpoint at {path}; leave out --resume to start a new run")
    try:
        arrays, metadata = io.load_safetensors(path)
        mlxffi.eval(*arrays.values())
    except mlxffi.Error as error:
        raise UsageError(f"{path} cannot be read as a safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise UsageError(f"{path} is not a checkpoint that quickstart wrote")
    if metadata["text"] != fingerprint():
        raise UsageError(f"{path} was trained on the text of another Python version; resume it with that one")
    config = Config(**json.loads(metadata["config"]))
    history = json.loads(metadata["history"])
    ordered = [arrays[name] for name in job.names(config)]
    return config, State(ordered, history["training"], dict(history["validation"]))


def fingerprint() -> str:
    """What tells the texts of different Python versions apart."""
    return hashlib.sha256(text.prose()).hexdigest()


# --- curve ---


def draw_curve(path: Path, state: State) -> None:
    """Draw the losses over the steps as a PNG."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="loss (nats per byte)", title="Next byte of English prose")
    axes.plot(range(1, state.step + 1), state.training, color="0.7", linewidth=0.8, label="training, each batch")
    axes.plot(*zip(*sorted(state.validation.items()), strict=True), marker=".", label="validation")
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
