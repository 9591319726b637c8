"""Options of generation: stop strings, min-p, penalties of repetition; and a session, which keeps its cache."""

import os
import re

import numpy as np
import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from lm_models import MODELS, tokenizer, write_model
from tuner_helpers import Parrot, drawn

import mlxffi.core as mx
from mlxffi.tuner.models import FunctionalModel, Tokenizer
from mlxffi.tuner.models.generate import Session, generate, stream
from mlxffi.tuner.models.load import load_model
from mlxffi.tuner.models.sampling import Options, StopStrings, penalized

PROMPT = "The software is provided as is"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("models")
    for name in ("llama", "gemma3_text"):
        write_model(made / name, MODELS[name], tokenizer())
    return made


# --- stop strings ---


@pytest.mark.parametrize("size", range(1, 6))
@pytest.mark.parametrize(
    ("stop", "expected", "stopped"),
    [
        (("END",), "a EN b ", True),
        (("b", "EN"), "a ", True),
        (("a EN b ENDx", "zz"), "a EN b END c", False),
        (("c",), "a EN b END ", True),
        (("cc", "c END"), "a EN b END c", False),
        ((), "a EN b END c", False),
        (("ENE", "N b E"), "a E", True),
    ],
)
def test_stop_strings_end_a_text_however_it_is_cut(stop, expected, stopped, size):
    text, held, told, found = "a EN b END c", StopStrings(stop), [], False
    for start in range(0, len(text), size):
        part, found = held.add(text[start : start + size])
        told.append(part)
        if found:
            break
    assert found is stopped
    assert "".join(told) + ("" if found else held.rest()) == expected


def test_a_stop_string_across_tokens_is_never_told(folder):
    tokens = Tokenizer.from_directory(folder / "llama")
    said = tokens.encode("One stop. Héllo stop! More")
    whole = generate(Parrot(said), tokens, "x", max_tokens=len(said))
    assert whole.text == "One stop. Héllo stop! More"
    told = []
    found = generate(Parrot(said), tokens, "x", max_tokens=60, stop=("llo stop!",), tell=told.append)
    assert found.text == "".join(told) == "One stop. Hé"
    assert found.finish_reason == "stop"
    assert tokens.decode(found.tokens).endswith("stop!")
    # What looks like a beginning is told when nothing follows.
    most = len(tokens.encode("One stop. Héllo sto"))
    found = generate(Parrot(said), tokens, "x", max_tokens=most, stop=("stop. Hé!", "p!"))
    assert (found.text, found.finish_reason) == (tokens.decode(said[:most]), "length")


# --- which tokens may come ---


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"min_p": 0.5}, [0, 4 / 7, 0, 3 / 7, 0]),
        ({"min_p": 0.3}, [0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85]),
        ({"min_p": 1.0}, [0, 1, 0, 0, 0]),
        ({"min_p": 0.3, "top_k": 2}, [0, 4 / 7, 0, 3 / 7, 0]),
        ({"min_p": 0.3, "temperature": 0.5}, [0, 16 / 25, 0, 9 / 25, 0]),
    ],
)
def test_min_p_leaves_what_is_likely_enough(options, expected):
    found = drawn(np.log([0.1, 0.4, 0.05, 0.3, 0.15]), **options)
    np.testing.assert_allclose(found, expected, atol=0.04)
    assert not found[np.array(expected) == 0].any()


def test_a_penalty_is_that_of_the_formula():
    logits = np.array([[2.0, -1.0, 0.5, -3.0, 4.0]])
    found = penalized(mx.array(logits, mx.float32), mx.array([4, 1, 4]), 1.25)
    np.testing.assert_allclose(np.array(found), [[2.0, -1.25, 0.5, -3.0, 3.2]], rtol=1e-6)


def by_hand(model, ids, penalty, size, count):
    """Greedy tokens with a penalty, everything read again, in float64."""
    ids = list(ids)
    for _ in range(count):
        logits = np.array(model(mx.array([ids]))[0, -1]).astype(np.float64)
        recent = sorted(set(ids[-size:]))
        logits[recent] = np.where(logits[recent] < 0, logits[recent] * penalty, logits[recent] / penalty)
        ids.append(int(logits.argmax()))
    return ids[-count:]


@pytest.mark.parametrize(("penalty", "size"), [(1.3, 8), (1.3, 1000), (0.2, 4)])
def test_a_penalty_counts_the_tokens_of_its_window(penalty, size, folder):
    model, tokens, _ = load_model(folder / "llama")
    options = {"repetition_penalty": penalty, "repetition_context_size": size}
    found = generate(model, tokens, PROMPT, max_tokens=20, **options).tokens
    assert found == by_hand(model, tokens.encode(PROMPT), penalty, size, len(found))
    assert found != generate(model, tokens, PROMPT, max_tokens=20).tokens


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_p": -0.1}, "min_p: expected a number from 0 to 1, got -0.1"),
        ({"min_p": 1.5}, "min_p: expected a number from 0 to 1, got 1.5"),
        ({"repetition_penalty": 0}, "repetition_penalty: expected a finite number above 0, got 0"),
        ({"repetition_penalty": float("nan")}, "repetition_penalty: expected a finite number above 0, got nan"),
        ({"repetition_context_size": 0}, "repetition_context_size: expected an int of at least 1, got 0"),
        ({"stop": ("",)}, "stop: expected texts of at least one character, got ('',)"),
        ({"stop": "text"}, "stop: expected texts of at least one character, got 'text'"),
    ],
)
def test_options_out_of_range_are_named(options, message, folder):
    tokens = Tokenizer.from_directory(folder / "llama")
    with pytest.raises(ValueError, match=re.escape(f"[generate] {message}")):
        stream(Parrot([]), tokens, "x", **options)


# --- a session ---


class Counted:
    """A model that counts what it reads."""

    def __init__(self, model):
        self.model, self.read = model, 0
        self.new_cache = model.new_cache

    def __call__(self, tokens, cache=None):
        self.read += tokens.shape[1]
        return self.model(tokens, cache)


@pytest.mark.parametrize("name", ["llama", "gemma3_text"])
def test_a_session_reads_what_is_new_and_says_the_same(name, folder):
    """Turns that go on, that change the end of what was said, and that begin anew."""
    model, tokens, _ = load_model(folder / name)
    counted = Counted(model)
    session, ids = Session(counted, tokens), tokens.encode(PROMPT)
    options = Options(max_tokens=6)
    for change in (lambda ids: ids, lambda ids: [*ids[:-2], 7, 8, 9], lambda ids: ids[1:], lambda ids: ids[:5]):
        ids = change(ids)
        found = session.generate(ids, options).tokens
        assert found == generate(model, tokens, ids, max_tokens=6).tokens
        ids = [*ids, *found, *tokens.encode(" and then")]
    before = counted.read
    found = session.generate(ids, options)
    assert found.tokens == generate(model, tokens, ids, max_tokens=6).tokens
    new = len(tokens.encode(" and then"))
    assert counted.read - before == new + 6


def test_a_text_that_is_left_in_its_middle_is_gone_on_from(folder):
    model, tokens, _ = load_model(folder / "llama")
    session, ids = Session(model, tokens), tokens.encode(PROMPT)
    pieces = session.stream(ids, Options(max_tokens=20))
    said = [next(pieces).token for _ in range(3)]
    pieces.close()
    following = [*ids, *said, 9]
    assert (
        session.generate(following, Options(max_tokens=5)).tokens
        == generate(model, tokens, following, max_tokens=5).tokens
    )


def test_a_model_that_fails_is_read_anew(folder):
    model, tokens, _ = load_model(folder / "llama")
    calls = []

    def fails(tokens, cache=None):
        calls.append(tokens)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return model(tokens, cache)

    fails.new_cache = model.new_cache
    session = Session(fails, tokens)
    with pytest.raises(KeyboardInterrupt):
        session.generate(PROMPT, Options(max_tokens=9))
    assert (
        session.generate(PROMPT, Options(max_tokens=9)).tokens == generate(model, tokens, PROMPT, max_tokens=9).tokens
    )


def test_a_model_without_a_cache_has_sessions(folder):
    tokens = Tokenizer.from_directory(folder / "llama")
    model = FunctionalModel({}, lambda parameters, ids: mx.eye(512)[(ids + 1) % 512])
    session = Session(model, tokens)
    assert session.generate([5, 6], Options(max_tokens=3)).tokens == [7, 8, 9]
    assert session.generate([5, 6, 7, 20], Options(max_tokens=2)).tokens == [21, 22]
