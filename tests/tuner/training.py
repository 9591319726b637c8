"""A small language model and batches for the tests of the trainer."""

import numpy as np

import mlxffi.core as mx
from mlxffi.tuner.datasets.examples import Batch
from mlxffi.tuner.models import FunctionalModel

VOCABULARY = 23


def forward(parameters, tokens, *, training=False):
    """Logits from an embedding, a hidden layer and, in training, dropout."""
    hidden = mx.tanh(parameters["embedding"][tokens] @ parameters["layers"][0]["weight"])
    if training and parameters["dropout"]:
        kept = mx.random.bernoulli(1 - parameters["dropout"], hidden.shape)
        hidden = hidden * kept / (1 - parameters["dropout"])
    return hidden @ parameters["layers"][1]["weight"]


def parameters(seed=0, width=16, dropout=0.0):
    rng = np.random.default_rng(seed)
    shapes = [(VOCABULARY, width), (width, width), (width, VOCABULARY)]
    first, second, third = (mx.array(rng.normal(0, 0.3, shape).astype(np.float32)) for shape in shapes)
    return {"embedding": first, "layers": [{"weight": second}, {"weight": third}], "dropout": dropout}


def model(seed=0, **options):
    return FunctionalModel(parameters(seed, **options), forward)


def batch(rng, rows=4, width=9):
    """Rows of numbers that grow by one, each from a random start, of random lengths."""
    tokens = (rng.integers(0, VOCABULARY, (rows, 1)) + np.arange(width)) % VOCABULARY
    lengths = rng.integers(2, width + 1, (rows, 1))
    weights = np.arange(1, width) < lengths
    return Batch(mx.array(tokens.astype(np.int32)), mx.array(weights.astype(np.float32)))


def batches(count=5, seed=0, **options):
    rng = np.random.default_rng(seed)
    return [batch(rng, **options) for _ in range(count)]
