"""Reports to experiment trackers, where their libraries are installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..._errors import ArgumentError
from ..checks import required
from ..files import PathLike
from .callbacks import Callback, TrainReport, TrainResult, ValReport


def trackers(
    names: str, folder: PathLike, project: str | None = None, config: Mapping[str, Any] | None = None
) -> list[Callback]:
    """Callbacks that report to trackers.

    Args:
      names: "tensorboard", "wandb", "swanlab", or several with commas.
      folder: of the run; the trackers' own files stand below it, and its name is the run's.
      project: the run's project there.
      config: the run's settings, to be kept with it.

    Returns:
      One for each name, in their order; the runs have begun.

    Raises:
      ValueError: there is no tracker of a name.
      ImportError: its library is not installed.
    """
    return [TRACKERS[name](Path(folder), project, dict(config or {})) for name in require_trackers(names)]


def require_trackers(names: str) -> list[str]:
    """Check that the named trackers exist and are installed, without starting any.

    Args:
      names: with commas between them; case does not matter.

    Returns:
      The names, in lower case.

    Raises:
      ValueError: there is no tracker of a name.
      ImportError: its library is not installed.
    """
    wanted = [name.strip().lower() for name in names.split(",")]
    unknown = [name for name in wanted if name not in TRACKERS]
    if unknown:
        raise ArgumentError(f"report_to: expected some of {', '.join(TRACKERS)}, got {', '.join(map(repr, unknown))}")
    for name in wanted:
        required(TRACKERS[name].library, "trackers")
    return wanted


class Tracker(Callback):
    """The base of what reports numbers by name and iteration, with the library of that name.

    Args:
      folder: of the run; its name is the run's.
      project: the run's project there; None for the library's default.
      config: the run's settings, to be kept with it.
    """

    library: str

    def log(self, values: Mapping[str, float], iteration: int) -> None:
        """Report numbers.

        Args:
          values: numbers by name.
          iteration: to which they belong.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Report what is left and end the run there."""
        raise NotImplementedError

    def on_train_report(self, report: TrainReport) -> None:
        """Report the training so far; see `Callback`."""
        self.log(dict(_numbers("train", asdict(report))), report.iteration)

    def on_val_report(self, report: ValReport) -> None:
        """Report a validation; see `Callback`."""
        self.log(dict(_numbers("val", asdict(report))), report.iteration)

    def on_end(self, result: TrainResult) -> None:
        """End the run there; see `Callback`."""
        self.close()

    def on_exception(self, error: BaseException) -> None:
        """End the run there; see `Callback`."""
        self.close()


def _numbers(kind: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in {**values, **values["figures"]}.items():
        if name not in ("iteration", "best", "figures"):
            yield f"{kind}/{name.removeprefix(f'{kind}_')}", value


class TensorBoard(Tracker):
    """Event files below `tensorboard` in the run's folder, written by tensorboardX."""

    library = "tensorboardX"

    def __init__(self, folder: Path, project: str | None, config: Mapping[str, Any]):
        self._writer = required(self.library, "trackers").SummaryWriter(str(folder / "tensorboard"))
        self._writer.add_text("config", "".join(f"    {name}: {value}\n" for name, value in config.items()))

    def log(self, values: Mapping[str, float], iteration: int) -> None:
        """Report numbers; see `Tracker`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, iteration)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class WandB(Tracker):
    """Weights & Biases."""

    library = "wandb"

    def __init__(self, folder: Path, project: str | None, config: Mapping[str, Any]):
        folder.mkdir(parents=True, exist_ok=True)
        wandb = required(self.library, "trackers")
        self._run = wandb.init(project=project, name=folder.resolve().name, dir=str(folder), config=dict(config))

    def log(self, values: Mapping[str, float], iteration: int) -> None:
        """Report numbers; see `Tracker`."""
        self._run.log(dict(values), step=iteration)

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()


class SwanLab(Tracker):
    """SwanLab, with its files below `swanlog` in the run's folder."""

    library = "swanlab"

    def __init__(self, folder: Path, project: str | None, config: Mapping[str, Any]):
        self._library = required(self.library, "trackers")
        self._run = self._library.init(
            project=project, experiment_name=folder.resolve().name, logdir=str(folder / "swanlog"), config=dict(config)
        )

    def log(self, values: Mapping[str, float], iteration: int) -> None:
        """Report numbers; see `Tracker`."""
        self._run.log(dict(values), step=iteration)

    def close(self) -> None:
        """Send what is left."""
        self._library.finish()


TRACKERS: dict[str, type[TensorBoard] | type[WandB] | type[SwanLab]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "swanlab": SwanLab,
}
