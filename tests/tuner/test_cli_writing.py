"""The commands in which a model writes or reads texts: generate, chat, perplexity."""

import io
import json
import sys

import pytest
from end_to_end import command, options, write_random_model
from tuner_helpers import TEMPLATE, write_jsonl

from mlxffi.tuner.models import load_model
from mlxffi.tuner.models.generate import Session, generate
from mlxffi.tuner.trainer.perplexity import perplexity


@pytest.fixture(scope="module")
def folder(folder):
    write_random_model(folder / "chat")
    about = json.loads((folder / "chat/tokenizer_config.json").read_text())
    (folder / "chat/tokenizer_config.json").write_text(json.dumps({**about, "chat_template": TEMPLATE}))
    return folder


# --- generate ---


def test_a_text_as_json(folder):
    out, _ = command("generate", *options(model=folder / "model", prompt="One", max_tokens=5, json=True))
    model, tokenizer, _ = load_model(folder / "model")
    wanted = generate(model, tokenizer, "One", max_tokens=5)
    found = json.loads(out)
    speeds = [found.pop(name) for name in ("prompt_tokens_per_second", "tokens_per_second")]
    assert all(speed > 0 for speed in speeds)
    counts = {"prompt_tokens": len(tokenizer.encode("One")), "generated_tokens": 5}
    assert found == {"text": wanted.text, "tokens": wanted.tokens, "finish_reason": "length", **counts}


def test_prompts_of_a_file(folder, tmp_path):
    (tmp_path / "p.txt").write_text('One\n\n{"prompt": "not JSON here"}\n')
    turns = [{"role": "user", "content": "Two"}]
    write_jsonl(tmp_path / "p.jsonl", ["One", {"prompt": "One"}, {"messages": turns}, turns])
    given = options(model=folder / "chat", max_tokens=4, json=True)
    out, _ = command("generate", *given, "--prompts", tmp_path / "p.txt")
    found = [json.loads(line) for line in out.splitlines()]
    assert [line["prompt"] for line in found] == [f"{tmp_path / 'p.txt'}:{number}" for number in (1, 3)]
    given = options(model=folder / "chat", max_tokens=4, json=True)
    out, _ = command("generate", *given, "--prompts", tmp_path / "p.jsonl")
    one, same, two, alike = (json.loads(line) for line in out.splitlines())
    assert one["tokens"] == same["tokens"] == found[0]["tokens"]
    assert two["tokens"] == alike["tokens"]
    assert one["prompt_tokens"] == found[0]["prompt_tokens"] == two["prompt_tokens"] > 5
    out, _ = command("generate", *options(model=folder / "chat", max_tokens=4, prompts=tmp_path / "p.txt"))
    assert out.splitlines()[0] == f"== {tmp_path / 'p.txt'}:1"


@pytest.mark.parametrize("line", ["{", "[]", "5", '{"text": "x"}', "[" * 100000, '{"prompt": null}'])
def test_a_line_that_is_no_prompt_is_named(line, folder, tmp_path):
    (tmp_path / "p.jsonl").write_text(f'"One"\n{line}\n')
    out, err = command("generate", *options(model=folder / "chat", prompts=tmp_path / "p.jsonl"), status=2)
    assert out == ""
    assert f"{tmp_path / 'p.jsonl'}:2: expected a text, or an object with prompt or messages" in err


def test_mistakes_of_prompts(folder, tmp_path):
    write_jsonl(tmp_path / "p.jsonl", [[{"role": "user", "content": "Two"}]])
    _, err = command("generate", *options(model=folder / "model", prompts=tmp_path / "p.jsonl"), status=2)
    assert "p.jsonl:1: messages need a chat template" in err
    given = options(model=folder / "model", prompts=tmp_path / "p.jsonl", prompt="x")
    assert "prompt, prompts: expected one of them, got both" in command("generate", *given, status=2)[1]
    for values in ({"min_p": 2}, {"repetition_penalty": 0}, {"stop": ""}):
        _, err = command("generate", *options(model=folder / "model", prompt="a", **values), status=2)
        assert "expected" in err


def test_stop_strings_of_the_command_line(folder):
    model, tokenizer, _ = load_model(folder / "model")
    whole = generate(model, tokenizer, "One", max_tokens=20).text
    given = options(model=folder / "model", prompt="One", max_tokens=20, quiet=True)
    out, _ = command("generate", *given, "--stop", "never in it", "--stop", whole[5:9])
    assert out == whole[: whole.index(whole[5:9])] + "\n"


# --- chat ---


def say(monkeypatch, *lines):
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def answers(folder, *lines, system=None):
    """What is to be said to several turns, each prompt read anew."""
    model, tokenizer, _ = load_model(folder / "chat")
    messages, found = [{"role": "system", "content": system}] if system else [], []
    for line in lines:
        messages.append({"role": "user", "content": line})
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        found.append(generate(model, tokenizer, prompt, max_tokens=6).text)
        messages.append({"role": "assistant", "content": found[-1]})
    return found


def test_a_chat_answers_turn_by_turn(folder, monkeypatch):
    read, begun = [], Session._begun

    def noting(self, ids):
        read.append((list(self._read), ids))
        return begun(self, ids)

    monkeypatch.setattr(Session, "_begun", noting)
    say(monkeypatch, "Hello", "", "And then?", "/reset", "Hello")
    given = options(model=folder / "chat", max_tokens=6, system_prompt="Be short.")
    out, _ = command("chat", *given)
    first, second = answers(folder, "Hello", "And then?", system="Be short.")
    assert out == f"{first}\n{second}\n{first}\n"
    # The second turn begins with what the first one had.
    before, prompt = read[1]
    assert before[: len(read[0][1])] == prompt[: len(read[0][1])] == read[0][1]


def test_a_chat_as_json(folder, monkeypatch):
    say(monkeypatch, "Hello", "And then?")
    out, _ = command("chat", *options(model=folder / "chat", max_tokens=6, json=True))
    found = [json.loads(line) for line in out.splitlines()]
    assert [answer["text"] for answer in found] == answers(folder, "Hello", "And then?")
    assert all(answer["generated_tokens"] == len(answer["tokens"]) for answer in found)
    assert found[0]["prompt_tokens"] < found[1]["prompt_tokens"]


def interrupt_after_a_token(monkeypatch):
    def stops(self, prompt, options, stream=Session.stream):
        yield next(stream(self, prompt, options))
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "stream", stops)


def test_ctrl_c_ends_an_answer_and_not_the_chat(folder, monkeypatch):
    interrupt_after_a_token(monkeypatch)
    say(monkeypatch, "Hello", "Again")
    out, _ = command("chat", *options(model=folder / "chat"))
    assert len(out.splitlines()) >= 2


def test_ctrl_c_in_a_chat_as_json(folder, monkeypatch):
    interrupt_after_a_token(monkeypatch)
    say(monkeypatch, "Hello", "Again")
    out, _ = command("chat", *options(model=folder / "chat", json=True))
    assert [json.loads(line)["finish_reason"] for line in out.splitlines()] == ["interrupted"] * 2


def test_a_chat_needs_a_template(folder):
    _, err = command("chat", *options(model=folder / "model"), status=2)
    assert "a chat needs a chat template, and the tokenizer has none" in err


# --- perplexity ---


def test_the_perplexity_of_a_text_and_of_records(folder, tmp_path):
    text = "The statement is executed. " * 20
    (tmp_path / "t.txt").write_text(text)
    model, tokenizer, _ = load_model(folder / "model")
    wanted = perplexity(model, [tokenizer.encode(text)], window=64, stride=16)
    given = ["perplexity", tmp_path / "t.txt", *options(model=folder / "model", window=64, stride=16)]
    out, _ = command(*given)
    counted = f"{wanted.targets:,} tokens of 1 text"
    assert out == f"perplexity {wanted.perplexity:.4f}, loss {wanted.loss:.4f}: {counted}\n"
    found = json.loads(command(*given, "--json")[0])
    assert found == {"perplexity": wanted.perplexity, **wanted._asdict()}
    write_jsonl(
        tmp_path / "t.jsonl", [{"prompt": "One", "completion": " two three"}, {"prompt": "a", "completion": " b"}]
    )
    whole, masked = (
        json.loads(command("perplexity", tmp_path / "t.jsonl", *options(model=folder / "model", json=True), *more)[0])
        for more in ((), ("--mask-prompt",))
    )
    assert whole["texts"] == masked["texts"] == 2
    assert 0 < masked["targets"] < whole["targets"]
    (tmp_path / "t.csv").write_text("prompt,completion\nOne, two three\na, b\n")
    found = json.loads(command("perplexity", tmp_path / "t.csv", *options(model=folder / "model", json=True))[0])
    assert found == whole


def test_mistakes_of_perplexity(folder, tmp_path):
    _, err = command("perplexity", tmp_path / "nowhere", *options(model=folder / "model"), status=2)
    assert "nowhere" in err
    (tmp_path / "t.bin").write_bytes(b"\xff")
    for words in (["perplexity", tmp_path / "t.bin"], ["generate", "--prompts", tmp_path / "t.bin"]):
        _, err = command(*words, *options(model=folder / "model"), status=2)
        assert "t.bin: expected a text in UTF-8, got other bytes" in err
    (tmp_path / "t.txt").write_text("One two three")
    given = options(model=folder / "model", window=8, stride=8)
    _, err = command("perplexity", tmp_path / "t.txt", *given, status=2)
    assert "stride: expected fewer tokens than a window has, 8, got 8" in err
