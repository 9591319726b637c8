"""Losses of hidden states are those of the logits, in value and gradient, where the trainer takes this way."""

import pytest

import mlxffi.core as mx
from mlxffi.tuner import layers, lora
from mlxffi.tuner.datasets import Batch
from mlxffi.tuner.losses import DistillationLoss, default_loss
from mlxffi.tuner.models import DecoderConfig, FunctionalModel, decoder_model, random_parameters
from mlxffi.tuner.trees import flatten, unflatten

CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 1,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "vocab_size": 96,
    "max_position_embeddings": 64,
}
# The state of random numbers is there before anything is counted.
mx.random.seed(0)

LOSSES = {
    "cross-entropy": lambda: default_loss,
    "kl": lambda: DistillationLoss(model(seed=5), temperature=2.0),
    "js and cross-entropy": lambda: DistillationLoss(model(seed=5, tied=True), "js", weight=0.7),
}


def model(seed=0, tied=False, packed=False, keys=None):
    config = DecoderConfig.from_dict({**CONFIG, "tie_word_embeddings": tied})
    parameters = random_parameters(config, mx.random.key(seed))
    if packed:
        node = parameters["model"]["embed_tokens"] if tied else parameters["lm_head"]
        node.update(layers.quantized(node, layers.Quantization(32, 8)))
    adapter = lora.create_adapter(parameters, lora.LoRAConfig(rank=2, keys=keys))
    noisy = {
        path: mx.random.normal(item.shape, key=mx.random.key(7)) * 0.1
        for path, item in flatten(adapter.parameters).items()
    }
    return decoder_model(config, parameters, lora.Adapter(unflatten(noisy), adapter.config))


def batch():
    tokens = mx.random.randint(0, 96, (3, 9), key=mx.random.key(1))
    return Batch(tokens, mx.array([[0, 0, 1, 1, 1, 1, 0, 0], [1] * 8, [0] * 7 + [1]], mx.float32))


def both_ways(student, loss, given):
    """(loss, count) and gradients through the hidden states, and through the logits."""

    def by_hidden(trained):
        return loss.of_hidden(*student.hidden(trained, given.tokens[:, :-1]), given)

    def by_logits(trained):
        return loss(student.logits(trained, given.tokens[:, :-1]), given)

    return [mx.value_and_grad(way)(student.trainable()) for way in (by_hidden, by_logits)]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("options", [{}, {"tied": True}, {"packed": True}, {"tied": True, "packed": True}])
def test_both_ways_are_one(name, options):
    (values, gradients), (others, right) = both_ways(model(**options), LOSSES[name](), batch())
    assert mx.allclose(values[0], others[0], rtol=1e-5)
    assert values[1].item() == others[1].item() == 13
    for path, found in flatten(gradients).items():
        assert mx.allclose(found, flatten(right)[path], rtol=1e-3, atol=1e-5), path


def test_a_position_that_does_not_count_may_be_anything():
    student, given = model(), batch()
    hidden, head = student.hidden(student.trainable(), given.tokens[:, :-1])
    broken = mx.where(given.weights[..., None] == 0, mx.nan, hidden)
    assert (
        default_loss.of_hidden(broken, head, given)[0].item() == default_loss.of_hidden(hidden, head, given)[0].item()
    )


def test_an_output_layer_that_is_trained_has_logits():
    assert model(keys=["lm_head"]).hidden(model(keys=["lm_head"]).trainable(), batch().tokens) is None
    whole = decoder_model(
        DecoderConfig.from_dict(CONFIG), random_parameters(DecoderConfig.from_dict(CONFIG), mx.random.key(0))
    )
    assert whole.hidden(whole.trainable(), batch().tokens) is None


def test_a_teacher_without_halves_is_asked_for_logits():
    student, given = model(), batch()
    teacher = FunctionalModel({"table": mx.random.normal((96, 96), key=mx.random.key(3))}, lambda p, t: p["table"][t])
    loss = DistillationLoss(teacher)
    assert loss.of_hidden(*student.hidden(student.trainable(), given.tokens[:, :-1]), given) is None
