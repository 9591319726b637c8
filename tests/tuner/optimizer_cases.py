"""The optimizers that tests go through, and trees to try them on."""

import numpy as np

import mlxffi.core as mx
from mlxffi.tuner import optimizers, trees

# Name, positional arguments, options.
CASES = [
    ("SGD", (0.1,), {}),
    ("SGD", (0.1,), {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
    ("SGD", (0.1,), {"momentum": 0.9, "dampening": 0.5}),
    ("RMSprop", (0.1,), {}),
    ("Adagrad", (0.1,), {}),
    ("AdaDelta", (0.1,), {}),
    ("Adam", (0.1,), {}),
    ("Adam", (0.1,), {"bias_correction": True}),
    ("AdamW", (0.1,), {}),
    ("AdamW", (0.1,), {"bias_correction": True}),
    ("Adamax", (0.1,), {}),
    ("Lion", (0.1,), {"weight_decay": 0.1}),
    ("Adafactor", (), {}),
    ("Adafactor", (0.1,), {"relative_step": False, "beta_1": 0.9, "weight_decay": 0.01}),
    ("Adafactor", (), {"warmup_init": True, "scale_parameter": False, "clip_threshold": 0.5}),
    ("Muon", (0.1,), {}),
    ("Muon", (0.1,), {"nesterov": False, "weight_decay": 0.0, "momentum": 0.8, "ns_steps": 3}),
]
IDS = ["-".join([name, *options]) for name, _, options in CASES]
NAMES = ["SGD", "RMSprop", "Adagrad", "AdaDelta", "Adam", "AdamW", "Adamax", "Lion", "Adafactor", "Muon"]
DTYPES = ["float32", "float16", "bfloat16"]


def make(case):
    name, arguments, options = case
    return getattr(optimizers, name)(*arguments, **options)


def values(seed, scale=1.0):
    """A tree of numpy's arrays, of every rank, in dicts and lists."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return (scale * rng.normal(size=shape)).astype(np.float32)

    blocks = [{"proj": {"lora_a": normal(6, 2), "lora_b": normal(2, 6)}, "norm": normal(6)} for _ in range(2)]
    return {"model": {"layers": blocks, "embed": normal(5, 3)}, "conv": [normal(3, 2, 2), normal(4)], "scale": normal()}


def arrays(tree, dtype="float32", library=mx):
    """A tree of numpy's arrays as one of a library's."""
    if isinstance(tree, dict):
        return {key: arrays(item, dtype, library) for key, item in tree.items()}
    if isinstance(tree, list):
        return [arrays(item, dtype, library) for item in tree]
    return library.array(tree).astype(getattr(library, dtype))


def plain(tree):
    """A tree's values by path, as lists, with their dtypes: what is equal here is equal to the bit."""
    return {path: (str(item.dtype), item.tolist()) for path, item in trees.paths(tree)}


def run(update, state, params, steps, start=0):
    """The parameters and the state after steps along gradients of their numbers."""
    dtypes = {path: item.dtype for path, item in trees.paths(params)}
    for step in range(start, start + steps):
        grads = trees.map_paths(lambda path, item: item.astype(dtypes[path]), arrays(values(100 + step)))
        params, state = update(grads, state, params)
    return params, state
