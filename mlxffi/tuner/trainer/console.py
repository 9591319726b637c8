"""A run on the terminal: a table of its reports, and a progress bar where the terminal can show one."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Iterator, Mapping
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
        self._summary = Summary()

    def say(self, text: str, style: str = "") -> None:
        """Print a line.

        Args:
          text: without the line's end.
          style: "bold", "dim" or a colour, where the console shows any; "" for none.
        """
        print(text, file=self._stream, flush=True)

    def on_start(self, report: StartReport) -> None:
        """Print the head of the table; see `Callback`."""
        self.say(f"{report.parameters:,} parameters are trained, in {report.args.iters} iterations")
        if report.iteration:
            self.say(f"resumed after iteration {report.iteration}")
        self.say(_row({name: name for name in COLUMNS}), "bold")

    def on_train_report(self, report: TrainReport) -> None:
        """Print a line of the table; see `Callback`."""
        cells = {
            "iter": str(report.iteration),
            "train loss": f"{report.train_loss:.4f}",
            "tokens/s": f"{report.tokens_per_second:,.0f}",
            "lr": f"{report.learning_rate:.3e}",
            "grad norm": f"{report.grad_norm:.3g}",
            "peak GB": f"{report.peak_memory:.3f}",
        }
        skipped = f"  updates left out: {report.skipped_steps}" if report.skipped_steps else ""
        self.say(_row(cells) + skipped + _figures(report.figures), "yellow" if skipped else "")
        self._summary.trained.append(report)

    def on_val_report(self, report: ValReport) -> None:
        """Print a line of the table; see `Callback`."""
        row = _row({"iter": str(report.iteration), "val loss": f"{report.val_loss:.4f}"})
        best = ", the best so far" if report.best else ""
        lost = f"; {report.without_targets} records without targets" if report.without_targets else ""
        self.say(f"{row}  in {report.val_time:.1f} s{best}{lost}{_figures(report.figures)}", "cyan")
        self._summary.validated.append(report)

    def on_save(self, report: SaveReport) -> None:
        """Print where to; see `Callback`."""
        self._summary.files |= dict.fromkeys(map(str, report.files))
        self.say(f"{report.iteration:7} saved to {report.files[-1]}", "dim")

    def on_end(self, result: TrainResult) -> None:
        """Print how it ended, as a table; see `Callback`."""
        why = f" ({result.stop})" if result.stop else ""
        self.say(f"{result.iteration} iterations{why}, {result.trained_tokens:,} tokens", "bold")
        for name, value in self._summary.lines(result):
            self.say(f"  {name:<16}{value}")


class Summary:
    """What a run, or the part of it since it was resumed, came to; filled by its reports."""

    def __init__(self) -> None:
        self.trained: list[TrainReport] = []
        self.validated: list[ValReport] = []
        # Paths in the order in which they were written first.
        self.files: dict[str, None] = {}

    def lines(self, result: TrainResult) -> Iterator[tuple[str, str]]:
        """The lines of a table: what, and how much.

        Args:
          result: how the run ended.

        Returns:
          Pairs of texts; losses in nats per target, memory in 1e9 bytes.
        """
        losses = [report.train_loss for report in self.trained if math.isfinite(report.train_loss)]
        if losses:
            yield "train loss", f"{losses[0]:.4f} at first, {losses[-1]:.4f} at last, {min(losses):.4f} at best"
        if self.validated and result.best_val_loss is not None:
            first, last = self.validated[0].val_loss, self.validated[-1].val_loss
            best = f"{result.best_val_loss:.4f} at best, after iteration {result.best_iteration}"
            yield "validation loss", f"{first:.4f} at first, {last:.4f} at last, {best}"
        if self.trained:
            yield "tokens/s", f"{self._speed():,.0f}"
            yield "peak memory", f"{max(report.peak_memory for report in self.trained):.3f} GB"
        if self.files:
            path, *copies = self.files
            yield "files", f"{path}{f', and a copy for each save: {len(copies)}' if copies else ''}"

    def _speed(self) -> float:
        """Targets per second of training."""
        tokens = sum(report.tokens_per_second * report.seconds for report in self.trained)
        return tokens / sum(report.seconds for report in self.trained)


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
        """Print a line above the bar; see `PlainConsole`."""
        self._bar.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def on_start(self, report: StartReport) -> None:
        """Show the bar and the head of the table; see `Callback`."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = ("training", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        # Once a second.
        self._bar = Progress(*columns, console=Console(file=self._stream), transient=True, refresh_per_second=1)
        self._task = self._bar.add_task("", total=report.args.iters, completed=report.iteration)
        self._bar.start()
        super().on_start(report)

    def on_step(self, report: StepReport) -> None:
        """Advance the bar; see `Callback`."""
        self._bar.update(self._task, completed=report.iteration)

    def on_end(self, result: TrainResult) -> None:
        """Take the bar away and print how it ended; see `Callback`."""
        super().on_end(result)
        self._bar.stop()

    def on_exception(self, error: BaseException) -> None:
        """Take the bar away; see `Callback`."""
        if self._bar is not None:
            self._bar.stop()
