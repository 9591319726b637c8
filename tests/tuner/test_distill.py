"""Distillation: a student learns a teacher's predictions, and the teacher stays as it is."""

import numpy as np
import pytest
import training
from training import Recorder, arrays

import mlxffi.core as mx
from mlxffi.tuner.datasets import Batch
from mlxffi.tuner.losses import DistillationLoss, default_loss
from mlxffi.tuner.optimizers import AdamW
from mlxffi.tuner.trainer import TrainingArgs, evaluate, train


def logits(model, batch):
    return np.array(model.logits(model.trainable(), batch.tokens[:, :-1])).astype(float)


def softmax(values):
    powers = np.exp(values - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def kl(p, q):
    return (p * (np.log(p) - np.log(q))).sum(-1)


def js(p, q):
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


def cross_entropy(values, batch):
    chosen = np.take_along_axis(softmax(values), np.array(batch.tokens)[:, 1:, None], -1)[..., 0]
    return -np.log(chosen)


@pytest.mark.parametrize("weight", [1.0, 0.3, 0.0])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("kind", ["kl", "js"])
def test_the_loss_is_the_divergence_mixed_with_cross_entropy(kind, temperature, weight):
    student, teacher, batch = training.model(0), training.model(1), training.batches(1)[0]
    loss = DistillationLoss(teacher, kind, temperature=temperature, weight=weight)
    found, count = loss(student.logits(student.trainable(), batch.tokens[:, :-1]), batch)
    mine, wanted = logits(student, batch), logits(teacher, batch)
    divergence = {"kl": kl, "js": js}[kind](softmax(wanted / temperature), softmax(mine / temperature))
    rows = weight * temperature**2 * divergence + (1 - weight) * cross_entropy(mine, batch)
    assert found.item() == pytest.approx((rows * np.array(batch.weights)).sum(), rel=1e-5)
    assert count.item() == np.array(batch.weights).sum()


@pytest.mark.parametrize("kind", ["kl", "js"])
def test_a_student_comes_near_its_teacher(kind):
    student, teacher = training.model(0), training.model(1, dropout=0.5)
    before, told = arrays(teacher), Recorder()
    batches, loss = training.batches(4), DistillationLoss(teacher, kind, temperature=2.0)
    far = evaluate(student, batches, loss=loss)
    args = TrainingArgs(iters=200, steps_per_eval=200)
    train(student, AdamW(0.02), batches, batches, args, loss=loss, callbacks=[told])
    assert told.val[0].val_loss == pytest.approx(far, rel=1e-6)
    # The teacher's dropout is off, else there were nothing to come near to.
    assert told.val[-1].val_loss < far / 50
    assert evaluate(student, batches, loss=loss) == pytest.approx(told.val[-1].val_loss, rel=1e-6)
    for path, item in before.items():
        np.testing.assert_array_equal(arrays(teacher)[path], item)


def test_the_teacher_gets_no_gradient():
    student, batch = training.model(0), training.batches(1)[0]

    def distance(parameters):
        teacher = training.model(1)
        teacher.update(parameters)
        loss = DistillationLoss(teacher, weight=0.5)
        return loss(student.logits(student.trainable(), batch.tokens[:, :-1]), batch)[0]

    gradient = mx.grad(distance)(training.model(1).trainable())
    assert all(not item.any() for item in training.flatten(gradient).values())


def test_segments_reach_the_teacher():
    seen = []

    def forward(parameters, tokens, *, segments=None):
        seen.append(segments.tolist())
        return training.forward(parameters, tokens)

    teacher, batch = training.model(forward=forward), training.batches(1)[0]
    packed = Batch(batch.tokens, batch.weights, mx.ones(batch.tokens.shape, mx.int32))
    DistillationLoss(teacher)(training.model().logits(training.model().trainable(), batch.tokens[:, :-1]), packed)
    assert np.array(seen[0]).shape == (4, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "l2"}, "kind: expected one of kl, js, got 'l2'"),
        ({"temperature": 0}, "temperature: expected a finite number above 0, got 0"),
        ({"temperature": 10**400}, "temperature: expected a finite number above 0, got 1000"),
        ({"temperature": float("nan")}, "temperature: expected a finite number above 0, got nan"),
        ({"weight": 1.5}, "weight: expected a number from 0 to 1, got 1.5"),
    ],
)
def test_a_bad_option_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        DistillationLoss(training.model(), **options)


def test_another_vocabulary_is_an_error():
    batch, loss = training.batches(1)[0], DistillationLoss(training.model())
    with pytest.raises(ValueError, match="shape"):
        loss(mx.zeros([4, 8, 7]), batch)


def test_the_default_loss_counts_weights():
    batch = training.batches(1)[0]
    model = training.model()
    found, count = default_loss(model.logits(model.trainable(), batch.tokens[:, :-1]), batch)
    weights = np.array(batch.weights)
    assert found.item() == pytest.approx((cross_entropy(logits(model, batch), batch) * weights).sum(), rel=1e-6)
    assert count.item() == weights.sum()
