"""A run that stops and goes on is the run that never stopped, bit for bit."""

import json
import shutil
import struct

import pytest
import training
from training import At, Recorder, assert_same

import mlxffi.core as mx
from mlxffi.tuner.optimizers import SGD, Adafactor, Adam, AdamW, MultiOptimizer, Muon
from mlxffi.tuner.schedules import cosine_decay
from mlxffi.tuner.trainer import STATE_FILE, Callback, Stop, TrainingArgs, train

ITERATIONS = 14


def adamw():
    return AdamW(cosine_decay(0.05, ITERATIONS))


def run(folder, stop=None, resume=False, data="examples", optimizer=adamw, **args):
    """The model after a run, or a part of it, and what it told."""
    model, told = training.model(dropout=0.3), Recorder()
    train_set = training.examples() if data == "examples" else training.batches(3)
    settings = {"batch_size": 3, "iters": ITERATIONS, "steps_per_report": 4, "steps_per_eval": 5, "seed": 7, **args}
    train(
        model,
        optimizer(),
        train_set,
        training.batches(1, seed=4),
        TrainingArgs(**settings),
        folder=folder,
        resume=resume,
        callbacks=[told, At(stop, lambda: Stop("a test"))],
    )
    return model, told


def without_times(reports):
    return [
        {
            key: value
            for key, value in vars(report).items()
            if "second" not in key and key not in ("peak_memory", "val_time")
        }
        for report in reports
    ]


# 9 is in the third epoch of the data, in the middle of a window, between reports.
@pytest.mark.parametrize(("steps", "stop"), [(1, 1), (1, 9), (3, 4), (3, 9), (4, 9), (4, 11)])
@pytest.mark.parametrize("data", ["examples", "batches"])
def test_a_resumed_run_is_the_one_that_never_stopped(steps, stop, data, tmp_path):
    options = {"data": data, "grad_accumulation_steps": steps}
    whole, wanted = run(None, **options)
    _, first = run(tmp_path, stop, **options)
    resumed, then = run(tmp_path, resume=True, **options)
    assert len(first.steps) == stop
    assert [*first.steps, *then.steps] == wanted.steps
    assert_same(resumed, whole)
    # Reports at the stop itself come on top.
    assert without_times(then.train) == without_times(wanted.train)[stop // 4 :]
    assert without_times(then.val) == without_times(wanted.val)[-len(then.val) :]
    assert wanted.losses[-1] < wanted.losses[0]


def test_a_run_goes_on_to_more_iterations(tmp_path):
    whole, wanted = run(None, grad_accumulation_steps=4)
    run(tmp_path, iters=6, grad_accumulation_steps=4)
    longer, told = run(tmp_path, resume=True, grad_accumulation_steps=4)
    assert told.steps == wanted.steps[6:]
    assert_same(longer, whole)


def test_a_run_can_stop_again_and_again(tmp_path):
    whole, wanted = run(None, grad_accumulation_steps=3)
    steps = []
    for stop in range(1, ITERATIONS + 1):
        model, told = run(tmp_path, stop, resume=stop > 1, grad_accumulation_steps=3)
        steps += told.steps
    assert steps == wanted.steps
    assert_same(model, whole)


OPTIMIZERS = {
    "nested": lambda: MultiOptimizer([Muon(0.01), AdamW(0.01)], [lambda path, _: path.startswith("layers")]),
    "factored": lambda: Adafactor(0.01),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=list(OPTIMIZERS))
def test_any_state_of_an_optimizer_is_kept(optimizer, tmp_path):
    options = {"optimizer": optimizer, "grad_accumulation_steps": 3, "compile": False}
    whole, wanted = run(None, **options)
    run(tmp_path, 7, **options)
    resumed, told = run(tmp_path, resume=True, **options)
    assert told.steps == wanted.steps[7:]
    assert_same(resumed, whole)


def test_what_a_callback_draws_changes_nothing(tmp_path):
    class Draws(Callback):
        def on_step(self, report):
            mx.random.normal((3,))

    models = [training.model(dropout=0.3) for _ in range(2)]
    for model, callbacks in zip(models, ([], [Draws()]), strict=True):
        train(model, SGD(0.1), training.batches(2), args=TrainingArgs(iters=3), callbacks=callbacks)
    assert_same(*models)


def test_early_stopping_counts_on(tmp_path):
    options = {"steps_per_eval": 1, "early_stop": 4, "early_stop_delta": 100.0}
    _, wanted = run(None, **options)
    run(tmp_path, 2, **options)
    _, told = run(tmp_path, resume=True, **options)
    assert [report.iteration for report in wanted.val] == [0, 1, 2, 3, 4]
    assert [report.iteration for report in told.val] == [3, 4]


# --- files that do not fit ---


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run(folder, 4, grad_accumulation_steps=3)
    return folder


@pytest.fixture
def state(saved, tmp_path):
    """The file of a run that stopped in the middle of a window."""
    return shutil.copytree(saved, tmp_path / "run") / STATE_FILE


def resumed(state, **args):
    run(state.parent, resume=True, **{"grad_accumulation_steps": 3, **args})


def test_no_state_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{STATE_FILE}: there is no training state"):
        run(tmp_path / "none", resume=True)


def test_other_windows_are_an_error(state):
    with pytest.raises(ValueError, match="grad_accumulation_steps was 3, not 2"):
        resumed(state, grad_accumulation_steps=2)


@pytest.mark.parametrize(("name", "value"), [("seed", 8), ("batch_size", 2), ("pack", True), ("max_seq_length", 16)])
def test_another_order_of_the_data_is_an_error(name, value, state):
    with pytest.raises(ValueError, match=name):
        resumed(state, **{name: value})


def test_another_model_or_optimizer_is_an_error(state):
    batches, args = training.batches(3), TrainingArgs(grad_accumulation_steps=3)
    with pytest.raises(ValueError, match=r"layers\.0\.weight: expected float32 \[8, 8\], got float32 \[16, 16\]"):
        train(training.model(width=8), AdamW(0.1), batches, args=args, folder=state.parent, resume=True)
    for other in (SGD, Adam):  # of which the second one's state looks alike
        with pytest.raises(ValueError, match=f"optimizer was AdamW, not {other.__name__}"):
            train(training.model(), other(0.1), batches, args=args, folder=state.parent, resume=True)
    with pytest.raises(ValueError, match="how many batches were given"):
        train(training.model(), AdamW(0.1), batches, args=args, folder=state.parent, resume=True)


def test_a_file_without_one_of_its_arrays_is_an_error(state):
    found, metadata = mx.load(str(state), return_metadata=True)
    for name in found:
        rest = {other: item for other, item in found.items() if other != name}
        mx.save_safetensors(str(state), rest, metadata)
        with pytest.raises(ValueError, match=rf"training_state\.safetensors: (the state .*\n  )?{name}: "):
            resumed(state)


def test_another_file_is_an_error(state):
    (state.parent / "adapters.safetensors").replace(state)
    with pytest.raises(ValueError, match="expected a training state with the metadata"):
        resumed(state)


@pytest.mark.parametrize("size", [0, 1, 8, 100, -1])
def test_a_cut_file_is_an_error(size, state):
    state.write_bytes(state.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"training_state\.safetensors: expected a training state"):
        resumed(state)


@pytest.mark.parametrize("key", ["progress", "position", "args"])
@pytest.mark.parametrize("text", ["{", "[]", '{"iteration": "x"}', None])
def test_bad_metadata_is_an_error(key, text, state):
    contents = state.read_bytes()
    (length,) = struct.unpack("<Q", contents[:8])
    header = json.loads(contents[8 : 8 + length])
    if text is None:
        del header["__metadata__"][key]
    else:
        header["__metadata__"][key] = text
    made = json.dumps(header).encode()
    state.write_bytes(struct.pack("<Q", len(made)) + made + contents[8 + length :])
    with pytest.raises(ValueError, match=f"metadata: {key}|{key}s?: expected|state: settings|_steps was None"):
        resumed(state)
