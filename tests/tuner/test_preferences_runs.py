"""Runs that learn preferences: references, resuming, windows, and the command line."""

import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import training
from end_to_end import command, options
from training import At, Recorder, arrays

import mlxffi.core as mx
from mlxffi.tuner import lora
from mlxffi.tuner.datasets import Example, ExampleGroup, iterate_batches
from mlxffi.tuner.models import decoder_model
from mlxffi.tuner.optimizers import SGD, AdamW
from mlxffi.tuner.preferences import BY_NAME, CPOLoss, DPOLoss, ORPOLoss
from mlxffi.tuner.trainer import STATE_FILE, Stop, TrainingArgs, evaluate, evaluate_from, train
from mlxffi.tuner.trainer.checkpoint import read_reference
from mlxffi.tuner.trainer.trackers import Tracker
from mlxffi.tuner.trees import flatten, map_paths

FIGURES = ["rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins"]


def groups(count=9, seed=0, labelled=False):
    """Of two sequences behind a prompt the better one grows, and the worse one falls; one of both may be the first."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        start, steps = int(rng.integers(5, 18)), np.arange(4 + index % 3)
        rows = [(start + sign * steps) % training.VOCABULARY for sign in (1, -1)]
        is_good = index % 2 == 0
        rows = rows if is_good or not labelled else rows[::-1]
        found.append(ExampleGroup(tuple(Example(row.tolist(), 1) for row in rows), is_good))
    return found


def adapted(dropout=0.0, noise=0.0):
    """The small decoder with an adapter, the same each time, that may have been trained."""
    config, parameters = training.decoder()
    mx.random.seed(0)
    adapter = lora.create_adapter(parameters, lora.LoRAConfig(rank=4, dropout=dropout))
    if noise:
        drawn = map_paths(lambda _, item: noise * mx.random.normal(item.shape), adapter.parameters)
        adapter = lora.Adapter(drawn, adapter.config)
    return decoder_model(config, parameters, adapter)


def run(model, loss, folder=None, stop=None, resume=False, optimizer=None, **args):
    told = Recorder()
    settings = {"iters": 10, "batch_size": 3, "steps_per_report": 3, "steps_per_eval": 4, "seed": 3, **args}
    records = groups(labelled=loss.name == "kto")
    train(
        model,
        optimizer or AdamW(0.01),
        records,
        records,
        TrainingArgs(**settings),
        loss=loss,
        folder=folder,
        resume=resume,
        callbacks=[told, At(stop, lambda: Stop("a test"))],
    )
    return told


# --- the reference ---


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_run_begins_at_its_reference(noise):
    """Whatever the adapter did before: a new one, or one that is continued, is its own reference."""
    model = adapted(noise=noise)
    told = run(model, DPOLoss(), iters=4)
    assert told.val[0].val_loss == pytest.approx(np.log(2), rel=1e-6)
    assert told.val[0].figures["rewards/margins"] == told.val[0].figures["rewards/accuracies"] == 0
    assert told.val[-1].val_loss < np.log(2)


def test_the_reference_of_a_new_adapter_is_the_model_without_it():
    config, parameters = training.decoder()
    model, plain = adapted(), decoder_model(config, parameters)
    start = model.trainable()
    run(model, DPOLoss(), iters=4)
    tokens = mx.arange(8)[None]
    # Rounded otherwise: a layer that is adapted and one that is not are different kernels.
    np.testing.assert_allclose(
        np.array(model.logits(start, tokens)), np.array(plain.logits(plain.trainable(), tokens)), rtol=1e-4, atol=1e-7
    )
    assert not mx.array_equal(model(tokens), plain(tokens))


def test_whole_parameters_have_a_copy_as_reference():
    model = training.model()
    told = run(model, DPOLoss(), optimizer=SGD(0.5), iters=30)
    assert told.val[0].val_loss == pytest.approx(np.log(2), rel=1e-6)
    assert told.val[-1].figures["rewards/accuracies"] == 1


@pytest.mark.parametrize("kind", sorted(BY_NAME))
def test_a_compiled_step_of_whole_parameters_is_that_of_one_by_one(kind):
    """KTO reads the parameters twice in a step, where they lie in one array."""
    compiled, plain = (
        run(training.model(), BY_NAME[kind](), optimizer=SGD(0.1), iters=4, compile=is_compiled)
        for is_compiled in (True, False)
    )
    assert [report.val_loss for report in compiled.val] == pytest.approx([report.val_loss for report in plain.val])


@pytest.mark.parametrize("kind", sorted(BY_NAME))
def test_accuracy_rises(kind):
    model = adapted()
    told = run(model, BY_NAME[kind](), iters=80, optimizer=AdamW(0.03))
    first, last = told.val[0].figures, told.val[-1].figures
    assert last["rewards/margins"] > first["rewards/margins"]
    assert last["rewards/accuracies"] > max(first["rewards/accuracies"], 0.85)


# --- resuming ---


@pytest.mark.parametrize("kind", ["dpo", "kto", "orpo"])
@pytest.mark.parametrize("window", [1, 3])
def test_a_run_that_stops_goes_on_to_the_bit(tmp_path, kind, window):
    loss, more = BY_NAME[kind](), {"grad_accumulation_steps": window}
    whole = run(adapted(0.2, 0.2), loss, **more)
    parts = run(adapted(0.2, 0.2), loss, tmp_path, stop=5, **more)
    # What is resumed need not begin with the factors that the run began with: the state has the reference.
    rest = run(adapted(0.2), loss, tmp_path, resume=True, **more)
    told = [(report.iteration, report.val_loss, report.figures) for report in rest.val]
    assert told == [(report.iteration, report.val_loss, report.figures) for report in whole.val][-len(told) :]
    assert [report.figures for report in rest.train][1:] == [report.figures for report in whole.train][-2:]
    assert parts.val[0].val_loss == whole.val[0].val_loss


def test_a_run_of_another_loss_does_not_go_on(tmp_path):
    run(adapted(), DPOLoss(0.1), tmp_path, iters=2)
    with pytest.raises(ValueError, match=r"can only go on as it began: beta was 0.1, not 0.2"):
        run(adapted(), DPOLoss(0.2), tmp_path, resume=True)
    with pytest.raises(ValueError, match="loss was dpo, not orpo"):
        run(adapted(), ORPOLoss(0.1), tmp_path, resume=True)


def test_the_state_has_the_reference(tmp_path):
    model = adapted(noise=0.2)
    start = flatten(model.trainable())
    run(model, DPOLoss(), tmp_path / "a", iters=2)
    found = flatten(read_reference(tmp_path / "a" / STATE_FILE))
    assert found.keys() == start.keys()
    assert all(mx.array_equal(found[path], start[path]) for path in start)
    run(adapted(), CPOLoss(), tmp_path / "b", iters=2)
    with pytest.raises(ValueError, match="expected a state with the parameters that the run began with"):
        read_reference(tmp_path / "b" / STATE_FILE)


# --- what counts ---


@pytest.mark.parametrize("kind", ["dpo", "ipo", "orpo", "cpo", "simpo"])
def test_a_window_of_batches_is_one_batch(kind):
    """Records weigh the same in whatever batches they come."""
    found = []
    for size, window in ((6, 1), (2, 3), (1, 6)):
        model = adapted(noise=0.2)
        records = groups(6)
        args = TrainingArgs(iters=2 * window, batch_size=size, grad_accumulation_steps=window)
        train(model, SGD(0.3), records, None, args, loss=BY_NAME[kind]())
        found.append(arrays(model))
    for other in found[1:]:
        for path, item in found[0].items():
            np.testing.assert_allclose(other[path], item, rtol=1e-3, atol=1e-5)


def test_a_validation_is_a_mean_over_records():
    model, start = adapted(), adapted().trainable()
    run(model, DPOLoss(), iters=5)

    def of(size):
        return evaluate_from(model, start, iterate_batches(groups(5), size, 64, seed=None), loss=DPOLoss())

    whole, parts = of(5), of(2)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    assert parts.figures == pytest.approx(whole.figures, rel=1e-4)
    with pytest.raises(ValueError, match="expected one that needs no reference"):
        evaluate(model, iterate_batches(groups(5), 2, 64), loss=DPOLoss())


def test_targets_are_records_and_tokens_are_told_as_such():
    told = run(adapted(), DPOLoss(), iters=3)
    assert [step.targets for step in told.steps] == [3, 3, 3]
    assert told.train[0].trained_tokens == sum(step.tokens for step in told.steps)
    assert told.train[0].trained_tokens == sum(len(e.tokens) - 1 for group in groups() for e in group.sequences)


def test_trackers_get_figures_by_name():
    logged = {}

    class Kept(Tracker):
        def log(self, values, iteration):
            logged.update(values)

        def close(self):
            pass

    told, records = Recorder(), groups()
    train(adapted(), AdamW(0.01), records, records, TrainingArgs(iters=2), loss=DPOLoss(), callbacks=[told, Kept()])
    for event, report in (("train", told.train[-1]), ("val", told.val[-1])):
        assert set(report.figures) >= set(FIGURES)
        for name, value in report.figures.items():
            assert logged[f"{event}/{name}"] == value
    assert not any("figures" in name for name in logged)


# --- the command line ---


@pytest.fixture(scope="module")
def folder(folder):
    words = ("bytes", "list", "class", "function", "object", "module", "string", "number")
    pairs = [
        {"prompt": f"A {word} is", "chosen": " a good thing", "rejected": " not of any use at all"} for word in words
    ]
    labelled = [
        {"prompt": pair["prompt"], "completion": pair[key], "label": key == "chosen"}
        for pair in pairs
        for key in ("chosen", "rejected")
    ]
    for name, records in (("pairs", pairs), ("labelled", labelled)):
        (folder / name).mkdir()
        for split in ("train", "valid", "test"):
            (folder / name / f"{split}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


RUN = {
    "iters": 8,
    "batch_size": 4,
    "learning_rate": 0.01,
    "steps_per_report": 4,
    "steps_per_eval": 8,
    "val_batches": -1,
}


def tune(folder, adapter, data="pairs", status=0, **more):
    where = {"model": folder / "model", "data": folder / data, "adapter_path": adapter}
    return command(*options(train=True, **where, **{**RUN, **more}), status=status)


def lines(adapter, event):
    found = map(json.loads, (adapter / "metrics.jsonl").read_text().splitlines())
    return [line for line in found if line["event"] == event]


@pytest.mark.parametrize("kind", sorted(BY_NAME))
def test_the_command_line_teaches_a_preference(folder, tmp_path, kind):
    given = {"loss": kind, "beta": 0.5, "data": "labelled" if kind == "kto" else "pairs"}
    out, _ = tune(folder, tmp_path / "a", test=True, **given)
    told = lines(tmp_path / "a", "val")
    assert told[-1]["rewards/margins"] > told[0]["rewards/margins"]
    assert told[-1]["rewards/accuracies"] == 1
    assert lines(tmp_path / "a", "train")[-1].keys() >= set(FIGURES)
    assert "rewards/accuracies 1  " in out
    assert f"Test loss {told[-1]['val_loss']:.3f}, rewards/chosen" in out
    # Later, the test says the same: it knows what the run began with.
    where = {"model": folder / "model", "data": folder / given["data"], "adapter_path": tmp_path / "a"}
    again, _ = command(*options(test=True, batch_size=4, loss=kind, beta=0.5, **where))
    assert again.splitlines()[-1] == out.splitlines()[-1]
    assert "accuracy      margin" in command("report", "--adapter-path", tmp_path / "a")[0]


def in_a_process(*words):
    """Like `command`, where nothing has loaded the real mlx.core, beside which the models of mlx_lm would not run."""
    given = [sys.executable, "-m", "mlxffi.tuner", *map(str, words)]
    done = subprocess.run(given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


NO_MLX_LM = pytest.mark.skipif(find_spec("mlx_lm") is None, reason="mlx_lm is missing")
MODELS = [
    ({"fine_tune_type": "full", "num_layers": 1}, command),
    pytest.param({"engine": "mlx_lm"}, in_a_process, marks=NO_MLX_LM),
]


@pytest.mark.parametrize(("more", "tell"), MODELS)
def test_whatever_is_trained_is_tested_later(folder, tmp_path, more, tell):
    where = {"model": folder / "model", "data": folder / "pairs", "adapter_path": tmp_path / "a", "loss": "dpo", **more}
    out, _ = tell(*options(train=True, test=True, **where, **{**RUN, "iters": 3}))
    again, _ = tell(*options(test=True, batch_size=4, **where))
    assert again.splitlines()[-1] == out.splitlines()[-1]
    assert lines(tmp_path / "a", "val")[0]["val_loss"] == pytest.approx(np.log(2), rel=1e-6)


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_what_begins_with_a_part_of_the_weights_is_tested_later(folder, tmp_path, start):
    """The state has the factors that the run began with, the file what changed since then."""
    config = tmp_path / "c.yaml"
    config.write_text(f"lora_parameters: {{rank: 4, scale: 20.0, dropout: 0.0, init_lora_weights: {start}}}\n")
    out, _ = tune(folder, tmp_path / "a", loss="dpo", test=True, config=config)
    where = {"model": folder / "model", "data": folder / "pairs", "adapter_path": tmp_path / "a"}
    again, _ = command(*options(test=True, batch_size=4, loss="dpo", **where))
    assert again.splitlines()[-1] == out.splitlines()[-1]
    # That of another run is refused, before anything is done.
    config.write_text("lora_parameters: {rank: 3, scale: 20.0, dropout: 0.0}\n")
    tune(folder, tmp_path / "b", loss="dpo", iters=1, config=config)
    (tmp_path / "b" / STATE_FILE).replace(tmp_path / "a" / STATE_FILE)
    out, err = command(*options(test=True, batch_size=4, loss="dpo", **where), status=2)
    assert (out, "the run did not begin with what is tested" in err) == ("", True)


def test_a_run_is_resumed_by_command(folder, tmp_path):
    (tmp_path / "c.yaml").write_text("loss: dpo\nbeta: 0.3\nlabel_smoothing: 0.1\n")
    more = {"config": tmp_path / "c.yaml", "steps_per_eval": 4}
    tune(folder, tmp_path / "whole", **more)
    tune(folder, tmp_path / "parts", **more, **{"iters": 4})
    tune(folder, tmp_path / "parts", **more, resume=True)
    for event in ("train", "val"):
        whole, parts = (
            [
                {k: v for k, v in line.items() if "second" not in k and k not in ("val_time", "peak_memory")}
                for line in lines(tmp_path / name, event)
            ]
            for name in ("whole", "parts")
        )
        assert whole == parts
    _, err = tune(folder, tmp_path / "parts", status=2, resume=True, loss="dpo", beta=0.4, label_smoothing=0.1)
    assert "beta was 0.3, not 0.4" in err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"loss": "ipo", "label_smoothing": 0.1},
            "label_smoothing: expected with loss dpo or simpo or cpo, got it with ipo",
        ),
        (
            {"beta": 0.1},
            "beta: expected with loss dpo or ipo or orpo or simpo or cpo or kto, got it with cross_entropy",
        ),
        ({"loss": "dpo", "pack": True}, "pack: expected with loss cross_entropy, got it with dpo"),
        ({"loss": "dpo", "mask_assistant": True}, "mask_assistant: expected with loss cross_entropy"),
        ({"loss": "dpo", "distill_from": "x"}, "distill_from: expected with loss cross_entropy"),
        ({"loss": "dpo", "beta": 0}, "beta: expected a finite number above 0, got 0.0"),
        ({"loss": "dpo", "data": "labelled"}, "train.jsonl:1: chosen: expected a string, got no such field"),
        ({"loss": "kto"}, "train.jsonl:1: completion: expected a string, got no such field"),
        ({"loss": "ppo"}, "loss: expected one of cross_entropy, dpo, ipo, orpo, simpo, cpo, kto, got 'ppo'"),
    ],
)
def test_what_does_not_go_together(folder, tmp_path, given, message):
    _, err = tune(folder, tmp_path / "a", status=2, **given)
    assert message in err
    assert not (tmp_path / "a").exists()


def test_a_test_without_what_the_run_began_with(folder, tmp_path):
    where = {"model": folder / "model", "data": folder / "pairs", "adapter_path": tmp_path}
    tune(folder, tmp_path, iters=1, loss="cpo")
    _, err = command(*options(test=True, loss="dpo", **where), status=2)
    assert "expected a state with the parameters that the run began with, got one without" in err
