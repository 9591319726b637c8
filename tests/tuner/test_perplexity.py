"""The perplexity of texts of any length: each target once, with the context that the windows promise."""

import math

import numpy as np
import pytest
import training
from tuner_helpers import message_of

import mlxffi.core as mx
from mlxffi.tuner.datasets import Example
from mlxffi.tuner.models import decoder_model
from mlxffi.tuner.trainer.perplexity import perplexity, windows


@pytest.fixture(scope="module")
def model():
    return decoder_model(*training.decoder())


def numbers(count, seed=0):
    return np.random.default_rng(seed).integers(0, training.VOCABULARY, count).tolist()


def loss_of(model, tokens, place):
    """-log p of a token given those before it, in float64."""
    logits = np.array(model(mx.array([tokens[:place]]))[0, -1]).astype(np.float64)
    return np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[tokens[place]]


def begins(length, window, stride):
    """Where the first window begins that reaches each token, by hand."""
    found, start = {}, 0
    while True:
        for place in range(start + 1, min(start + window, length)):
            found.setdefault(place, start)
        if start + window >= length:
            return found
        start += stride


@pytest.mark.parametrize(("window", "stride"), [(64, None), (12, 6), (12, 1), (12, 11), (7, 3)])
def test_each_target_counts_once_with_the_context_of_its_window(window, stride, model):
    texts = [numbers(40), numbers(5, 1), numbers(12, 2), numbers(13, 3)]
    losses = [
        loss_of(model, tokens[start:], place - start)
        for tokens in texts
        for place, start in begins(len(tokens), window, stride or window // 2).items()
    ]
    assert len(losses) == sum(len(tokens) - 1 for tokens in texts)
    found = perplexity(model, [Example(tokens) for tokens in texts], window=window, stride=stride)
    assert (found.targets, found.texts, found.without_targets) == (len(losses), 4, 0)
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(np.mean(losses)), rel=1e-4)


def test_all_but_the_first_window_have_the_promised_context():
    for length in range(2, 60):
        parts = list(windows(Example(list(range(length))), 16, 5))
        targets = [token for part in parts for token in part.tokens[max(part.offset, 1) :]]
        assert targets == list(range(1, length))
        assert all(part.offset >= 16 - 5 for part in parts[1:])


def test_masks_and_offsets_hold_across_windows(model):
    tokens, mask = numbers(30), np.random.default_rng(5).integers(0, 2, 30).tolist()
    counted = [place for place in range(7, 30) if mask[place]]
    losses = [
        loss_of(model, tokens[start:], place - start) for place, start in begins(30, 10, 4).items() if place in counted
    ]
    found = perplexity(model, [Example(tokens, 7, mask), Example(tokens, 30)], window=10, stride=4)
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert (found.targets, found.texts, found.without_targets) == (len(counted), 1, 1)


def test_mistakes_are_named(model):
    for options, message in [
        ({"window": 1}, "window: expected an int of at least 2, got 1"),
        ({"stride": 0}, "stride: expected an int of at least 1, got 0"),
        ({"window": 8, "stride": 8}, "stride: expected fewer tokens than a window has, 8, got 8"),
    ]:
        assert message in message_of(lambda options=options: perplexity(model, [Example([1, 2])], **options))
    assert "expected one with a target, got none in 1" in message_of(lambda: perplexity(model, [Example([1])]))
    assert "the id 99" in message_of(lambda: perplexity(model, [Example([1, 99])]))
