"""A run on the terminal: a table of its reports, and a progress bar where the terminal can show one."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from .callbacks import Callback, SaveReport, StartReport, StepReport, TrainReport, TrainResult, ValReport

# Columns and their widths.
COLUMNS = {"iter": 7, "train loss": 11, "val loss": 10, "tokens/s": 10, "lr": 10, "grad norm": 10, "peak GB": 8}


def console(stream: TextIO | None = None) -> Callback:
    """A callback that prints a run: with colours and a progress bar on terminals where rich is installed, else plainly.

    Args:
      stream: where to; None for the standard output.
    """
    target = sys.stdout if stream is None else stream
    is_rich = target.isatty() and importlib.util.find_spec("rich") is not None
    return RichConsole(target) if is_rich else PlainConsole(target)


class PlainConsole(Callback):
    """Prints a table, a line for each report.

    Args:
      stream: where to.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream

    def say(self, text: str, style: str = "") -> None:
        """Print a line."""
        print(text, file=self._stream, flush=True)

    def on_start(self, report: StartReport) -> None:
        """Print the head of the table."""
        self.say(f"{report.parameters:,} parameters are trained, in {report.args.iters} iterations")
        if report.iteration:
            self.say(f"resumed after iteration {report.iteration}")
        self.say(_row({name: name for name in COLUMNS}), "bold")

    def on_train_report(self, report: TrainReport) -> None:
        """Print a line of the table."""
        cells = {
            "iter": str(report.iteration),
            "train loss": f"{report.train_loss:.4f}",
            "tokens/s": f"{report.tokens_per_second:,.0f}",
            "lr": f"{report.learning_rate:.3e}",
            "grad norm": f"{report.grad_norm:.3g}",
            "peak GB": f"{report.peak_memory:.3f}",
        }
        skipped = f"  {report.skipped_steps} updates were left out" if report.skipped_steps else ""
        self.say(_row(cells) + skipped + _figures(report.figures), "yellow" if skipped else "")

    def on_val_report(self, report: ValReport) -> None:
        """Print a line of the table."""
        row = _row({"iter": str(report.iteration), "val loss": f"{report.val_loss:.4f}"})
        best = ", the best so far" if report.best else ""
        self.say(f"{row}  in {report.val_time:.1f} s{best}{_figures(report.figures)}", "cyan")

    def on_save(self, report: SaveReport) -> None:
        """Print where to."""
        self.say(f"{report.iteration:7} saved to {report.files[-1]}", "dim")

    def on_end(self, result: TrainResult) -> None:
        """Print how it ended."""
        best = (
            ""
            if result.best_val_loss is None
            else (f"; the best validation loss was {result.best_val_loss:.4f}, after iteration {result.best_iteration}")
        )
        why = f" ({result.stop})" if result.stop else ""
        self.say(f"{result.iteration} iterations{why}, {result.trained_tokens:,} tokens{best}", "bold")


def _figures(figures: Mapping[str, float]) -> str:
    """What a loss reports besides, below the line that it belongs to."""
    return "\n" + " " * 8 + "  ".join(f"{name} {value:.4g}" for name, value in figures.items()) if figures else ""


def _row(cells: dict[str, str]) -> str:
    return " ".join(cells.get(name, "").rjust(width) for name, width in COLUMNS.items()).rstrip()


class RichConsole(PlainConsole):
    """Prints the table in colours, with a progress bar below."""

    def __init__(self, stream: TextIO):
        super().__init__(stream)
        self._bar: Any = None
        self._task: Any = None

    def say(self, text: str, style: str = "") -> None:
        """Print a line above the bar."""
        self._bar.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def on_start(self, report: StartReport) -> None:
        """Show the bar and the head of the table."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = ("training", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(file=self._stream), transient=True)
        self._task = self._bar.add_task("", total=report.args.iters, completed=report.iteration)
        self._bar.start()
        super().on_start(report)

    def on_step(self, report: StepReport) -> None:
        """Advance the bar."""
        self._bar.update(self._task, completed=report.iteration)

    def on_end(self, result: TrainResult) -> None:
        """Take the bar away and print how it ended."""
        super().on_end(result)
        self._bar.stop()

    def on_exception(self, error: BaseException) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
