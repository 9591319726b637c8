"""Layers of one input that are one layer while they are trained: nothing but the time is another."""

import numpy as np
import pytest

import mlxffi.core as mx
from mlxffi.tuner import layers, lora, optimizers
from mlxffi.tuner.datasets import Batch
from mlxffi.tuner.distributed import World
from mlxffi.tuner.losses import default_loss
from mlxffi.tuner.models import (
    DecoderConfig,
    FunctionalModel,
    decoder,
    decoder_model,
    functional,
    random_parameters,
)
from mlxffi.tuner.models.joined import Joints, joints_of
from mlxffi.tuner.trainer import TrainingArgs
from mlxffi.tuner.trainer.step import first_state, make_step, packing_of, unpacked
from mlxffi.tuner.trees import flatten, map_paths

# The key of the random numbers lives as long as the thread: it is to be there before tests count what lives.
mx.random.seed(0)

NAMES = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
SHAPE = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 32,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
}

ADAPTERS = {
    "lora": {},
    "some": {"keys": ("self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj")},
    "ranks": {"rank_pattern": {"k_proj": 3}},
    "last": {"num_layers": 1},
    "directly": {"modules_to_save": ("mlp.up_proj",), "bias": "all"},
    "scales": {"alpha": 8.0, "alpha_pattern": {"v_proj": 3.0}},
    "dora": {"use_dora": True},
}


def made(family="qwen3", case="lora", packed=False, dtype=mx.float32):
    """A small decoder, and what of it is trained."""
    config = DecoderConfig.from_dict({"model_type": family, **SHAPE})
    parameters = map_paths(lambda _, item: item.astype(dtype), random_parameters(config, mx.random.key(0)))
    mx.random.seed(2)
    adapter = None if case == "full" else lora.create_adapter(parameters, lora.LoRAConfig(rank=4, **ADAPTERS[case]))
    if packed:
        for block in parameters["model"]["layers"]:
            for name in ("self_attn", "mlp"):
                for part in block[name]:
                    if part.endswith("_proj"):
                        block[name][part] = layers.quantized(block[name][part], layers.Quantization(32, 4))
    mx.eval(parameters, adapter.parameters if adapter else [])
    return decoder_model(config, parameters, adapter)


def trained(model, optimizer=None, **options):
    """Losses, and what has been trained, after some steps."""
    optimizer, world = optimizer or optimizers.SGD(0.02, momentum=0.9), World()
    checkpoint = options.get("grad_checkpoint", False)
    step = make_step(model, optimizer, default_loss, TrainingArgs(max_grad_norm=1.0, **options), world)
    state = first_state(model, optimizer, 0, world, checkpoint=checkpoint)
    tokens = mx.array(np.random.default_rng(0).integers(0, 32, (3, 9)).astype(np.int32))
    losses = []
    for _ in range(3):
        state, results = step(state, Batch(tokens, mx.ones((3, 8))), True)
        losses.append(results[0].item())
    return losses, flatten(unpacked(state, packing_of(model, optimizer, checkpoint)).trained)


def apart(monkeypatch):
    """From here on nothing is joined."""
    monkeypatch.setattr(functional, "joints_of", lambda *_: Joints())


def joined(model):
    """The paths of a model's joined layers in its first block."""
    found = flatten(model.with_joints()._base)
    return {path.split(".")[-2] for path in found} & NAMES.keys()


def same(found, wanted, tolerance):
    assert list(found) == list(wanted)
    for path, item in wanted.items():
        near = np.array(item.astype(mx.float32))
        np.testing.assert_allclose(np.array(found[path].astype(mx.float32)), near, rtol=0, atol=tolerance, err_msg=path)


@pytest.mark.parametrize("case", ADAPTERS)
def test_training_is_the_same(case, monkeypatch):
    losses, found = trained(made("qwen2", case))
    apart(monkeypatch)
    wanted_losses, wanted = trained(made("qwen2", case))
    np.testing.assert_allclose(losses, wanted_losses, rtol=1e-6)
    assert losses[-1] < losses[0]
    same(found, wanted, 1e-6)


@pytest.mark.parametrize("case", ADAPTERS)
def test_checkpointed_steps_join_nothing_and_train_the_same(case, monkeypatch):
    wanted_losses, wanted = trained(made("qwen2", case))
    monkeypatch.setattr(functional.FunctionalModel, "with_joints", lambda _: pytest.fail("layers were joined"))
    losses, found = trained(made("qwen2", case), grad_checkpoint=True)
    np.testing.assert_allclose(losses, wanted_losses, rtol=1e-6)
    same(found, wanted, 1e-6)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3_text"])
@pytest.mark.parametrize("packed", [False, True])
def test_families_and_packed_weights(family, packed, monkeypatch):
    model = made(family, packed=packed)
    losses, found = trained(model)
    assert joined(model) == NAMES.keys()
    apart(monkeypatch)
    wanted_losses, wanted = trained(made(family, packed=packed))
    np.testing.assert_allclose(losses, wanted_losses, rtol=1e-5)
    same(found, wanted, 1e-5)


def as_gpus_do(monkeypatch):
    """From here on models run as on a GPU."""
    for module in (decoder, layers, layers.forward):
        monkeypatch.setattr(module, "on_cpu", lambda: False)


@pytest.mark.parametrize(("case", "packed"), [("lora", False), ("lora", True), ("full", False)])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3_text"])
def test_as_gpus_run_them(family, case, packed, monkeypatch):
    monkeypatch.setattr(layers.forward, "MANY_ROWS", 8)
    losses, found = trained(made(family, case, packed))
    as_gpus_do(monkeypatch)
    other_losses, other = trained(made(family, case, packed))
    np.testing.assert_allclose(losses, other_losses, rtol=1e-5)
    same(found, other, 1e-5)


@pytest.mark.parametrize("case", ADAPTERS)
def test_prepared_factors_train_the_same(case, monkeypatch):
    wanted_losses, wanted = trained(made("qwen2", case))
    as_gpus_do(monkeypatch)
    model = made("qwen2", case)
    losses, found = trained(model)
    assert (model.with_joints().multipliers is None) == (case in ("dora", "directly"))
    np.testing.assert_allclose(losses, wanted_losses, rtol=1e-5)
    same(found, wanted, 1e-5)


def test_prepared_factors_have_the_dtype_of_activations(monkeypatch):
    wanted_losses, wanted = trained(made(dtype=mx.bfloat16))
    as_gpus_do(monkeypatch)
    model = made(dtype=mx.bfloat16)
    losses, found = trained(model)
    assert model.with_joints().multipliers.dtype == mx.bfloat16
    assert all(item.dtype == mx.float32 for item in found.values())
    np.testing.assert_allclose(losses, wanted_losses, rtol=1e-3)
    same(found, wanted, 4e-3)


def test_half_precision(monkeypatch):
    losses, found = trained(made(dtype=mx.bfloat16))
    apart(monkeypatch)
    wanted_losses, wanted = trained(made(dtype=mx.bfloat16))
    np.testing.assert_allclose(losses, wanted_losses, rtol=1e-3)
    same(found, wanted, 1e-3)


def test_an_optimizer_of_whole_matrices_gets_them(monkeypatch):
    losses, found = trained(made(), optimizers.Muon(0.01))
    apart(monkeypatch)
    wanted_losses, wanted = trained(made(), optimizers.Muon(0.01))
    assert losses == wanted_losses
    same(found, wanted, 0)


@pytest.mark.parametrize(
    ("case", "wanted"),
    [
        ("lora", {"qkv_proj", "gate_up_proj"}),
        ("some", {"qkv_proj", "gate_up_proj"}),
        ("ranks", {"qkv_proj", "gate_up_proj"}),
        ("directly", {"qkv_proj"}),
        ("scales", {"gate_up_proj"}),
        ("dora", set()),
        ("full", set()),
    ],
)
def test_what_is_joined(case, wanted):
    assert joined(made(case=case)) == wanted


def test_dropout_stays_that_of_each_layer():
    model = made()
    config = lora.LoRAConfig(rank=4, dropout=0.5)
    adapter = lora.Adapter(model.trainable(), config)
    assert not joined(FunctionalModel(model.parameters(), lambda *_: None, adapter, joined=NAMES))


def test_layers_with_adapters_of_the_base_stay_apart():
    model = made()
    base = lora.attach(model._base, model.adapter)
    assert not joined(FunctionalModel(base, lambda *_: None, model.adapter, joined=NAMES))


def test_parts_become_views():
    model = made()
    before = flatten(model.parameters())
    kept = {path: np.array(item) for path, item in before.items()}
    mx.clear_cache()
    active = mx.get_active_memory()
    model.with_joints()
    assert mx.get_active_memory() - active < 20_000  # masks: the weights alone are ten times as large
    assert flatten(model.parameters()).keys() == before.keys()
    for path, item in before.items():
        np.testing.assert_array_equal(np.array(item), kept[path])


def test_arrays_go_there_and_back():
    model = made(case="ranks")
    arrays = flatten(model.trainable())
    joints = joints_of(model._base, model.trainable(), model._config, NAMES)
    there = joints.joined(arrays)
    assert there["model.layers.0.self_attn.qkv_proj.lora_a"].shape == (64, 11)
    assert there["model.layers.0.self_attn.qkv_proj.lora_b"].shape == (11, 128)
    back = joints.parted(there)
    assert back.keys() == arrays.keys()
    same({path: back[path] for path in arrays}, arrays, 0)
