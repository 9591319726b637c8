"""The command line: its help, and what becomes of each mistake: one sentence, status 2, and nothing is written."""

import json
import os
import subprocess
import sys

import pytest
from end_to_end import command, options, write_data

from mlxffi.tuner.cli import main as entry
from mlxffi.tuner.trainer.metrics import read_metrics


@pytest.mark.parametrize("words", [[], ["data"], ["fuse"], ["generate"], ["report"]])
def test_every_command_has_a_help_text(words, capsys):
    with pytest.raises(SystemExit) as end:
        entry([*words, "--help"])
    assert end.value.code == 0
    assert "usage: mlxffi-lora" in capsys.readouterr().out


def test_the_module_is_the_program():
    done = subprocess.run(
        [sys.executable, "-m", "mlxffi.tuner", "--train"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mlxffi-lora: model: expected a folder with config.json, a GGUF file, or owner/name")


def test_quantized_weights_are_not_trained_themselves(folder, tmp_path):
    command("convert", *options(model=folder / "model", mlx_path=tmp_path / "packed", quantize=True, q_group_size=32))
    where = {"model": tmp_path / "packed", "data": folder / "data", "adapter_path": tmp_path / "a"}
    _, err = command(*options(train=True, fine_tune_type="full", num_layers=1, **where), status=2)
    assert "fine_tune_type: expected weights that are not quantized for full, got model.layers.1." in err
    assert not (tmp_path / "a").exists()


MISTAKES = {
    "nothing to do": ({"train": None}, "train, test: expected one of them"),
    "no such model": ({"model": "nowhere"}, "config.json, a GGUF file, or owner/name on the Hub, got 'nowhere'"),
    "no such data": ({"data": "nowhere"}, "nowhere: expected a file of records, a folder of such, or owner/name"),
    "weights of none": ({"data": ["data:0", "data:1"]}, "weight of data: expected a finite number above 0, got 0.0"),
    "some weights": ({"data": ["data:1", "data"]}, "data: expected a weight for each of 2 or for none"),
    "a YAML file that is not there": ({"config": "nowhere.yaml"}, "nowhere.yaml"),
    "too few records": ({"batch_size": 500}, "500"),
    "a run to resume that is not there": ({"resume": True}, "resume: expected training_state.safetensors"),
    "an adapter to start from that is not there": ({"resume_adapter_file": "x.safetensors"}, "found none"),
    "a best one without validations": ({"save_best": True, "val_batches": 0}, "save_best: expected validations"),
    "two ways to go on": ({"resume": True, "resume_adapter_file": "x"}, "expected one of them, got both"),
    "no such tracker": ({"report_to": "abacus"}, "report_to: expected some of"),
    "no such teacher": ({"distill_from": "nowhere"}, "got 'nowhere'"),
    "a temperature of the teacher": ({"distill_from": "model", "distill_temperature": 0}, "temperature: expected"),
    "no blocks": ({"num_layers": 0}, "num_layers: expected how many of the last blocks are fine-tuned, or -1 for all"),
    "no iterations": ({"iters": 0}, "iters: expected at least 1, got 0"),
    "no such learning rate": ({"learning_rate": -1}, "-1"),
    "a masked prompt of a text": ({"mask_prompt": True}, "prompt"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence_and_nothing_is_written(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = sorted(os.listdir(folder))
    changes, message = MISTAKES[name]
    values = {"train": True, "model": "model", "data": "data", "iters": 2, **changes}
    given = {key: value for key, value in values.items() if value is not None}
    out, err = command(*options(**given), status=2)
    assert out == ""
    assert message in err
    assert err.startswith("mlxffi-lora: ")
    assert len(err.strip().splitlines()) == 1
    assert sorted(os.listdir(folder)) == before


CONFIGURED = {
    "lora_parameters: {rank: 0}": "rank: expected",
    "lora_parameters: {ranks: 8}": "use_rslora, got ranks",
    "lora_parameters: {keys: [self_attn.p_proj]}": "self_attn.p_proj",
    "lr_schedule: {name: cosine}": "[build_schedule]",
    "optimizer_config: {adam: {momentum: 1}}": "momentum",
    "optimizer_config: {adam: {learning_rate: 1}}": "optimizer_config.adam: expected arguments other than",
    "hf_dataset: {name: wikisql}": "hf_dataset: expected chat_feature, chosen_feature, completion_feature, config, ",
    "hf_dataset: wikisql": "hf_dataset: expected a mapping, got 'wikisql'",
    "data: [{weight: 1}]": "data: expected path, weight, subset, splits, the path at least, got {'weight': 1}",
    "data: 7": "data: expected a path, or a list of paths, each perhaps with path and weight, got 7",
    "itres: 5": "unknown settings: itres",
}


@pytest.mark.parametrize("text", CONFIGURED)
def test_a_mistake_in_a_yaml_file(text, folder, tmp_path):
    (tmp_path / "c.yaml").write_text(text)
    where = {"model": folder / "model", "data": folder / "data", "adapter_path": tmp_path / "adapters"}
    out, err = command(*options(train=True, config=tmp_path / "c.yaml", **where), status=2)
    assert out == ""
    assert CONFIGURED[text] in err
    assert os.listdir(tmp_path) == ["c.yaml"]


@pytest.mark.parametrize("part", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_model_whose_file_is_not_what_it_should_be(part, folder, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    for name in os.listdir(folder / "model"):
        (model / name).write_bytes((folder / "model" / name).read_bytes())
    (model / part).write_bytes(b'{"half')
    _, err = command(*options(train=True, model=model, data=folder / "data"), status=2)
    assert str(model) in err


def test_a_record_that_is_not_what_it_should_be(folder, tmp_path):
    write_data(tmp_path / "data", counts=(8, 4, 4))
    lines = (tmp_path / "data/train.jsonl").read_text().splitlines()
    (tmp_path / "data/train.jsonl").write_text("\n".join([*lines[:3], json.dumps({"text": 4}), *lines[3:]]))
    _, err = command(*options(train=True, model=folder / "model", data=tmp_path / "data"), status=2)
    assert f"{tmp_path / 'data/train.jsonl'}:4: text: expected a string, got a number" in err


def test_fusing_needs_a_new_folder_and_an_adapter_that_fits(folder, tmp_path):
    where = {"model": folder / "model", "adapter_path": tmp_path / "nowhere", "save_path": tmp_path / "fused"}
    _, err = command("fuse", *options(**where), status=2)
    assert "nowhere" in err
    assert os.listdir(tmp_path) == []


def test_generating_with_options_out_of_range(folder):
    for values in ({"max_tokens": 0}, {"temp": -1}, {"top_p": 0}, {"top_k": -1}):
        _, err = command("generate", *options(model=folder / "model", prompt="a", **values), status=2)
        assert "expected" in err


def test_a_report_of_a_run_that_is_not_there(tmp_path):
    _, err = command("report", *options(adapter_path=tmp_path), status=2)
    assert "metrics.jsonl" in err


def test_the_last_blocks_in_full_and_a_fresh_start_from_their_file(folder, tmp_path):
    where = {"model": folder / "model", "data": folder / "data", "max_seq_length": 128}
    full = {"train": True, "fine_tune_type": "full", "num_layers": 1, "iters": 2, "learning_rate": 0.01}
    command(*options(**full, **where, adapter_path=tmp_path / "one"))
    about = json.loads((tmp_path / "one/adapter_config.json").read_text())
    assert (about["fine_tune_type"], about["num_layers"]) == ("full", 1)
    file = tmp_path / "one/adapters.safetensors"
    command(*options(**full, **where, adapter_path=tmp_path / "two", resume_adapter_file=file))
    ends, begins = (
        [line["val_loss"] for line in read_metrics(tmp_path / name / "metrics.jsonl") if line["event"] == "val"]
        for name in ("one", "two")
    )
    assert begins[0] == pytest.approx(ends[-1], rel=1e-6)
    # An adapter does not start from them.
    words = options(
        **{**full, "fine_tune_type": "lora"}, **where, adapter_path=tmp_path / "x", resume_adapter_file=file
    )
    _, err = command(*words, status=2)
    assert "missing" in err
    assert "unknown" in err
