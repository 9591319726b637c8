"""Adapted layers of mlx.nn models over mlxffi.core: checks that run in a process of their own, one outcome each.

Prints {check: traceback or null} as JSON.
"""

import contextlib
import io
import json
import sys
import tempfile
import traceback

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.models.switch_layers import SwitchLinear
from mlx_lm.tuner import dora as their_dora
from mlx_lm.tuner import lora as their_lora
from mlx_lm.tuner import utils as theirs

from mlxffi.tuner.lora import Adapter, LoRAConfig, create_adapter, modules, save_adapter, save_full
from mlxffi.tuner.lora.modules import (
    fuse_model,
    linear_to_lora_layers,
    load_adapters,
    remove_lora_layers,
    trainable_parameters,
)
from mlxffi.tuner.trees import unflatten

CONFIG = {"rank": 4, "scale": 2.0, "dropout": 0.0}


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(64, 32, bias=True)
        self.o_proj = nn.Linear(32, 64, bias=False)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn = Attention()
        self.experts = SwitchLinear(64, 64, 3)
        self.norm = nn.RMSNorm(64)

    def __call__(self, x):
        x = x + self.self_attn.o_proj(nn.silu(self.self_attn.q_proj(self.norm(x))))
        indices = mx.zeros(x.shape[:-1], mx.int32)
        return x + self.experts(x[..., None, :], indices)[..., 0, :]


class Inner(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.embed_tokens = nn.Embedding(10, 64)
        self.layers = [Block() for _ in range(blocks)]


class Model(nn.Module):
    """A small decoder without attention, tied or not."""

    def __init__(self, blocks=3):
        super().__init__()
        self.model = Inner(blocks)
        self.lm_head = nn.Linear(64, 10, bias=False)

    @property
    def layers(self):
        return self.model.layers

    def __call__(self, ids):
        x = self.model.embed_tokens(ids)
        for block in self.layers:
            x = block(x)
        return self.lm_head(x) + self.model.embed_tokens.as_linear(x)


IDS = mx.array([[1, 2, 3, 9]])
EVERYTHING = ["self_attn.q_proj", "self_attn.o_proj", "experts", "lm_head", "model.embed_tokens"]


def frozen(seed=0, bits=None):
    mx.random.seed(seed)
    model = Model()
    if bits:
        nn.quantize(model, 32, bits)
    model.freeze()
    return model


def stir(model):
    """Give the trainable parameters other values."""
    mx.random.seed(7)
    stirred = [(name, array + 0.1 * mx.random.normal(array.shape)) for name, array in sorted(trained(model).items())]
    model.load_weights(stirred, strict=False)
    return dict(stirred)


def trained(model):
    return dict(tree_flatten(model.trainable_parameters()))


def near(found, wanted, allowed=1e-5):
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    assert mx.abs(found - wanted).max().item() <= allowed * max(mx.abs(wanted).max().item(), 1e-3)


def message_of(call, kind=ValueError):
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError("nothing was raised")


# --- the same as mlx_lm ---


def same_as_mlx_lm(num_layers, config, use_dora, bits=None):
    ours, others = frozen(bits=bits), frozen(bits=bits)
    linear_to_lora_layers(ours, num_layers, config, use_dora)
    theirs.linear_to_lora_layers(others, num_layers, config, use_dora)
    assert trained(ours).keys() == trained(others).keys()
    assert dict(tree_flatten(ours.parameters())).keys() == dict(tree_flatten(others.parameters())).keys()
    assert all(trained(ours)[name].shape == array.shape for name, array in trained(others).items())
    others.load_weights(list(stir(ours).items()), strict=False)
    near(ours(IDS), others(IDS))
    counted = io.StringIO()
    with contextlib.redirect_stdout(counted):
        theirs.print_trainable_parameters(others)
    assert str(trainable_parameters(ours)) in counted.getvalue()
    slopes, wanted = (nn.value_and_grad(model, lambda m: (m(IDS) ** 2).mean())(model)[1] for model in (ours, others))
    slopes, wanted = dict(tree_flatten(slopes)), dict(tree_flatten(wanted))
    assert slopes.keys() == wanted.keys()
    for name in slopes:
        near(slopes[name], wanted[name], 1e-4)


def check_lora_of_everything():
    same_as_mlx_lm(2, {**CONFIG, "keys": EVERYTHING}, False)


def check_lora_of_all_blocks():
    same_as_mlx_lm(-1, CONFIG, False)


def check_lora_of_quantized_layers():
    same_as_mlx_lm(1, {**CONFIG, "keys": ["self_attn.q_proj", "lm_head", "model.embed_tokens"]}, False, bits=4)


def check_dora():
    same_as_mlx_lm(2, {**CONFIG, "keys": ["self_attn.q_proj", "lm_head", "model.embed_tokens"]}, True)


def check_dora_of_quantized_layers():
    same_as_mlx_lm(2, {**CONFIG, "keys": ["self_attn.q_proj", "lm_head"]}, True, bits=8)


def check_wrappers_have_mlx_lms_names():
    for mine, other in (
        (modules.LoRALinear, their_lora.LoRALinear),
        (modules.LoRAEmbedding, their_lora.LoRAEmbedding),
        (modules.LoRASwitchLinear, their_lora.LoRASwitchLinear),
        (modules.DoRALinear, their_dora.DoRALinear),
        (modules.DoRAEmbedding, their_dora.DoRAEmbedding),
    ):
        assert mine.__name__ == other.__name__
        base = {"Linear": Model().lm_head, "Embedding": Model().model.embed_tokens, "SwitchLinear": Block().experts}[
            mine.__name__[4:]
        ]
        made, wanted = (kind.from_base(base, r=3, dropout=0.1, scale=2.0) for kind in (mine, other))
        assert {name for name, _ in tree_flatten(made.parameters())} == {
            name for name, _ in tree_flatten(wanted.parameters())
        }
        assert (made.scale, made.dropout) == (2.0, 0.1)


# --- beyond mlx_lm ---


def check_dora_where_mlx_lm_has_none():
    model = frozen(bits=4)
    before = model(IDS)
    linear_to_lora_layers(model, 2, {**CONFIG, "keys": ["experts", "model.embed_tokens"]}, use_dora=True)
    near(model(IDS), before, 1e-4)
    stir(model)
    changed = model(IDS)
    fuse_model(model, dequantize=True)
    near(model(IDS), changed, 1e-4)


def check_all_kinds_are_removed():
    for use_dora in (False, True):
        model = frozen(bits=8)
        before = dict(model.named_modules())
        linear_to_lora_layers(model, -1, {**CONFIG, "keys": EVERYTHING}, use_dora)
        stir(model)
        assert remove_lora_layers(model) is model
        after = dict(model.named_modules())
        assert after.keys() == before.keys()
        assert all(after[name] is before[name] for name in before)


def check_mlx_lms_own_layers_are_removed():
    model = frozen()
    theirs.linear_to_lora_layers(model, 1, {**CONFIG, "keys": EVERYTHING}, False)
    assert not any(type(part).__name__.startswith("LoRA") for _, part in remove_lora_layers(model).named_modules())


def check_fused_models():
    for use_dora in (False, True):
        model = frozen()
        linear_to_lora_layers(model, -1, {**CONFIG, "keys": EVERYTHING}, use_dora)
        stir(model)
        wanted = model(IDS)
        near(fuse_model(model)(IDS), wanted)
        assert not any("lora" in name for name, _ in tree_flatten(model.parameters()))


def check_fused_quantized_models():
    for dequantize in (False, True):
        model = frozen(bits=8)
        linear_to_lora_layers(model, 1, {**CONFIG, "keys": EVERYTHING[1:]}, False)
        stir(model)
        wanted = model(IDS)
        fuse_model(model, dequantize=dequantize)
        near(model(IDS), wanted, 1e-4 if dequantize else 3e-2)
        kinds = {type(part).__name__ for _, part in model.named_modules() if "weight" in part}
        dense, packed = (
            {"Linear", "Embedding", "SwitchLinear"},
            {"QuantizedLinear", "QuantizedEmbedding", "QuantizedSwitchLinear"},
        )
        assert kinds == {"RMSNorm"} | (dense if dequantize else packed)


def check_only_adapters_are_trained():
    model = frozen()
    linear_to_lora_layers(model, -1, CONFIG)
    assert {name.rpartition(".")[2] for name in trained(model)} == {"lora_a", "lora_b"}
    model.train()
    fuse_model(model)
    assert not trained(model)


def check_dropout_follows_the_mode_of_the_layer():
    model = frozen()
    model.eval()
    linear_to_lora_layers(model, -1, {**CONFIG, "dropout": 0.5})
    stir(model)
    assert mx.array_equal(model(IDS), model(IDS))
    model.train()
    assert not mx.array_equal(model(IDS), model(IDS))


def check_a_layer_may_make_its_own():
    class Own(nn.Linear):
        def __call__(self, x):
            return 2 * super().__call__(x)

        def to_lora(self, r, scale, dropout):
            made = their_lora.LoRALinear.from_base(nn.Linear(64, 10), r, dropout, scale)
            made.linear = self
            return made

    model = frozen()
    model.lm_head = Own(64, 10)
    linear_to_lora_layers(model, -1, {**CONFIG, "keys": ["lm_head"]})
    assert type(model.lm_head) is their_lora.LoRALinear
    remove_lora_layers(model)
    assert type(model.lm_head) is Own
    message = message_of(lambda: linear_to_lora_layers(model, -1, {**CONFIG, "keys": ["lm_head"]}, use_dora=True))
    assert message == "[DoRA] a Own makes its own LoRA layer, and no DoRA layer"


def check_layers_that_compute_something_else_are_left():
    class Doubled(nn.Linear):
        def __call__(self, x):
            return 2 * super().__call__(x)

    model = frozen()
    model.lm_head = Doubled(64, 10)
    message = message_of(lambda: linear_to_lora_layers(model, -1, {**CONFIG, "keys": ["lm_head"]}))
    assert "no layer of the model matches lm_head; it has: " in message


def check_errors_leave_the_model_as_it_was():
    model = frozen()
    before = dict(model.named_modules())
    message = message_of(lambda: linear_to_lora_layers(model, -1, {**CONFIG, "keys": ["self_attn.q_proj", "w1", "w2"]}))
    assert "no layer of the model matches w1, w2; it has: " in message
    assert all(part is before[name] for name, part in model.named_modules())
    linear_to_lora_layers(model, -1, CONFIG)
    assert "has adapters already" in message_of(lambda: linear_to_lora_layers(model, -1, CONFIG))


def check_blocks_by_another_name():
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.h = [Block(), Block()]
            self.vision = Inner(3)

        @property
        def layers(self):
            return self.h

    model = Other()
    model.freeze()
    linear_to_lora_layers(model, 1, {**CONFIG, "keys": ["self_attn.q_proj"]})
    assert set(trained(model)) == {"h.1.self_attn.q_proj.lora_a", "h.1.self_attn.q_proj.lora_b"}


# --- files ---


def written(folder, **options):
    """An adapter of a model's parameters, in a directory."""
    adapter = create_adapter(dict(frozen().parameters()), LoRAConfig(rank=4, scale=2.0, **options))
    parameters = {}
    for name, array in tree_flatten(adapter.parameters):
        parameters[name] = array + 0.1 * mx.random.normal(array.shape)
    save_adapter(folder, Adapter(unflatten(parameters), adapter.config))
    return parameters


def check_adapters_are_loaded():
    for options in ({"keys": EVERYTHING, "num_layers": 2}, {"keys": EVERYTHING[:2], "use_dora": True}):
        with tempfile.TemporaryDirectory() as folder:
            parameters = written(folder, **options)
            ours, others = frozen(), frozen()
            assert load_adapters(ours, folder) is ours
            theirs.load_adapters(others, folder)
            assert trained(ours).keys() == parameters.keys()
            assert all(mx.array_equal(trained(ours)[name], array) for name, array in parameters.items())
            near(ours(IDS), others(IDS))


def check_adapters_that_do_not_fit_leave_the_model_as_it_was():
    with tempfile.TemporaryDirectory() as folder:
        written(folder, keys=EVERYTHING[:2])
        tensors = dict(mx.load(f"{folder}/adapters.safetensors"))
        tensors["model.layers.0.self_attn.q_proj.lora_a"] = mx.zeros((63, 4))
        tensors["extra.lora_a"] = tensors.pop("model.layers.1.self_attn.o_proj.lora_b")
        mx.save_safetensors(f"{folder}/adapters.safetensors", tensors)
        model = frozen()
        before = dict(model.named_modules())
        assert message_of(lambda: load_adapters(model, folder)).splitlines()[1:] == [
            "  extra.lora_a: the model has no such parameter",
            "  model.layers.0.self_attn.q_proj.lora_a: expected shape (64, 4), got (63, 4)",
            "  model.layers.1.self_attn.o_proj.lora_b: missing",
        ]
        assert all(part is before[name] for name, part in model.named_modules())


def check_whole_parameters_are_loaded():
    with tempfile.TemporaryDirectory() as folder:
        save_full(folder, {"lm_head": {"weight": mx.ones((10, 64))}})
        model = load_adapters(frozen(), folder)
        assert mx.array_equal(model.lm_head.weight, mx.ones((10, 64)))
        save_full(folder, {"lm_head": {"weight": mx.ones((10, 63))}})
        assert "lm_head.weight: expected shape (10, 64), got (10, 63)" in message_of(
            lambda: load_adapters(frozen(), folder)
        )


def check_a_global_scale_is_refused():
    model = frozen()
    model.layers[0].experts.global_scale = mx.ones(3)
    message = message_of(lambda: linear_to_lora_layers(model, -1, {**CONFIG, "keys": ["experts"]}))
    assert message == "[LoRA] a SwitchLinear with a global scale cannot be adapted"


def outcome(check):
    try:
        check()
    except BaseException:
        return traceback.format_exc()
    return None


if __name__ == "__main__":
    assert mx.__name__ == "mlxffi.core", mx
    checks = {name: check for name, check in globals().items() if name.startswith("check_")}
    json.dump({name: outcome(check) for name, check in checks.items()}, sys.stdout)
