"""FunctionalModel: what is trained, adapters, dropout and checkpoints."""

import re

import numpy as np
import pytest
from model_cases import NAMES, config_dict, numbers, ours, tokens

import mlxffi.core as mx
from mlxffi.tuner import layers, lora
from mlxffi.tuner.models import DecoderConfig, FunctionalModel, Tunable, decoder_model, last_blocks, random_parameters
from mlxffi.tuner.trees import flatten, tree_map

IDS = tokens(2, 12)
SCHEME = layers.Quantization(32, 4)
KINDS = {"lora": {}, "dora": {"use_dora": True}}


def tiny(name="llama"):
    config = config_dict(name)
    return ours(config, numbers(DecoderConfig.from_dict(config)))


def with_adapter(parameters, seed=5, **options):
    """An adapter whose factors are all other than 0."""
    adapter = lora.create_adapter(parameters, lora.LoRAConfig(**{"rank": 3, "scale": 2.0, **options}))
    rng = np.random.default_rng(seed)
    moved = tree_map(
        lambda value: value + mx.array(rng.normal(0, 0.1, value.shape).astype(np.float32)), adapter.parameters
    )
    return lora.Adapter(moved, adapter.config)


def quantized(tree):
    """A decoder's tree with its linear layers and embedding quantized."""
    if isinstance(tree, list):
        return [quantized(item) for item in tree]
    if "weight" not in tree:
        return {key: quantized(item) for key, item in tree.items()}
    return layers.quantized(tree, SCHEME) if tree["weight"].ndim == 2 else tree


def logits(model, trained=None, **options):
    return model.logits(model.trainable() if trained is None else trained, mx.array(IDS), **options)


def gradient(model, seed=0, **options):
    def loss(trained):
        mx.random.seed(seed)
        return logits(model, trained, **options).square().mean()

    return flatten(mx.grad(loss)(model.trainable()))


def assert_close(found, expected, tolerance=1e-7):
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_allclose(np.array(found[path]), np.array(value), rtol=2e-4, atol=tolerance, err_msg=path)


# --- what is trained ---


def test_a_model_is_tunable():
    config, parameters = tiny()
    model = decoder_model(config, parameters)
    assert isinstance(model, Tunable)
    assert flatten(model.trainable()).keys() == flatten(parameters).keys()
    assert model.adapter is None


@pytest.mark.parametrize(
    ("trainable", "pattern"),
    [
        (["model.norm", "lm_head"], r"model\.norm\.weight|lm_head\.weight"),
        (["model.layers.1.mlp.up_proj.weight"], r"model\.layers\.1\.mlp\.up_proj\.weight"),
        (["model.layers.1"], r"model\.layers\.1\..*"),
        (lambda path, weight: weight.ndim == 1, r".*norm\.weight"),
        (lambda path, weight: "layers.0" in path, r"model\.layers\.0\..*"),
    ],
)
def test_a_part_of_the_parameters_is_trained(trainable, pattern):
    config, parameters = tiny()
    model = decoder_model(config, parameters, trainable=trainable)
    paths = {path for path in flatten(parameters) if re.fullmatch(pattern, path)}
    assert paths
    assert flatten(model.trainable()).keys() == paths
    everything = gradient(decoder_model(config, parameters))
    assert_close(gradient(model), {path: everything[path] for path in paths})


def test_the_last_blocks_are_trained():
    parameters = tiny()[1]
    assert last_blocks(parameters, 1) == ["model.layers.1"]
    assert last_blocks(parameters, 2) == ["model.layers.0", "model.layers.1"]
    many = {"h": {"layers": [{"w": mx.zeros(1)} for _ in range(12)]}}
    assert last_blocks(many, 3) == ["h.layers.9", "h.layers.10", "h.layers.11"]
    for count in (0, 3):
        with pytest.raises(ValueError, match=f"count: expected 1 to 2, the number of blocks; got {count}"):
            last_blocks(parameters, count)


def test_quantized_layers_are_not_trained_unless_asked():
    config, parameters = tiny()
    model = decoder_model(config, quantized(parameters))
    assert all("norm" in path for path in flatten(model.trainable()))
    assert gradient(model).keys() == flatten(model.trainable()).keys()


def test_updates_take_the_places_of_parameters():
    config, parameters = tiny()
    model = decoder_model(config, parameters, trainable=["model.layers.1", "model.norm"])
    before = np.array(logits(model))
    doubled = tree_map(lambda value: 2 * value, model.trainable())
    expected = np.array(logits(model, doubled))
    model.update(doubled)
    np.testing.assert_array_equal(np.array(logits(model)), expected)
    np.testing.assert_array_equal(np.array(model(mx.array(IDS))), expected)
    assert np.abs(expected - before).max() > 1e-3
    assert (
        flatten(model.parameters())["model.layers.0.mlp.up_proj.weight"]
        is (parameters["model"]["layers"][0]["mlp"]["up_proj"]["weight"])
    )
    with pytest.raises(ValueError, match=r"these differ: \['model\.norm\.weight'\]"):
        model.update({"model": {"layers": doubled["model"]["layers"]}})


def test_what_cannot_be_trained_is_said():
    config, parameters = tiny()
    with pytest.raises(ValueError, match="trainable: expected at least one parameter, got none"):
        decoder_model(config, parameters, trainable=["model.layer.1"])
    with pytest.raises(ValueError, match="trainable: expected a predicate or several paths, got 'lm_head'"):
        decoder_model(config, parameters, trainable="lm_head")
    with pytest.raises(ValueError, match="it alone is trained; got both"):
        decoder_model(config, parameters, with_adapter(parameters), trainable=["lm_head"])


# --- adapters ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_is_trained_and_the_base_stays(name, kind):
    config, parameters = tiny(name)
    adapter = with_adapter(parameters, **KINDS[kind])
    model = decoder_model(config, parameters, adapter)
    assert flatten(model.trainable()).keys() == flatten(adapter.parameters).keys()
    fused = decoder_model(config, lora.fuse(parameters, adapter))
    np.testing.assert_allclose(np.array(logits(model)), np.array(logits(fused)), rtol=1e-4, atol=1e-5)
    assert np.abs(np.array(logits(model)) - np.array(logits(decoder_model(config, parameters)))).max() > 1e-2
    halves = tree_map(lambda value: value / 2, adapter.parameters)
    model.update(halves)
    assert_close(flatten(model.adapter.parameters), flatten(halves), 0)
    assert model.adapter.config == adapter.config


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True])
def test_checkpoints_give_adapters_the_same_gradient(packed, kind):
    config, parameters = tiny("qwen3")
    base = quantized(parameters) if packed else parameters
    model = decoder_model(config, base, with_adapter(base, keys=("self_attn.q_proj", "mlp.down_proj"), **KINDS[kind]))
    found, expected = gradient(model, checkpoint=True), gradient(model)
    assert all(np.abs(np.array(value)).max() > 0 for value in expected.values())
    assert_close(found, expected)


def plain_forward(parameters, tokens):
    """A function that knows nothing of nodes that are quantized or adapted."""
    x = parameters["embed"]["weight"][tokens]
    return mx.tanh(x @ parameters["hidden"]["weight"].T) @ parameters["out"]["weight"].T


def node_forward(parameters, tokens):
    """The same by mlxffi.tuner.layers."""
    x = layers.embedding(parameters["embed"], tokens)
    return layers.linear(parameters["out"], mx.tanh(layers.linear(parameters["hidden"], x)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True])
def test_any_function_of_parameters_takes_a_fused_adapter(packed, kind):
    rng = np.random.default_rng(0)
    shapes = {"embed": (512, 32), "hidden": (64, 32), "out": (512, 64)}
    base = {name: {"weight": mx.array(rng.normal(0, 0.1, shape).astype(np.float32))} for name, shape in shapes.items()}
    base = quantized(base) if packed else base
    adapter = with_adapter(base, target_modules=("hidden", "out", "embed"), **KINDS[kind])
    fused = FunctionalModel(base, plain_forward, adapter, fused=True)
    attached = FunctionalModel(base, node_forward, adapter)
    np.testing.assert_allclose(np.array(logits(fused)), np.array(logits(attached)), rtol=1e-4, atol=1e-5)
    assert_close(gradient(fused), gradient(attached), 1e-6)
    assert all(np.abs(np.array(value)).max() > 0 for value in gradient(fused).values())


# --- dropout ---


def with_dropout():
    config, parameters = tiny("qwen3")
    return decoder_model(config, parameters, with_adapter(parameters, dropout=0.5))


def test_dropout_is_active_in_training_only():
    model = with_dropout()

    def run(seed, **options):
        mx.random.seed(seed)
        return np.array(logits(model, **options))

    np.testing.assert_array_equal(run(1), run(2))
    np.testing.assert_array_equal(run(1, training=True), run(1, training=True))
    assert (run(1, training=True) != run(2, training=True)).any()
    assert (run(1, training=True, checkpoint=True) != run(2, training=True, checkpoint=True)).any()


@pytest.mark.parametrize("compiled", [False, True])
def test_checkpointed_dropout_drops_the_same_again(compiled):
    """The slope along a gradient is its squared norm: not so if the second run dropped other values."""
    model = with_dropout()

    def loss(trained, key):
        mx.random.state._set(key)
        return logits(model, trained, training=True, checkpoint=True).square().mean()

    both = mx.value_and_grad(loss)
    both = mx.compile(both) if compiled else both
    key, trained = mx.random.key(3), model.trainable()
    gradients = both(trained, key)[1]
    norm = sum(value.square().sum().item() for value in flatten(gradients).values())
    step = 0.01 / np.sqrt(norm)
    ahead, behind = (
        both(tree_map(lambda value, slope, way=way: value + way * slope, trained, gradients), key)[0].item()
        for way in (step, -step)
    )
    mx.random.seed(0)
    assert (ahead - behind) / (2 * step) == pytest.approx(norm, rel=5e-3)


# --- functions of their own ---


def test_functions_are_given_the_options_that_they_take():
    given = []

    def forward(parameters, tokens, *, training=False, cache=None):
        given.append((training, cache))
        return parameters["weight"][tokens]

    model = FunctionalModel({"weight": mx.ones((512, 4))}, forward, new_cache=lambda: "a cache")
    logits(model, training=True)
    model(mx.array(IDS), model.new_cache())
    assert given == [(True, None), (False, "a cache")]
    for name, value in (("segments", mx.array(IDS)), ("checkpoint", True)):
        with pytest.raises(ValueError, match=rf"\[logits\] {name}: the model's function takes no such argument"):
            logits(model, **{name: value})
    bare = FunctionalModel({"weight": mx.ones((512, 4))}, lambda parameters, tokens: parameters["weight"][tokens])
    assert logits(bare, training=True).shape == (*IDS.shape, 4)
    assert bare.new_cache() is None
    every = FunctionalModel({"weight": mx.ones(())}, lambda parameters, tokens, **options: len(options))
    assert logits(every, training=True, checkpoint=True) == 2


@pytest.mark.parametrize("name", NAMES)
def test_random_parameters_begin_near_the_uniform_distribution(name):
    config = DecoderConfig.from_dict(config_dict(name))
    parameters = random_parameters(config, mx.random.key(0), dtype=mx.float16)
    assert all(value.dtype == mx.float16 for value in flatten(parameters).values())
    found = mx.logsumexp(logits(decoder_model(config, parameters)).astype(mx.float32), axis=-1)
    np.testing.assert_allclose(np.array(found), np.log(512), atol=0.1)
    again = random_parameters(config, mx.random.key(0), dtype=mx.float16)
    assert_close(flatten(again), flatten(parameters), 0)


def test_checkpoints_need_less_memory():
    config, parameters = tiny()
    blocks = parameters["model"]["layers"] * 4
    config = DecoderConfig.from_dict(config_dict("llama", num_hidden_layers=len(blocks)))
    model = decoder_model(config, {**parameters, "model": {**parameters["model"], "layers": blocks}})
    ids = mx.array(tokens(2, 128))

    def peak(checkpoint):
        mx.clear_cache()
        mx.reset_peak_memory()
        start = mx.get_active_memory()
        mx.eval(mx.grad(lambda trained: model.logits(trained, ids, checkpoint=checkpoint).mean())(model.trainable()))
        return mx.get_peak_memory() - start

    assert peak(True) < 0.6 * peak(False)
