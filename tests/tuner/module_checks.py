"""Checks of ModuleModel, which need mlx.nn over mlxffi.core.

usage: python -m mlxffi run module_checks.py
Prints a JSON object: what went wrong in each check, "" where nothing did.
"""

import gc
import json
import traceback
from importlib import import_module

import mlx.core as mx
import mlx.nn as nn
import mlx_lm.tuner.utils
import numpy as np
from lm_models import MODELS
from mlx.utils import tree_flatten, tree_map

from mlxffi import memory
from mlxffi.tuner.lora import modules as own_modules
from mlxffi.tuner.models import FunctionalModel, ModuleModel, Tunable
from mlxffi.tuner.models import generate as generation
from mlxffi.tuner.trees import flatten

CHECKS = []
TOKENS = np.random.default_rng(1).integers(0, 512, (2, 12)).astype(np.int32)


def check(function):
    CHECKS.append(function)
    return function


def tiny(name):
    """A tiny model of mlx_lm with random weights."""
    made = import_module(f"mlx_lm.models.{name}")
    module = made.Model(made.ModelArgs.from_dict(MODELS[name]))
    rng = np.random.default_rng(3)
    module.update(
        tree_map(lambda value: mx.array(rng.normal(0, 0.05, value.shape).astype(np.float32)), module.parameters())
    )
    return module


def close(found, expected, tolerance=1e-6):
    found, expected = dict(tree_flatten(found)), dict(tree_flatten(expected))
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_allclose(np.array(found[path]), np.array(value), rtol=1e-5, atol=tolerance, err_msg=path)


def gradient(model, **options):
    return mx.grad(lambda trained: model.logits(trained, mx.array(TOKENS), **options).square().mean())(
        model.trainable()
    )


class State:
    """What a call must leave as it was: arrays, modes and classes."""

    def __init__(self, module):
        self.module = module
        self.before = self.seen()

    def seen(self):
        arrays = [id(value) for _, value in tree_flatten(self.module.parameters())]
        return arrays, [part.training for part in self.module.modules()], [type(part) for part in self.module.modules()]

    def assert_same(self):
        assert self.seen() == self.before


# --- values and gradients ---


@check
def logits_and_gradients_are_the_modules_own():
    for name in MODELS:
        module = tiny(name)
        module.model.layers[0].freeze()
        model, state = ModuleModel(module), State(module)
        assert isinstance(model, Tunable)
        close([model.logits(model.trainable(), mx.array(TOKENS))], [module(mx.array(TOKENS))])
        found = gradient(model)
        state.assert_same()
        expected = nn.value_and_grad(module, lambda ids, module=module: module(ids).square().mean())(mx.array(TOKENS))[
            1
        ]
        close(found, expected, 1e-9)
        assert all(np.abs(np.array(value)).max() > 0 for value in flatten(found).values())
        assert not any(path.startswith("model.layers.0") for path in flatten(found))


@check
def checkpoints_give_the_same_gradient_and_leave_no_trace():
    for name in MODELS:
        module, other = tiny(name), tiny(name)
        model, state = ModuleModel(module), State(module)
        kind = type(module.layers[0])
        plain_call = kind.__call__
        plain, again = gradient(model), gradient(model, checkpoint=True)
        close(again, plain, 1e-9)
        state.assert_same()
        assert kind.__call__ is plain_call
        assert type(other.layers[0]) is kind


@check
def checkpointed_blocks_run_once_more():
    module = tiny("llama")
    attention = type(module.layers[0].self_attn)
    own, calls = attention.__call__, []

    def counted(self, *args, **kwargs):
        calls.append(1)
        return own(self, *args, **kwargs)

    attention.__call__ = counted
    try:
        gradient(ModuleModel(module))
        plain = len(calls)
        gradient(ModuleModel(module), checkpoint=True)
    finally:
        attention.__call__ = own
    assert plain == len(module.layers)
    assert len(calls) == 3 * plain


@check
def adapters_of_quantized_modules_are_trained():
    for modules in (mlx_lm.tuner.utils, own_modules):
        module = tiny("qwen3")
        nn.quantize(module, group_size=32, bits=4)
        module.freeze()
        modules.linear_to_lora_layers(module, 1, {"rank": 4, "scale": 2.0, "dropout": 0.0})
        model = ModuleModel(module)
        model.update(tree_map(lambda value: value + 0.1 * mx.random.normal(value.shape), model.trainable()))
        state = State(module)
        assert all(path.startswith("model.layers.1.") and ".lora_" in path for path in flatten(model.trainable()))
        found, again = gradient(model), gradient(model, training=True, checkpoint=True)
        close(again, found, 1e-9)
        state.assert_same()
        expected = nn.value_and_grad(module, lambda ids, own=module: own(ids).square().mean())(mx.array(TOKENS))[1]
        close(found, expected, 1e-9)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(16, 16)
        self.dropout = nn.Dropout(0.5)

    def __call__(self, x):
        return x + self.dropout(mx.tanh(self.linear(x)))


class Small(nn.Module):
    """Blocks with dropout between an embedding and its transpose."""

    def __init__(self, blocks=2):
        super().__init__()
        self.embed = nn.Embedding(512, 16)
        self.layers = [Block() for _ in range(blocks)]

    def __call__(self, tokens):
        x = self.embed(tokens)
        for block in self.layers:
            x = block(x)
        return self.embed.as_linear(x)


@check
def dropout_is_active_in_training_only_and_modes_come_back():
    module = Small()
    module.train(False)
    module.layers[1].train(True)
    model, state = ModuleModel(module), State(module)
    trained = model.trainable()

    def logits(training, seed):
        mx.random.seed(seed)
        return np.array(model.logits(trained, mx.array(TOKENS), training=training))

    assert (logits(False, 1) == logits(False, 2)).all()
    assert (logits(True, 1) == logits(True, 1)).all()
    assert (logits(True, 1) != logits(True, 2)).any()
    state.assert_same()


@check
def checkpointed_dropout_drops_the_same_again():
    model = ModuleModel(Small())
    trained = model.trainable()
    model.module.eval()

    def loss(trained):
        mx.random.seed(5)
        return model.logits(trained, mx.array(TOKENS), training=True, checkpoint=True).square().mean()

    gradients, step = mx.grad(loss)(trained), 1e-2
    ahead, behind = (
        tree_map(lambda value, slope, way=way: value + way * step * slope, trained, gradients) for way in (1, -1)
    )
    slope = (loss(ahead) - loss(behind)).item() / (2 * step)
    expected = sum(value.square().sum().item() for value in flatten(gradients).values())
    assert expected > 1e-3
    assert abs(slope / expected - 1) < 1e-2, (slope, expected)


@check
def a_compiled_step_trains():
    model = ModuleModel(Small())
    trained = model.trainable()

    @mx.compile
    def step(trained):
        loss, gradients = mx.value_and_grad(
            lambda trained: model.logits(trained, mx.array(TOKENS), checkpoint=True).square().mean()
        )(trained)
        return loss, tree_map(lambda value, slope: value - slope, trained, gradients)

    losses = []
    for _ in range(5):
        loss, trained = step(trained)
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]
    model.update(trained)
    close(model.module.parameters(), trained)


# --- the rest ---


@check
def generation_is_the_decoders():
    class Ids:
        eos_token_ids = frozenset()

        def decode(self, ids, skip_special_tokens=False):
            return " ".join(map(str, ids))

    for name in MODELS:
        model = ModuleModel(tiny(name))
        told = generation.generate(model, Ids(), TOKENS[0].tolist(), max_tokens=24)
        bare = FunctionalModel({}, lambda _, tokens, model=model: model(tokens))
        again = generation.generate(bare, Ids(), TOKENS[0].tolist(), max_tokens=24)
        assert told.tokens == again.tokens
    assert ModuleModel(Small()).new_cache() is None


@check
def what_cannot_be_done_is_said():
    module = Small()
    model = ModuleModel(module)
    segments = mx.ones((2, 12), dtype=mx.int32)
    assert "cannot keep packed documents apart" in refusal(
        lambda: model.logits(model.trainable(), mx.array(TOKENS), segments=segments)
    )
    careless = ModuleModel(module, ignore_segments=True)
    close(
        [careless.logits(model.trainable(), mx.array(TOKENS), segments=segments)],
        [model.logits(model.trainable(), mx.array(TOKENS))],
    )
    assert "expected the module's blocks" in refusal(
        lambda: ModuleModel(nn.Linear(2, 2)).logits({}, mx.ones((1, 2)), checkpoint=True)
    )
    assert "these differ: ['embed.weight'" in refusal(lambda: model.update({}))
    assert "expected parameters of mlxffi.core" in refusal(lambda: ModuleModel(nn.ReLU()))


@check
def an_error_in_a_module_leaves_it_as_it_was():
    class Broken(Small):
        def __call__(self, tokens):
            super().__call__(tokens)
            raise KeyError("broken")

    module = Broken()
    model, state = ModuleModel(module), State(module)
    for checkpoint in (False, True):
        try:
            gradient(model, training=True, checkpoint=checkpoint)
        except KeyError:
            state.assert_same()
        else:
            raise AssertionError("the module's error was lost")


def refusal(function):
    try:
        function()
    except ValueError as error:
        return str(error)
    raise AssertionError("nothing was refused")


def outcome(function):
    mx.random.seed(0)
    before = memory.live_handles()
    try:
        function()
    except Exception:
        return traceback.format_exc()
    after = memory.live_handles()
    leaks = {kind: count - before[kind] for kind, count in after.items() if count != before[kind]}
    return f"leaks: {leaks}" if leaks else ""


if __name__ == "__main__":
    # The key of the random numbers and what mlx_lm compiles on first use stay.
    mx.random.seed(0)
    for name in MODELS:
        mx.eval(tiny(name)(mx.array(TOKENS)))
    gc.collect()
    gc.disable()
    print(json.dumps({function.__name__: outcome(function) for function in CHECKS}))
