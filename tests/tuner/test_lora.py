"""Adapters of parameter trees: made, attached, fused, unfused, removed, counted."""

import numpy as np
import pytest
from helpers import error_of
from lora_cases import QUANTIZATIONS, Numbers, model, name_of, near, same_arrays, trained

import mlxffi.core as mx
from mlxffi.tuner import layers
from mlxffi.tuner.lora import (
    Adapter,
    LoRAConfig,
    attach,
    create_adapter,
    detach,
    dora_gains,
    fuse,
    trainable_parameters,
    unfuse,
)
from mlxffi.tuner.trees import flatten, tree_map

AFFINE = [scheme for scheme in QUANTIZATIONS if scheme.mode == "affine"]
ALL = ("self_attn.q_proj", "self_attn.o_proj", "mlp.up", "switch_mlp.up", "lm_head", "model.embed_tokens")
each_adapter = pytest.mark.parametrize("use_dora", [False, True], ids=["lora", "dora"])


def outputs(tree, ids=(1, 2, 7)):
    """What the layers of a model give, one after the other."""
    x = layers.embedding(tree["model"]["embed_tokens"], mx.array(ids))
    found = [x]
    for block in tree["model"]["layers"]:
        found.append(layers.linear(block["self_attn"]["q_proj"], x))
        found.append(layers.linear(block["self_attn"]["o_proj"], found[-1]))
        found.append(layers.linear(block["mlp"]["up"], x))
        found.append(layers.switch_linear(block["switch_mlp"]["up"], x[:, None], mx.array([0, 1, 2])))
    return [*found, layers.linear(tree["lm_head"], x), layers.as_linear(tree["model"]["embed_tokens"], x)]


def near_outputs(tree, other, factor=10):
    for found, wanted in zip(outputs(tree), outputs(other), strict=True):
        near(found, wanted, factor=factor)


# --- making ---


@each_adapter
def test_a_new_adapter_changes_nothing(use_dora):
    base = model()
    adapter = create_adapter(base, LoRAConfig(rank=4, keys=ALL, use_dora=use_dora))
    near_outputs(attach(base, adapter), base, factor=2)
    near_outputs(fuse(base, adapter), base, factor=2)


def test_factors_are_drawn_within_their_bounds():
    base = model(blocks=2)
    mx.random.seed(1)
    made = create_adapter(base, LoRAConfig(rank=16, keys=ALL)).layers()
    inputs = {"self_attn.o_proj": 32, "embed_tokens": 10}
    for path, part in made.items():
        bound = next((width for end, width in inputs.items() if path.endswith(end)), 64) ** -0.5
        values = np.array(part["lora_a"])
        assert part["lora_a"].dtype == part["lora_b"].dtype == mx.float32
        assert not np.array(part["lora_b"]).any()
        assert 0.9 * bound < np.abs(values).max() <= bound
        # Uniform: the standard deviation is bound / sqrt(3), and that of the mean of n is by sqrt(n) smaller.
        assert values.std() == pytest.approx(bound / 3**0.5, rel=0.15)
        assert abs(values.mean()) < 4 * bound / (3 * values.size) ** 0.5


def test_the_same_seed_makes_the_same_adapter():
    made = []
    for _ in range(2):
        mx.random.seed(3)
        made.append(create_adapter(model(), LoRAConfig()).parameters)
    assert same_arrays(*made)


def test_magnitudes_begin_as_norms():
    base = model(scheme=layers.Quantization(32, 4))
    adapter = create_adapter(base, LoRAConfig(keys=("mlp.up", "switch_mlp.up"), use_dora=True))
    for index, block in enumerate(base["model"]["layers"]):
        for name in ("mlp", "switch_mlp"):
            weight = np.array(layers.dense_weight(block[name]["up"])).astype(np.float64)
            near(adapter.layers()[f"model.layers.{index}.{name}.up"]["m"], np.linalg.norm(weight, axis=-1))


def test_factors_are_float32_beside_half_precision():
    base = tree_map(lambda array: array.astype(mx.bfloat16), model())
    adapter = create_adapter(base, LoRAConfig(keys=ALL, use_dora=True))
    assert {value.dtype for value in flatten(adapter.parameters).values()} == {mx.float32}
    assert {output.dtype for output in outputs(attach(base, create_adapter(base, LoRAConfig(keys=ALL[:3]))))[:4]} == {
        mx.bfloat16
    }


# --- beside the base ---


def test_attach_leaves_the_base_as_it_was():
    base = model()
    before = flatten(base)
    adapter = trained(create_adapter(base, LoRAConfig()))
    attached = attach(base, adapter)
    assert flatten(base) == before
    assert same_arrays(detach(attached), base)
    assert detach(attached)["model"]["layers"][0]["self_attn"]["q_proj"].keys() == {"weight", "bias"}


def test_attach_adds_to_what_is_attached():
    base = model()
    first, second = (
        trained(create_adapter(base, LoRAConfig(use_dora=dora)), seed) for dora, seed in ((False, 1), (True, 2))
    )
    near_outputs(attach(attach(base, first), second), attach(base, first, second), factor=1)
    near_outputs(fuse(attach(base, first), second), fuse(base, second, first))
    near_outputs(fuse(base, first, second), attach(base, first, second))


def test_adapters_of_different_layers_together():
    base = model()
    queries, heads = (
        trained(create_adapter(base, LoRAConfig(rank=2, keys=(key,)))) for key in ("self_attn.q_proj", "lm_head")
    )
    both = attach(base, queries, heads)
    near(
        layers.linear(both["lm_head"], Numbers(1)(2, 64)),
        layers.linear(attach(base, heads)["lm_head"], Numbers(1)(2, 64)),
    )
    assert "adapters" not in both["model"]["layers"][0]["mlp"]["up"]


@each_adapter
def test_only_adapters_are_trained(use_dora):
    """20 steps of gradient descent on the adapter alone lower the loss; the base stays, to the bit."""
    base = model(blocks=1)
    before = tree_map(lambda array: array + 0, base)
    wanted = Numbers(8)(3, 10)
    config = LoRAConfig(rank=4, scale=2.0, keys=("lm_head", "model.embed_tokens"), use_dora=use_dora)
    adapter = create_adapter(base, config)

    def loss(parameters):
        return mx.mean((outputs(attach(base, Adapter(parameters, config)))[-2] - wanted) ** 2)

    parameters, losses = adapter.parameters, []
    for _ in range(20):
        value, slopes = mx.value_and_grad(loss)(parameters)
        losses.append(value.item())
        assert list(flatten(slopes)) == list(flatten(parameters))
        parameters = tree_map(lambda array, slope: array - 1e-3 * slope, parameters, slopes)
    assert losses[-1] < 0.9 * losses[0]
    assert same_arrays(base, before)


# --- into the base and out of it ---


@pytest.mark.parametrize("scheme", [None, *QUANTIZATIONS], ids=name_of)
@each_adapter
def test_unfuse_undoes_fuse(scheme, use_dora):
    base = model(blocks=1, scheme=layers.Quantization(32, 8) if scheme is None else wide_enough(scheme))
    adapter = trained(create_adapter(base, LoRAConfig(rank=4, scale=2.0, keys=ALL, use_dora=use_dora)))
    gains = dora_gains(base, adapter)
    assert set(gains) == (set(adapter.layers()) if use_dora else set())
    fused = fuse(base, adapter, dequantize=True)
    restored = unfuse(fused, adapter, gains)
    # Weights of float modes are bfloat16.
    near_outputs(restored, fuse(base, dequantize=True), factor=100 if scheme in (None, *AFFINE) else 2e4)


def wide_enough(scheme):
    """The same with groups that a layer of 64 has."""
    return layers.Quantization(min(scheme.group_size, 64), scheme.bits, scheme.mode)


def test_fused_layers_are_quantized_as_they_were():
    scheme = layers.Quantization(32, 8)
    base = model(blocks=1, scheme=scheme)
    adapter = trained(create_adapter(base, LoRAConfig(keys=("mlp.up", "lm_head"))))
    node = fuse(base, adapter)["model"]["layers"][0]["mlp"]["up"]
    assert node.keys() == base["model"]["layers"][0]["mlp"]["up"].keys()
    assert layers.quantization_of(node) == scheme
    steps = np.array(node["scales"]).repeat(32, axis=-1)
    exact = fuse(base, adapter, dequantize=True)["model"]["layers"][0]["mlp"]["up"]["weight"]
    assert (np.abs(np.array(layers.dense_weight(node)) - np.array(exact)) <= 1.01 * np.abs(steps)).all()


def test_fuse_can_unpack_the_whole_tree():
    base = model(scheme=layers.Quantization(32, 4))
    adapter = trained(create_adapter(base, LoRAConfig(keys=("self_attn.q_proj",))))
    fused = fuse(base, adapter, dequantize=True)
    assert not any(path.endswith("scales") for path in flatten(fused))
    near_outputs(fused, attach(base, adapter))


def test_fuse_keeps_what_is_not_adapted():
    base = model(scheme=layers.Quantization(32, 4))
    fused = fuse(base, trained(create_adapter(base, LoRAConfig(keys=("self_attn.q_proj",), num_layers=1))))
    changed = [path for path, array in flatten(fused).items() if array is not flatten(base)[path]]
    assert changed == ["model.layers.2.self_attn.q_proj.weight"]


def test_unfuse_asks_for_what_dora_loses():
    base = model(blocks=1)
    adapter = create_adapter(base, LoRAConfig(keys=("lm_head",), use_dora=True))
    assert "expected those of dora_gains(base, adapter); none for ['lm_head']" in str(
        error_of(lambda: unfuse(fuse(base, adapter), adapter))
    )


# --- what does not fit ---


def test_all_that_does_not_fit_is_named_at_once():
    base = model(blocks=2)
    adapter = create_adapter(base, LoRAConfig(rank=4, keys=("self_attn.q_proj",)))
    factors = adapter.parameters["model"]["layers"]
    del factors[0]["self_attn"]["q_proj"]["lora_b"]
    factors[1]["self_attn"]["q_proj"] = {"lora_a": mx.zeros((64, 3)), "lora_b": mx.zeros((4, 32)), "m": mx.zeros(32)}
    adapter.parameters["other"] = {"lora_a": mx.zeros((1, 4))}
    message = str(error_of(lambda: attach(base, adapter)))
    assert message.splitlines() == [
        "[attach] the adapter does not fit:",
        "  model.layers.0.self_attn.q_proj.lora_b: missing",
        "  model.layers.1.self_attn.q_proj.lora_a: expected shape (64, 4) (rank 4), got (64, 3)",
        "  model.layers.1.self_attn.q_proj.m: magnitudes, but the configuration says LoRA",
        "  other: the model has no such layer",
    ]


# --- how many ---


@pytest.mark.parametrize("bits", [3, 4, 6, 8])
def test_trainable_parameters(bits):
    base = model(blocks=2, scheme=layers.Quantization(32, bits))
    adapter = create_adapter(base, LoRAConfig(rank=4, keys=("mlp.up",)))
    total = 2 * (32 * 64 + 32 + 64 * 32 + 32 * 64 + 3 * 32 * 64 + 64 * 4 + 64) + 2 * 640 + 64
    for tree in (base, attach(base, adapter)):
        found = trainable_parameters(tree, adapter.parameters)
        assert (found.trained, found.total) == (2 * 4 * 96, total)
    assert str(found) == "Trainable parameters: 2.885% (0.001M/0.027M)"
