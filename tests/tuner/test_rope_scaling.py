"""Position encodings for more positions than a model was first trained on: yarn, longrope and dynamic scaling."""

import gc
import math

import numpy as np
import pytest
from tuner_helpers import message_of

import mlxffi.core as mx
from mlxffi.fused import heads
from mlxffi.tuner.models.rope import ropes_from_dict

# The state of the random numbers is there from here on: it is no leak of the test that uses it first.
mx.random.seed(0)

DIMS, CONTEXT = 16, 32
POWERS = 1e4 ** (np.arange(0, DIMS, 2) / DIMS)
SHORT, LONG = np.linspace(1, 1.5, DIMS // 2), np.linspace(1, 9, DIMS // 2)


def rope(**scaling):
    return ropes_from_dict({"max_position_embeddings": 4 * CONTEXT, "rope_scaling": scaling}, DIMS)[0]


def rotated(x, positions, frequencies, magnitude=1.0):
    """Pairs (i, i + DIMS / 2) as complex numbers, turned by position * frequency."""
    half = DIMS // 2
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * np.outer(positions, frequencies)) * magnitude
    return np.concatenate([turned.real, turned.imag], axis=-1)


def check(made, length, frequencies, magnitude=1.0):
    """Against float64, as consecutive positions, with some of them in a cache, and as positions one by one."""
    x = np.random.default_rng(0).normal(size=(1, 2, length, DIMS))
    wanted, given = rotated(x, np.arange(length), frequencies, magnitude), mx.array(x.astype(np.float32))
    close = {"rtol": 0, "atol": 1e-4}
    np.testing.assert_allclose(np.array(made(given, 0)), wanted, **close)
    np.testing.assert_allclose(np.array(made(given[:, :, 5:], 5)), wanted[:, :, 5:], **close)
    positions = mx.arange(length, dtype=mx.int32)[None]
    np.testing.assert_allclose(np.array(made(given, positions)), wanted, **close)
    for places in (0, positions):
        np.testing.assert_allclose(turned(given, made.turns(places, length, DIMS)), wanted, **close)
    np.testing.assert_allclose(turned(given[:, :, 5:], made.turns(5, length - 5, DIMS)), wanted[:, :, 5:], **close)


def turned(x, turns):
    """Heads, rotated as training does it on GPUs."""
    batch, count, length, _ = x.shape
    rows = x.transpose(0, 2, 1, 3).reshape(batch, length, -1)
    return np.array(heads(rows, *turns.tables(), None, None, count, 0, 0.0)[0].transpose(0, 2, 1, 3))


@pytest.mark.parametrize("length", [8, 100])
@pytest.mark.parametrize(
    ("options", "magnitude"),
    [
        ({}, 0.1 * math.log(4) + 1),
        ({"attention_factor": 1.2}, 1.2),
        ({"mscale": 1.0, "mscale_all_dim": 0.5}, (0.1 * math.log(4) + 1) / (0.05 * math.log(4) + 1)),
    ],
)
def test_yarn(length, options, magnitude):
    """Pairs that turn 32 times in the context stay, those that turn once are slowed down, with a ramp between."""

    def pair(turns):
        return DIMS * math.log(CONTEXT / (turns * 2 * math.pi)) / (2 * math.log(1e4))

    low, high = max(math.floor(pair(32)), 0), math.ceil(pair(1))
    ramp = np.clip((np.arange(DIMS // 2) - low) / (high - low), 0, 1)
    frequencies = (ramp / 4 + 1 - ramp) / POWERS
    assert 0 < (ramp == 1).sum() < DIMS // 2
    made = rope(type="yarn", factor=4.0, original_max_position_embeddings=CONTEXT, **options)
    check(made, length, frequencies, magnitude)
    # Without a factor, it is how much longer the model says it reads.
    assert rope(rope_type="yarn", original_max_position_embeddings=CONTEXT, **options) == made


@pytest.mark.parametrize(("length", "factors"), [(CONTEXT, SHORT), (CONTEXT + 1, LONG)])
def test_longrope_has_other_wavelengths_beyond_its_first_context(length, factors):
    scaling = {"short_factor": SHORT.tolist(), "long_factor": LONG.tolist()}
    made = rope(rope_type="longrope", original_max_position_embeddings=CONTEXT, **scaling)
    check(made, length, 1 / (factors * POWERS), math.sqrt(1 + math.log(4) / math.log(CONTEXT)))


@pytest.mark.parametrize("length", [4 * CONTEXT, 4 * CONTEXT + 60])
def test_dynamic_scaling_grows_with_the_length(length):
    base = 1e4 * (2.0 * length / (4 * CONTEXT) - 1) ** (DIMS / (DIMS - 2))
    check(rope(rope_type="dynamic", factor=2.0), length, base ** -(np.arange(0, DIMS, 2) / DIMS))


@pytest.mark.parametrize(
    ("scaling", "reason"),
    [
        ({"rope_type": "longrope", "short_factor": [1.0], "long_factor": []}, "short_factor: expected 8 numbers, got"),
        ({"rope_type": "yarn", "factor": -1}, "factor: expected a positive number, got -1"),
        ({"rope_type": "dynamic"}, "factor: expected a positive number, got None"),
    ],
)
def test_what_is_missing_is_named(scaling, reason):
    assert reason in message_of(lambda: rope(**scaling))


def apart_from_transformers(name, folder):
    """By how much logits of short and of long sequences differ from those of transformers."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from mlxffi.tuner.models.load import decoder_model, load_parameters

    scaling = {"rope_type": name, "rope_theta": 1e4, "factor": 4.0}
    if name != "dynamic":
        scaling["original_max_position_embeddings"] = CONTEXT
    if name == "longrope":
        scaling |= {"short_factor": [1.0, 1.1, 1.2, 1.5], "long_factor": [1.0, 2.0, 4.0, 9.0]}
    config = transformers.Qwen2Config(
        vocab_size=90, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=48, rope_parameters=scaling, initializer_range=0.2,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    theirs.save_pretrained(folder)
    _, ours, parameters = load_parameters(folder)
    model = decoder_model(ours, parameters)
    found = []
    for length in (20, 80):
        ids = np.arange(length)[None] % 90
        with torch.no_grad():
            wanted = theirs(torch.tensor(ids)).logits.numpy()
        found.append(abs(np.array(model(mx.array(ids.astype(np.int32)))) - wanted).max())
    return found


@pytest.mark.parametrize("name", ["yarn", "longrope", "dynamic"])
def test_logits_are_those_of_transformers(name, tmp_path):
    apart = apart_from_transformers(name, tmp_path)
    gc.collect()  # what imports keep of the frames that they were called from
    assert max(apart) < 1e-4
