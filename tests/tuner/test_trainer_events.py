"""What a run tells its callbacks, and what they can make it do."""

import dataclasses

import numpy as np
import pytest
import training
from training import Recorder, arrays

import mlxffi.core as mx
from mlxffi.tuner import layers, lora
from mlxffi.tuner.models import FunctionalModel
from mlxffi.tuner.optimizers import SGD, AdamW
from mlxffi.tuner.schedules import step_decay
from mlxffi.tuner.trainer import BEST_FILE, Callback, Stop, TrainingArgs, train, write_parameters

EVENTS = ["on_start", "on_step", "on_train_report", "on_val_report", "on_save"]


def spy(events, **answers):
    """A callback that notes (event, iteration), and answers events with what a function of the report gives."""

    def method(event):
        def called(_, report):
            events.append((event, getattr(report, "iteration", None)))
            return answers[event](report) if event in answers else None

        return called

    return type("Spy", (Callback,), {event: method(event) for event in [*EVENTS, "on_exception", "on_end"]})()


def run(callbacks, folder=None, model=None, **args):
    args = {"iters": 5, "steps_per_report": 2, "steps_per_eval": 4, "steps_per_save": 3, **args}
    model = model or training.model()
    batches, valid = training.batches(3), training.batches(1, seed=4)
    return train(model, SGD(0.1), batches, valid, TrainingArgs(**args), callbacks=callbacks, folder=folder)


def test_events_come_in_order(tmp_path):
    events = []
    run([spy(events)], tmp_path)
    assert events == [
        ("on_start", 0),
        ("on_val_report", 0),
        ("on_step", 1),
        ("on_step", 2),
        ("on_train_report", 2),
        ("on_step", 3),
        ("on_save", 3),
        ("on_step", 4),
        ("on_train_report", 4),
        ("on_val_report", 4),
        ("on_step", 5),
        ("on_train_report", 5),
        ("on_val_report", 5),
        ("on_save", 5),
        ("on_end", 5),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0000003_adapters.safetensors",
        "0000005_adapters.safetensors",
        "adapters.safetensors",
        "best_adapters.safetensors",
        "training_state.safetensors",
    ]


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    events = []
    run([spy(events)])
    assert not any(event == "on_save" for event, _ in events)
    assert list(tmp_path.iterdir()) == []


# --- stops ---


def asked(how):
    def answer(report):
        if how == "raise":
            raise Stop("enough")
        return Stop("enough")

    return answer


@pytest.mark.parametrize("how", ["return", "raise"])
@pytest.mark.parametrize(("event", "last"), list(zip(EVENTS, [0, 1, 2, 0, 3], strict=True)))
def test_any_event_can_stop_the_run(event, last, how, tmp_path):
    model, events = training.model(), []
    result = run([spy(events, **{event: asked(how)}), spy([])], tmp_path, model)
    assert (result.iteration, result.stop) == (last, "enough")
    assert events[-1] == ("on_end", last)
    assert_saved(tmp_path / "adapters.safetensors", model)


def assert_saved(path, model):
    saved = {name: np.array(item) for name, item in mx.load(str(path)).items()}
    wanted = arrays(model)
    assert saved.keys() == wanted.keys()
    assert all(np.array_equal(saved[name], item) for name, item in wanted.items())


def test_a_stop_applies_the_open_window():
    stopped, whole = training.model(), training.model()
    at_third = spy([], on_step=lambda report: Stop() if report.iteration == 3 else None)
    result = run([at_third], model=stopped, grad_accumulation_steps=2)
    assert result.stop == "a callback asked to stop"
    run([], model=whole, iters=3, grad_accumulation_steps=2)
    for path, item in arrays(whole).items():
        np.testing.assert_array_equal(arrays(stopped)[path], item)


# --- exceptions ---


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_an_exception_reaches_callbacks_and_the_caller(event, error, tmp_path):
    def fail(report):
        raise error

    events, seen = [], []
    watching = spy([], on_exception=seen.append)
    with pytest.raises(type(error)) as caught:
        run([spy(events, **{event: fail}), watching], tmp_path)
    assert caught.value is error
    assert events[-1][0] == "on_exception"
    assert [item is error for item in seen] == [True]
    del caught  # whose traceback has this frame
    error.__traceback__ = None


def test_an_exception_leaves_the_model_with_what_it_has_learned():
    def fail(report):
        raise KeyboardInterrupt

    model, same = training.model(), training.model()
    with pytest.raises(KeyboardInterrupt):
        run([spy([], on_train_report=fail)], model=model)
    run([], model=same, iters=2)
    for path, item in arrays(same).items():
        np.testing.assert_array_equal(arrays(model)[path], item)


# --- reports ---


def test_reports_count_their_own_window(tmp_path):
    told, batches = Recorder(), training.batches(7)
    args = TrainingArgs(iters=7, steps_per_report=3)
    schedule = step_decay(1e-2, 0.5, 2)
    result = train(training.model(), AdamW(schedule), batches, args=args, callbacks=[told])
    targets = [batch.weights.sum().item() for batch in batches]
    assert [report.iteration for report in told.train] == [3, 6, 7]
    assert [report.trained_tokens for report in told.train] == np.cumsum(targets)[[2, 5, 6]].tolist()
    assert result.trained_tokens == sum(targets)
    for report, window in zip(told.train, ([0, 1, 2], [3, 4, 5], [6]), strict=True):
        tokens, loss = sum(targets[index] for index in window), sum(told.steps[index].loss for index in window)
        assert report.train_loss == pytest.approx(loss / tokens, rel=1e-6)
        assert report.tokens_per_second / report.iterations_per_second == pytest.approx(tokens / len(window))
        assert report.grad_norm == told.steps[report.iteration - 1].norm
        assert report.learning_rate == pytest.approx(schedule(mx.array(report.iteration - 1)).item())
        assert 0 < report.peak_memory < 100


def test_rates_leave_out_validations_and_saves(tmp_path, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr("mlxffi.tuner.trainer.loop.time.perf_counter", lambda: next(clock))
    told = Recorder()
    run([told], tmp_path, iters=4, steps_per_report=4, steps_per_eval=1, steps_per_save=1)
    # A tick for each step and each of the four times that something waits for one.
    assert told.train[0].iterations_per_second == pytest.approx(4 / 8, abs=0.2)
    assert [report.val_time for report in told.val] == [1] * 5


def test_a_step_report_gives_the_parameters_after_it():
    seen = []
    run([spy([], on_step=lambda report: seen.append(write_copy(report.trained)))], iters=2)
    model = training.model()
    run([], model=model, iters=1)
    for path, item in arrays(model).items():
        np.testing.assert_array_equal(seen[0][path], item)


def write_copy(tree):
    return {path: np.array(item) for path, item in training.flatten(tree).items()}


# --- early stop ---


class Worse:
    """An optimizer that goes the wrong way after three updates."""

    def init(self, parameters):
        return {"step": mx.array(0), "learning_rate": mx.array(0.5)}

    def update(self, gradients, state, parameters):
        rate = mx.where(state["step"] < 3, 0.5, -0.5)
        moved = {path: item - rate * gradients[path] for path, item in parameters.items()}
        return moved, {**state, "step": state["step"] + 1}


def test_a_run_stops_early_and_keeps_its_best_parameters(tmp_path):
    model, best = training.model(), training.model()
    batches, valid = training.batches(3), training.batches(1, seed=4)
    args = TrainingArgs(iters=50, steps_per_eval=1, early_stop=2)
    result = train(model, Worse(), batches, valid, args, folder=tmp_path)
    assert (result.iteration, result.best_iteration) == (5, 3)
    assert result.stop == f"2 validations in a row without a better loss than {result.best_val_loss:.4f}"
    train(best, Worse(), batches, args=dataclasses.replace(args, iters=3))
    assert_saved(tmp_path / BEST_FILE, best)
    assert_saved(tmp_path / "adapters.safetensors", model)


def test_a_better_loss_is_better_by_a_margin():
    model = training.model()
    args = TrainingArgs(iters=50, steps_per_eval=1, early_stop=3, early_stop_delta=100.0)
    result = train(model, SGD(0.1), training.batches(3), training.batches(1), args)
    assert (result.iteration, result.best_iteration) == (3, 0)


# --- other files ---


def test_a_caller_can_write_the_parameters(tmp_path):
    written = []

    def write(path, trained):
        written.append(path.name)
        write_parameters(path, trained)

    batches = training.batches(1)
    train(training.model(), SGD(0.1), batches, args=TrainingArgs(iters=1), folder=tmp_path, write=write)
    assert written == ["adapters.safetensors", "0000001_adapters.safetensors"]


def test_an_adapter_is_written_as_one(tmp_path):
    base = {
        "layers": [{"proj": {"weight": mx.random.normal((training.VOCABULARY, 16))}}],
        "embedding": mx.ones((23, 16)),
    }
    adapter = lora.create_adapter(base, lora.LoRAConfig(rank=2, num_layers=-1))

    def forward(parameters, tokens, *, training=False):
        return layers.linear(parameters["layers"][0]["proj"], parameters["embedding"][tokens], training=training)

    model = FunctionalModel(base, forward, adapter)
    train(model, AdamW(0.1), training.batches(2), args=TrainingArgs(iters=2), folder=tmp_path)
    found = lora.load_adapter(tmp_path, base)
    assert found.config.rank == 2
    for path, item in training.flatten(found.parameters).items():
        np.testing.assert_array_equal(np.array(item), arrays(model)[path])
    assert arrays(model)["layers.0.proj.lora_b"].any()


# --- arguments ---


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"iters": 0}, "iters: expected at least 1, got 0"),
        ({"batch_size": True}, "batch_size: expected int, got True"),
        ({"grad_accumulation_steps": 1.5}, "grad_accumulation_steps: expected int, got 1.5"),
        ({"max_grad_norm": 0.0}, "max_grad_norm: expected a number above 0, got 0.0"),
        ({"early_stop_delta": float("nan")}, "early_stop_delta: expected a finite number, got nan"),
        ({"nan_guard": "no"}, "nan_guard: expected one of raise, skip, got 'no'"),
        ({"val_batches": -2}, "val_batches: expected at least -1, got -2"),
        ({"max_seq_length": 1}, "max_seq_length: expected at least 2, got 1"),
        ({"compile": 1}, "compile: expected bool, got 1"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
    ],
)
def test_a_bad_argument_is_named(args, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        TrainingArgs(**args)


def test_every_argument_has_help_and_a_default_that_is_allowed():
    TrainingArgs()
    for entry in dataclasses.fields(TrainingArgs):
        assert len(entry.metadata["help"]) > 10
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainingArgs().iters = 3


def test_what_is_no_run_is_refused():
    with pytest.raises(ValueError, match="expected 4 or more records"):
        train(training.model(), SGD(0.1), [], args=TrainingArgs())
    with pytest.raises(ValueError, match="train_set: expected records, batches or a source of batches, got int"):
        train(training.model(), SGD(0.1), 5)
    with pytest.raises(ValueError, match="optimizer: expected one with init and update, got 'sgd'"):
        train(training.model(), "sgd", training.batches(1))
    with pytest.raises(ValueError, match="resume: expected a folder"):
        train(training.model(), SGD(0.1), training.batches(1), resume=True)
