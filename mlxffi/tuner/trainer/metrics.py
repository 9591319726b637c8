"""metrics.jsonl: what a run told, a line for each report."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..._errors import ArgumentError
from .. import _files
from .callbacks import Callback
from .reports import StartReport, TrainReport, ValReport

METRICS_FILE = "metrics.jsonl"


class MetricsFile(Callback):
    """Writes each report of training and validation as a line, at once.

    A line is an object with `event` ("train" or "val") and the fields of `TrainReport` or `ValReport`; numbers that are
    not finite are null. A run that is resumed goes on behind the lines up to where it is resumed.

    Args:
      path: of the file.
    """

    def __init__(self, path: _files.PathLike):
        self._path = Path(path)

    def on_start(self, report: StartReport) -> None:
        """Keep the lines of the run that goes on; else begin anew."""
        lines = read_metrics(self._path) if report.iteration and self._path.exists() else []
        kept = [_line(item) for item in lines if item["iteration"] <= report.iteration]
        with _files.replaced(self._path) as beside:
            beside.write_text("".join(kept), encoding="utf-8")

    def on_train_report(self, report: TrainReport) -> None:
        """Write a line."""
        self._append({"event": "train", **asdict(report)})

    def on_val_report(self, report: ValReport) -> None:
        """Write a line."""
        self._append({"event": "val", **asdict(report)})

    def _append(self, item: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(item))


def _line(item: dict[str, Any]) -> str:
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in item.items()
    }
    return json.dumps(finite) + "\n"


def read_metrics(path: _files.PathLike) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; a last one that a killed process left unfinished is no line.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a line is not what `MetricsFile` writes; the message names it.
    """
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    return [_item(path, number, line) for number, line in enumerate(text.split("\n")[:-1], 1)]


def _item(path: _files.PathLike, number: int, line: str) -> dict[str, Any]:
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
