"""Tokenizers of folders without tokenizer.json: SentencePiece's own tokens, and those of transformers."""

import json

import pytest
from gguf_cases import sentencepiece_model
from lm_models import tokenizer as trained
from tuner_helpers import message_of

from mlxffi.tuner.models import Tokenizer

TEXTS = [
    "Hello world", "  two  spaces\n\n\n x", "I'm 12345 things! \xe9\xe0\xfc \u4f60\u597d \U0001f600", "", "a",
    "\ttabs  \t and   ends  ", "The 3.14159 of 100,000",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("prefix", [True, False])
def test_a_model_of_sentencepiece(tmp_path, kind, prefix):
    theirs = sentencepiece_model(tmp_path / "m", model_type=kind, add_dummy_prefix=prefix)
    ours = Tokenizer.from_directory(tmp_path / "m")
    assert ours.eos_token_id == theirs.eos_id()
    for text in TEXTS:
        assert ours.encode(text) == [theirs.bos_id(), *theirs.encode(text)]
        assert ours.decode(ours.encode(text, add_special_tokens=False)) == text


def test_the_table_of_a_normalization_is_kept(tmp_path):
    theirs = sentencepiece_model(tmp_path / "m", model_type="unigram", normalization_rule_name="nfkc")
    ours = Tokenizer.from_directory(tmp_path / "m")
    for text in ("\ufb01ne \u2460", "\uff28\uff49"):
        assert ours.encode(text, add_special_tokens=False) == theirs.encode(text)


def test_what_stands_beside_a_model_of_sentencepiece(tmp_path):
    folder = tmp_path / "m"
    sentencepiece_model(folder, user_defined_symbols=["<tool>"])
    about = json.loads((folder / "tokenizer_config.json").read_text())
    added = {"502": {"content": "<|im_end|>", "special": True}, "501": {"content": "<think>", "special": False}}
    about |= {"add_bos_token": False, "add_eos_token": True, "added_tokens_decoder": added, "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    ours = Tokenizer.from_directory(folder)
    found = ours.encode("<tool><think>")
    assert [ours.backend_tokenizer.id_to_token(number) for number in found] == ["<tool>", "<think>", "<|im_end|>"]
    assert found[1:] == [501, 502]
    assert ours.decode(found, skip_special_tokens=True) == "<tool><think>"


def write_pair(folder, **about):
    """vocab.json and merges.txt of the tests' tokenizer."""
    folder.mkdir(exist_ok=True)
    trained().model.save(str(folder))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>", **about}))
    return folder


@pytest.mark.parametrize("name", ["GPT2Tokenizer", "Qwen2Tokenizer"])
def test_a_vocabulary_and_merges_alone(tmp_path, name):
    transformers = pytest.importorskip("transformers")
    folder = write_pair(tmp_path / "m", tokenizer_class=name)
    ours, theirs = Tokenizer.from_directory(folder), getattr(transformers, f"{name}Fast")
    files = (str(folder / "vocab.json"), str(folder / "merges.txt"))
    made = theirs(*files, unk_token="</s>", bos_token="<s>", eos_token="</s>", pad_token="</s>")
    for text in [*TEXTS, "e\u0301", "<s>x</s>"]:
        assert ours.encode(text) == made(text)["input_ids"]
        assert ours.decode(ours.encode(text)) == made.decode(made(text)["input_ids"])


def test_added_tokens_of_an_older_folder(tmp_path):
    folder = write_pair(tmp_path / "m", eos_token="<|end|>")
    (folder / "added_tokens.json").write_text(json.dumps({"<|end|>": 513}))
    ours = Tokenizer.from_directory(folder)
    assert (ours.eos_token_id, ours.encode("a<|end|>")[-1]) == (513, 513)


def test_files_that_are_wrong_are_named(tmp_path):
    folder = write_pair(tmp_path / "m")
    ids = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps({**ids, "odd": 4000}))
    assert "vocab.json: expected ids from 0 on by token, each once" in message_of(
        lambda: Tokenizer.from_directory(folder)
    )
    (folder / "vocab.json").write_text(json.dumps(ids))
    for added, message in (({"<x>": 10**9}, "added tokens: expected ids near the 512"), ([1], "expected ids by token")):
        (folder / "added_tokens.json").write_text(json.dumps(added))
        assert message in message_of(lambda: Tokenizer.from_directory(folder))
    (folder / "added_tokens.json").unlink()
    (folder / "merges.txt").write_text("#version: 0.2\nnever seen\n")
    assert "merges: expected pairs of tokens" in message_of(lambda: Tokenizer.from_directory(folder))
    (folder / "tokenizer.model").write_bytes(b"nothing of the kind")
    assert "tokenizer.model: expected a model of SentencePiece" in message_of(lambda: Tokenizer.from_directory(folder))
    (folder / "tokenizer.model").unlink()
    (folder / "merges.txt").unlink()
    message = message_of(lambda: Tokenizer.from_directory(folder), FileNotFoundError)
    assert "read from it, or from tokenizer.model, or from vocab.json and merges.txt" in message
