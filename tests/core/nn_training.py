"""Trains small networks of mlx.nn on real data and prints their losses: `python nn_training.py real|compat`."""

import json
import pydoc_data.topics
import sys

import numpy as np

import mlxffi

if sys.argv[1] == "compat":
    import mlxffi.compat

    mlxffi.compat.install()

import mlx.core as mx

if sys.argv[1] == "real":
    # The numbers are those of compiled functions, whose kernels g++ would take longer for than all else here.
    mx.disable_compile()

import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_map

TEXT = "".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics)[:20])
CHARACTERS = sorted(set(TEXT))
TOKENS = np.array([CHARACTERS.index(character) for character in TEXT[:20000]])


def weights(model, seed):
    """Give a model weights that do not depend on a library's random numbers."""
    rng = np.random.default_rng(seed)
    model.update(
        tree_map(lambda p: mx.array(0.1 * rng.standard_normal(p.shape).astype(np.float32)), model.parameters())
    )
    return model


def text_batches(count, rows=4, length=32):
    rng = np.random.default_rng(1)
    for _ in range(count):
        starts = rng.integers(0, len(TOKENS) - length - 1, rows)
        block = np.stack([TOKENS[start : start + length + 1] for start in starts])
        yield mx.array(block[:, :-1]), mx.array(block[:, 1:])


def glyph_batches(count):
    """Pictures of the printable characters in matplotlib's fonts, with the character's class to be told."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    pictures, labels = [], []
    for name in ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono"):
        font = FT2Font(font_manager.findfont(name))
        font.set_size(14, 72)
        for label, character in enumerate("abcdefghijklmnopqrstuvwxyz0123456789"):
            font.set_text(character)
            font.draw_glyphs_to_bitmap()
            drawn = np.asarray(font.get_image(), dtype=np.float32)[:16, :16] / 255
            picture = np.zeros((16, 16, 1), np.float32)
            picture[: drawn.shape[0], : drawn.shape[1], 0] = drawn
            pictures.append(picture)
            labels.append(label)
    rng = np.random.default_rng(2)
    for _ in range(count):
        chosen = rng.integers(0, len(labels), 16)
        yield mx.array(np.stack([pictures[i] for i in chosen])), mx.array(np.array([labels[i] for i in chosen]))


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)]
        self.norm = nn.BatchNorm(16)
        self.pool = nn.MaxPool2d(2, 2)
        self.head = nn.Linear(16 * 16, 36)

    def __call__(self, x):
        for layer in self.layers:
            x = self.pool(nn.relu(layer(x)))
        return self.head(self.norm(x).flatten(1))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(len(CHARACTERS), 32)
        self.positions = nn.SinusoidalPositionalEncoding(32)
        self.encoder = nn.TransformerEncoder(2, 32, 4, 64, norm_first=True, checkpoint=True)
        self.head = nn.Linear(32, len(CHARACTERS))

    def __call__(self, x):
        length = x.shape[1]
        mask = nn.MultiHeadAttention.create_additive_causal_mask(length)
        hidden = self.embedding(x) + self.positions(mx.arange(length))
        return self.head(self.encoder(hidden, mask))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(len(CHARACTERS), 24)
        self.lstm = nn.LSTM(24, 32)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(32, len(CHARACTERS))

    def __call__(self, x):
        return self.head(self.dropout(self.lstm(self.embedding(x))[0]))


def losses_of(model, optimizer, batches, compiled):
    """The loss of each step."""
    mx.random.seed(5)

    def loss(x, y):
        return nn.losses.cross_entropy(model(x), y, reduction="mean")

    state = [model.state, optimizer.state, mx.random.state]
    value_and_grad = nn.value_and_grad(model, loss)

    def step(x, y):
        value, grads = value_and_grad(x, y)
        grads, _ = optim.clip_grad_norm(grads, 1.0)
        optimizer.update(model, grads)
        return value

    if compiled:
        step = mx.compile(step, inputs=state, outputs=state)
    losses = []
    for x, y in batches:
        value = step(x, y)
        mx.eval(value, state)
        losses.append(value.item())
    return losses


RUNS = {
    "convolutional": lambda: losses_of(
        weights(Convolutional(), 1), optim.SGD(0.1, momentum=0.9), glyph_batches(12), False
    ),
    "transformer": lambda: losses_of(
        weights(Transformer(), 2), optim.AdamW(optim.cosine_decay(3e-3, 20)), text_batches(12), True
    ),
    "lstm": lambda: losses_of(weights(Recurrent(), 3), optim.Adam(1e-2, bias_correction=True), text_batches(8), False),
    "compiled lstm": lambda: losses_of(weights(Recurrent(), 3), optim.RMSprop(1e-3), text_batches(6), True),
}

print(json.dumps({"core": mx.__name__, "losses": {name: run() for name, run in RUNS.items()}}))
