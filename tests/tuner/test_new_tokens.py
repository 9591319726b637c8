"""New tokens: trained with an adapter, saved with it, and read by every command."""

import json
from contextlib import suppress
from importlib import import_module

import numpy as np
import pytest
from end_to_end import command, options, write_random_model
from gguf_cases import LlamaCpp
from lm_models import tokenizer as bare_tokenizer
from tuner_helpers import message_of

import mlxffi.core as mx
from mlxffi.tuner.cli.engine import _require_none
from mlxffi.tuner.models import DecoderConfig, Tokenizer, load_model, load_parameters, random_parameters
from mlxffi.tuner.models.gguf.model import export_model
from mlxffi.tuner.models.new_tokens import with_new_tokens
from mlxffi.tuner.trees import flatten

NEW = ["<tool>", "</tool>"]
IDS = [512, 513]
TEXTS = [f"Question {number} <tool>sum {number} {number}</tool> is {2 * number}" for number in range(16)]
KINDS = {
    "tied": {},
    "untied": {"tie_word_embeddings": False},
    "spare rows": {"tie_word_embeddings": False, "vocab_size": 520},
    "saved whole": {"tie_word_embeddings": False},
    "packed": {"tie_word_embeddings": False},
}


@pytest.fixture(scope="module", autouse=True)
def libraries():
    """Imported before it is seen whether a test leaks: what an import keeps of its callers' frames would count."""
    for name in ("torch", "transformers.models.qwen3.modeling_qwen3", "peft"):
        with suppress(ImportError):
            import_module(name)


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    made = tmp_path_factory.mktemp("tokens")
    write_random_model(made / "model", **KINDS[request.param])
    if request.param == "packed":
        (made / "model").rename(made / "dense")
        command("convert", "--quantize", *options(model=made / "dense", mlx_path=made / "model", q_group_size=32))
    (made / "data").mkdir()
    for name in ("train", "valid", "test"):
        (made / f"data/{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    saved = {"modules_to_save": ["embed_tokens"]} if request.param == "saved whole" else {}
    about = {"lora_parameters": {"rank": 4, "scale": 2.0, **saved}, "add_tokens": NEW}
    (made / "c.yaml").write_text(json.dumps(about))
    tune(made, made / "adapter", test=True)
    return made


def tune(folder, adapter, **more):
    where = {"model": folder / "model", "data": folder / "data", "adapter_path": adapter, "config": folder / "c.yaml"}
    values = {"iters": 4, "batch_size": 4, "max_seq_length": 64, "learning_rate": 0.01, "save_every": 2, **more}
    return command(*options(train=True, **where, **values))[0]


def rows(path):
    return {name: np.array(item) for name, item in mx.load(str(path)).items() if name.endswith("token_rows")}


def test_rows_of_new_tokens_begin_as_the_mean():
    for entries, spare in ((512, 0), (520, 8)):
        write = {"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 8}
        write |= {"num_attention_heads": 1, "vocab_size": entries, "tie_word_embeddings": False}
        config = DecoderConfig.from_dict(write)
        parameters = random_parameters(config, mx.random.key(0), std=0.2)
        found = with_new_tokens(config, parameters, tokenizer(), NEW)
        assert found.tables == {"embed_tokens": (512, 513), "lm_head": (512, 513)}
        assert found.architecture.vocab_size == max(entries, 514)
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            before, after = (np.array(flatten(tree)[name], np.float64) for tree in (parameters, found.parameters))
            np.testing.assert_allclose(after[IDS], [before[:512].mean(axis=0)] * 2, rtol=1e-5, atol=1e-7)
            np.testing.assert_array_equal(after[:512], before[:512])
            np.testing.assert_array_equal(after[514:], before[514:])
            assert len(after) == max(514, 512 + spare)


def tokenizer():
    return Tokenizer(bare_tokenizer(), {"eos_token": "</s>"})


def test_a_vocabulary_with_gaps_is_refused():
    tokenizers = pytest.importorskip("tokenizers")
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 3, "c": 2}, unk_token="a"))
    found = Tokenizer(backend, {"eos_token": "b"})
    message = message_of(lambda: found.add_tokens(["<tool>"]))
    assert message == "add_tokens: expected a vocabulary without gaps, got one in which 3 is taken"


def test_a_new_token_is_one(folder):
    found = Tokenizer.from_directory(folder / "adapter")
    assert found.encode("a<tool>b") == [*found.encode("a"), 512, *found.encode("b")]
    assert found.decode([512, 513], skip_special_tokens=True) == "<tool></tool>"
    assert json.loads((folder / "adapter/adapter_config.json").read_text())["add_tokens"] == NEW


def test_rows_are_trained_and_nothing_else_of_their_tables(folder):
    model, _, _ = load_model(folder / "model", folder / "adapter")
    _, architecture, parameters = load_parameters(folder / "model")
    extended = with_new_tokens(architecture, parameters, tokenizer(), NEW)
    before, after = (
        {name: np.array(item) for name, item in flatten(tree).items() if "embed_tokens" in name or "lm_head" in name}
        for tree in (extended.parameters, model.parameters())
    )
    assert before.keys() == after.keys()
    whole = json.loads((folder / "c.yaml").read_text())["lora_parameters"].get("modules_to_save", [])
    for name, item in after.items():
        changed = set(np.flatnonzero((item != before[name]).any(axis=1)))
        assert changed >= {512, 513}, name
        assert (changed == {512, 513}) == (not any(part in name for part in whole)), name


def test_a_run_goes_on_to_the_bit_and_its_test_is_that_of_its_files(folder, tmp_path):
    out = tune(folder, tmp_path / "whole", test=True)
    tune(folder, tmp_path / "parts", iters=2)
    assert tune(folder, tmp_path / "parts", resume=True, test=True).splitlines()[-1] == out.splitlines()[-1]
    first, second = (mx.load(str(tmp_path / part / "adapters.safetensors")) for part in ("whole", "parts"))
    assert first.keys() == second.keys()
    assert all(np.array_equal(np.array(first[name]), np.array(second[name])) for name in first)
    where = {"model": folder / "model", "data": folder / "data", "adapter_path": tmp_path / "parts"}
    again, _ = command(*options(test=True, max_seq_length=64, **where))
    assert again.splitlines()[-1] == out.splitlines()[-1]
    assert rows(tmp_path / "parts/adapters.safetensors")


def test_the_fused_model_is_the_adapted_one(folder, tmp_path):
    model, adapter, fused = folder / "model", folder / "adapter", tmp_path / "fused"
    command("fuse", "--dequantize", *options(model=model, adapter_path=adapter, save_path=fused))
    about = json.loads((fused / "config.json").read_text())
    assert about["vocab_size"] == max(514, json.loads((model / "config.json").read_text())["vocab_size"])
    assert Tokenizer.from_directory(fused).encode("<tool></tool>") == IDS
    found = []
    for where in (options(model=model, adapter_path=adapter), options(model=fused)):
        where = list(where)
        said, _ = command("generate", *where, "--prompt", "<tool>sum", "--max-tokens", "8", "--json")
        told, _ = command("perplexity", folder / "data/test.jsonl", *where, "--json")
        found.append((json.loads(said)["text"], json.loads(told)["perplexity"]))
    assert found[0][0] == found[1][0]
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-4)


@pytest.mark.parametrize("folder", [kind for kind in KINDS if kind != "packed"], indirect=True)
def test_peft_reads_the_adapter_of_a_resized_model(folder, tmp_path):
    torch = pytest.importorskip("torch")
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    model, _, _ = load_model(folder / "model", folder / "adapter")
    tokens = [5, 512, 9, 513, 7]
    expected = np.array(model(mx.array([tokens])))[0]
    command("fuse", *options(model=folder / "model", adapter_path=folder / "adapter", export_peft=tmp_path / "peft"))
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "peft").encode("<tool>") == [512]
    base = transformers.AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    base.resize_token_embeddings(len(expected[0]))
    read = peft.PeftModel.from_pretrained(base, str(tmp_path / "peft")).eval()
    with torch.no_grad():
        np.testing.assert_allclose(read(torch.tensor([tokens])).logits[0].numpy(), expected, rtol=0, atol=1e-4)


def test_what_cannot_have_new_tokens_is_named(folder, tmp_path):
    where = {"model": folder / "model", "data": folder / "data", "adapter_path": tmp_path / "a", "train": True}
    (tmp_path / "c.yaml").write_text("lora_parameters: {rank: 4, trainable_token_indices: [5]}")
    for given, message in [
        ({"add_tokens": ["<s>"]}, "add_tokens: expected different texts that the vocabulary does not have, got '<s>'"),
        ({"add_tokens": ["<a>", "<a>"]}, "vocabulary does not have, got '<a>'"),
        ({"add_tokens": [" "]}, "vocabulary does not have, got ' '"),
        ({"add_tokens": NEW, "fine_tune_type": "full"}, "add_tokens: expected with an adapter, got it with"),
        (
            {"add_tokens": NEW, "config": tmp_path / "c.yaml"},
            "add_tokens, trainable_token_indices: expected one of them, got both",
        ),
        (
            {"add_tokens": NEW[::-1], "adapter_path": folder / "adapter", "resume": True},
            "which are ['<tool>', '</tool>'], got ['</tool>', '<tool>']",
        ),
        (
            {"resume_adapter_file": folder / "adapter/adapters.safetensors"},
            "adapters.safetensors, which are ['<tool>', '</tool>'], got []",
        ),
    ]:
        assert message in command(*options(**{**where, **given}), status=2)[1]
    assert not (tmp_path / "a").exists()
    message = message_of(lambda: _require_none({"add_tokens": NEW}))
    assert message == "add_tokens: expected with our own decoder (engine own), got it with a model of mlx_lm"


def test_llama_cpp_reads_the_fused_model(folder, tmp_path):
    pytest.importorskip("xllamacpp")
    model, _, _ = load_model(folder / "model", folder / "adapter")
    text = "a<tool>b</tool>"
    ids = [66, 512, 67, 513]
    given = np.array(model(mx.array([ids])), np.float64)[0, -1]
    expected = given - np.log(np.exp(given - given.max()).sum()) - given.max()
    file = tmp_path / "m.gguf"
    where = {"model": folder / "model", "adapter_path": folder / "adapter"}
    command("fuse", *options(**where, export_gguf=file, gguf_type="F32"))
    assert Tokenizer.from_directory(file).encode(text) == ids
    found = LlamaCpp(file)
    assert found.tokens(text) == ids
    read = found.log_probabilities(ids)
    assert {512, 513} <= read.keys()
    assert max(abs(expected[token] - value) for token, value in read.items()) < 1e-4


def test_a_gguf_file_gets_no_new_tokens(folder, tmp_path):
    config, _, parameters = load_parameters(folder / "model")
    export_model(tmp_path / "m.gguf", parameters, config, Tokenizer.from_directory(folder / "model"), "F32")
    given = {"model": tmp_path / "m.gguf", "adapter_path": folder / "adapter", "prompt": "a"}
    message = command("generate", *options(**given), status=2)[1]
    assert "add_tokens: expected a model in a folder (convert makes one), got" in message
