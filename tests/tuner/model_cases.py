"""Tiny models with random parameters, the same for mlxffi and for mlx_lm."""

from importlib import import_module

import numpy as np
from lm_models import MODELS, VOCABULARY

import mlxffi.core as mx
from mlxffi.tuner.models.config import DecoderConfig
from mlxffi.tuner.models.weights import shapes
from mlxffi.tuner.trees import unflatten

NAMES = sorted(MODELS)

# The key of the random numbers lives as long as the thread: it is to be there before tests count what lives.
mx.random.seed(0)


def config_dict(name, **changes):
    """The config.json of a tiny model."""
    tied = {"tie_word_embeddings": MODELS[name].get("tie_word_embeddings", True)}
    return {**MODELS[name], **tied, **changes}


def numbers(config, seed=0):
    """Random parameters by name, float32."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes(config).items()}


def ours(config, arrays):
    """The decoder's config and parameter tree."""
    return DecoderConfig.from_dict(config), unflatten({name: mx.array(value) for name, value in arrays.items()})


def nested(config):
    """The config.json of Gemma 3 as a model that also sees."""
    outside = {name: config[name] for name in ("vocab_size", "tie_word_embeddings") if name in config}
    part = {name: value for name, value in config.items() if name not in outside}
    return {**outside, "model_type": "gemma3", "text_config": part, "vision_config": {}}


def theirs(config, arrays):
    """mlx_lm's model over the real mlx.core."""
    import mlx.core as real

    name = {"mistral": "llama"}.get(config["model_type"], config["model_type"])
    module = import_module(f"mlx_lm.models.{name}")
    model = module.Model(module.ModelArgs.from_dict(config))
    weights = [(name, real.array(value)) for name, value in arrays.items()]
    model.load_weights(list(model.sanitize(dict(weights)).items()))
    return model


def tokens(*shape, seed=1):
    """Random ids, int32."""
    return np.random.default_rng(seed).integers(0, VOCABULARY, shape).astype(np.int32)
