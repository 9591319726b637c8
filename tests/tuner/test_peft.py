"""PEFT's adapters: what we read of its format, what we refuse, and what PEFT itself makes of what we write."""

import json

import numpy as np
import pytest
from lora_cases import Numbers, model, near, same_arrays, trained
from safetensors.numpy import load_file, save_file
from tuner_helpers import message_of

import mlxffi.core as mx
from mlxffi.tuner import layers
from mlxffi.tuner.lora import LoRAConfig, attach, create_adapter, export_peft, load_adapter, read_adapter

QUERIES = [f"model.layers.{index}.self_attn.q_proj" for index in range(3)]


# As PEFT 0.21 writes it.
CONFIG = {
    "alpha_pattern": {},
    "arrow_config": None,
    "auto_mapping": None,
    "base_model_name_or_path": "somebody/something",
    "bias": "none",
    "corda_config": None,
    "ensure_weight_tying": False,
    "eva_config": None,
    "exclude_modules": None,
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "layer_replication": None,
    "layers_pattern": None,
    "layers_to_transform": None,
    "loftq_config": {},
    "lora_alpha": 3,
    "lora_bias": False,
    "lora_dropout": 0.05,
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "modules_to_save": None,
    "peft_type": "LORA",
    "peft_version": "0.21.2",
    "qalora_group_size": 16,
    "r": 2,
    "rank_pattern": {},
    "revision": None,
    "target_modules": ["q_proj"],
    "target_parameters": None,
    "task_type": "CAUSAL_LM",
    "trainable_token_indices": None,
    "use_dora": False,
    "use_qalora": False,
    "use_rslora": False,
}


def golden(folder, change=lambda config, tensors: None, *, dora=False, rank=2):
    """A directory as PEFT writes it: for three layers of 64 to 32."""
    draw, tensors = np.random.default_rng(0), {}
    for path in QUERIES:
        start = f"base_model.model.{path}"
        tensors[f"{start}.lora_A.weight"] = draw.normal(size=(rank, 64)).astype(np.float32)
        tensors[f"{start}.lora_B.weight"] = draw.normal(size=(32, rank)).astype(np.float32)
        if dora:
            tensors[f"{start}.lora_magnitude_vector"] = draw.normal(size=32).astype(np.float32)
    config = {**CONFIG, "r": rank, "use_dora": dora}
    change(config, tensors)
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return tensors


# --- reading ---


@pytest.mark.parametrize("dora", [False, True])
def test_what_peft_writes(tmp_path, dora):
    tensors = golden(tmp_path, dora=dora)
    adapter = load_adapter(tmp_path, model())
    assert (adapter.config.use_dora, adapter.config.dropout) == (dora, 0.05)
    assert list(adapter.layers()) == QUERIES
    for path, part in adapter.layers().items():
        assert part["scaling"].scale == 1.5
        stored = {name.rpartition(f"{path}.")[2]: array for name, array in tensors.items() if f".{path}." in name}
        np.testing.assert_array_equal(np.array(part["lora_a"]), stored["lora_A.weight"].T)
        np.testing.assert_array_equal(np.array(part["lora_b"]), stored["lora_B.weight"].T)
        if dora:
            np.testing.assert_array_equal(np.array(part["m"]), stored["lora_magnitude_vector"])
    assert same_arrays(read_adapter(tmp_path).parameters, adapter.parameters)


@pytest.mark.parametrize(
    ("change", "scale"),
    [
        ({"use_rslora": True}, 3 / 2**0.5),
        ({"lora_alpha": None}, 4.0),
        ({"alpha_pattern": {"self_attn.q_proj": 8}}, 4.0),
        ({"r": 9, "rank_pattern": {r"layers\.\d+\.self_attn\.q_proj": 2}}, 1.5),
        ({"peft_type": "lora", "fan_in_fan_out": True, "init_lora_weights": "gaussian"}, 1.5),
        ({"eva_config": {"rho": 2.0}, "init_lora_weights": "eva"}, 1.5),
        ({"target_modules": r".*q_proj"}, 1.5),
        ({"target_modules": None, "exclude_modules": ["o_proj"]}, 1.5),
        ({"something_new": None, "another": False, "third": {}}, 1.5),
    ],
)
def test_fields_that_change_the_scale_or_nothing(tmp_path, change, scale):
    golden(tmp_path, lambda config, tensors: config.update(change))
    found = load_adapter(tmp_path, model()).layers()
    assert list(found) == QUERIES
    assert {part["scaling"].scale for part in found.values()} == {scale}


@pytest.mark.parametrize(
    "change",
    [
        {"peft_type": "LOHA"},
        {"bias": "some"},
        {"modules_to_save": "lm_head"},
        {"use_qalora": True},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
        {"alora_invocation_tokens": [1, 2]},
        {"velora_config": {"rank": 1}},
        {"monteclora_config": {"a": 1}},
        {"layer_replication": [[0, 4]]},
        {"target_parameters": ["mlp.experts"]},
        {"trainable_token_indices": 5},
        {"something_new": 0.5},
        {"something_new": "on"},
        {"something_new": 0},
    ],
)
def test_fields_that_ask_for_something_else_are_named(tmp_path, change):
    golden(tmp_path, lambda config, tensors: config.update(change))
    lines = message_of(lambda: load_adapter(tmp_path, model())).splitlines()
    assert lines[0] == f"{tmp_path / 'adapter_config.json'}: asks for what is not LoRA or DoRA as we know it:"
    assert lines[1:] == [f"  {name}: {value!r}" for name, value in change.items()]


def test_bad_values_are_errors_with_the_file(tmp_path):
    golden(tmp_path, lambda config, tensors: config.update(r="8"))
    message = message_of(lambda: load_adapter(tmp_path, model()))
    assert message.startswith(str(tmp_path / "adapter_config.json"))
    assert "rank: expected an int of at least 1, got '8'" in message


def test_tensors_that_do_not_fit_are_named_at_once(tmp_path):
    def spoil(config, tensors):
        start = "base_model.model.model.layers"
        del tensors[f"{start}.0.self_attn.q_proj.lora_B.weight"]
        tensors[f"{start}.1.self_attn.q_proj.lora_A.weight"] = np.zeros((4, 64), np.float32)
        for side in "AB":
            del tensors[f"{start}.2.self_attn.q_proj.lora_{side}.weight"]
        tensors[f"{start}.0.self_attn.q_proj.bias"] = np.zeros(32, np.float32)
        tensors["base_model.model.lm_head.weight"] = np.zeros((2, 2), np.float32)
        tensors["q_proj.lora_A.weight"] = np.zeros((2, 64), np.float32)

    golden(tmp_path, spoil)
    assert message_of(lambda: load_adapter(tmp_path, model())).splitlines()[1:] == [
        "  lm_head.weight: expected (10, 64), got [2, 2]",
        "  model.layers.0.self_attn.q_proj.lora_b: missing",
        "  model.layers.1.self_attn.q_proj.lora_a: expected shape (64, 2) (rank 2), got (64, 4)",
        "  model.layers.2.self_attn.q_proj: missing, although the configuration chooses this layer",
        "  q_proj.lora_A.weight: not a part of a LoRA adapter",
    ]


def test_embeddings(tmp_path):
    def change(config, tensors):
        tensors.clear()
        tensors["base_model.model.model.embed_tokens.lora_embedding_A"] = np.ones((2, 10), np.float32)
        tensors["base_model.model.model.embed_tokens.lora_embedding_B"] = np.ones((64, 2), np.float32)
        config["target_modules"] = ["embed_tokens"]

    golden(tmp_path, change)
    part = load_adapter(tmp_path, model()).layers()["model.embed_tokens"]
    assert (part["lora_a"].shape, part["lora_b"].shape) == ((10, 2), (2, 64))


# --- writing ---

KEYS = ("self_attn.q_proj", "self_attn.o_proj")
EXPORTS = [
    {"keys": KEYS},
    {"keys": KEYS, "num_layers": 2, "use_dora": True, "dropout": 0.1},
    {"keys": (*KEYS, "lm_head"), "alpha": 3.0},
    {"keys": KEYS, "alpha": 3.0, "rslora": True},
    {"keys": KEYS, "rank_pattern": {"q_proj": 2}},
    {"keys": ("model.embed_tokens", "lm_head")},
    {"target_modules": ["q_proj"], "layers_to_transform": [0, 2]},
    {"target_modules": "all-linear", "exclude_modules": ["o_proj"]},
]


@pytest.mark.parametrize("options", EXPORTS)
def test_what_we_write_for_peft_is_what_we_read(tmp_path, options):
    base = model()
    adapter = trained(create_adapter(base, LoRAConfig(rank=4, scale=2.5, **options)))
    export_peft(adapter, tmp_path, "somebody/something")
    found = load_adapter(tmp_path, base)
    assert same_arrays(found.parameters, adapter.parameters)
    scales = [{path: part["scaling"].scale for path, part in one.layers().items()} for one in (adapter, found)]
    assert scales[0] == pytest.approx(scales[1], rel=1e-12)
    assert found.config.use_dora is adapter.config.use_dora


def test_the_written_directory(tmp_path):
    adapter = create_adapter(model(), LoRAConfig(rank=4, scale=2.5, keys=KEYS, num_layers=2))
    export_peft(adapter, tmp_path, "somebody/something")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["peft_type"]) == (4, 10.0, "LORA")
    assert (config["target_modules"], config["layers_to_transform"]) == (sorted(KEYS), [1, 2])
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    assert tensors["base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"].shape == (4, 64)
    assert len(tensors) == 8


def test_what_peft_has_no_place_for_is_named(tmp_path):
    base = model(blocks=1)
    adapter = create_adapter(base, LoRAConfig(keys=("switch_mlp.up", "model.embed_tokens"), use_dora=True))
    lines = message_of(lambda: export_peft(adapter, tmp_path)).splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == ["  model.embed_tokens", "  model.layers.0.switch_mlp.up"]
    assert list(tmp_path.iterdir()) == []


# --- PEFT itself ---


@pytest.fixture(scope="module")
def peft():
    """PEFT, imported and used once before it is seen whether anything leaks."""
    torch, found = pytest.importorskip("torch"), pytest.importorskip("peft")
    found.get_peft_model(
        torch.nn.Sequential(torch.nn.Linear(2, 2)), found.LoraConfig(target_modules=["0"], use_dora=True)
    )
    return found


def torch_model(tree, path=""):
    """Modules of PyTorch with the numbers of a tree: linear layers and the embedding."""
    torch = pytest.importorskip("torch")
    if isinstance(tree, list):
        return torch.nn.ModuleList([torch_model(item, f"{path}.{index}") for index, item in enumerate(tree)])
    if "weight" not in tree:
        made = torch.nn.Module()
        for name, item in tree.items():
            made.add_module(name, torch_model(item, name))
        return made
    weight = torch.tensor(np.array(tree["weight"]))
    if weight.ndim != 2:
        return torch.nn.Identity()
    if path == "embed_tokens":
        return torch.nn.Embedding.from_pretrained(weight)
    made = torch.nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in tree)
    made.weight.data = weight
    if "bias" in tree:
        made.bias.data = torch.tensor(np.array(tree["bias"]))
    return made


PATHS = [*QUERIES, *(path.replace("q_proj", "o_proj") for path in QUERIES), "lm_head", "model.embed_tokens"]


def same_outputs(tree, module):
    """Require the same of our layers and PyTorch's."""
    torch = pytest.importorskip("torch")
    x, ids = Numbers(2)(4, 64), Numbers(3).integers(10, 4)
    for path in PATHS:
        node, layer = tree, module.get_submodule(path)
        for part in path.split("."):
            node = node[int(part)] if isinstance(node, list) else node[part]
        with torch.no_grad():
            if path.endswith("embed_tokens"):
                near(
                    layers.embedding(node, ids), layer(torch.tensor(np.array(ids))).numpy().astype(np.float64), factor=4
                )
            else:
                rows = x[:, : node["weight"].shape[1]]
                wanted = layer(torch.tensor(np.array(rows))).numpy().astype(np.float64)
                near(layers.linear(node, rows), wanted, factor=10)


@pytest.mark.parametrize("options", EXPORTS[:7])
def test_peft_computes_the_same_from_what_we_write(tmp_path, peft, options):
    base = model()
    adapter = trained(create_adapter(base, LoRAConfig(rank=4, scale=2.5, **options)))
    export_peft(adapter, tmp_path, task_type=None)
    loaded = peft.PeftModel.from_pretrained(torch_model(base), str(tmp_path))
    adapted = {
        name.removeprefix("base_model.model.") for name, part in loaded.named_modules() if hasattr(part, "lora_A")
    }
    assert adapted == set(adapter.layers())
    same_outputs(attach(base, adapter), loaded.base_model.model.eval())


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ["q_proj", "o_proj"]},
        {"target_modules": ["q_proj"], "use_dora": True, "lora_dropout": 0.1},
        {"target_modules": r".*layers\.[02].*q_proj", "use_rslora": True},
        {"target_modules": ["q_proj", "o_proj"], "rank_pattern": {"q_proj": 3}, "alpha_pattern": {"o_proj": 5}},
        {"target_modules": ["q_proj", "o_proj"], "layers_to_transform": [1], "exclude_modules": ["o_proj"]},
        {"target_modules": ["embed_tokens", "lm_head"]},
    ],
)
def test_we_compute_the_same_from_what_peft_writes(tmp_path, peft, options):
    torch = pytest.importorskip("torch")
    base = model()
    made = peft.get_peft_model(torch_model(base), peft.LoraConfig(r=4, lora_alpha=10, **options))
    torch.manual_seed(0)
    for parameter in made.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape)
    made.save_pretrained(str(tmp_path), save_embedding_layers=False)
    adapter = load_adapter(tmp_path, base)
    assert adapter.layers()
    same_outputs(attach(base, adapter), made.base_model.model.eval())


def test_turned_factors_are_contiguous(tmp_path):
    export_peft(trained(create_adapter(model(), LoRAConfig(keys=("lm_head",)))), tmp_path)
    found = mx.load(str(tmp_path / "adapter_model.safetensors"))["base_model.model.lm_head.lora_A.weight"]
    near(found, load_file(tmp_path / "adapter_model.safetensors")["base_model.model.lm_head.lora_A.weight"])
