"""Mistakes on the command line, of each command: one sentence that names what is wrong, status 2, nothing written."""

import json
import shutil
import subprocess
import sys

import pytest
from end_to_end import command, options

import mlxffi.core as mx


@pytest.fixture(scope="module")
def adapter(folder):
    """A folder with an adapter of the model."""
    where = {"model": folder / "model", "data": folder / "data", "adapter_path": folder / "trained"}
    command(*options(train=True, iters=1, batch_size=2, max_seq_length=32, val_batches=0, num_layers=1, **where))
    return folder / "trained"


def refusal(*words):
    """The one sentence of a command that does nothing."""
    out, err = command(*words, status=2)
    assert out == ""
    return err.splitlines()[-1]


# --- where results go ---

WRITERS = {
    "train": ("adapter_path", "--train"),
    "fuse": ("save_path", "fuse"),
    "fuse to GGUF": ("export_gguf", "fuse"),
    "fuse to an adapter in GGUF": ("export_gguf_lora", "fuse"),
    "fuse to PEFT": ("export_peft", "fuse"),
    "convert": ("mlx_path", "convert"),
    "merge": ("save_path", "merge"),
    "report": ("plot", "report"),
}
PLACES = {
    "": "expected a path, got an empty one",
    "file/x": "expected a path in a folder, got file/x, and ",
    "locked/x": "expected a path in a folder that can be written to, got locked/x",
}


def words_of(name, place, folder, adapter):
    argument, verb = WRITERS[name]
    merged = [f"{adapter}:1", f"{adapter}:1"] if verb == "merge" else []
    model = {} if verb in ("merge", "report") else {"model": folder / "model"}
    more = {"adapter_path": adapter} if verb in ("fuse", "report") else {"data": folder / "data"} if model else {}
    if verb == "convert":
        more = {}
    return [verb, *merged, *options(**model, **more, **{argument: place})]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", WRITERS)
def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(
    name, place, folder, adapter, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "locked").mkdir()
    # The tests may be root's, who may write everywhere.
    monkeypatch.setattr("mlxffi.tuner.files.os.access", lambda path, mode: "locked" not in str(path))
    assert f"{WRITERS[name][0]}: {PLACES[place]}" in refusal(*words_of(name, place, folder, adapter))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "locked"]
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("name", ["train", "fuse", "fuse to PEFT", "merge"])
def test_a_file_is_no_folder(name, folder, adapter, tmp_path):
    (tmp_path / "file").write_text("kept")
    assert "expected a folder, got" in refusal(*words_of(name, tmp_path / "file", folder, adapter))
    assert (tmp_path / "file").read_text() == "kept"


def test_a_model_is_not_written_over_itself(folder, adapter, tmp_path):
    model = tmp_path / "model.gguf"
    command("convert", *options(model=folder / "model", mlx_path=model, gguf_type="Q4_0"))
    before = model.read_bytes()
    assert "expected another path than that" in refusal("convert", *options(model=model, mlx_path=model))
    where = {"model": model, "adapter_path": adapter, "export_gguf": model}
    assert "expected another path than that" in refusal("fuse", *options(**where))
    assert model.read_bytes() == before


# --- options ---

OPTIONS = {
    "a teacher's weight without one": (
        "--train",
        {"distill_weight": 0.5},
        "distill_weight: expected with distill_from",
    ),
    "a seed that is too large": ("--train", {"seed": 2**64}, "seed: expected a number below"),
    "another seed that is": ("generate", {"prompt": "a", "seed": 2**64}, "seed: expected an int below 2**64"),
    "no adapter's folder": ("generate", {"prompt": "a", "adapter_path": ""}, "adapter_path: expected the folder"),
    "a system prompt of no chat": ("generate", {"prompt": "a", "system_prompt": "b"}, "system_prompt: expected with a"),
    "no bits": ("convert", {"quantize": True, "q_bits": 0}, "bits: expected an int of at least 1, got 0"),
    "no group": ("convert", {"quantize": True, "q_group_size": 0}, "group_size: expected an int of at least 1, got 0"),
    "a group that fits nothing": ("convert", {"quantize": True, "q_group_size": 33}, "of a layer (64, 96), got 33"),
    "bits without quantizing": ("convert", {"q_bits": 4}, "q_bits: it says how to quantize, and --quantize is missing"),
    "a rule about nothing": ("convert", {"quantize": True, "q_rule": "x=9"}, "that is found in the path of a layer"),
}


@pytest.mark.parametrize("mistake", OPTIONS)
def test_options_that_would_be_lost_are_refused(mistake, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    verb, given, told = OPTIONS[mistake]
    data = {"data": folder / "data"} if verb == "--train" else {}
    assert told in refusal(verb, *options(model=folder / "model", **data, **given))
    assert not list(tmp_path.iterdir())


def test_a_rank_of_nothing(adapter, tmp_path):
    words = [f"{adapter}:1", f"{adapter}:1", *options(rank=0, save_path=tmp_path / "a")]
    assert "rank: expected an int of at least 1, got 0" in refusal("merge", *words)


def test_arguments_of_an_unknown_optimizer(folder, tmp_path):
    (tmp_path / "job.yaml").write_text("optimizer_config: {adamW: {weight_decay: 0.1}}")
    where = {"model": folder / "model", "data": folder / "data", "config": tmp_path / "job.yaml"}
    assert "optimizer_config: expected arguments by adam, " in refusal("--train", *options(**where))


def test_a_path_with_nul(folder, tmp_path):
    (tmp_path / "job.yaml").write_text('adapter_path: "a\\0b"')
    where = {"model": folder / "model", "data": folder / "data", "config": tmp_path / "job.yaml"}
    assert "adapter_path: expected str, got 'a\\x00b'" in refusal("--train", *options(**where))


# --- files of a model ---


@pytest.fixture
def model(folder, tmp_path):
    """A copy of the model, to break."""
    return shutil.copytree(folder / "model", tmp_path / "model")


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"'])
def test_a_config_that_is_no_object(text, model):
    (model / "config.json").write_text(text)
    told = refusal("generate", *options(model=model, prompt="a"))
    assert f"{model / 'config.json'}: expected a JSON object, got " in told


def test_a_config_that_mlx_lm_cannot_use_either(model):
    """In a process of its own: mlx.core is loaded in this one."""
    pytest.importorskip("mlx_lm")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "hidden_size": 0}))
    words = [sys.executable, "-m", "mlxffi.tuner", "generate", *options(model=str(model), prompt="a")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"model: mlx_lm cannot load {model}: ZeroDivisionError: " in done.stderr
    assert "hidden_size: expected an integer of at least 1, got 0" in done.stderr


TEMPLATES = {
    "{% for i in range(10**9) %}x{% endfor %}": "the chat template failed: ",  # an OverflowError of the sandbox's
    "{{ 1 / 0 }}": "the chat template failed: ",
    b"\xff": "chat_template.jinja: expected a text in UTF-8, got other bytes",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_chat_template_that_fails(template, model):
    (model / "chat_template.jinja").write_bytes(template if isinstance(template, bytes) else template.encode())
    assert TEMPLATES[template] in refusal("generate", *options(model=model, prompt="a"))


def test_chat_templates_in_another_form(model):
    about = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({**about, "chat_template": [{"name": "a"}]}))
    told = refusal("generate", *options(model=model, prompt="a"))
    assert "chat_template: expected a text, or objects with name and template, got [{'name': 'a'}]" in told


def test_weights_that_are_not_finite(model):
    path = str(model / "model.safetensors")
    arrays = mx.load(path)
    arrays["model.norm.weight"] = arrays["model.norm.weight"] * float("nan")
    mx.eval(arrays)
    mx.save_safetensors(path, arrays)
    _, err = command("generate", *options(model=model, prompt="a"), status=1)
    assert "[generate] logits: expected numbers, got NaN" in err
