"""A small language model, batches, and what a run tells, for the tests of the trainer."""

import numpy as np

import mlxffi.core as mx
from mlxffi.tuner.datasets import Batch, Example
from mlxffi.tuner.models import DecoderConfig, FunctionalModel, random_parameters
from mlxffi.tuner.trainer import Callback
from mlxffi.tuner.trees import flatten

VOCABULARY = 23

# The key of the random numbers lives as long as the thread: it is to be there before tests count what lives.
mx.random.seed(0)


def forward(parameters, tokens, *, training=False):
    """Logits from an embedding, a hidden layer and, in training, dropout."""
    hidden = mx.tanh(parameters["embedding"][tokens] @ parameters["layers"][0]["weight"])
    if training and parameters["dropout"]:
        kept = mx.random.bernoulli(1 - parameters["dropout"], hidden.shape)
        hidden = hidden * kept / (1 - parameters["dropout"])
    return hidden @ parameters["layers"][1]["weight"]


def parameters(seed=0, width=16, dropout=0.0, dtype=mx.float32):
    rng = np.random.default_rng(seed)
    shapes = [(VOCABULARY, width), (width, width), (width, VOCABULARY)]
    first, second, third = (mx.array(rng.normal(0, 0.3, shape), dtype) for shape in shapes)
    return {"embedding": first, "layers": [{"weight": second}, {"weight": third}], "dropout": dropout}


def model(seed=0, forward=forward, **options):
    return FunctionalModel(parameters(seed, **options), forward)


def decoder():
    """The configuration and the parameters of a small Qwen3."""
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "num_attention_heads": 4}
    heads = {"num_key_value_heads": 2, "head_dim": 8, "vocab_size": VOCABULARY, "tie_word_embeddings": True}
    config = DecoderConfig.from_dict({"model_type": "qwen3", **shape, **heads, "rms_norm_eps": 1e-6})
    return config, random_parameters(config, mx.random.key(0))


def batch(rng, rows=4, width=9):
    """Rows of numbers that grow by one, each from a random start, of random lengths."""
    tokens = (rng.integers(0, VOCABULARY, (rows, 1)) + np.arange(width)) % VOCABULARY
    lengths = rng.integers(2, width + 1, (rows, 1))
    weights = np.arange(1, width) < lengths
    return Batch(mx.array(tokens.astype(np.int32)), mx.array(weights.astype(np.float32)))


def batches(count=5, seed=0, **options):
    rng = np.random.default_rng(seed)
    return [batch(rng, **options) for _ in range(count)]


def examples(count=11):
    """Records of 3 to 19 tokens."""
    rng = np.random.default_rng(0)
    starts, lengths = rng.integers(0, VOCABULARY, count), rng.integers(3, 20, count)
    rows = [(start + np.arange(length)) % VOCABULARY for start, length in zip(starts, lengths, strict=True)]
    return [Example(row.tolist(), offset=index % 3) for index, row in enumerate(rows)]


def arrays(model):
    """The trained parameters by path."""
    return {path: np.array(item) for path, item in flatten(model.trainable()).items()}


def assert_same(found, wanted):
    """Require the same trained parameters of two models, to the bit."""
    for path, item in arrays(wanted).items():
        np.testing.assert_array_equal(arrays(found)[path], item, err_msg=path)


class At(Callback):
    """Does something after an iteration."""

    def __init__(self, iteration, act):
        self.iteration, self.act = iteration, act

    def on_step(self, report):
        return self.act() if report.iteration == self.iteration else None


class Recorder(Callback):
    """Keeps what it is told: the metrics of steps, and reports by event."""

    def __init__(self):
        self.steps, self.train, self.val = [], [], []

    def on_step(self, report):
        self.steps.append(report.metrics)

    def on_train_report(self, report):
        self.train.append(report)

    def on_val_report(self, report):
        self.val.append(report)

    @property
    def losses(self):
        """The mean loss of each step."""
        return [step.loss / step.targets for step in self.steps]
