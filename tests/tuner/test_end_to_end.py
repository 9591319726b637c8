"""One model through all stages: trained, saved, stopped, resumed, fused, reloaded, and asked to generate."""

import json
import re

import numpy as np
import pytest
from end_to_end import CONFIG, command, options, write_data, write_random_model

import mlxffi.core as mx
from mlxffi.tuner import lora
from mlxffi.tuner.datasets import load_dataset
from mlxffi.tuner.models import load_model, save_model
from mlxffi.tuner.optimizers import Adam
from mlxffi.tuner.trainer import TrainingArgs, train
from mlxffi.tuner.trainer.metrics import MetricsFile, read_metrics
from mlxffi.tuner.trees import flatten

RUN = {
    "train": True,
    "batch_size": 4,
    "max_seq_length": 128,
    "steps_per_report": 1,
    "steps_per_eval": 6,
    "save_every": 6,
    "learning_rate": 0.0003,
    "num_layers": -1,
}
STEPS = 50
PROMPT = "The statement is"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A base model, which was itself trained here, in full, and data."""
    made = tmp_path_factory.mktemp("tuner")
    write_random_model(made / "random")
    write_data(made / "prose", start=100, counts=(320, 8, 0))
    write_data(made / "data")
    (made / "prose/test.jsonl").unlink()
    model, tokenizer, _ = load_model(made / "random")
    data = load_dataset(made / "prose", tokenizer)
    args = TrainingArgs(iters=STEPS, steps_per_report=1, steps_per_eval=STEPS, max_seq_length=128)
    told = [MetricsFile(made / "full/metrics.jsonl")]
    train(model, Adam(3e-3), data.train, data.valid, args, folder=made / "full", callbacks=told)
    save_model(made / "base", model.parameters(), CONFIG, made / "random")
    return made


def losses(path, event):
    return [(line["iteration"], line[f"{event}_loss"]) for line in read_metrics(path) if line["event"] == event]


def tune(folder, adapter, kind="lora", **more):
    values = {**RUN, "fine_tune_type": kind, "iters": 12, **more}
    (folder / "dropout.yaml").write_text("lora_parameters: {rank: 4, scale: 4.0, dropout: 0.1}\n")
    where = {"model": folder / "base", "data": folder / "data", "adapter_path": folder / adapter}
    return command(*options(**values, **where, config=folder / "dropout.yaml"))[0]


def logits(model, tokens):
    return np.array(model(mx.array(tokens)).astype(mx.float32))


def tokens_of(tokenizer):
    return [tokenizer.encode(PROMPT + " used in a program, and its expressions are evaluated.")]


def test_training_in_full_teaches_the_model_something(folder):
    first, last = losses(folder / "full/metrics.jsonl", "val")
    assert last[1] < first[1] - 1


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_every_stage_has_what_the_one_before_it_left(folder, kind):
    whole, parts = f"{kind}-whole", f"{kind}-parts"
    tune(folder, whole, kind)
    tune(folder, parts, kind, iters=6)
    tune(folder, parts, kind, resume=True)
    # Resumed, it is the run that was never stopped: to the bit, dropout and shuffling included.
    for event in ("train", "val"):
        assert losses(folder / whole / "metrics.jsonl", event) == losses(folder / parts / "metrics.jsonl", event)
    for name in ("adapters.safetensors", "0000012_adapters.safetensors", "best_adapters.safetensors"):
        one, other = mx.load(folder / whole / name), mx.load(folder / parts / name)
        assert one.keys() == other.keys()
        assert all(mx.array_equal(one[path], other[path]) for path in one), name
    told = losses(folder / whole / "metrics.jsonl", "val")
    assert told[-1][1] < told[0][1]

    # What was reloaded tests as the trainer says, and what was fused as what was reloaded.
    at = {"model": folder / "base", "data": folder / "data", "batch_size": 4, "max_seq_length": 128}
    adapted = command(*options(**at, test=True, adapter_path=folder / whole))[0]
    command("fuse", *options(model=at["model"], adapter_path=folder / whole, save_path=folder / f"{kind}-fused"))
    fused = command(*options(**{**at, "model": folder / f"{kind}-fused"}, test=True, adapter_path=""))[0]
    assert re.fullmatch(r".*test\.jsonl: 16 records, texts\nTest loss \d\.\d+, Test ppl \d+\.\d+\.\n", adapted)
    assert adapted == fused
    model, tokenizer, _ = load_model(folder / "base", folder / whole)
    again = load_model(folder / f"{kind}-fused")[0]
    np.testing.assert_allclose(logits(again, tokens_of(tokenizer)), logits(model, tokens_of(tokenizer)), atol=1e-4)

    # Both say the same.
    asked = {"prompt": PROMPT, "max_tokens": 24, "quiet": True}
    said = command("generate", *options(model=folder / "base", adapter_path=folder / whole, **asked))[0]
    assert said == command("generate", *options(model=folder / f"{kind}-fused", **asked))[0]
    assert len(said) > 10


def test_the_report_tells_every_line_of_a_run(folder):
    table = command("report", *options(adapter_path=folder / "full", plot=folder / "full.png"))[0]
    assert len(table.splitlines()) == 1 + STEPS + 2 + 2
    assert (folder / "full.png").read_bytes().startswith(b"\x89PNG")


def test_the_configuration_has_all_settings_as_mlx_lm_has_them(folder):
    tune(folder, "configured", iters=1)
    found = json.loads((folder / "configured/adapter_config.json").read_text())
    assert found["lora_parameters"] == {"rank": 4, "scale": 4.0, "dropout": 0.1}
    assert (found["fine_tune_type"], found["num_layers"], found["iters"], found["optimizer"]) == ("lora", -1, 1, "adam")


def test_adapters_are_exchanged_with_mlx_lm_on_mlx_core(folder):
    """Logits of our adapter there, and of theirs here."""
    import mlx.core as real
    import mlx_lm
    from mlx.utils import tree_flatten
    from mlx_lm.tuner.utils import linear_to_lora_layers

    tune(folder, "exchanged")
    ours, tokenizer, _ = load_model(folder / "base", folder / "exchanged")
    tokens = tokens_of(tokenizer)
    theirs, _ = mlx_lm.load(str(folder / "base"), adapter_path=str(folder / "exchanged"))
    expected = np.array(theirs(real.array(tokens)))
    np.testing.assert_allclose(logits(ours, tokens), expected, rtol=1e-5, atol=1e-5)

    model, _ = mlx_lm.load(str(folder / "base"))
    model.freeze()
    settings = {"rank": 3, "scale": 5.0, "dropout": 0.0}
    linear_to_lora_layers(model, 2, settings)
    numbers = np.random.default_rng(7)
    weights = [
        (name, real.array(numbers.normal(0, 0.05, item.shape).astype(np.float32)))
        for name, item in tree_flatten(model.trainable_parameters())
    ]
    model.load_weights(weights, strict=False)
    (folder / "theirs").mkdir()
    real.save_safetensors(str(folder / "theirs/adapters.safetensors"), dict(weights))
    about = {"fine_tune_type": "lora", "num_layers": 2, "lora_parameters": settings}
    (folder / "theirs/adapter_config.json").write_text(json.dumps(about))
    read, _, _ = load_model(folder / "base", folder / "theirs")
    np.testing.assert_allclose(logits(read, tokens), np.array(model(real.array(tokens))), rtol=1e-5, atol=1e-5)


def test_an_adapter_comes_back_from_peft(folder):
    """Through PEFT's files; their meaning in PEFT itself is tested in test_peft.py."""
    (folder / "peft.yaml").write_text("lora_parameters: {keys: [self_attn.q_proj, self_attn.v_proj, mlp.up_proj]}\n")
    where = {"model": folder / "base", "data": folder / "data", "adapter_path": folder / "linear"}
    command(*options(**RUN, iters=2, **where, config=folder / "peft.yaml"))
    command("fuse", *options(model=folder / "base", adapter_path=folder / "linear", export_peft=folder / "peft"))
    one, other = lora.read_adapter(folder / "linear"), lora.read_adapter(folder / "peft")
    mine, found = flatten(one.parameters), flatten(other.parameters)
    assert mine.keys() == found.keys()
    assert all(mx.array_equal(mine[path], found[path]) for path in mine)
    model, tokenizer, _ = load_model(folder / "base", folder / "linear")
    again = load_model(folder / "base", folder / "peft")[0]
    tokens = tokens_of(tokenizer)
    np.testing.assert_allclose(logits(again, tokens), logits(model, tokens), rtol=1e-6, atol=1e-6)


def test_a_model_learns_from_a_teacher(folder):
    tune(folder, "teacher")
    command("fuse", *options(model=folder / "base", adapter_path=folder / "teacher", save_path=folder / "taught"))
    tune(folder, "pupil", distill_from=folder / "taught", distill_loss="js", distill_temperature=2)
    told = losses(folder / "pupil/metrics.jsonl", "val")
    assert told[-1][1] < 0.8 * told[0][1]
