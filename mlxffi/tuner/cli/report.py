"""Show how a run went: its losses by iteration, as a table and, with --plot, as a curve."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..files import require_place
from ..trainer.metrics import METRICS_FILE, plot_losses, read_metrics

# What a line of metrics.jsonl calls the columns; those of preferences only where a line has them.
COLUMNS = {
    "iteration": "iter",
    "train_loss": "train loss",
    "val_loss": "val loss",
    "rewards/accuracies": "accuracy",
    "rewards/margins": "margin",
    "tokens_per_second": "tokens/s",
    "learning_rate": "lr",
    "grad_norm": "grad norm",
    "peak_memory": "peak GB",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command; see `Command`."""
    parser.add_argument("--adapter-path", default="adapters", help="folder of the run (default: adapters)")
    parser.add_argument("--plot", metavar="FILE", help="draw the loss curve into this PNG, too")


def prepare(arguments: argparse.Namespace) -> Callable[[], None]:
    """Read the metrics; see `Command`."""
    if arguments.plot is not None:
        require_place("plot", arguments.plot)
    path = Path(arguments.adapter_path, METRICS_FILE)
    return partial(_show, read_metrics(path), path, arguments.plot)


def _show(lines: list[dict[str, Any]], metrics: Path, plot: str | None) -> None:
    shown = [name for name in COLUMNS if "/" not in name or any(name in line for line in lines)]
    _print_row(COLUMNS[name] for name in shown)
    for line in lines:
        _print_row(_cell(line.get(name)) for name in shown)
    losses = [(line["val_loss"], line["iteration"]) for line in lines if line.get("val_loss") is not None]
    if losses:
        best, iteration = min(losses)
        print(f"best validation loss {best:.4f} after iteration {iteration}")
    if plot:
        plot_losses(metrics, plot)
        print(f"loss curve in {plot}")


def _print_row(cells: Any) -> None:
    print("".join(f"{cell:>12}" for cell in cells))


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)
