"""What is left of a run for people to look at: metrics.jsonl, a table, a picture, experiment trackers."""

import io
import json
import sys

import numpy as np
import pytest
import training

from mlxffi.tuner.optimizers import SGD
from mlxffi.tuner.trainer import Callback, Stop, TrainingArgs, train
from mlxffi.tuner.trainer.console import PlainConsole, RichConsole, console
from mlxffi.tuner.trainer.metrics import METRICS_FILE, LossPlot, MetricsFile, _draw, plot_losses, read_metrics
from mlxffi.tuner.trainer.trackers import trackers

PNG = b"\x89PNG\r\n\x1a\n"


def run(callbacks, folder=None, resume=False, bad=False, **args):
    batches = training.batches(3)
    if bad:
        batches[1] = batches[1]._replace(weights=batches[1].weights * float("nan"))
    args = {"iters": 6, "steps_per_report": 2, "steps_per_eval": 3, **args}
    model, valid = training.model(), training.batches(1, seed=4)
    settings = TrainingArgs(**args)
    return train(model, SGD(0.1), batches, valid, settings, callbacks=callbacks, folder=folder, resume=resume)


# --- metrics.jsonl ---


def test_each_report_is_a_line(tmp_path):
    told = training.Recorder()
    run([MetricsFile(tmp_path / "runs" / METRICS_FILE), told])
    lines = read_metrics(tmp_path / "runs" / METRICS_FILE)
    assert [(line["event"], line["iteration"]) for line in lines] == [
        ("val", 0),
        ("train", 2),
        ("val", 3),
        ("train", 4),
        ("train", 6),
        ("val", 6),
    ]
    reports = {"train": iter(told.train), "val": iter(told.val)}
    for line in lines:
        report = {**vars(next(reports[line["event"]]))}
        assert {"event": line["event"], **report, **report.pop("figures")} == {**line, "figures": {}}


def test_lines_are_json_whatever_the_loss(tmp_path):
    path = tmp_path / METRICS_FILE
    run([MetricsFile(path)], bad=True, nan_guard="skip")
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(name))
    assert read_metrics(path)[1]["grad_norm"] is None


def test_a_resumed_run_goes_on_behind_its_lines(tmp_path):
    class StopAt(Callback):
        def on_step(self, report):
            return Stop() if report.iteration == 3 else None

    path = tmp_path / METRICS_FILE
    run([MetricsFile(path)], tmp_path)
    whole = [(line["event"], line["iteration"]) for line in read_metrics(path)]
    run([MetricsFile(path), StopAt()], tmp_path)
    with path.open("a") as file:
        file.write(json.dumps({"event": "train", "iteration": 4}) + "\n" + '{"event": "tr')  # as if killed later
    run([MetricsFile(path)], tmp_path, resume=True)
    # The stop itself brought one report more.
    found = [(line["event"], line["iteration"]) for line in read_metrics(path) if line["iteration"] != 3]
    assert found == [item for item in whole if item[1] != 3]


@pytest.mark.parametrize("line", ["{", "[1]", '{"event": "x", "iteration": 1}', '{"event": "val"}', "[" * 100000])
def test_a_line_that_is_no_report_is_named(line, tmp_path):
    path = tmp_path / METRICS_FILE
    path.write_text('{"event": "val", "iteration": 0}\n' + line + "\n")
    with pytest.raises(ValueError, match=rf"{METRICS_FILE}:2: expected a report"):
        read_metrics(path)


# --- the table ---


def test_a_plain_table_has_a_line_for_each_report():
    stream, told = io.StringIO(), training.Recorder()
    run([console(stream), told])
    head, columns, *rows = stream.getvalue().splitlines()
    rows, end = rows[:6], rows[6:]
    assert head == "992 parameters are trained, in 6 iterations"
    assert columns.split("  ")[-1].strip() == "peak GB"
    assert [int(row.split()[0]) for row in rows] == [0, 2, 3, 4, 6, 6]
    # Validations have one number under the head of its column.
    width = columns.index("val loss") + len("val loss")
    assert rows[0][:width].split()[-1] == f"{told.val[0].val_loss:.4f}"
    assert len(rows[1].split()) == 6
    assert end[0] == f"6 iterations, {told.train[-1].trained_tokens} tokens"
    losses, best = [report.train_loss for report in told.train], min(report.val_loss for report in told.val)
    first, last, least = (f"{loss:.4f}" for loss in (losses[0], losses[-1], min(losses)))
    assert end[1] == f"  train loss      {first} at first, {last} at last, {least} at best"
    assert f"{best:.4f} at best, after iteration " in end[2]
    assert [line.split("  ")[1] for line in end[3:]] == ["tokens/s", "peak memory"]
    rate = sum(report.tokens_per_second * report.seconds for report in told.train) / sum(
        report.seconds for report in told.train
    )
    assert end[3].split()[-1] == f"{rate:,.0f}"


def test_a_table_tells_of_saves_stops_and_skipped_updates(tmp_path):
    class StopAt(Callback):
        def on_train_report(self, report):
            return Stop("it is late") if report.iteration == 4 else None

    stream = io.StringIO()
    run([PlainConsole(stream), StopAt()], tmp_path, bad=True, nan_guard="skip")
    assert "updates left out: 1" in stream.getvalue()
    assert f"saved to {tmp_path}" in stream.getvalue()
    assert "4 iterations (it is late)" in stream.getvalue()
    assert f"  files           {tmp_path / 'adapters.safetensors'}, and a copy for each save: 1" in stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.leaks
def test_a_terminal_shows_a_bar_and_the_same_table():
    plain, terminal = io.StringIO(), Terminal()
    run([PlainConsole(plain)])
    shown = console(terminal)
    assert type(shown) is RichConsole
    run([shown])
    for line in plain.getvalue().splitlines()[:2]:
        assert line in terminal.getvalue()
    assert "6/6" in terminal.getvalue()
    assert shown._bar.live.refresh_per_second == 1


@pytest.mark.leaks
def test_the_bar_ends_with_an_exception():
    class Fails(Callback):
        def on_train_report(self, report):
            raise ZeroDivisionError

    shown = RichConsole(Terminal())
    with pytest.raises(ZeroDivisionError):
        run([shown, Fails()])
    assert shown._bar.live.is_started is False


def test_without_rich_a_terminal_gets_the_plain_table(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert type(console(Terminal())) is PlainConsole


# --- the picture ---


@pytest.mark.leaks
def test_the_loss_curve_is_drawn(tmp_path):
    metrics, picture = tmp_path / METRICS_FILE, tmp_path / "loss.png"
    run([MetricsFile(metrics), LossPlot(metrics, picture)])
    drawn = picture.read_bytes()
    assert drawn.startswith(PNG)
    picture.unlink()
    plot_losses(metrics, picture)
    assert picture.read_bytes() == drawn
    metrics.write_text("")
    with pytest.raises(ValueError, match="expected reports with losses, got none"):
        plot_losses(metrics, picture)


@pytest.mark.leaks
def test_a_curve_has_whole_iterations_and_marks_the_best(monkeypatch):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    curve = [(1, 4.0), (2, 3.0), (3, 5.0)]
    _draw(axes, "loss", training=curve, validation=curve[:2])
    raw, smooth, validation, best = axes.lines
    assert [list(line.get_ydata()) for line in (raw, validation, best)] == [[4, 3, 5], [4, 3], [3]]
    assert (list(best.get_xdata()), best.get_marker()) == ([2], "*")
    weights = 0.8 ** np.arange(3)[::-1]
    assert smooth.get_ydata()[-1] == pytest.approx(np.average([4, 3, 5], weights=weights))
    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'mlxffi\[plot\]'"):
        LossPlot(tmp_path / METRICS_FILE, tmp_path / "loss.png")


# --- trackers ---


class Logged:
    """Stands for the object of a tracker's library: keeps the calls of its methods."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        def called(*arguments, **options):
            self.calls.append((name, arguments, options))
            return self

        return called


@pytest.mark.parametrize(
    ("tracker", "library", "close"),
    [("tensorboard", "tensorboardX", "close"), ("wandb", "wandb", "finish"), ("swanlab", "swanlab", "finish")],
)
@pytest.mark.parametrize("fails", [False, True])
def test_trackers_get_every_report(tracker, library, close, fails, tmp_path, monkeypatch):
    class Fails(Callback):
        def on_train_report(self, report):
            raise ZeroDivisionError

    logged = Logged()
    monkeypatch.setitem(sys.modules, library, logged)
    callbacks = trackers(tracker, tmp_path, "project", {"iters": 6})
    if fails:
        with pytest.raises(ZeroDivisionError):
            run([*callbacks, Fails()])
    else:
        run(callbacks)
    names = [name for name, _, _ in logged.calls]
    assert names[0] == {"tensorboard": "SummaryWriter"}.get(tracker, "init")
    assert names[-1] == close
    numbers = list(logged_numbers(logged.calls))
    assert ("train/loss", 2) in numbers
    assert (("val/loss", 6) in numbers) is not fails


def logged_numbers(calls):
    for name, arguments, options in calls:
        if name == "add_scalar":
            yield arguments[0], arguments[2]
        elif name == "log":
            yield from ((key, options["step"]) for key in arguments[0])


def test_unknown_trackers_are_named(tmp_path):
    with pytest.raises(ValueError, match="report_to: expected some of tensorboard, wandb, swanlab, got 'x', ''"):
        trackers("wandb, x,", tmp_path)


def test_a_tracker_that_is_not_installed_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match=r"needs wandb, which is not installed: pip install 'mlxffi\[trackers\]'"):
        trackers("wandb", tmp_path)
