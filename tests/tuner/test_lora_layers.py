"""Adapted layers do what mlx_lm's do over mlx.core, with the same numbers: forward, gradients, fused weights."""

import mlx.core as real
import mlx.nn as nn
import numpy as np
import pytest
from lora_cases import EXPERTS, IN, OUT, SCHEMES, Numbers, adapted, expected_weight, factors, layer, name_of, near, wide
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear
from mlx_lm.tuner.dora import DoRAEmbedding, DoRALinear
from mlx_lm.tuner.lora import LoRAEmbedding, LoRALinear, LoRASwitchLinear

import mlxffi.core as mx
from mlxffi.tuner import layers

WRAPPERS = {
    ("linear", False): LoRALinear,
    ("linear", True): DoRALinear,
    ("embedding", False): LoRAEmbedding,
    ("embedding", True): DoRAEmbedding,
    ("switch", False): LoRASwitchLinear,
}

# mlx_lm has no DoRA of experts and of quantized embeddings.
CASES = [
    pytest.param(kind, dora, scheme, id=f"{kind}-{'dora' if dora else 'lora'}-{name_of(scheme)}")
    for kind, dora in WRAPPERS
    for scheme in SCHEMES
    if not (kind == "embedding" and dora and scheme)
]
each_case = pytest.mark.parametrize(("kind", "dora", "scheme"), CASES)


def to_real(array):
    """An array of mlx.core."""
    kind = str(array.dtype).rpartition(".")[2]
    if kind.startswith(("uint", "int")):
        return real.array(np.array(array))
    return real.array(np.array(array.astype(mx.float32))).astype(getattr(real, kind))


def from_real(array):
    """The numbers of an array of mlx.core in float64."""
    return np.array(array.astype(real.float32)).astype(np.float64)


def module_of(node, kind):
    """A layer of mlx.nn or mlx_lm with the numbers of a node."""
    bias = "bias" in node
    if layers.is_quantized(node):
        options = layers.quantization_of(node).options()
        made = {
            "linear": lambda: nn.QuantizedLinear(IN, OUT, bias, **options),
            "embedding": lambda: nn.QuantizedEmbedding(OUT, IN, **options),
            "switch": lambda: QuantizedSwitchLinear(IN, OUT, EXPERTS, bias, **options),
        }[kind]()
    else:
        made = {
            "linear": lambda: nn.Linear(IN, OUT, bias),
            "embedding": lambda: nn.Embedding(OUT, IN),
            "switch": lambda: SwitchLinear(IN, OUT, EXPERTS, bias),
        }[kind]()
    made.update({name: to_real(value) for name, value in node.items() if name != "quantization"})
    return made


def wrapped(node, adapter, kind):
    """mlx_lm's adapted layer."""
    made = WRAPPERS[kind, "m" in adapter].from_base(module_of(node, kind), r=4, scale=adapter["scaling"].scale)
    for name in adapter.keys() - {"scaling"}:
        made[name] = to_real(adapter[name])
    return made


def forward(node, kind, x, ids):
    if kind == "embedding":
        return layers.embedding(node, ids), layers.as_linear(node, x)
    if kind == "switch":
        return (layers.switch_linear(node, x[:, None], ids % EXPERTS),)
    return (layers.linear(node, x),)


def real_forward(module, kind, x, ids):
    if kind == "embedding":
        return module(ids), module.as_linear(x)
    return (module(x[:, None], ids % EXPERTS),) if kind == "switch" else (module(x),)


def setting(kind, dora, scheme, dtype="float32"):
    """A node, an adapter, mlx_lm's layer, and inputs."""
    draw = Numbers(5)
    node, adapter = layer(kind, scheme, dtype), factors(kind, dora=dora)
    return node, adapter, wrapped(node, adapter, kind), (draw(6, IN, dtype=dtype), draw.integers(OUT, 6))


@each_case
def test_forward(kind, dora, scheme):
    node, adapter, module, inputs = setting(kind, dora, scheme)
    theirs = real_forward(module, kind, *map(to_real, inputs))
    for found, wanted in zip(forward(adapted(node, adapter), kind, *inputs), theirs, strict=True):
        near(found, from_real(wanted), factor=2)


# mlx_lm has DoRA of embeddings of half precision in float32.
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("kind", "dora"), [("linear", False), ("linear", True), ("embedding", False)])
@pytest.mark.parametrize("scheme", [None, layers.Quantization(64, 4)], ids=name_of)
def test_forward_in_half_precision(dtype, kind, dora, scheme):
    node, adapter, module, inputs = setting(kind, dora, scheme, dtype)
    theirs = real_forward(module, kind, *map(to_real, inputs))
    for found, wanted in zip(forward(adapted(node, adapter), kind, *inputs), theirs, strict=True):
        assert str(found.dtype).rpartition(".")[2] == dtype == str(wanted.dtype).rpartition(".")[2]
        near(found, from_real(wanted))


@each_case
def test_gradients(kind, dora, scheme):
    node, adapter, module, (x, ids) = setting(kind, dora, scheme)
    scaling, parts = adapter["scaling"], {name: value for name, value in adapter.items() if name != "scaling"}

    def loss(parts, x):
        outputs = forward(adapted(node, {**parts, "scaling": scaling}), kind, x, ids)
        return sum((output.astype(mx.float32) ** 2).mean() for output in outputs)

    def real_loss(parts, x):
        module.update(parts)
        outputs = real_forward(module, kind, x, to_real(ids))
        return sum((output.astype(real.float32) ** 2).mean() for output in outputs)

    found, slopes = mx.grad(loss, argnums=(0, 1))(parts, x)
    wanted, real_slopes = real.grad(real_loss, argnums=(0, 1))({n: to_real(v) for n, v in parts.items()}, to_real(x))
    # Embeddings of float modes are bfloat16, in which sums and products are rounded in another order.
    rough = 1e4 if kind == "embedding" and scheme and scheme.mode != "affine" else 5
    for name in parts:
        near(found[name], from_real(wanted[name]), factor=rough)
    near(slopes, from_real(real_slopes), factor=rough)


@each_case
def test_fused_weights(kind, dora, scheme):
    node, adapter, module, _ = setting(kind, dora, scheme)
    found = layers.adapted_weight(adapted(node, adapter), kind)
    near(found, from_real(module.fuse(dequantize=True).weight), factor=2)


@pytest.mark.parametrize(("kind", "dora", "scheme"), [case for case in CASES if case.values[2]])
def test_fused_quantized_weights(kind, dora, scheme):
    """In the same scheme, and no farther from the exact weights than mlx_lm's."""
    node, adapter, module, _ = setting(kind, dora, scheme)
    found = layers.requantized(node, layers.adapted_weight(adapted(node, adapter), kind))
    theirs = module.fuse()
    assert (theirs.group_size, theirs.bits, theirs.mode) == (scheme.group_size, scheme.bits, scheme.mode)
    assert layers.quantization_of(found) == scheme
    exact = expected_weight(node, adapter, kind)
    error, real_error = (
        np.abs(weight - exact).mean() for weight in (wide(layers.dense_weight(found)), unpacked(theirs))
    )
    assert error < 1.001 * real_error


def unpacked(module):
    """The weight of a quantized layer of mlx.core."""
    packed = (module.weight, module.scales, module.get("biases"))
    return from_real(real.dequantize(*packed, group_size=module.group_size, bits=module.bits, mode=module.mode))


def test_width_of_weights_of_odd_bits():
    """Where mlx_lm's DoRA takes 240 inputs for 256."""
    for bits in (3, 5, 6):
        node = layers.quantized({"weight": Numbers(1)(8, 256)}, layers.Quantization(64, bits))
        assert layers.dims(node) == (8, 256)


def test_wide_is_exact():
    array = Numbers(1)(3, dtype="bfloat16")
    assert bool(mx.all(mx.array(wide(array).astype(np.float32)).astype(mx.bfloat16) == array))
