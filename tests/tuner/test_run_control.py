"""How a run is steered: passes over the data, the best parameters at its end, Ctrl-C, limits of time, which rate."""

import json
import os
import re
import signal

import numpy as np
import pytest
import training
from end_to_end import command, options
from training import At, Recorder, arrays, assert_same

import mlxffi.core as mx
from mlxffi.tuner.cli.settings import settings_of
from mlxffi.tuner.cli.stopping import OTHERWISE, Interruption, TimeLimit, how_to_go_on
from mlxffi.tuner.datasets import Example, iterate_batches
from mlxffi.tuner.optimizers import SGD, AdamW
from mlxffi.tuner.trainer import Stop, TrainingArgs, train
from mlxffi.tuner.trainer.metrics import read_metrics
from mlxffi.tuner.trainer.rates import find_learning_rate


def run(folder=None, act=None, at=0, resume=False, optimizer=None, valid=None, **args):
    model, told = training.model(dropout=0.3), Recorder()
    settings = TrainingArgs(**{"batch_size": 3, "steps_per_report": 4, "steps_per_eval": 2, "seed": 7, **args})
    result = train(
        model,
        optimizer or AdamW(0.05),
        training.examples(),
        training.batches(1, seed=4) if valid is None else valid,
        settings,
        folder=folder,
        resume=resume,
        callbacks=[told, At(at, act)],
    )
    return model, told, result


# --- passes over the data ---


@pytest.mark.parametrize(("epochs", "iterations"), [(1, 4), (2, 8), (3, 11), (6, 22)])
def test_epochs_hold_every_record_as_often(epochs, iterations):
    """11 records in batches of 3."""
    _, told, result = run(epochs=epochs, iters=1)
    assert result.iteration == len(told.steps) == iterations


@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_packed_epochs_are_counted_in_rows(epochs):
    given = {"batch_size": 2, "max_seq_length": 32, "pack": True, "window": 2}
    rows = 0
    for batch in (batches := iterate_batches(training.examples(), loop=True, **given)):
        if batches.epoch >= epochs:
            break
        rows += batch.tokens.shape[0]
    found = iterate_batches(training.examples(), loop=True, **given).count(epochs)
    # The rows that the last epoch leaves over fill one batch more, together with the next one's.
    assert rows // 2 <= found <= rows // 2 + 1
    batches = iterate_batches(training.examples(), loop=True, **given)
    seen = np.concatenate([np.array(next(batches).tokens).ravel() for _ in range(found)])
    assert np.count_nonzero(seen) >= epochs * 0.9 * sum(len(example.tokens) for example in training.examples())


class Endless:
    """A source whose end nobody knows."""

    def __next__(self):
        return None

    def state(self):
        return {}

    def restore(self, state):
        pass


def test_epochs_of_a_list_of_batches_and_of_what_has_no_end():
    batches, args = training.batches(3), TrainingArgs(epochs=4)
    assert train(training.model(), SGD(0.1), batches, args=args).iteration == 12
    with pytest.raises(ValueError, match="epochs: expected records or a list of batches"):
        train(training.model(), SGD(0.1), Endless(), args=args)


@pytest.mark.parametrize("stop", [3, 5, 9])
def test_a_run_of_epochs_goes_on_to_the_bit(stop, tmp_path):
    whole, wanted, _ = run(epochs=3)
    run(tmp_path, Stop, stop, epochs=3)
    resumed, told, _ = run(tmp_path, epochs=3, resume=True)
    assert told.steps == wanted.steps[stop:]
    assert_same(resumed, whole)


# --- the best parameters ---


def too_fast():
    """Learns, and then forgets: the rate grows until it does harm."""
    return AdamW(lambda step: 0.02 * 1.6 ** step.astype(mx.float32))


def best_of(told):
    return min(told.val, key=lambda report: report.val_loss)


def test_a_run_ends_with_the_best_parameters(tmp_path):
    _, told, result = run(tmp_path / "last", optimizer=too_fast(), iters=12)
    best = best_of(told)
    assert 0 < best.iteration < 12
    model, _, found = run(tmp_path / "best", optimizer=too_fast(), iters=12, save_best=True)
    assert found == result
    assert found.best_iteration == best.iteration
    files = {
        name: mx.load(str(tmp_path / name)) for name in ("best/adapters.safetensors", "last/best_adapters.safetensors")
    }
    for path, item in arrays(model).items():
        for name, file in files.items():
            np.testing.assert_array_equal(np.array(file[path]), item, err_msg=f"{name} {path}")
    # It is the model after so many iterations.
    shorter, _, _ = run(iters=best.iteration, optimizer=too_fast())
    assert_same(model, shorter)


@pytest.mark.parametrize("stop", [3, 7, 10])
def test_a_resumed_run_knows_the_best_parameters(stop, tmp_path):
    options = {"iters": 12, "save_best": True}
    whole, wanted, _ = run(optimizer=too_fast(), **options)
    run(tmp_path, Stop, stop, optimizer=too_fast(), **options)
    resumed, told, _ = run(tmp_path, resume=True, optimizer=too_fast(), **options)
    assert told.steps == wanted.steps[stop:]
    assert_same(resumed, whole)


def test_a_run_that_began_without_its_best_parameters_cannot_end_with_them(tmp_path):
    run(tmp_path, Stop, 3, iters=6)
    with pytest.raises(ValueError, match="save_best was False, not True"):
        run(tmp_path, resume=True, iters=6, save_best=True)


# --- records without targets ---


def test_validation_records_without_targets_are_counted():
    valid = [Example([1, 2, 3]), Example([4, 5, 6], offset=3), Example([7, 8, 9, 10], mask=[0, 0, 0, 0])]
    _, told, _ = run(iters=2, valid=valid, batch_size=3)
    assert [report.without_targets for report in told.val] == [2, 2]
    _, alone, _ = run(iters=2, valid=valid[:1], batch_size=3)
    assert [report.val_loss for report in told.val] == pytest.approx([report.val_loss for report in alone.val])
    _, none, _ = run(iters=2, valid=valid[1:], batch_size=3)
    assert all(np.isnan(report.val_loss) for report in none.val)
    assert [report.without_targets for report in none.val] == [2, 2]


# --- Ctrl-C and the clock ---


@pytest.mark.parametrize(("stop", "number"), [(1, signal.SIGINT), (6, signal.SIGINT), (6, signal.SIGTERM)])
def test_a_run_goes_on_to_the_bit_after_a_signal(stop, number, tmp_path):
    whole, wanted, _ = run(iters=11, grad_accumulation_steps=4)
    interruption = Interruption()
    before = signal.getsignal(number)
    with interruption.caught():
        model, told = training.model(dropout=0.3), Recorder()
        args = {"batch_size": 3, "steps_per_report": 4, "steps_per_eval": 2, "seed": 7, "grad_accumulation_steps": 4}
        press = At(stop, lambda: os.kill(os.getpid(), number))
        callbacks, sets = [told, press, interruption], (training.examples(), training.batches(1, seed=4))
        result = train(model, AdamW(0.05), *sets, TrainingArgs(iters=11, **args), folder=tmp_path, callbacks=callbacks)
        # A second one is as any.
        assert signal.getsignal(number) == OTHERWISE[number]
    assert signal.getsignal(number) is before
    assert (result.iteration, result.stop) == (stop, "interrupted")
    resumed, then, _ = run(tmp_path, iters=11, grad_accumulation_steps=4, resume=True)
    assert [*told.steps, *then.steps] == wanted.steps
    assert_same(resumed, whole)


def test_a_limit_of_time_stops_after_a_step(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    whole, wanted, _ = run(iters=9)
    model, told = training.model(dropout=0.3), Recorder()

    def minute():
        now[0] += 60.0

    clock = [At(step, minute) for step in range(1, 9)]
    args = TrainingArgs(batch_size=3, steps_per_report=4, steps_per_eval=2, seed=7, iters=9)
    callbacks = [told, *clock, TimeLimit(4)]
    result = train(model, AdamW(0.05), training.examples(), training.batches(1, seed=4), args, folder=tmp_path,
                   callbacks=callbacks)  # fmt: skip
    assert (result.iteration, result.stop) == (4, "the time limit of 4 minutes is up")
    resumed, then, _ = run(tmp_path, iters=9, resume=True)
    assert [*told.steps, *then.steps] == wanted.steps
    assert_same(resumed, whole)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("90m", 90), ("1h30m", 90), ("2h", 120), ("45s", 0.75), ("1h1m6s", 61.1), ("0.5", 0.5)],
)
def test_times_are_read(text, minutes, tmp_path):
    (tmp_path / "c.yaml").write_text(f"time_limit: {text}\n")
    assert settings_of({"config": str(tmp_path / "c.yaml")}).job.time_limit == pytest.approx(minutes)


@pytest.mark.parametrize("text", ["0", "-5", "nan", "inf", "1d", "m", "''", "1m30h", "true", "[1]"])
def test_what_is_no_time_is_refused(text, tmp_path):
    (tmp_path / "c.yaml").write_text(f"time_limit: {text}\n")
    with pytest.raises(ValueError, match="time_limit: expected a time above 0 such as 90, 90m or 1h30m, got"):
        settings_of({"config": str(tmp_path / "c.yaml")})


def test_the_command_that_goes_on_is_the_one_that_began():
    given = {"train": True, "plot": False, "model": "my model", "iters": 5, "resume_adapter_file": "x", "resume": False}
    assert how_to_go_on("tune", given) == "tune --train --no-plot --model 'my model' --iters 5 --resume"


def words(folder, adapter, **more):
    where = {"model": folder / "model", "data": folder / "data", "adapter_path": adapter}
    return [*options(train=True, batch_size=4, num_layers=1, max_seq_length=64, **where, **more)]


def test_ctrl_c_while_a_command_prepares(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("mlxffi.tuner.cli.lora.load_base", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    _, err = command(*words(folder, tmp_path / "a", iters=4), status=130)
    assert err == "mlxffi-lora: interrupted\n"


def test_ctrl_c_on_the_command_line(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("mlxffi.tuner.cli.lora.TimeLimit", lambda _: At(2, lambda: os.kill(os.getpid(), signal.SIGINT)))
    given = words(folder, tmp_path / "a", iters=4, time_limit="1h")
    _, err = command(*given, status=130)
    go_on = re.search(r"^mlxffi-lora: interrupted and saved; to go on: mlxffi-lora (.*)$", err, re.M)[1]
    monkeypatch.undo()
    command(*go_on.split())
    command(*words(folder, tmp_path / "b", iters=4))
    first, second = (read_metrics(tmp_path / name / "metrics.jsonl")[-1]["val_loss"] for name in "ab")
    assert first == second


def test_a_time_limit_on_the_command_line(folder, tmp_path):
    out, _ = command(*words(folder, tmp_path / "a", iters=50, time_limit="1e-9"))
    assert "(the time limit of 1e-09 minutes is up)" in out
    assert out.splitlines()[-1].endswith("--time-limit 1e-09 --resume")
    out, _ = command(*words(folder, tmp_path / "a", iters=50, time_limit="1e-9"), "--resume")
    assert re.search(r"^1 iterations \(", out, re.M)


def test_epochs_and_the_best_on_the_command_line(folder, tmp_path):
    given = {"epochs": 2, "save_best": True, "steps_per_eval": 1, "learning_rate": 0.3, "test": True}
    out, _ = command(*words(folder, tmp_path / "a", **given))
    lines = [line for line in read_metrics(tmp_path / "a/metrics.jsonl") if line["event"] == "val"]
    assert lines[-1]["iteration"] == 4
    best = min(lines, key=lambda line: line["val_loss"])
    last = (tmp_path / "a/adapters.safetensors").read_bytes()
    assert last == (tmp_path / "a/best_adapters.safetensors").read_bytes()
    assert f"after iteration {best['iteration']}" in out
    assert json.loads((tmp_path / "a/adapter_config.json").read_text())["save_best"] is True


# --- which learning rate ---


def test_a_rate_is_found_and_the_parameters_stay():
    model = training.model()
    before = arrays(model)
    found = find_learning_rate(model, SGD, training.batches(3), TrainingArgs(), steps=60, lowest=1e-4, highest=1e4)
    for path, item in arrays(model).items():
        np.testing.assert_array_equal(item, before[path])
    assert found.rates == pytest.approx([1e-4 * 1e8 ** (step / 59) for step in range(len(found.rates))])
    assert 1e-4 < found.suggestion < found.lowest < 1e4
    # Beyond its end the loss grows; the suggested rate learns.
    assert len(found.rates) < 60
    args = TrainingArgs(iters=20, steps_per_report=10)
    told = Recorder()
    train(model, SGD(found.suggestion), training.batches(3), args=args, callbacks=[told])
    assert told.train[-1].train_loss < 0.8 * told.losses[0]
    assert str(found).splitlines()[-1].startswith(f"suggested learning rate: {found.suggestion:.1e}")


def test_losses_of_rates_are_those_of_training():
    """Smoothed, against the trainer with the same schedule."""
    told, rates = Recorder(), [1e-3 * 10 ** (step / 9) for step in range(10)]
    schedule = lambda step: 1e-3 * 10 ** (step.astype(mx.float32) / 9)  # noqa: E731
    train(training.model(), SGD(schedule), training.batches(1), args=TrainingArgs(iters=10), callbacks=[told])
    found = find_learning_rate(
        training.model(), SGD, training.batches(1), TrainingArgs(), steps=10, lowest=1e-3, highest=1e-2
    )
    assert found.rates == pytest.approx(rates)
    expected = [np.average(told.losses[: count + 1], weights=0.9 ** np.arange(count + 1)[::-1]) for count in range(10)]
    np.testing.assert_allclose(found.losses, expected, rtol=1e-5)


def test_a_loss_that_never_falls_has_no_rate():
    with pytest.raises(RuntimeError, match="expected a rate at which the loss falls, found none in 12 steps"):
        find_learning_rate(training.model(), lambda _: SGD(0.0), training.batches(1), TrainingArgs(), steps=12)


def test_a_rate_is_found_on_the_command_line(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, _ = command(*words(folder, "a", find_lr=True))
    assert re.fullmatch(r"suggested learning rate: \d\.\de-\d\d \(the loss is lowest at .*\)", out.splitlines()[-1])
    assert os.listdir(tmp_path) == []
