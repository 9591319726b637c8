"""The decoder: mlx_lm's numbers, caches, packed rows, checkpoints."""

import numpy as np
import pytest
from model_cases import NAMES, config_dict, nested, numbers, ours, theirs, tokens

import mlxffi.core as mx
from mlxffi.tuner import lora
from mlxffi.tuner.layers import Quantization
from mlxffi.tuner.models import DecoderConfig, decoder
from mlxffi.tuner.models.quantizing import quantized_parameters
from mlxffi.tuner.trees import flatten, tree_map, unflatten

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
VARIANTS = {
    **{name: (name, {}) for name in NAMES},
    "mistral": ("llama", {"model_type": "mistral"}),
    "qwen2": ("llama", {"model_type": "qwen2"}),
    "llama with biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, linear scaling": ("llama", {"rope_scaling": {"type": "linear", "factor": 4.0}}),
    "llama, windows": (
        "llama",
        {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 8},
    ),
    "llama 3.1": (
        "llama",
        {
            "rope_theta": 500000.0,
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
    ),
    "qwen3, untied": ("qwen3", {"tie_word_embeddings": False}),
    "qwen3, rope_theta": ("qwen3", {"rope_theta": 5e5}),
    "gemma 3 that sees": ("gemma3_text", {}),
    "gemma 3, linear scaling": ("gemma3_text", {"rope_scaling": {"rope_type": "linear", "factor": 8.0}}),
}


def tiny(name):
    """A decoder's (config, parameters)."""
    config = config_dict(name)
    return ours(config, numbers(DecoderConfig.from_dict(config)))


def read(model, ids, **options):
    return np.array(decoder.logits(*model, mx.array(ids), **options))


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_equal_mlx_lms(variant):
    import mlx.core as real

    name, changes = VARIANTS[variant]
    config = config_dict(name, **changes)
    if variant == "gemma 3 that sees":
        config = nested(config)
    arrays = numbers(DecoderConfig.from_dict(config))
    ids = tokens(2, 40)  # longer than Gemma's window of 16
    expected = np.array(theirs(config, arrays)(real.array(ids)))
    np.testing.assert_allclose(read(ours(config, arrays), ids), expected, **CLOSE)


def test_rope_parameters_say_what_rope_theta_says():
    # The writing of newer configs. mlx_lm 0.31, the last one for CPython 3.10, does not know it.
    newer = {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}
    config = config_dict("qwen3", rope_theta=5e5)
    arrays, ids = numbers(DecoderConfig.from_dict(config)), tokens(2, 40)
    found = read(ours(config_dict("qwen3", **newer), arrays), ids)
    np.testing.assert_array_equal(found, read(ours(config, arrays), ids))


def varied(variant):
    """A variant's (config, parameters)."""
    name, options = VARIANTS[variant]
    config = config_dict(name, **options)
    return ours(config, numbers(DecoderConfig.from_dict(config)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_cache_changes_nothing(variant):
    require_same_by_steps(varied(variant))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_a_cache_changes_nothing_beside_an_adapter(name, packed):
    config, parameters = tiny(name)
    if packed:
        parameters = quantized_parameters(parameters, lambda path: Quantization(32, 4), 32)
    adapter = lora.create_adapter(parameters, lora.LoRAConfig(rank=2))
    made = {path: mx.random.normal(value.shape) * 0.02 for path, value in flatten(adapter.parameters).items()}
    require_same_by_steps((config, lora.attach(parameters, lora.Adapter(unflatten(made), adapter.config))))


def test_a_step_of_generation_is_one_kernel(monkeypatch):
    taken = []
    stepped = decoder.KVCache.stepped
    monkeypatch.setattr(decoder.KVCache, "stepped", lambda *given: taken.append(given) or stepped(*given))
    model, ids = tiny("llama"), tokens(2, 20)
    cache = decoder.new_cache(model[0])
    read(model, ids[:, :12], cache=cache)
    assert not taken
    read(model, ids[:, 12:13], cache=cache)
    assert len(taken) == model[0].num_layers


def require_same_by_steps(model):
    ids = tokens(2, 40)
    whole, cache = read(model, ids), decoder.new_cache(model[0])
    ends = [9, 10, 11, 30, 31, 32, 40]
    parts = [read(model, ids[:, start:end], cache=cache) for start, end in zip([0, *ends], ends, strict=False)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, **CLOSE)


@pytest.mark.parametrize("name", NAMES)
def test_packed_documents_are_read_alone(name):
    model, ids = tiny(name), tokens(2, 40)
    segments = np.array([[1] * 10 + [2] * 25 + [0] * 5, [1] * 20 + [2] * 3 + [3] * 17], np.int32)
    packed = read(model, ids, segments=mx.array(segments))
    for row in range(2):
        for segment in np.unique(segments[row]):
            places = np.flatnonzero(segments[row] == segment)
            alone = read(model, ids[row : row + 1, places])[0]
            np.testing.assert_allclose(packed[row, places], alone, **CLOSE)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_give_the_same_gradient(name, packed):
    config, parameters = tiny(name)
    ids, segments = mx.array(tokens(2, 20)), mx.array(np.repeat([[1, 2]], 2, 0).repeat(10, 1)) if packed else None

    def gradient(checkpoint):
        def loss(parameters):
            found = decoder.logits(config, parameters, ids, segments=segments, checkpoint=checkpoint)
            return found.square().mean()

        return flatten(mx.grad(loss)(parameters))

    plain, again = gradient(False), gradient(True)
    assert plain.keys() == again.keys()
    for name, expected in plain.items():
        assert np.abs(np.array(expected)).max() > 0, name
        np.testing.assert_allclose(np.array(again[name]), np.array(expected), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("many", [1, 1000], ids=["many tokens", "few tokens"])
@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_gpus_compute_some_again_for_the_same_gradient(name, checkpoint, many, monkeypatch):
    monkeypatch.setattr(decoder, "MANY", many)
    config, parameters = tiny(name)
    ids = mx.array(tokens(2, 12))

    def loss(parameters):
        found = decoder.logits(config, parameters, ids, training=True, checkpoint=checkpoint)
        return found.square().mean()

    wanted = flatten(mx.grad(loss)(parameters))
    monkeypatch.setattr(decoder, "on_cpu", lambda: False)
    for path, found in flatten(mx.grad(loss)(parameters)).items():
        np.testing.assert_allclose(np.array(found), np.array(wanted[path]), **CLOSE)


def test_only_gpus_hosts_are_kept_from_running_ahead(tmp_path, monkeypatch):
    config, parameters = tiny("qwen3")
    ids = mx.array(tokens(2, 12))

    def places(**options):
        loss = lambda parameters: decoder.logits(config, parameters, ids, **options).square().mean()  # noqa: E731
        mx.export_to_dot(str(tmp_path / "graph.dot"), list(flatten(mx.grad(loss)(parameters)).values()))
        return (tmp_path / "graph.dot").read_text().count('"Paced"')

    assert places(training=True) == 0
    monkeypatch.setattr(decoder, "on_cpu", lambda: False)
    assert places() == 0
    # Before each block and behind the last one, forward and backward.
    assert places(training=True) == 2 * (config.num_layers + 1)
    # Of many tokens, before each half.
    monkeypatch.setattr(decoder, "MANY", 1)
    assert places(training=True) == 2 * (2 * config.num_layers + 1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_logits_are_near_mlx_lms(name, dtype):
    import mlx.core as real

    config = config_dict(name)
    arrays = numbers(DecoderConfig.from_dict(config))
    their_model = theirs(config, arrays)
    their_model.set_dtype(getattr(real, dtype))
    decoder_config, parameters = ours(config, arrays)
    halves = tree_map(lambda value: value.astype(getattr(mx, dtype)), parameters)
    ids = tokens(2, 24)
    found = decoder.logits(decoder_config, halves, mx.array(ids))
    assert found.dtype == getattr(mx, dtype)
    expected = np.array(their_model(real.array(ids)).astype(real.float32))
    step = 2.0 ** (-10 if dtype == "float16" else -7)
    np.testing.assert_allclose(np.array(found.astype(mx.float32)), expected, atol=4 * step * np.abs(expected).max())


def test_packed_rows_are_read_whole():
    config, parameters = tiny("llama")
    ids = mx.array(tokens(1, 4))
    with pytest.raises(ValueError, match="packed rows are read whole, without a cache; got both"):
        decoder.logits(config, parameters, ids, segments=ids, cache=decoder.new_cache(config))
