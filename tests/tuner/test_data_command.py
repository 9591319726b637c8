"""`mlxffi-lora data`: what it says of each form of records, and how it shows which tokens are learnt."""

import contextlib
import io
import json

import pytest
from end_to_end import command, write_random_model
from tuner_helpers import TEMPLATE, write_jsonl

import mlxffi.core as mx
from mlxffi.tuner.cli import main
from mlxffi.tuner.cli.data import histogram
from mlxffi.tuner.models import Tokenizer

TURNS = [("human", "one two"), ("gpt", "yes"), ("human", "more"), ("gpt", "no [more]")]
SHAREGPT = {"conversations": [{"from": who, "value": value} for who, value in TURNS]}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    # The state of random numbers, which is made when it is first used, is no leak of the test that does.
    mx.random.seed(0)
    folder = tmp_path_factory.mktemp("command") / "model"
    write_random_model(folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def shown(*words, status=0):
    out, err = command("data", *words, status=status)
    return err if status else out.splitlines()


def test_what_is_said_of_a_file(tmp_path, model):
    path = write_jsonl(tmp_path / "a.jsonl", [SHAREGPT] * 3)
    lines = shown(path, "--model", model, "--mask-assistant", "--max-seq-length", 8)
    tokenizer = Tokenizer.from_directory(model)
    roles = {"human": "user", "gpt": "assistant"}
    count = len(tokenizer.apply_chat_template([{"role": roles[who], "content": said} for who, said in TURNS]))
    assert lines[0] == f"{path}: 3 records, ShareGPT"
    assert lines[1].startswith(f"{3 * count} tokens, ")
    assert lines[1].endswith(f"; {count} to {count} a record, median {count}; 3 records cut at 8 (--max-seq-length)")
    assert lines[2].endswith(f"| {'#' * 40} 3")
    assert lines[3] == f"first record, {path}:1: {count} tokens, what is not learnt stands in [[ ]]"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--mask-assistant"], "[[{u}one two{e}{a}]]yes{e}[[{u}more{e}{a}]]no [more]{e}"),
        (["--mask-prompt"], "[[{u}one two{e}{a}yes{e}{u}more{e}{a}]]no [more]{e}"),
        ([], "[[<s>]]user\none two{e}{a}yes{e}{u}more{e}{a}no [more]{e}"),
    ],
)
def test_the_first_record_with_each_mask(tmp_path, model, words, text):
    path = write_jsonl(tmp_path / "a.jsonl", [SHAREGPT])
    wanted = text.format(u="<s>user\n", a="<s>assistant\n", e="</s>\n")
    assert "\n".join(shown(path, "--model", model, *words)[4:]).rstrip("\n") == wanted.rstrip("\n")


def test_new_tokens_are_counted_as_they_will_be_learnt(tmp_path, model):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "<tool>a</tool>"}])
    new = ["--add-tokens", "<tool>", "</tool>"]
    assert not shown(path, "--model", model)[1].startswith("4 tokens")
    # With the end of the text; of the first token there is no prediction.
    assert shown(path, "--model", model, *new)[1].startswith("4 tokens, 3 of them learnt")
    assert "add_tokens: expected with model" in shown(path, *new, status=2)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_dim_what_is_not_learnt(tmp_path, model, monkeypatch):
    pytest.importorskip("rich")
    for name, value in {"TERM": "xterm", "NO_COLOR": "", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)
    path = write_jsonl(tmp_path / "a.jsonl", [SHAREGPT])
    with contextlib.redirect_stdout(Terminal()) as out:
        assert main(["data", str(path), "--model", str(model), "--mask-assistant"]) == 0
    assert "what is not learnt is dim" in out.getvalue()
    assert "\x1b[2mone two" in out.getvalue()
    assert "\x1b[1mno [more]</s>" in out.getvalue()


def test_without_a_model_only_records_are_counted(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    write_jsonl(folder / "train.jsonl", [{"text": "a"}] * 1024)
    (folder / "valid.json").write_text(json.dumps([{"instruction": "a", "output": "b"}]))
    assert shown(folder) == [
        f"{folder / 'train.jsonl'}: 1,024 records, texts",
        f"{folder / 'valid.json'}: 1 record, Alpaca",
    ]


PREFERENCES = {
    "texts": {"prompt": "a", "chosen": "b", "rejected": "c"},
    "messages": {
        "prompt": [{"role": "user", "content": "a"}],
        "chosen": [{"role": "assistant", "content": "b"}],
        "rejected": [{"role": "assistant", "content": "c"}],
    },
    "whole": {
        "chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "rejected": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "c"}],
    },
}
PREFERENCES["whole, and the prompt"] = {"prompt": "a", **PREFERENCES["whole"]}


@pytest.mark.parametrize("form", PREFERENCES)
def test_both_answers_of_preferences_are_shown_as_they_are_learnt(tmp_path, model, form):
    path = write_jsonl(tmp_path / "a.jsonl", [PREFERENCES[form]])
    lines = shown(path, "--model", model)
    assert lines[:2] == [f"{path}: 1 record, preferences (chosen, rejected)", "chosen:"]
    text = "\n".join(lines)
    for answer in "bc":
        assert f"[[<s>user\na</s>\n<s>assistant\n]]{answer}</s>\n" in text


def test_labels_are_counted(tmp_path, model):
    records = [{"prompt": prompt, "completion": "b", "label": prompt != "d"} for prompt in "acd"]
    path = write_jsonl(tmp_path / "a.jsonl", records)
    lines = shown(path, "--model", model)
    assert lines[:3] == [
        f"{path}: 3 records, completions with a label (KTO)",
        "labels: 2 true, 1 false",
        "completion:",
    ]
    # The completion of another record, which the loss reads, too, is none of this one.
    assert "\n".join(lines).count("]]b</s>") == 1


def test_what_two_answers_begin_with_is_not_learnt(tmp_path, model):
    path = write_jsonl(tmp_path / "a.jsonl", [{"chosen": "one two", "rejected": "one three"}])
    text = "\n".join(shown(path, "--model", model))
    assert "[[one]] two</s>" in text
    assert "[[one]] three</s>" in text


def test_ordinary_training_refuses_preferences(tmp_path, model):
    path = write_jsonl(tmp_path / "a.jsonl", [PREFERENCES["texts"]])
    out, err = command("--train", "--model", model, "--data", path, status=2)
    assert (out, err) == (
        "",
        f"mlxffi-lora: {path}:1: these records are preferences (chosen, rejected), which are learnt with --loss (dpo, "
        "kto, ...)\n",
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--mask-prompt", "--mask-assistant"], "mask_prompt, mask_assistant: expected one of them, got both"),
        (["--max-seq-length", "1"], "[data] max_seq_length: expected an int of at least 2, got 1"),
        (
            ["--model", "nowhere"],
            "model: expected a folder with config.json, a GGUF file, or owner/name on the Hub, got 'nowhere'",
        ),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, words, reason):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "a"}])
    assert shown(path, *words, status=2) == f"mlxffi-lora data: {reason}\n"


def test_records_that_are_wrong_are_one_sentence(tmp_path, model):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "a"}, {"text": 1}])
    assert shown(path, status=2) == f"mlxffi-lora data: {path}:2: text: expected a string, got a number\n"
    write_jsonl(path, [{"text": "a"}])
    message = shown(path, "--model", model, "--mask-prompt", status=2)
    assert message == f"mlxffi-lora data: {path}:1: text: a text has no prompt to mask, got mask_prompt\n"


def test_a_histogram_of_powers_of_two():
    assert histogram([1, 2, 3, 9, *[1500] * 80]) == [
        "      1 to     1 | # 1",
        "      2 to     3 | # 2",
        "      4 to     7 | 0",
        "      8 to    15 | # 1",
        "     16 to    31 | 0",
        "     32 to    63 | 0",
        "     64 to   127 | 0",
        "    128 to   255 | 0",
        "    256 to   511 | 0",
        "    512 to 1,023 | 0",
        "  1,024 to 2,047 | " + "#" * 40 + " 80",
    ]
