"""Which layers an adapter adapts, and what a configuration must be."""

import math

import pytest
from lora_cases import model
from tuner_helpers import message_of

from mlxffi import core as mx
from mlxffi.tuner.layers import Scaling
from mlxffi.tuner.lora import LoRAConfig, create_adapter
from mlxffi.tuner.lora.targets import chosen, kind_of, layers_of

BLOCK = {"self_attn.q_proj": "linear", "self_attn.k_proj": "linear", "mlp.up_proj": "linear", "mlp.experts": "switch"}
LAYERS = {
    "model.embed_tokens": "embedding",
    **{f"model.layers.{index}.{name}": kind for index in range(12) for name, kind in BLOCK.items()},
    "lm_head": "linear",
}


def names(**options):
    """What a configuration chooses, with the numbers of blocks by the path inside of them."""
    found: dict[str, list[int]] = {}
    for path in chosen(LAYERS, LoRAConfig(**options)).paths:
        parts = path.split(".")
        block = parts[1:2] == ["layers"]
        found.setdefault(".".join(parts[3:]) if block else path, []).extend([int(parts[2])] if block else [])
    return found


EVERY = list(range(12))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, dict.fromkeys(BLOCK, EVERY)),
        ({"num_layers": -1}, dict.fromkeys(BLOCK, EVERY)),
        ({"num_layers": 50}, dict.fromkeys(BLOCK, EVERY)),
        ({"num_layers": 2}, {name: [10, 11] for name in BLOCK}),
        ({"keys": ["self_attn.q_proj"], "num_layers": 3}, {"self_attn.q_proj": [9, 10, 11]}),
        # A whole path is chosen wherever it stands, a name's end alone is not.
        ({"keys": ["lm_head", "model.layers.0.mlp.up_proj"], "num_layers": 1}, {"mlp.up_proj": [0], "lm_head": []}),
        ({"keys": ["q_proj"]}, {}),
        ({"keys": ["model.embed_tokens"]}, {"model.embed_tokens": []}),
    ],
)
def test_layers_as_mlx_lm_chooses_them(options, wanted):
    assert names(**options) == wanted


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"target_modules": ["q_proj"]}, {"self_attn.q_proj": EVERY}),
        ({"target_modules": ["_proj"]}, {}),
        ({"target_modules": ["lm_head"]}, {"lm_head": []}),
        ({"target_modules": ["embed_tokens", "up_proj"]}, {"model.embed_tokens": [], "mlp.up_proj": EVERY}),
        ({"target_modules": r".*\.[qk]_proj"}, {"self_attn.q_proj": EVERY, "self_attn.k_proj": EVERY}),
        ({"target_modules": r"[qk]_proj"}, {}),
        ({"target_modules": "all-linear"}, {name: EVERY for name, kind in BLOCK.items() if kind == "linear"}),
        (
            {"target_modules": "all-linear", "exclude_modules": r".*mlp.*"},
            {"self_attn.q_proj": EVERY, "self_attn.k_proj": EVERY},
        ),
        (
            {"target_modules": ["q_proj", "k_proj"], "exclude_modules": ["self_attn.q_proj"]},
            {"self_attn.k_proj": EVERY},
        ),
        ({"target_modules": ["q_proj"], "layers_to_transform": 4}, {"self_attn.q_proj": [4]}),
        ({"target_modules": ["q_proj"], "layers_to_transform": [1, 11]}, {"self_attn.q_proj": [1, 11]}),
        (
            {"target_modules": ["q_proj"], "layers_to_transform": [2], "layers_pattern": "layers"},
            {"self_attn.q_proj": [2]},
        ),
        ({"target_modules": ["q_proj"], "layers_to_transform": [2], "layers_pattern": ["h"]}, {}),
        # A whole path needs no number.
        (
            {"target_modules": ["model.layers.3.mlp.up_proj", "q_proj"], "layers_to_transform": [0]},
            {"self_attn.q_proj": [0], "mlp.up_proj": [3]},
        ),
    ],
)
def test_layers_as_peft_chooses_them(options, wanted):
    assert names(**options) == wanted


def test_blocks_by_another_name():
    layers = {f"transformer.h.{index}.attn": "linear" for index in range(4)}
    assert chosen(layers, LoRAConfig(num_layers=1, layers_pattern="h")).paths == ["transformer.h.3.attn"]
    assert chosen(layers, LoRAConfig(num_layers=1)).paths == []


def test_each_list_of_blocks_has_its_own_last():
    layers = {f"{part}.layers.{index}.q": "linear" for part, count in (("a", 2), ("b", 5)) for index in range(count)}
    assert chosen(layers, LoRAConfig(num_layers=1)).paths == ["a.layers.1.q", "b.layers.4.q"]


@pytest.mark.parametrize(
    ("options", "unmatched"),
    [({"keys": ["up", "q_proj", "lm_head"]}, "up, q_proj"), ({"target_modules": ["up", "q_projs"]}, "q_projs")],
)
def test_keys_that_match_nothing_are_named(options, unmatched):
    message = message_of(lambda: create_adapter(model(), LoRAConfig(**options)))
    assert message.startswith(f"[LoRAConfig] no layer of the model matches {unmatched}; it has: ")
    assert "model.layers.*.self_attn.q_proj, " in message
    assert "layers.1" not in message


def test_a_choice_of_nothing_is_an_error():
    message = message_of(lambda: create_adapter(model(), LoRAConfig(target_modules="nothing")))
    assert message == "[LoRAConfig] none of the model's layers is chosen"


def test_layers_of_a_tree():
    kinds = {path: kind_of(path, node) for path, node in layers_of(model(blocks=1))}
    assert kinds == {
        "model.embed_tokens": "embedding",
        "model.layers.0.self_attn.q_proj": "linear",
        "model.layers.0.self_attn.o_proj": "linear",
        "model.layers.0.mlp.up": "linear",
        "model.layers.0.switch_mlp.up": "switch",
        "lm_head": "linear",
    }


@pytest.mark.parametrize(
    ("path", "node", "kind"),
    [
        ("tokens", {"kind": "embedding"}, "embedding"),
        ("wte", {}, "embedding"),
        ("model.embed_tokens_per_layer", {}, "embedding"),
        ("embed.proj", {}, "linear"),
    ],
)
def test_tables_are_known_by_name_or_say_what_they_are(path, node, kind):
    assert kind_of(path, {**node, "weight": mx.zeros((4, 4))}) == kind


# --- rank and scale ---


def test_scales():
    assert LoRAConfig(rank=4, scale=3.0).scale_of("x") == 3.0
    assert LoRAConfig(rank=4, scale=3.0, alpha=8).scale_of("x") == 2.0
    assert LoRAConfig(rank=4, alpha=8, rslora=True).scale_of("x") == 4.0
    assert LoRAConfig(rank=2, alpha=8, rslora=True, dropout=0.1).scaling("x") == Scaling(8 / math.sqrt(2), 0.1)


def test_patterns():
    config = LoRAConfig(
        rank=8, alpha=16, rank_pattern={"q_proj": 4, r"layers\.1\..*": 2}, alpha_pattern={"attn.q_proj": 20.0}
    )
    assert (config.rank_of("layers.1.attn.q_proj"), config.scale_of("layers.1.attn.q_proj")) == (4, 5.0)
    assert (config.rank_of("layers.1.attn.k_proj"), config.scale_of("layers.1.attn.k_proj")) == (2, 8.0)
    assert (config.rank_of("layers.2.attn.k_proj"), config.scale_of("layers.2.attn.k_proj")) == (8, 2.0)
    # The end of a path that is not the end of a name.
    assert config.rank_of("layers.2.attn.seq_proj") == 8


def test_ranks_by_pattern_are_made():
    made = create_adapter(model(blocks=2), LoRAConfig(rank=4, rank_pattern={r"layers\.0\.mlp\.up": 2})).layers()
    assert made["model.layers.0.mlp.up"]["lora_a"].shape == (64, 2)
    assert made["model.layers.1.mlp.up"]["lora_b"].shape == (4, 32)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"rank": 0}, "rank"),
        ({"rank": 2.0}, "rank"),
        ({"rank": True}, "rank"),
        ({"scale": math.nan}, "scale"),
        ({"scale": "2"}, "scale"),
        ({"alpha": math.inf}, "alpha"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
        ({"rslora": True}, "rslora"),
        ({"rslora": 1, "alpha": 2}, "rslora"),
        ({"use_dora": "yes"}, "use_dora"),
        ({"num_layers": 2.5}, "num_layers"),
        ({"keys": "q_proj"}, "keys"),
        ({"keys": []}, "keys"),
        ({"keys": [1]}, "keys"),
        ({"keys": ["a"], "target_modules": ["a"]}, "keys, target_modules"),
        ({"num_layers": 3, "target_modules": ["a"]}, "num_layers"),
        ({"target_modules": "("}, "target_modules"),
        ({"target_modules": 3}, "target_modules"),
        ({"exclude_modules": ["a"]}, "exclude_modules"),
        ({"layers_to_transform": [1]}, "layers_to_transform"),
        ({"layers_to_transform": [-1], "target_modules": ["a"]}, "layers_to_transform"),
        ({"layers_to_transform": ["1"], "target_modules": ["a"]}, "layers_to_transform"),
        ({"rank_pattern": {"a": 0}}, "rank_pattern"),
        ({"rank_pattern": ["a"]}, "rank_pattern"),
        ({"alpha_pattern": {"(": 1.0}}, "alpha_pattern"),
        ({"alpha_pattern": {"a": math.nan}}, "alpha_pattern"),
    ],
)
def test_a_bad_configuration_is_an_error_that_names_the_field(options, name):
    with pytest.raises(ValueError, match=rf"\[LoRAConfig\] {name}"):
        LoRAConfig(**options)
