"""Layers and adapters of one set of numbers: as nodes of ours, as mlx_lm's modules over mlx.core, and as float64."""

import numpy as np

import mlxffi.core as mx
from mlxffi.tuner import layers
from mlxffi.tuner.layers import Quantization, Scaling
from mlxffi.tuner.lora import Adapter
from mlxffi.tuner.trees import flatten, tree_map

QUANTIZATIONS = [
    *(Quantization(group, bits, "affine") for group, bits in [(32, 2), (64, 3), (64, 4), (32, 5), (128, 6), (64, 8)]),
    Quantization(32, 4, "mxfp4"),
    Quantization(32, 8, "mxfp8"),
    Quantization(16, 4, "nvfp4"),
]
SCHEMES = [None, *QUANTIZATIONS]

# Relative to the largest value: what dtypes keep.
ROUNDING = {"float32": 1e-6, "float16": 2e-3, "bfloat16": 1.6e-2}

# The state of the random numbers is there from here on: it is no leak of the test that uses it first.
mx.random.seed(0)

OUT, IN, RANK, EXPERTS = 32, 128, 4, 3
SCALE = 1.5


def name_of(scheme):
    return "dense" if scheme is None else f"{scheme.mode}{scheme.bits}"


class Numbers:
    """Draws from a normal distribution."""

    def __init__(self, seed=0):
        self._rng = np.random.default_rng(seed)

    def __call__(self, *shape, dtype="float32"):
        return mx.array(self._rng.normal(size=shape).astype(np.float32)).astype(getattr(mx, dtype))

    def integers(self, limit, *shape):
        return mx.array(self._rng.integers(0, limit, shape).astype(np.int32))


def layer(kind, scheme=None, dtype="float32", *, bias=True, seed=0):
    """A node of 32 by 128, and for expert layers thrice that."""
    draw, experts = Numbers(seed), (EXPERTS,) if kind == "switch" else ()
    node = {"weight": draw(*experts, OUT, IN, dtype=dtype)}
    if bias and kind != "embedding":
        node["bias"] = draw(*experts, OUT, dtype=dtype)
    return node if scheme is None else layers.quantized(node, scheme)


def factors(kind, *, dora=False, dropout=0.0, seed=1, scale=SCALE):
    """An adapter for such a node."""
    draw, shapes = (
        Numbers(seed),
        {
            "linear": ((IN, RANK), (RANK, OUT)),
            "embedding": ((OUT, RANK), (RANK, IN)),
            "switch": ((EXPERTS, RANK, IN), (EXPERTS, OUT, RANK)),
        },
    )
    a, b = shapes[kind]
    made = {"lora_a": draw(*a), "lora_b": draw(*b), "scaling": Scaling(scale, dropout)}
    if dora:
        made["m"] = mx.abs(draw(*((EXPERTS, OUT) if kind == "switch" else (OUT,)))) + 5
    return made


def adapted(node, *adapters):
    return {**node, "adapters": adapters}


def wide(array):
    """As float64."""
    return np.array(array.astype(mx.float32)).astype(np.float64)


def expected_weight(node, adapter, kind):
    """The weight that a layer has with one adapter, in float64."""
    weight, a, b = wide(layers.dense_weight(node)), wide(adapter["lora_a"]), wide(adapter["lora_b"])
    product = {"linear": lambda: (a @ b).T, "embedding": lambda: a @ b, "switch": lambda: b @ a}[kind]()
    changed = weight + adapter["scaling"].scale * product
    if "m" in adapter:
        changed *= (wide(adapter["m"]) / np.linalg.norm(changed, axis=-1))[..., None]
    return changed


def near(found, wanted, factor=1.0):
    """Require an array to have the numbers of another, within the rounding of its dtype."""
    allowed = factor * ROUNDING[str(found.dtype).rpartition(".")[2]]
    found, wanted = (value if isinstance(value, np.ndarray) else wide(value) for value in (found, wanted))
    assert found.shape == wanted.shape
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=allowed * max(np.abs(wanted).max(), 1e-3))


def block(draw, scheme=None):
    """A block with two linear layers, experts, and a norm."""
    linear = {"weight": draw(32, 64), "bias": draw(32)}
    return {
        "self_attn": {"q_proj": linear, "o_proj": {"weight": draw(64, 32)}},
        "mlp": {"up": layers.quantized({"weight": draw(32, 64)}, scheme) if scheme else {"weight": draw(32, 64)}},
        "switch_mlp": {"up": {"weight": draw(3, 32, 64)}},
        "conv1d": {"weight": draw(64, 4, 1)},
        "norm": {"weight": draw(64)},
    }


def model(blocks=3, scheme=None, seed=0):
    """A tree like that of a small model."""
    draw = Numbers(seed)
    return {
        "model": {
            "embed_tokens": {"weight": draw(10, 64)},
            "layers": [block(draw, scheme) for _ in range(blocks)],
            "norm": {"weight": draw(64)},
        },
        "lm_head": {"weight": draw(10, 64)},
    }


def trained(adapter, seed=3):
    """An adapter as training might leave it."""
    draw = Numbers(seed)
    return Adapter(tree_map(lambda array: array + 0.1 * draw(*array.shape), adapter.parameters), adapter.config)


def same_arrays(tree, other):
    """Whether two trees have the same arrays, to the bit, in the same order."""
    first, second = flatten(tree), flatten(other)
    return list(first) == list(second) and all(
        a.dtype == b.dtype and bool(mx.array_equal(a, b)) for a, b in zip(first.values(), second.values(), strict=True)
    )
