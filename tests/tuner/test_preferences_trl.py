"""Losses of preferences, step by step, are those of TRL's trainers on PyTorch, from the same weights and records."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlxffi.core as mx
from mlxffi.tuner import lora
from mlxffi.tuner.datasets import DatasetConfig, load_dataset
from mlxffi.tuner.models import DecoderConfig, Tokenizer, decoder_model, random_parameters, save_model
from mlxffi.tuner.optimizers import SGD
from mlxffi.tuner.preferences import BY_NAME
from mlxffi.tuner.trainer import Callback, TrainingArgs, train
from mlxffi.tuner.trees import flatten, map_paths

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("torch", "peft", "trl"))), reason="needs torch, peft and trl"
)

WORDS = [chr(97 + i) for i in range(20)]
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "vocab_size": 22,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
RUN = {"steps": 4, "rate": 0.5}
# What TRL calls the options that have other names here.
RENAMED = {"cpo_alpha": "alpha", "simpo_gamma": "gamma"}


def words(rng, count):
    return " ".join(rng.choice(WORDS, count))


def write_records(folder):
    """Chosen rows are of one length: TRL takes its likelihoods over all tokens of a batch, not by example."""
    rng = np.random.default_rng(0)
    pairs = [
        {"prompt": words(rng, 4), "chosen": " " + words(rng, 5), "rejected": " " + words(rng, 2 + index)}
        for index in range(4)
    ]
    labelled = [
        {"prompt": words(rng, 3 + index), "completion": " " + words(rng, 2 + index), "label": index % 2 == 0}
        for index in range(4)
    ]
    for name, records in (("pairs", pairs), ("labelled", labelled)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def write_tokenizer(path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: index for index, word in enumerate(["<pad>", "</s>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", "pad_token": "<pad>"}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, an adapter that does something, records, and what TRL makes of them."""
    made = tmp_path_factory.mktemp("trl")
    config = DecoderConfig.from_dict(CONFIG)
    save_model(made / "model", random_parameters(config, mx.random.key(3)), CONFIG)
    write_tokenizer(made / "model")
    write_records(made)
    (made / "run.json").write_text(json.dumps(RUN))
    _, adapter = model_of(made)
    lora.export_peft(adapter, made / "peft", str(made / "model"))
    child = [sys.executable, str(Path(__file__).with_name("trl_child.py")), str(made)]
    done = subprocess.run(child, capture_output=True, text=True, timeout=600, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return made


def model_of(folder):
    """The model with its adapter, and the adapter."""
    from mlxffi.tuner.models import load_parameters

    _, config, parameters = load_parameters(folder / "model")
    keys = ("self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj")
    adapter = lora.create_adapter(parameters, lora.LoRAConfig(rank=4, scale=2.0, keys=keys))
    drawn = map_paths(
        lambda path, item: 0.2 * mx.random.normal(item.shape, key=mx.random.key(sum(map(ord, path)))),
        adapter.parameters,
    )
    adapter = lora.Adapter(drawn, adapter.config)
    return decoder_model(config, parameters, adapter), adapter


class Figures(Callback):
    def __init__(self):
        self.lines = []

    def on_train_report(self, report):
        self.lines.append({"loss": report.train_loss, **report.figures})


@pytest.mark.parametrize("kind", BY_NAME)
def test_steps_are_those_of_trl(folder, kind):
    theirs = json.loads((folder / f"{kind}.json").read_text())
    options = {RENAMED.get(name, name): value for name, value in theirs["options"].items() if name != "loss_type"}
    options = {name: value for name, value in options.items() if name != "alpha" or kind == "cpo"}
    model, _ = model_of(folder)
    config = DatasetConfig(kind="labelled" if kind == "kto" else "preference")
    name = "labelled" if kind == "kto" else "pairs"
    data = load_dataset(folder / f"{name}.jsonl", Tokenizer.from_directory(folder / "model"), config).train
    told = Figures()
    args = TrainingArgs(iters=RUN["steps"], batch_size=4, steps_per_report=1)
    train(model, SGD(RUN["rate"]), data, None, args, loss=BY_NAME[kind](**options), callbacks=[told])
    assert len(theirs["told"]) == len(told.lines) == RUN["steps"]
    for mine, wanted in zip(told.lines, theirs["told"], strict=True):
        for name in ("loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected"):
            assert mine[name] == pytest.approx(wanted[name], rel=1e-4, abs=1e-4), name
        if "rewards/accuracies" in wanted:
            assert mine["rewards/accuracies"] == pytest.approx(wanted["rewards/accuracies"])
    # The steps were large enough to tell something.
    assert abs(told.lines[-1]["loss"] - told.lines[0]["loss"]) > 0.002
    found, factors = flatten(model.trainable()), theirs["factors"]
    assert len(factors) == len(found)
    for path, item in found.items():
        layer, _, part = path.rpartition(".")
        key = next(key for key in factors if f".{layer}.{part[:5]}{part[5:].upper()}." in key)
        np.testing.assert_allclose(np.array(item).T, factors[key], rtol=1e-3, atol=1e-4, err_msg=path)
