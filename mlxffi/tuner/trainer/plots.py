"""The loss curve of a run as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..._errors import ArgumentError
from .. import _files
from .._optional import required
from .callbacks import Callback
from .metrics import read_metrics
from .reports import TrainResult, ValReport

PLOT_FILE = "loss.png"


class LossPlot(Callback):
    """Draws the loss curve after each validation and at the end, from what a `MetricsFile` before it has written.

    Args:
      metrics: the path of metrics.jsonl.
      path: of the PNG.

    Raises:
      ImportError: matplotlib is not installed.
    """

    def __init__(self, metrics: _files.PathLike, path: _files.PathLike):
        required("matplotlib.figure", "plot")
        self._metrics, self._path = Path(metrics), Path(path)

    def on_val_report(self, report: ValReport) -> None:
        """Draw what there is."""
        plot_losses(self._metrics, self._path)

    def on_end(self, result: TrainResult) -> None:
        """Draw the whole run."""
        plot_losses(self._metrics, self._path)


def plot_losses(metrics: _files.PathLike, path: _files.PathLike) -> None:
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
    axes = figure.subplots()
    for name, curve in curves.items():
        if curve:
            axes.plot(*zip(*curve, strict=True), label=name, marker="o" if name == "validation" else None)
    _mark_best(axes, curves["validation"])
    axes.set(xlabel="iteration", ylabel="loss in nats per token", title="Loss")
    axes.grid(alpha=0.3)
    axes.legend()
    with _files.replaced(path) as beside:
        figure.savefig(beside, format="png", dpi=120)


def _curve(lines: list[dict[str, Any]], event: str, field: str) -> list[tuple[int, float]]:
    return [
        (line["iteration"], line[field]) for line in lines if line["event"] == event and line.get(field) is not None
    ]


def _mark_best(axes: Any, curve: list[tuple[int, float]]) -> None:
    if curve:
        iteration, loss = min(curve, key=lambda point: point[1])
        axes.annotate(f"{loss:.3f}", (iteration, loss), textcoords="offset points", xytext=(0, 8), ha="center")
