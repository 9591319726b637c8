"""metrics.jsonl, what a run told, a line for each report; and its loss curve as a picture."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from ..._errors import ArgumentError
from ..checks import required
from ..files import PathLike, replaced
from .callbacks import Callback, StartReport, TrainReport, TrainResult, ValReport

METRICS_FILE = "metrics.jsonl"


class MetricsFile(Callback):
    """Writes each report of training and validation as a line, at once.

    A line is an object with `event` ("train" or "val") and the fields of `TrainReport` or `ValReport`, figures by their
    own names; numbers that are not finite are null. A run that is resumed goes on after the lines up to where it is
    resumed.

    Args:
      path: of the file.
    """

    def __init__(self, path: PathLike):
        self._path = Path(path)

    def on_start(self, report: StartReport) -> None:
        """Keep the lines of the run that goes on, else begin anew; see `Callback`."""
        lines = read_metrics(self._path) if report.iteration and self._path.exists() else []
        kept = [_line(item) for item in lines if item["iteration"] <= report.iteration]
        with replaced(self._path) as beside:
            beside.write_text("".join(kept), encoding="utf-8")

    def on_train_report(self, report: TrainReport) -> None:
        """Write a line; see `Callback`."""
        self._append("train", asdict(report))

    def on_val_report(self, report: ValReport) -> None:
        """Write a line; see `Callback`."""
        self._append("val", asdict(report))

    def _append(self, event: str, values: dict[str, Any]) -> None:
        figures = values.pop("figures")
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line({"event": event, **values, **figures}))


def _line(item: dict[str, Any]) -> str:
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in item.items()
    }
    return json.dumps(finite) + "\n"


def read_metrics(path: PathLike) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, except a last one that a killed process left unfinished.

    Args:
      path: of the file.

    Returns:
      A dictionary for each line, in the file's order: `event`, "train" or "val", and the report's fields.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a line is not what `MetricsFile` writes; the message names it.
    """
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    return [_item(path, number, line) for number, line in enumerate(text.split("\n")[:-1], 1)]


def _item(path: PathLike, number: int, line: str) -> dict[str, Any]:
    try:
        item = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        item = None
    if (
        not isinstance(item, dict)
        or item.get("event") not in ("train", "val")
        or type(item.get("iteration")) is not int
    ):
        raise ArgumentError(f"{path}:{number}: expected a report of training or validation, got {line[:80]!r}")
    return item


# --- as a picture ---


PLOT_FILE = "loss.png"

# Losses by iteration.
Curve: TypeAlias = "list[tuple[int, float]]"


class LossPlot(Callback):
    """Draws the loss curve after each validation and at the end, from what a `MetricsFile` before it has written.

    Args:
      metrics: the path of metrics.jsonl.
      path: of the PNG.

    Raises:
      ImportError: matplotlib is not installed.
    """

    def __init__(self, metrics: PathLike, path: PathLike):
        required("matplotlib.figure", "plot")
        self._metrics, self._path = Path(metrics), Path(path)

    def on_val_report(self, report: ValReport) -> None:
        """Draw what there is; see `Callback`."""
        plot_losses(self._metrics, self._path)

    def on_end(self, result: TrainResult) -> None:
        """Draw the whole run; see `Callback`."""
        plot_losses(self._metrics, self._path)


def plot_losses(metrics: PathLike, path: PathLike) -> None:
    """Draw the losses of training and validation over iterations, as a PNG.

    Args:
      metrics: the path of a metrics.jsonl.
      path: of the picture.

    Raises:
      FileNotFoundError: there is no such metrics.jsonl.
      ValueError: it has a line that is no report, or nothing to draw.
      ImportError: matplotlib is not installed.
    """
    lines = read_metrics(metrics)
    curves = {"training": _curve(lines, "train", "train_loss"), "validation": _curve(lines, "val", "val_loss")}
    if not any(curve for curve in curves.values()):
        raise ArgumentError(f"{metrics}: expected reports with losses, got none")
    figure = required("matplotlib.figure", "plot").Figure(figsize=(8, 5), layout="constrained")
    of_pairs = any("rewards/margins" in line for line in lines)
    _draw(figure.subplots(), f"loss{'' if of_pairs else ' in nats per token'}", **curves)
    with replaced(path) as beside:
        figure.savefig(beside, format="png", dpi=120)


def _curve(lines: list[dict[str, Any]], event: str, field: str) -> Curve:
    return [
        (line["iteration"], line[field]) for line in lines if line["event"] == event and line.get(field) is not None
    ]


def _draw(axes: Any, label: str, training: Curve, validation: Curve) -> None:
    if training:
        axes.plot(*zip(*training, strict=True), color="tab:blue", alpha=0.3)
        axes.plot(*zip(*smoothed(training), strict=True), color="tab:blue", label="training, smoothed")
    if validation:
        axes.plot(*zip(*validation, strict=True), color="tab:orange", marker="o", label="validation")
        iteration, loss = min(validation, key=lambda point: point[1])
        axes.plot(iteration, loss, color="tab:red", marker="*", markersize=14, linestyle="", label="best validation")
        axes.annotate(f"{loss:.3f}", (iteration, loss), textcoords="offset points", xytext=(0, 10), ha="center")
    axes.set(xlabel="iteration", ylabel=label, title="Loss")
    axes.xaxis.set_major_locator(required("matplotlib.ticker", "plot").MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()


def smoothed(curve: Curve) -> Curve:
    """A curve's exponential moving average with decay 0.8, corrected for the bias at its beginning.

    Args:
      curve: pairs of an iteration and a loss.

    Returns:
      A curve with the same iterations.
    """
    found, average = [], 0.0
    for number, (iteration, loss) in enumerate(curve, 1):
        average = 0.8 * average + 0.2 * loss
        found.append((iteration, average / (1 - 0.8**number)))
    return found
