"""The command line's runs: what they refuse to mix up, and what they tell of it."""

import json
import math
import re

import pytest
from end_to_end import command, options, write_data

from mlxffi.tuner.files import locked


@pytest.fixture(scope="module")
def folder(folder):
    write_data(folder / "other", start=40, counts=(8, 4, 4))
    tune(folder, folder / "run", iters=2)
    return folder


def tune(folder, adapter, status=0, data="data", **more):
    values = {"iters": 4, "batch_size": 4, "num_layers": 1, "max_seq_length": 64, **more}
    where = {"model": folder / "model", "data": folder / data, "adapter_path": adapter}
    return command(*options(train=True, **values, **where), status=status)


def test_an_option_that_is_given_twice(folder):
    words = options(train=True, model=folder / "model", data=folder / "data", adapter_path="one")
    _, err = command(*words, "--adapter-path", "two", status=2)
    assert err.splitlines()[-1].endswith("argument --adapter-path: expected once, got twice, with 'two' at last")


def test_two_runs_do_not_write_into_one_folder(folder, tmp_path):
    with locked(tmp_path / "a"):
        _, err = tune(folder, tmp_path / "a", status=1)
        assert "another run writes into this folder" in err
        assert list((tmp_path / "a").iterdir()) == []
    tune(folder, tmp_path / "a", iters=1)


def test_a_folder_that_cannot_be_locked_is_told_and_used(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.warns(UserWarning, match="cannot be locked against other runs: no locks"), locked(tmp_path / "a"):
        assert (tmp_path / "a").is_dir()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 2}, "batch_size: expected 2"),
        ({"seed": 5}, "seed: expected 5"),
        ({"grad_accumulation_steps": 2}, "grad_accumulation_steps was 1, not 2"),
        ({"num_layers": 2}, "the state is not of this model and optimizer"),
        ({"optimizer": "sgd"}, "the run can only go on as it began: optimizer was Adam, not SGD"),
        ({"data": "other"}, "data: expected"),
    ],
)
def test_a_run_that_cannot_go_on_is_a_mistake_of_its_options(folder, changes, message):
    before = (folder / "run/metrics.jsonl").read_bytes()
    out, err = tune(folder, folder / "run", status=2, resume=True, **changes)
    assert out == ""
    assert "mlxffi-lora: resume: " in err
    assert message in err
    assert (folder / "run/metrics.jsonl").read_bytes() == before


def test_a_run_may_begin_with_an_adapter_of_peft(folder, tmp_path):
    """Its factors and their scale are those that the run begins with, whoever wrote them."""
    command("fuse", *options(model=folder / "model", adapter_path=folder / "run", export_peft=tmp_path / "peft"))
    for name, file in (("peft", tmp_path / "peft"), ("ours", folder / "run/adapters.safetensors")):
        tune(folder, tmp_path / name / "run", iters=1, resume_adapter_file=file)
    first, second = (
        json.loads((tmp_path / name / "run/metrics.jsonl").read_text().splitlines()[0]) for name in ("peft", "ours")
    )
    assert first["val_loss"] == second["val_loss"]
    (tmp_path / "c.yaml").write_text("lora_parameters: {rank: 8, scale: 3.0}\n")
    words = {"resume_adapter_file": tmp_path / "peft", "config": tmp_path / "c.yaml"}
    _, err = tune(folder, tmp_path / "x", status=2, **words)
    assert "was trained with a scale of 20.0, and lora_parameters mean 3.0" in err


def test_a_test_without_an_adapter_is_one_of_the_model(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    where = {"model": folder / "model", "data": folder / "data", "max_seq_length": 64}
    line = r"Test loss (\d+\.\d+), Test ppl (\d+\.\d+) \(the model without an adapter\)\.\n"
    told = re.compile(rf".*test\.jsonl: 4 records, texts\n{line}")
    loss, perplexity = map(float, told.fullmatch(command(*options(test=True, **where))[0]).groups())
    assert perplexity == pytest.approx(math.exp(loss), rel=1e-3)
    # One that was named has to be there.
    _, err = command(*options(test=True, **where, adapter_path="adapter"), status=2)
    assert "adapter" in err


def test_a_broken_file_stops_a_job_that_reads_it(folder, tmp_path):
    data = tmp_path / "data"
    write_data(data, counts=(8, 4, 4))
    for name in ("valid", "test"):
        (data / f"{name}.jsonl").write_text("{broken")
    _, err = tune(folder, tmp_path / "a", status=2, data=data)
    assert "valid.jsonl:1: expected JSON" in err
    tune(folder, tmp_path / "a", data=data, iters=1, val_batches=0)
    _, err = tune(folder, tmp_path / "a", status=2, data=data, iters=1, val_batches=0, test=True)
    assert "test.jsonl:1: expected JSON" in err


def test_a_warning_is_a_line(folder, tmp_path):
    (tmp_path / "c.yaml").write_text("lora_parameters: {rank: 4, alpha: 16, scale: 10.0, dropout: 0.0}\n")
    _, err = tune(folder, tmp_path / "a", iters=1, config=tmp_path / "c.yaml")
    assert err.startswith("mlxffi-lora: warning: lora_parameters: scale 10.0 counts, as in mlx_lm, and not alpha 16")
    assert json.loads((tmp_path / "a/adapter_config.json").read_text())["lora_parameters"]["scale"] == 10.0
