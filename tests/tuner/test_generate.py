"""Generation: mlx_lm's tokens, with and without a cache; drawing; pieces of text."""

import os
import re
from functools import partial

import numpy as np
import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from lm_models import MODELS, tokenizer, write_model
from tuner_helpers import Parrot, drawn

from mlxffi.tuner.models import decoder
from mlxffi.tuner.models import generate as generation
from mlxffi.tuner.models.functional import FunctionalModel
from mlxffi.tuner.models.generate import generate, stream
from mlxffi.tuner.models.load import load_model, load_parameters

PROMPT = "The software is provided as is"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a directory for each of mlx_lm's tiny models."""
    made = tmp_path_factory.mktemp("models")
    for name, config in MODELS.items():
        write_model(made / name, config, tokenizer())
    return made


def without_cache(path):
    """The model in a directory, which reads everything again for each token."""
    _, config, parameters = load_parameters(path)
    return FunctionalModel(parameters, partial(decoder.logits, config))


@pytest.mark.parametrize("name", MODELS)
def test_tokens_are_mlx_lms(name, folder):
    import mlx_lm

    model, tokens, _ = load_model(folder / name)
    real_model, real_tokenizer = mlx_lm.load(str(folder / name))
    said = [piece.token for piece in mlx_lm.stream_generate(real_model, real_tokenizer, PROMPT, max_tokens=40)]
    assert generate(model, tokens, PROMPT, max_tokens=40).tokens == said
    assert len(set(said)) > 2


@pytest.mark.parametrize("options", [{}, {"temperature": 0.8, "top_p": 0.9, "seed": 3}])
@pytest.mark.parametrize("name", MODELS)
def test_a_cache_and_reading_in_parts_change_nothing(name, options, folder, monkeypatch):
    model, tokens, _ = load_model(folder / name)
    with_cache = generate(model, tokens, PROMPT, max_tokens=24, **options)
    again = generate(without_cache(folder / name), tokens, PROMPT, max_tokens=24, **options)
    monkeypatch.setattr(generation, "PREFILL", 7)
    in_parts = generate(model, tokens, PROMPT, max_tokens=24, **options)
    assert with_cache.tokens == again.tokens == in_parts.tokens
    assert len(set(with_cache.tokens)) > 1


def test_seeds_give_texts_of_their_own(folder):
    model, tokens, _ = load_model(folder / "llama")
    first, again, other = (
        generate(model, tokens, "a", max_tokens=12, temperature=1.0, seed=seed) for seed in (1, 1, 2)
    )
    assert first.tokens == again.tokens != other.tokens


def test_pieces_make_the_text(folder):
    model, tokens, _ = load_model(folder / "qwen3")
    told = generate(model, tokens, PROMPT, max_tokens=30)
    pieces = list(stream(model, tokens, tokens.encode(PROMPT), max_tokens=30))
    assert "".join(piece.text for piece in pieces) == told.text
    assert [piece.token for piece in pieces] == told.tokens
    assert [piece.finish_reason for piece in pieces] == [None] * 29 + ["length"]
    assert told.finish_reason == "length"
    assert told.prompt_tokens == len(tokens.encode(PROMPT))
    assert told.prompt_tokens_per_second > 0
    assert told.tokens_per_second > 0


def test_a_token_that_ends_a_text_is_not_told(folder):
    _, tokens, _ = load_model(folder / "llama")
    said = tokens.encode("Hé!")
    told = generate(Parrot([*said, tokens.eos_token_id]), tokens, "x", max_tokens=50)
    assert told.text == "Hé!"
    assert told.tokens == [*said, tokens.eos_token_id]
    assert told.finish_reason == "stop"
    # A character that was cut short is told at the end.
    assert generate(Parrot(tokens.encode("é")[:1]), tokens, "x", max_tokens=1).text == "\N{REPLACEMENT CHARACTER}"


# --- drawing ---


PROBABILITIES = np.array([0.1, 0.4, 0.05, 0.3, 0.15])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.1, 0.4, 0.05, 0.3, 0.15]),
        ({"top_k": 2}, [0, 4 / 7, 0, 3 / 7, 0]),
        ({"top_k": 9}, [0.1, 0.4, 0.05, 0.3, 0.15]),
        ({"top_p": 0.65}, [0, 4 / 7, 0, 3 / 7, 0]),
        ({"top_p": 0.75}, [0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85]),
        ({"top_p": 0.01}, [0, 1, 0, 0, 0]),
        ({"top_p": 0.9, "top_k": 1}, [0, 1, 0, 0, 0]),
        ({"temperature": 0}, [0, 1, 0, 0, 0]),
        ({"temperature": 0.5}, PROBABILITIES**2 / (PROBABILITIES**2).sum()),
    ],
)
def test_tokens_are_drawn_with_their_probabilities(options, expected):
    found = drawn(np.log(PROBABILITIES), **options)
    np.testing.assert_allclose(found, expected, atol=0.04)
    assert not found[np.array(expected) == 0].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 0}, "max_tokens: expected an int of at least 1, got 0"),
        ({"temperature": -1.0}, "temperature: expected a finite number of at least 0, got -1.0"),
        ({"temperature": float("nan")}, "temperature: expected a finite number of at least 0, got nan"),
        ({"top_p": 0}, "top_p: expected a number above 0 and at most 1, got 0"),
        ({"top_p": 1.5}, "top_p: expected a number above 0 and at most 1, got 1.5"),
        ({"top_k": -1}, "top_k: expected an int of at least 0, got -1"),
        ({"temperature": "warm"}, "temperature: expected a finite number of at least 0, got 'warm'"),
    ],
)
def test_options_out_of_range_are_named(options, message, folder):
    _, tokens, _ = load_model(folder / "llama")
    with pytest.raises(ValueError, match=re.escape(f"[generate] {message}")):
        stream(Parrot([]), tokens, "x", **options)


def test_an_empty_prompt_is_refused(folder):
    _, tokens, _ = load_model(folder / "llama")
    with pytest.raises(ValueError, match="prompt: expected at least one token, got ''"):
        generate(Parrot([]), tokens, "")
