"""Layers over nodes: dense, quantized and adapted, against float64 and against what several are together."""

import numpy as np
import pytest
from lora_cases import (
    EXPERTS,
    IN,
    OUT,
    QUANTIZATIONS,
    SCHEMES,
    Numbers,
    adapted,
    expected_weight,
    factors,
    layer,
    name_of,
    near,
    wide,
)

import mlxffi.core as mx
from mlxffi.tuner import layers

each_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=name_of)
each_kind = pytest.mark.parametrize("kind", ["linear", "embedding", "switch"])
each_adapter = pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])


def applied(node, kind, x, ids, **options):
    """What a layer gives for rows of numbers, or ids where it is a table."""
    if kind == "embedding":
        return layers.embedding(node, ids, **options)
    if kind == "switch":
        return layers.switch_linear(node, x[:, None], ids % EXPERTS, **options)[:, 0]
    return layers.linear(node, x, **options)


def inputs(seed=5):
    draw = Numbers(seed)
    return draw(6, IN), draw.integers(OUT, 6)


def oracle(weight, bias, kind, x, ids):
    """The same in float64."""
    if kind == "embedding":
        return weight[np.array(ids)]
    if kind == "switch":
        chosen = np.array(ids) % EXPERTS
        return np.einsum("ni,noi->no", wide(x), weight[chosen]) + bias[chosen]
    return wide(x) @ weight.T + bias


@each_scheme
@each_kind
def test_plain_layers(scheme, kind):
    node, (x, ids) = layer(kind, scheme), inputs()
    bias = wide(node["bias"]) if "bias" in node else None
    found = applied(node, kind, x, ids)
    near(found, oracle(wide(layers.dense_weight(node)), bias, kind, x, ids), factor=2)


@each_scheme
@each_kind
@each_adapter
def test_adapted_layers(scheme, kind, dora):
    node, adapter, (x, ids) = layer(kind, scheme), factors(kind, dora=dora), inputs()
    bias = wide(node["bias"]) if "bias" in node else None
    found = applied(adapted(node, adapter), kind, x, ids)
    near(found, oracle(expected_weight(node, adapter, kind), bias, kind, x, ids), factor=4)


@each_scheme
@each_adapter
def test_embedding_as_the_output_layer(scheme, dora):
    node, adapter, (x, _) = layer("embedding", scheme), factors("embedding", dora=dora), inputs()
    near(layers.as_linear(adapted(node, adapter), x), wide(x) @ expected_weight(node, adapter, "embedding").T, factor=4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@each_kind
@each_adapter
def test_half_precision(dtype, kind, dora):
    node, adapter, (x, ids) = layer(kind, dtype=dtype), factors(kind, dora=dora), inputs()
    x = x.astype(getattr(mx, dtype))
    bias = wide(node["bias"]) if "bias" in node else None
    found = applied(adapted(node, adapter), kind, x, ids)
    assert found.dtype == getattr(mx, dtype)
    near(found, oracle(expected_weight(node, adapter, kind), bias, kind, x, ids))


def test_inputs_may_have_any_leading_axes():
    node, x = adapted(layer("linear"), factors("linear", dora=True)), Numbers(2)(2, 3, IN)
    found = layers.linear(node, x)
    near(found.reshape(6, OUT), layers.linear(node, x.reshape(6, IN)))
    near(layers.linear(node, x[0, 0]), found[0, 0])


def test_experts_of_sorted_indices():
    node, x = adapted(layer("switch"), factors("switch", dora=True)), Numbers(2)(6, 1, IN)
    indices = mx.array([0, 0, 1, 1, 2, 2])
    near(layers.switch_linear(node, x, indices, sorted_indices=True), layers.switch_linear(node, x, indices))


def test_experts_are_linear_layers():
    node, adapter, x = layer("switch"), factors("switch", dora=True), Numbers(2)(4, 1, IN)
    for expert in range(EXPERTS):
        one = {"weight": node["weight"][expert], "bias": node["bias"][expert]}
        turned = {
            "lora_a": adapter["lora_a"][expert].T,
            "lora_b": adapter["lora_b"][expert].T,
            "m": adapter["m"][expert],
        }
        wanted = layers.linear(adapted(one, {**turned, "scaling": adapter["scaling"]}), x)
        near(layers.switch_linear(adapted(node, adapter), x, mx.full((4,), expert, dtype=mx.int32)), wanted, factor=2)


@pytest.mark.parametrize("scheme", QUANTIZATIONS, ids=name_of)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_quantized_products_are_the_same_for_few_and_many_rows(scheme, dtype, device, monkeypatch):
    """For one, nothing is unpacked but what is multiplied at once; of many the BLAS multiplies panels, a GPU all."""
    monkeypatch.setattr(layers.forward, "MANY_ROWS", 100)
    monkeypatch.setattr(layers.forward, "on_cpu", lambda: device == "cpu")
    node, x = layer("linear", scheme, dtype, bias=False), Numbers(5)(100, IN, dtype=dtype)
    many, few = layers.linear(node, x), mx.concatenate([layers.linear(node, row) for row in mx.split(x, 100)])
    assert many.dtype == few.dtype
    near(many, wide(few), factor=4)
    slopes = mx.grad(lambda x: (layers.linear(node, x).astype(mx.float32) ** 2).mean())(x)
    wanted = 2 * wide(many) @ wide(layers.dense_weight(node)) / many.size
    near(slopes, wanted, factor=4)


def test_gradients_of_weights_lie_as_weights_do_on_gpus(monkeypatch):
    node, x = layer("linear", None, bias=False), Numbers(5)(8, IN)
    slopes = mx.grad(lambda weight, x: (layers.linear({"weight": weight}, x) ** 2).sum(), argnums=(0, 1))
    wanted = slopes(node["weight"], x)
    monkeypatch.setattr(layers.forward, "on_cpu", lambda: False)
    for found, expected in zip(slopes(node["weight"], x), wanted, strict=True):
        near(found, wide(expected), factor=2)
        assert memoryview(found).c_contiguous


def test_packed_weights_may_be_arguments_of_a_checkpoint():
    node, x = layer("linear", QUANTIZATIONS[2]), Numbers(5)(8, IN)
    found = mx.grad(lambda x: (mx.checkpoint(layers.linear)(node, x) ** 2).sum())(x)
    near(found, mx.grad(lambda x: (layers.linear(node, x) ** 2).sum())(x))


# --- several adapters ---


@each_kind
def test_several_adapters_change_what_each_changes(kind):
    node, (x, ids) = layer(kind), inputs()
    several = [factors(kind, seed=1), factors(kind, seed=2, dora=True), factors(kind, seed=3, scale=0.3)]
    base = wide(applied(node, kind, x, ids))
    changes = [wide(applied(adapted(node, one), kind, x, ids)) - base for one in several]
    near(applied(adapted(node, *several), kind, x, ids), base + sum(changes), factor=4)
    near(applied(adapted(node, *several[::-1]), kind, x, ids), base + sum(changes), factor=4)


@each_kind
def test_the_weight_with_several_adapters_does_what_they_do(kind):
    node, (x, ids) = layer(kind), inputs()
    both = adapted(node, factors(kind, seed=1), factors(kind, seed=2, dora=True))
    fused = layers.requantized(node, layers.adapted_weight(both, kind))
    near(applied(fused, kind, x, ids), applied(both, kind, x, ids), factor=4)


# --- DoRA ---


def test_a_row_of_zeros_stays_one():
    node = {"weight": layer("embedding")["weight"] * mx.array([0.0] + [1.0] * (OUT - 1))[:, None]}
    adapter = {**factors("embedding", dora=True), "lora_b": mx.zeros((4, IN))}
    x = Numbers(3)(2, IN)
    value, gradient = mx.value_and_grad(lambda m: layers.as_linear(adapted(node, {**adapter, "m": m}), x).sum())(
        adapter["m"]
    )
    assert np.isfinite(value.item())
    assert np.isfinite(np.array(gradient)).all()
    assert not np.array(layers.embedding(adapted(node, adapter), mx.array([0]))).any()


def test_the_norm_gets_no_gradient():
    node, adapter, x = layer("linear", bias=False), factors("linear", dora=True), Numbers(3)(2, IN)
    gains = adapter["m"] / layers.row_norms(node["weight"] + layers.update(adapter, "linear"))

    def with_constant_gains(b):
        return ((gains * (x @ node["weight"].T + 1.5 * (x @ adapter["lora_a"]) @ b)) ** 2).sum()

    found = mx.grad(lambda b: (layers.linear(adapted(node, {**adapter, "lora_b": b}), x) ** 2).sum())(adapter["lora_b"])
    near(found, mx.grad(with_constant_gains)(adapter["lora_b"]), factor=10)


# --- gradients ---


@each_kind
@each_adapter
def test_gradients_are_the_slopes(kind, dora):
    """Along a random direction of each part; a layer is linear in each, so that differences are exact."""
    node, adapter, (x, ids) = layer(kind, layers.Quantization(64, 4)), factors(kind, dora=dora), inputs()
    weights = Numbers(9)(6, IN if kind == "embedding" else OUT)
    # For DoRA the norm counts as constant: only the magnitudes' differences are those of the whole.
    for name in ["m"] if dora else ["lora_a", "lora_b"]:

        def loss(part, name=name):
            return (weights * applied(adapted(node, {**adapter, name: part}), kind, x, ids)).sum()

        direction = Numbers(7)(*adapter[name].shape)
        slope = (loss(adapter[name] + direction) - loss(adapter[name] - direction)).item() / 2
        found = (mx.grad(loss)(adapter[name]) * direction).sum().item()
        assert found == pytest.approx(slope, rel=1e-4, abs=1e-2)


# --- dropout ---


@each_kind
def test_dropout_only_in_training(kind):
    node, (x, ids) = layer(kind), inputs()
    with_dropout, without = (adapted(node, factors(kind, dropout=rate)) for rate in (0.5, 0.0))
    assert bool(mx.all(applied(with_dropout, kind, x, ids) == applied(without, kind, x, ids)))
    assert not bool(mx.all(applied(with_dropout, kind, x, ids, training=True) == applied(without, kind, x, ids)))
    assert bool(mx.all(applied(without, kind, x, ids, training=True) == applied(without, kind, x, ids)))


def test_dropout_drops_inputs_of_the_factors_and_keeps_the_mean():
    node = {"weight": mx.zeros((IN, IN))}
    adapter = {"lora_a": mx.eye(IN), "lora_b": mx.eye(IN), "scaling": layers.Scaling(1.0, 0.25)}
    mx.random.seed(0)
    found = layers.linear(adapted(node, adapter), mx.ones((200, IN)), training=True)
    values, counts = np.unique(np.array(found), return_counts=True)
    np.testing.assert_allclose(values, [0, 4 / 3], rtol=1e-6)
    # 25,600 draws: four standard deviations are 0.011.
    assert counts[0] / counts.sum() == pytest.approx(0.25, abs=0.011)


def test_dropout_does_not_change_the_norms_of_embeddings():
    """Beside rows of 0, what is kept is twice what it is without dropout."""
    node, ids = {"weight": mx.zeros((OUT, IN))}, mx.array([3, 5])
    kept = wide(layers.embedding(adapted(node, factors("embedding", dora=True, dropout=0.5)), ids, training=True))
    whole = wide(layers.embedding(adapted(node, factors("embedding", dora=True)), ids))
    assert 0.3 < (kept != 0).mean() < 0.7
    np.testing.assert_allclose(kept[kept != 0], 2 * whole[kept != 0], rtol=1e-5)


def test_dropout_draws_from_the_random_state():
    node, x = adapted(layer("linear"), factors("linear", dropout=0.5)), Numbers(1)(2, IN)
    mx.random.seed(4)
    first = layers.linear(node, x, training=True)
    second = layers.linear(node, x, training=True)
    mx.random.seed(4)
    again = layers.linear(node, x, training=True)
    assert bool(mx.all(first == again))
    assert not bool(mx.all(first == second))


# --- weights ---


@pytest.mark.parametrize("scheme", QUANTIZATIONS, ids=name_of)
@each_kind
def test_quantized_nodes(scheme, kind):
    dense = layer(kind)
    node = layers.quantized(dense, scheme)
    assert layers.is_quantized(node)
    assert layers.quantization_of(node) == scheme
    assert layers.dims(node) == dense["weight"].shape == layers.dims(dense)
    assert layers.dequantized(node).keys() == dense.keys()
    assert layers.dequantized(node)["weight"].shape == dense["weight"].shape
    again = layers.requantized(node, dense["weight"])
    assert all(bool(mx.all(again[key] == node[key])) for key in node if key != "quantization")


def test_a_node_in_another_scheme():
    node = layers.quantized(layer("linear"), layers.Quantization(32, 8))
    coarse = layers.quantized(node, layers.Quantization(32, 4, "mxfp4"))
    assert "biases" not in coarse
    assert layers.quantization_of(coarse).mode == "mxfp4"


def test_a_node_that_does_not_say_how_it_is_quantized():
    node = {**layers.quantized(layer("linear"), layers.Quantization()), "quantization": None}
    with pytest.raises(ValueError, match="needs a Quantization; got NoneType"):
        layers.linear(node, Numbers(1)(2, IN))


def test_dense_nodes_stay_as_they_are():
    node = layer("linear")
    assert layers.dequantized(node) is node
    assert layers.dense_weight(node) is node["weight"]
    assert layers.requantized(node, node["weight"]) == node
