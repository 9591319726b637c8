"""Adapters between mlx_lm over mlx.core and us, in both directions: the same layers, the same outputs."""

import json

import mlx.core as real
import mlx.nn as nn
import pytest
from lora_cases import Numbers, model, near, trained
from mlx.utils import tree_flatten
from mlx_lm.models.switch_layers import SwitchLinear
from mlx_lm.tuner.utils import linear_to_lora_layers, load_adapters
from test_lora_layers import from_real, to_real

import mlxffi.core as mx
from mlxffi.tuner import layers
from mlxffi.tuner.lora import LoRAConfig, attach, create_adapter, load_adapter, save_adapter
from mlxffi.tuner.lora.targets import kind_of, layers_of
from mlxffi.tuner.trees import flatten

KEYS = ["self_attn.q_proj", "switch_mlp.up", "lm_head", "model.embed_tokens"]


class Holder(nn.Module):
    """A module with what it is given; the blocks are those of its part `model`."""

    def __init__(self, parts):
        super().__init__()
        self.update(parts, strict=False)
        for name, part in parts.items():
            self[name] = part

    @property
    def layers(self):
        return self.model.layers


def module_of(tree, path=""):
    """Modules of mlx.nn over mlx.core with the numbers of a tree."""
    if isinstance(tree, list):
        return [module_of(item, f"{path}.{index}") for index, item in enumerate(tree)]
    kind = kind_of(path, tree) if "weight" in tree else None
    if kind is None and "weight" in tree:
        return nn.RMSNorm(1)
    if kind is None:
        return Holder({name: module_of(item, f"{path}.{name}" if path else name) for name, item in tree.items()})
    made = {
        "linear": lambda: nn.Linear(1, 1, bias="bias" in tree),
        "embedding": lambda: nn.Embedding(1, 1),
        "switch": lambda: SwitchLinear(1, 1, 1, bias="bias" in tree),
    }[kind]()
    made.update({name: to_real(array) for name, array in tree.items()})
    return made


def outputs(tree):
    """What each layer of a tree gives, by its path."""
    x, ids = Numbers(2)(4, 64), Numbers(3).integers(3, 4)
    found = {}
    for path, node in layers_of(tree):
        width = layers.dims(node)[-1]
        if kind_of(path, node) == "switch":
            found[path] = layers.switch_linear(node, x[:, None], ids)
        elif kind_of(path, node) == "embedding":
            found[path] = layers.embedding(node, ids)
        else:
            found[path] = layers.linear(node, x[:, :width])
    return found


def real_outputs(module):
    x, ids = to_real(Numbers(2)(4, 64)), to_real(Numbers(3).integers(3, 4))
    found = {}
    for path, layer in module.named_modules():
        name = type(layer).__name__.removeprefix("LoRA").removeprefix("DoRA")
        if name == "SwitchLinear":
            found[path] = layer(x[:, None], ids)
        elif name == "Embedding":
            found[path] = layer(ids)
        elif name == "Linear":
            base = layer.linear if "linear" in layer else layer
            found[path] = layer(x[:, : base.weight.shape[1]])
    return found


def same_outputs(base, adapter, module):
    """Require the same of both, and that each adapted layer gives something else than without."""
    plain, ours, theirs = outputs(base), outputs(attach(base, adapter)), real_outputs(module)
    assert set(ours) <= set(theirs)
    for path in ours:
        near(ours[path], from_real(theirs[path]), factor=4)
    assert {path for path in ours if not bool(mx.allclose(ours[path], plain[path]))} == set(adapter.layers())


CONFIGS = [
    {"keys": None, "num_layers": 2},
    {"keys": KEYS, "num_layers": 1},
    {"keys": KEYS[:1], "num_layers": -1, "use_dora": True},
]


@pytest.mark.parametrize("options", CONFIGS)
def test_mlx_lm_reads_what_we_write(tmp_path, options):
    base = model()
    adapter = trained(create_adapter(base, LoRAConfig(rank=4, scale=2.5, **options)))
    save_adapter(tmp_path, adapter)
    module = load_adapters(module_of(base), str(tmp_path))
    same_outputs(base, adapter, module)


@pytest.mark.parametrize("options", CONFIGS)
def test_we_read_what_mlx_lm_writes(tmp_path, options):
    base, module = model(), module_of(model())
    module.freeze()
    keys = {} if options["keys"] is None else {"keys": options["keys"]}
    config = {"rank": 4, "scale": 2.5, "dropout": 0.0, **keys}
    use_dora = options.get("use_dora", False)
    linear_to_lora_layers(module, options["num_layers"], config, use_dora)
    draw = Numbers(4)
    made = tree_flatten(module.trainable_parameters())
    parts = {path: array + 0.1 * to_real(draw(*array.shape)) for path, array in made}
    module.load_weights(list(parts.items()), strict=False)
    real.save_safetensors(str(tmp_path / "adapters.safetensors"), parts)
    about = {"fine_tune_type": "dora" if use_dora else "lora", "num_layers": options["num_layers"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps({**about, "lora_parameters": config, "seed": 1}))
    adapter = load_adapter(tmp_path, base)
    assert set(flatten(adapter.parameters)) == set(parts)
    same_outputs(base, adapter, module)


def test_mlx_lm_refuses_what_it_would_misread(tmp_path):
    """Layers with scales of their own, for which it has no place."""
    adapter = create_adapter(model(), LoRAConfig(rank=4, alpha=8, alpha_pattern={"q_proj": 2.0}))
    save_adapter(tmp_path, adapter)
    with pytest.raises(KeyError, match="scale"):
        load_adapters(module_of(model()), str(tmp_path))
