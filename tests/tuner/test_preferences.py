"""Losses of preferences by their formulas, in float64: values, gradients, and what is reported."""

import numpy as np
import pytest
import training

import mlxffi.core as mx
from mlxffi.tuner import lora
from mlxffi.tuner.datasets import Batch, Example, ExampleGroup
from mlxffi.tuner.datasets.examples import collated_groups
from mlxffi.tuner.models import FunctionalModel, decoder_model
from mlxffi.tuner.preferences import BY_NAME, CPOLoss, DPOLoss, IPOLoss, KTOLoss, ORPOLoss, SimPOLoss
from mlxffi.tuner.trees import flatten, map_paths

VOCABULARY = 7
PROMPT = 3


def groups(count=4, seed=0, vocabulary=VOCABULARY):
    """Groups of two sequences of different lengths behind one prompt."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        prompt = rng.integers(0, vocabulary, PROMPT).tolist()
        rows = [prompt + rng.integers(0, vocabulary, int(rng.integers(1, 6))).tolist() for _ in range(2)]
        found.append(ExampleGroup(tuple(Example(row, PROMPT) for row in rows), index % 3 != 0))
    return found


def table(seed):
    return np.random.default_rng(seed).normal(0, 1, (VOCABULARY, VOCABULARY))


def model():
    """Logits of the next token by the token before."""
    return FunctionalModel({"table": mx.array(table(1), mx.float32)}, lambda parameters, t: parameters["table"][t])


REFERENCE = table(1) + 0.5 * table(2)


# --- the formulas ---


def logps(weights, example, first):
    """Log-probabilities of the tokens of a sequence from one of them on."""
    rows = weights[example.tokens[:-1]]
    rows = rows - np.log(np.exp(rows).sum(-1, keepdims=True))
    return rows[np.arange(len(rows)), example.tokens[1:]][first - 1 :]


def log_sigmoid(x):
    return -np.log1p(np.exp(-x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def smoothed(x, smoothing):
    return -(1 - smoothing) * log_sigmoid(x) - smoothing * log_sigmoid(-x)


def sums(weights, group):
    return [logps(weights, example, PROMPT).sum() for example in group.sequences]


def means(weights, group):
    return [logps(weights, example, PROMPT).mean() for example in group.sequences]


def dpo(weights, group, beta, smoothing=0.0):
    (chosen, rejected), (was, other) = sums(weights, group), sums(REFERENCE, group)
    return smoothed(beta * ((chosen - was) - (rejected - other)), smoothing)


def ipo(weights, group, beta):
    (chosen, rejected), (was, other) = means(weights, group), means(REFERENCE, group)
    return ((chosen - was) - (rejected - other) - 1 / (2 * beta)) ** 2


def cpo(weights, group, beta, alpha, smoothing=0.0):
    chosen, rejected = sums(weights, group)
    return smoothed(beta * (chosen - rejected), smoothing) - alpha * means(weights, group)[0]


def simpo(weights, group, beta, gamma):
    chosen, rejected = means(weights, group)
    return smoothed(beta * (chosen - rejected - gamma / beta), 0.0)


def orpo(weights, group, beta):
    odds = [p - np.log1p(-np.exp(p)) for p in means(weights, group)]
    return -logps(weights, group.sequences[0], 1).mean() - beta * log_sigmoid(odds[0] - odds[1])


FORMULAS = {
    "dpo": (DPOLoss(0.3), lambda w, g: dpo(w, g, 0.3)),
    "conservative dpo": (DPOLoss(0.3, label_smoothing=0.2), lambda w, g: dpo(w, g, 0.3, 0.2)),
    "ipo": (IPOLoss(0.3), lambda w, g: ipo(w, g, 0.3)),
    "cpo": (CPOLoss(0.3, alpha=0.7), lambda w, g: cpo(w, g, 0.3, 0.7)),
    "cpo, smoothed, without likelihood": (CPOLoss(0.3, 0.0, 0.1), lambda w, g: cpo(w, g, 0.3, 0.0, 0.1)),
    "simpo": (SimPOLoss(2.0, gamma=0.8), lambda w, g: simpo(w, g, 2.0, 0.8)),
    "orpo": (ORPOLoss(0.3), lambda w, g: orpo(w, g, 0.3)),
}


def divergence(weights, batch):
    """How far the model is from the reference on the completions of others, which no gradient goes through."""
    ratios = [logps(weights, g.sequences[1], PROMPT).sum() - sums(REFERENCE, g)[1] for g in batch]
    return max(np.mean(ratios), 0)


def kto(weights, group, far, beta=0.3, good=1.5, bad=0.5):
    ratio = sums(weights, group)[0] - sums(REFERENCE, group)[0]
    if group.label:
        return good * (1 - sigmoid(beta * (ratio - far)))
    return bad * (1 - sigmoid(beta * (far - ratio)))


def slopes(function, weights, step=1e-6):
    found = np.zeros_like(weights)
    for place in np.ndindex(weights.shape):
        change = np.zeros_like(weights)
        change[place] = step
        found[place] = (function(weights + change) - function(weights - change)) / (2 * step)
    return found


def value_and_gradient(loss, batch, student=None):
    student = student or model()
    batch = loss.prepared(student, student.trainable(), {"table": mx.array(REFERENCE, mx.float32)}, batch)

    def of(trained):
        return loss(student.logits(trained, batch.tokens[:, :-1]), batch)

    (total, count, summed), gradient = mx.value_and_grad(of)(student.trainable())
    return total.item(), count.item(), summed.tolist(), np.array(gradient["table"])


@pytest.mark.parametrize("name", FORMULAS)
def test_a_loss_of_pairs_is_its_formula(name):
    (loss, formula), pairs = FORMULAS[name], groups()
    total, count, summed, gradient = value_and_gradient(loss, collated_groups(pairs, 32, 2))

    def expected(weights):
        return sum(formula(weights, pair) for pair in pairs)

    assert total == pytest.approx(expected(table(1)), rel=2e-6)
    assert count == len(pairs)
    np.testing.assert_allclose(gradient, slopes(expected, table(1)), rtol=1e-4, atol=2e-6)
    assert list(loss.figures(summed)) == [*loss.reported, "rewards/margins"]


@pytest.mark.parametrize(("seed", "moved"), [(0, True), (2, False)])
def test_kto_is_its_formula(seed, moved):
    loss, batch = KTOLoss(0.3, desirable_weight=1.5, undesirable_weight=0.5), groups(4, seed=seed)
    total, count, summed, gradient = value_and_gradient(loss, collated_groups(batch, 32, 2))
    far = divergence(table(1), batch)
    assert (far > 0) == moved

    def expected(weights):
        return sum(kto(weights, group, far) for group in batch)

    assert total == pytest.approx(expected(table(1)), rel=2e-6)
    assert count == len(batch)
    np.testing.assert_allclose(gradient, slopes(expected, table(1)), rtol=1e-4, atol=2e-6)
    told = loss.figures(summed)
    rewards = [0.3 * (sums(table(1), group)[0] - sums(REFERENCE, group)[0]) for group in batch]
    good = [reward for reward, group in zip(rewards, batch, strict=True) if group.label]
    bad = [reward for reward, group in zip(rewards, batch, strict=True) if not group.label]
    right = [(reward > 0.3 * far) for reward in good] + [reward < 0.3 * far for reward in bad]
    assert told["kl"] == pytest.approx(far, rel=1e-5, abs=1e-6)
    assert told["rewards/margins"] == pytest.approx(np.mean(good) - np.mean(bad), rel=1e-5)
    assert told["rewards/accuracies"] == pytest.approx(np.mean(right))


def test_what_is_reported_are_means_over_pairs():
    pairs, loss = groups(5), DPOLoss(0.3)
    whole = loss.figures(value_and_gradient(loss, collated_groups(pairs, 32, 2))[2])
    rewards = [[0.3 * (a - b) for a, b in zip(sums(table(1), p), sums(REFERENCE, p), strict=True)] for p in pairs]
    chosen, rejected = np.array(rewards).T
    assert whole["rewards/chosen"] == pytest.approx(chosen.mean(), rel=1e-5)
    assert whole["rewards/rejected"] == pytest.approx(rejected.mean(), rel=1e-5)
    assert whole["rewards/margins"] == pytest.approx((chosen - rejected).mean(), rel=1e-5)
    assert whole["rewards/accuracies"] == pytest.approx((chosen > rejected).mean())
    assert whole["logps/chosen"] == pytest.approx(np.mean([sums(table(1), p)[0] for p in pairs]), rel=1e-5)
    # Of parts of a batch they are the same: examples count, not batches.
    parts = [value_and_gradient(loss, collated_groups(part, 32, 2))[2] for part in (pairs[:1], pairs[1:])]
    assert loss.figures(np.sum(parts, axis=0).tolist()) == pytest.approx(whole, rel=1e-5)


def test_a_tie_is_not_accurate():
    pair = groups(1)[0]
    same = ExampleGroup((pair.sequences[0],) * 2)
    for loss in (DPOLoss(), CPOLoss(), ORPOLoss()):
        told = loss.figures(value_and_gradient(loss, collated_groups([same], 32, 2))[2])
        assert (told["rewards/accuracies"], told["rewards/margins"]) == (0, 0)


@pytest.mark.parametrize("kind", BY_NAME)
def test_what_has_no_targets_left_does_not_count(kind):
    """Records of which a sequence is cut, and rows that fill a batch up, change nothing."""
    kept, loss = groups(3), BY_NAME[kind]()
    cut = ExampleGroup((Example([1] * 40, 35), Example([2] * 40, 35)))
    alone = value_and_gradient(loss, collated_groups(kept, 32, 2))
    among = value_and_gradient(loss, collated_groups([kept[0], cut, *kept[1:], None], 32, 2))
    assert among[1] == alone[1] == 3
    assert among[0] == pytest.approx(alone[0], rel=1e-6)
    np.testing.assert_allclose(among[3], alone[3], rtol=1e-5, atol=1e-7)
    told = loss.figures(among[2])
    assert told.pop("left_out") == 1
    assert told == pytest.approx(loss.figures(alone[2]), rel=1e-5, nan_ok=True)


def test_a_completion_of_probability_1_has_a_finite_loss():
    sure = FunctionalModel({"table": mx.eye(VOCABULARY) * 1e4}, lambda parameters, t: parameters["table"][t])
    group = ExampleGroup((Example([2, 2, 2], 1), Example([2, 2, 2, 2], 1)))
    total, _, _, gradient = value_and_gradient(ORPOLoss(), collated_groups([group], 32, 2), sure)
    assert np.isfinite(total)
    assert np.isfinite(gradient).all()


# --- without logits ---


@pytest.mark.parametrize("kind", BY_NAME)
def test_hidden_states_give_what_logits_give(kind):
    config, parameters = training.decoder()
    adapter = lora.create_adapter(parameters, lora.LoRAConfig(rank=2))
    noisy = map_paths(lambda _, item: mx.random.normal(item.shape, key=mx.random.key(7)) * 0.1, adapter.parameters)
    student = decoder_model(config, parameters, lora.Adapter(noisy, adapter.config))
    loss, batch = BY_NAME[kind](), collated_groups(groups(vocabulary=training.VOCABULARY), 32, 2)
    batch = loss.prepared(student, noisy, adapter.parameters, batch)
    tokens = batch.tokens[:, :-1]
    ways = (
        lambda trained: loss.of_hidden(*student.hidden(trained, tokens), batch),
        lambda trained: loss(student.logits(trained, tokens), batch),
    )
    (found, gradients), (wanted, others) = (mx.value_and_grad(way)(noisy) for way in ways)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(np.array(one), np.array(other), rtol=1e-5, atol=1e-5)
    for path, gradient in flatten(gradients).items():
        np.testing.assert_allclose(np.array(gradient), np.array(flatten(others)[path]), rtol=1e-3, atol=1e-5)


# --- what is refused ---


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (DPOLoss, {"beta": 0}, "beta: expected a finite number above 0, got 0"),
        (DPOLoss, {"label_smoothing": 0.5}, "label_smoothing: expected a number of at least 0 and below 0.5, got 0.5"),
        (CPOLoss, {"alpha": -1}, "alpha: expected a finite number of at least 0, got -1"),
        (SimPOLoss, {"gamma": float("inf")}, "gamma: expected a finite number of at least 0, got inf"),
        (KTOLoss, {"desirable_weight": float("nan")}, "desirable_weight: expected a finite number of at least 0"),
    ],
)
def test_a_bad_option_is_named(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


def test_a_batch_of_texts_is_refused():
    batch = Batch(mx.zeros([2, 5], mx.int32), mx.ones([2, 4]))
    with pytest.raises(ValueError, match="batch: expected one of records with several sequences, got one of texts"):
        DPOLoss().prepared(model(), model().trainable(), model().trainable(), batch)


def test_a_reference_that_lacks_is_an_error():
    batch = collated_groups(groups(), 32, 2)
    with pytest.raises(ValueError, match=r"\[dpo\] reference: expected the parameters that the run began with"):
        DPOLoss().prepared(model(), model().trainable(), None, batch)
    with pytest.raises(ValueError, match=r"\[dpo\] batch: expected one that was prepared"):
        DPOLoss()(model().logits(model().trainable(), batch.tokens[:, :-1]), batch)
