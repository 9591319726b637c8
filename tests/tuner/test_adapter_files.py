"""Adapters in files: what is written, what is read back, and all that is refused."""

import itertools
import json
import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lora_cases import Numbers, model, same_arrays, trained
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from test_peft import CONFIG
from tuner_helpers import message_of

import mlxffi
import mlxffi.core as mx
from mlxffi.tuner.files import write_arrays
from mlxffi.tuner.lora import (
    Adapter,
    LoRAConfig,
    create_adapter,
    formats,
    load_adapter,
    load_full,
    read_adapter,
    save_adapter,
    save_full,
)
from mlxffi.tuner.trees import flatten

KEYS = ("self_attn.q_proj", "switch_mlp.up", "lm_head", "model.embed_tokens")


def an_adapter(blocks=3, seed=3, **options):
    return trained(create_adapter(model(blocks), LoRAConfig(**{"rank": 4, **options})), seed)


def metadata_of(path):
    with safe_open(path, "numpy") as file:
        return file.metadata()


# --- written and read ---


def test_a_directory_as_mlx_lm_has_it(tmp_path):
    adapter = an_adapter(rank=4, scale=2.5, dropout=0.1, keys=("self_attn.q_proj",), num_layers=2)
    save_adapter(tmp_path / "new" / "folder", adapter, extra={"seed": 7, "num_layers": 99}, metadata={"step": "12"})
    folder = tmp_path / "new" / "folder"
    assert sorted(os.listdir(folder)) == ["adapter_config.json", "adapters.safetensors"]
    assert json.loads((folder / "adapter_config.json").read_text()) == {
        "fine_tune_type": "lora",
        "num_layers": 2,
        "lora_parameters": {"rank": 4, "scale": 2.5, "dropout": 0.1, "keys": ["self_attn.q_proj"]},
        "seed": 7,
    }
    found = load_file(folder / "adapters.safetensors")
    assert {name: array.shape for name, array in found.items()} == {
        f"model.layers.{index}.self_attn.q_proj.{name}": shape
        for index in (1, 2)
        for name, shape in (("lora_a", (64, 4)), ("lora_b", (4, 32)))
    }
    assert metadata_of(folder / "adapters.safetensors") == {
        "format": "mlx",
        "mlxffi": mlxffi.__version__,
        "fine_tune_type": "lora",
        "rank": "4",
        "scale": "2.5",
        "step": "12",
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_dora": True, "keys": KEYS, "num_layers": 2, "dropout": 0.25},
        {"alpha": 12.0, "rslora": True},
        {"rank_pattern": {"q_proj": 2}},
        {"alpha": 3.0, "alpha_pattern": {"lm_head": 5.0}, "keys": KEYS},
        {"target_modules": ["q_proj", "lm_head"], "layers_to_transform": [1]},
    ],
)
def test_what_is_read_is_what_was_written(tmp_path, options):
    adapter = an_adapter(**options)
    save_adapter(tmp_path, adapter)
    for found in (load_adapter(tmp_path, model()), load_adapter(tmp_path / "adapters.safetensors", model())):
        assert same_arrays(found.parameters, adapter.parameters)
        assert {path: part["scaling"] for path, part in found.layers().items()} == {
            path: part["scaling"] for path, part in adapter.layers().items()
        }
    assert flatten(read_adapter(tmp_path).parameters).keys() == flatten(adapter.parameters).keys()


def test_the_configuration_is_read_back(tmp_path):
    config = LoRAConfig(rank=3, scale=0.5, dropout=0.1, use_dora=True, num_layers=2, keys=KEYS[:2])
    save_adapter(tmp_path, create_adapter(model(), config))
    assert load_adapter(tmp_path, model()).config == config


def test_numbered_files(tmp_path):
    first, second = an_adapter(seed=1), an_adapter(seed=2)
    save_adapter(tmp_path, first, name="0000100_adapters.safetensors")
    save_adapter(tmp_path, second)
    assert same_arrays(load_adapter(tmp_path / "0000100_adapters.safetensors", model()).parameters, first.parameters)
    assert same_arrays(load_adapter(tmp_path, model()).parameters, second.parameters)
    assert "ends in .safetensors" in message_of(lambda: save_adapter(tmp_path, first, name="adapters.npz"))


def test_half_precision_stays(tmp_path):
    adapter = an_adapter()
    half = type(adapter)(
        {"lm_head": {"lora_a": mx.ones((64, 4), mx.bfloat16), "lora_b": mx.ones((4, 10), mx.float16)}},
        LoRAConfig(rank=4, keys=("lm_head",)),
    )
    save_adapter(tmp_path, half)
    assert same_arrays(load_adapter(tmp_path, model()).parameters, half.parameters)


def test_layer_10_comes_after_layer_9(tmp_path):
    save_adapter(tmp_path, an_adapter(blocks=12, keys=("self_attn.q_proj",)))
    layers = list(read_adapter(tmp_path).layers())
    assert layers == [f"model.layers.{index}.self_attn.q_proj" for index in range(12)]


def test_whole_parameters(tmp_path):
    base = model()
    new = {"lm_head": {"weight": Numbers(5)(10, 64)}, "model": {"norm": {"weight": Numbers(6)(64)}}}
    save_full(tmp_path, new, extra={"iters": 3, "lora_parameters": {"rank": 8, "scale": 20.0}})
    loaded = load_full(tmp_path, base)
    changed = {path for path, array in flatten(loaded).items() if array is not flatten(base)[path]}
    assert changed == {"lm_head.weight", "model.norm.weight"}
    assert same_arrays(loaded["lm_head"], new["lm_head"])
    assert "load_full reads" in message_of(lambda: load_adapter(tmp_path, base))
    save_adapter(tmp_path, an_adapter())
    assert "load_adapter reads" in message_of(lambda: load_full(tmp_path, base))


def test_whole_parameters_that_do_not_fit(tmp_path):
    norm = {"weight": mx.zeros(64, mx.int32)}
    save_full(tmp_path, {"lm_head": {"weight": mx.zeros((3, 4)), "bias": mx.zeros(3)}, "model": {"norm": norm}})
    assert message_of(lambda: load_full(tmp_path, model())).splitlines()[1:] == [
        "  lm_head.bias: the model has no such parameter",
        "  lm_head.weight: expected shape (10, 64), got (3, 4)",
        "  model.norm.weight: expected float32, got int32",
    ]


# --- what does not fit ---


def changed(folder, change):
    """The directory with its tensors changed, as somebody else might have written them."""
    path = folder / "adapters.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_all_tensors_that_do_not_fit_are_named_at_once(tmp_path):
    save_adapter(tmp_path, an_adapter(keys=("self_attn.q_proj", "lm_head")))

    def spoil(tensors):
        del tensors["lm_head.lora_b"], tensors["model.layers.2.self_attn.q_proj.lora_a"]
        del tensors["model.layers.2.self_attn.q_proj.lora_b"]
        tensors["model.layers.0.self_attn.q_proj.lora_a"] = np.zeros((64, 6), np.float32)
        tensors["model.layers.0.self_attn.q_proj.lora_b"] = np.zeros((6, 32), np.float32)
        tensors["model.layers.1.self_attn.q_proj.lora_b"] = np.zeros((4, 31), np.float32)
        tensors["model.layers.1.self_attn.q_proj.m"] = np.zeros(32, np.float32)
        tensors["model.layers.7.self_attn.q_proj.lora_a"] = np.zeros((64, 4), np.float32)
        tensors["model.layers.0.mlp.up.lora_a"] = np.zeros((64, 4), np.float32)
        tensors["lm_head.weight"] = np.zeros(3, np.float32)
        tensors["lm_head.lora_a"] = np.zeros((64, 4), np.int32)

    changed(tmp_path, spoil)
    lines = message_of(lambda: load_adapter(tmp_path, model())).splitlines()
    assert lines[0] == f"[{tmp_path / 'adapters.safetensors'}] the adapter does not fit:"
    assert lines[1:] == [
        "  lm_head.lora_a: expected floating point, got int32",
        "  lm_head.lora_b: missing",
        "  lm_head.weight: not a part of an adapter",
        "  model.layers.0.mlp.up.lora_b: missing",
        "  model.layers.0.mlp.up: the configuration does not choose this layer",
        "  model.layers.0.self_attn.q_proj.lora_a: expected shape (64, 4) (rank 4), got (64, 6)",
        "  model.layers.0.self_attn.q_proj.lora_b: expected shape (4, 32) (rank 4), got (6, 32)",
        "  model.layers.1.self_attn.q_proj.lora_b: expected shape (4, 32) (rank 4), got (4, 31)",
        "  model.layers.1.self_attn.q_proj.m: magnitudes, but the configuration says LoRA",
        "  model.layers.2.self_attn.q_proj: missing, although the configuration chooses this layer",
        "  model.layers.7.self_attn.q_proj: the model has no such layer",
    ]


def test_without_a_model_parts_and_ranks_are_checked(tmp_path):
    save_adapter(tmp_path, an_adapter(keys=KEYS[:2], use_dora=True))

    def spoil(tensors):
        del tensors["model.layers.2.self_attn.q_proj.m"]
        tensors["model.layers.0.switch_mlp.up.lora_a"] = np.zeros((3, 5, 64), np.float32)
        tensors["model.layers.0.switch_mlp.up.lora_b"] = np.zeros((3, 32, 5), np.float32)
        tensors["model.layers.1.self_attn.q_proj.lora_b"] = np.zeros(4, np.float32)

    changed(tmp_path, spoil)
    lines = message_of(lambda: read_adapter(tmp_path)).splitlines()[1:]
    assert lines == [
        "  model.layers.0.switch_mlp.up.lora_a: expected rank 4, got shape (3, 5, 64)",
        "  model.layers.0.switch_mlp.up.lora_b: expected rank 4, got shape (3, 32, 5)",
        "  model.layers.1.self_attn.q_proj.lora_b: expected rank 4, got shape (4,)",
        "  model.layers.2.self_attn.q_proj.m: missing",
    ]


def test_layers_may_be_missing_where_that_is_asked_for(tmp_path):
    save_adapter(tmp_path, an_adapter(keys=("self_attn.q_proj",)))
    changed(tmp_path, lambda tensors: [tensors.pop(f"model.layers.0.self_attn.q_proj.lora_{side}") for side in "ab"])
    assert "although the configuration chooses" in message_of(lambda: load_adapter(tmp_path, model()))
    assert list(load_adapter(tmp_path, model(), strict=False).layers()) == [
        f"model.layers.{index}.self_attn.q_proj" for index in (1, 2)
    ]


# --- whole or not there ---


@pytest.mark.parametrize("failing", ["save_safetensors", "replace"])
def test_a_save_that_fails_leaves_what_was_there(tmp_path, monkeypatch, failing):
    first, second = an_adapter(seed=1), an_adapter(seed=2)
    save_adapter(tmp_path, first)

    def fail(*args, **kwargs):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(mx if failing == "save_safetensors" else os, failing, fail)
        assert "no space" in message_of(lambda: save_adapter(tmp_path, second), OSError)
    assert sorted(os.listdir(tmp_path)) == ["adapter_config.json", "adapters.safetensors"]
    assert same_arrays(load_adapter(tmp_path, model()).parameters, first.parameters)


def test_files_of_two_saves_are_not_taken_for_one(tmp_path):
    save_adapter(tmp_path, an_adapter(scale=2.0))
    before = (tmp_path / "adapter_config.json").read_text()
    save_adapter(tmp_path, an_adapter(scale=4.0))
    # As if the process had ended between the two.
    (tmp_path / "adapter_config.json").write_text(before)
    message = message_of(lambda: load_adapter(tmp_path, model()))
    assert "was saved with scale 4.0, but adapter_config.json beside it says 2.0: they are not of one save" in message


# --- what mlx_lm means ---


def written_by_mlx_lm(folder, adapter, **parameters):
    """A folder with an adapter's tensors, and lora_parameters as somebody else wrote them."""
    write_arrays(folder / "adapters.safetensors", flatten(adapter.parameters))
    about = {"fine_tune_type": "lora", "num_layers": 3, "lora_parameters": parameters}
    (folder / "adapter_config.json").write_text(json.dumps(about))


def test_beside_alpha_scale_counts_and_a_disagreement_is_told(tmp_path):
    keys = ["self_attn.q_proj"]
    written_by_mlx_lm(tmp_path, an_adapter(keys=keys), rank=4, alpha=16.0, scale=10.0, dropout=0.0, keys=keys)
    with pytest.warns(UserWarning, match=r"scale 10.0 counts, as in mlx_lm, and not alpha 16.0, .* a scale of 4.0"):
        config = read_adapter(tmp_path).config
    assert (config.scale_of(""), config.alpha) == (10.0, None)


def test_an_alpha_that_agrees_with_the_scale_stays(tmp_path):
    keys = ["self_attn.q_proj"]
    written_by_mlx_lm(tmp_path, an_adapter(keys=keys), rank=4, alpha=16.0, scale=4.0, dropout=0.0, keys=keys)
    config = read_adapter(tmp_path).config
    assert (config.scale_of(""), config.alpha) == (4.0, 16.0)


@pytest.mark.parametrize("keys", [{}, {"keys": None}, {"keys": []}])
def test_without_keys_the_tensors_tell_which_layers(tmp_path, keys):
    """What earlier versions of mlx_lm adapted where no keys were given were a few projections, not all."""
    written_by_mlx_lm(tmp_path, an_adapter(keys=["self_attn.q_proj"]), rank=4, scale=2.0, dropout=0.0, **keys)
    found = load_adapter(tmp_path, model())
    assert {path.rpartition("layers.")[2][2:] for path in found.layers()} == {"self_attn.q_proj"}


def test_keys_that_match_nothing_are_no_adapter(tmp_path):
    base = model()
    written_by_mlx_lm(tmp_path, Adapter({}, LoRAConfig()), rank=4, scale=2.0, dropout=0.0, keys=["self_attn.p_proj"])
    assert "expected factors of at least one layer, got none" in message_of(lambda: load_adapter(tmp_path, base))
    message = message_of(lambda: create_adapter(base, LoRAConfig(keys=["self_attn.q_proj", "self_attn.p_proj"])))
    assert "no layer of the model matches self_attn.p_proj" in message
    assert "num_layers: expected a number of blocks, or -1 for all, got 0" in message_of(
        lambda: LoRAConfig(num_layers=0)
    )


# --- files that are none ---


def test_missing_files(tmp_path):
    assert "adapter_config.json" in message_of(lambda: load_adapter(tmp_path, model()), FileNotFoundError)
    save_adapter(tmp_path, an_adapter())
    (tmp_path / "adapters.safetensors").unlink()
    (tmp_path / "adapters.safetensors").symlink_to(tmp_path / "nowhere")
    message = message_of(lambda: load_adapter(tmp_path, model()), FileNotFoundError)
    assert "expected one of adapters.safetensors, adapter.safetensors, adapter_model.safetensors" in message
    (tmp_path / "adapter_model.bin").write_bytes(b"")
    assert "a pickle, which is not read" in message_of(lambda: load_adapter(tmp_path, model()), FileNotFoundError)


def test_other_names_of_the_file(tmp_path):
    save_adapter(tmp_path, an_adapter())
    (tmp_path / "adapters.safetensors").rename(tmp_path / "adapter.safetensors")
    assert load_adapter(tmp_path, model()).layers()


@pytest.mark.parametrize("name", ["adapters.safetensors", "adapter_config.json"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_files_that_are_not_regular(tmp_path, name, make):
    save_adapter(tmp_path, an_adapter())
    (tmp_path / name).unlink()
    make(tmp_path / name)
    assert message_of(lambda: load_adapter(tmp_path, model())) == f"{tmp_path / name}: expected a regular file"


@pytest.mark.parametrize(
    ("name", "limit"), [("adapters.safetensors", "MAX_TENSOR_BYTES"), ("adapter_config.json", "MAX_CONFIG_BYTES")]
)
def test_files_that_are_too_large(tmp_path, monkeypatch, name, limit):
    save_adapter(tmp_path, an_adapter())
    monkeypatch.setattr(formats, limit, 100)
    size = (tmp_path / name).stat().st_size
    assert message_of(lambda: load_adapter(tmp_path, model())).endswith(
        f"{name}: expected at most 100 bytes, got {size}"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected JSON"),
        ("[1]", "expected a JSON object, got list"),
        ("{}", "expected mlx-lm's lora_parameters, PEFT's r or the Go port's rank; got none of them"),
        ('{"lora_parameters": 3}', "lora_parameters: expected an object, got 3"),
        ('{"lora_parameters": {"scale": 2, "rank": 0}}', "rank: expected an int of at least 1, got 0"),
        ('{"lora_parameters": {"scale": 2, "rank": true}}', "rank: expected an int of at least 1, got True"),
        ('{"lora_parameters": {"rank": 8}}', "lora_parameters: expected a scale, which mlx_lm requires, too; got none"),
        ('{"lora_parameters": {"scale": NaN}}', "scale: expected a finite number, got nan"),
        ('{"lora_parameters": {"scale": 2}, "num_layers": "3"}', "num_layers: expected an int, got '3'"),
        ('{"lora_parameters": {"scale": 2, "keys": "q_proj"}}', "keys: expected a list of names, got 'q_proj'"),
        ('{"fine_tune_type": "lokr"}', "fine_tune_type: expected lora, dora or full, got 'lokr'"),
    ],
)
def test_configurations_that_are_none(tmp_path, text, message):
    save_adapter(tmp_path, an_adapter())
    changed(tmp_path, lambda tensors: None)
    (tmp_path / "adapter_config.json").write_text(text)
    found = message_of(lambda: load_adapter(tmp_path, model()))
    assert str(tmp_path / "adapter_config.json") in found
    assert message in found


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_mangled_tensors_are_an_error_or_the_adapter(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("mangled")
    save_adapter(folder, an_adapter(keys=("lm_head",)))
    path = folder / "adapters.safetensors"
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, min(len(content), 600) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    message = mangled_message(folder)
    assert message is None or str(path) in message


def mangled_message(folder):
    """What is wrong with an adapter, if it has not the shapes that it should have."""
    try:
        found = load_adapter(folder, model())
    except ValueError as error:
        return str(error)
    shapes = {name: array.shape for name, array in flatten(found.parameters).items()}
    assert shapes == {"lm_head.lora_a": (64, 4), "lm_head.lora_b": (4, 10)}
    return None


# --- the Go port ---


@pytest.mark.parametrize("prefix", ["model.", ""])
def test_the_go_ports_files(tmp_path, prefix):
    """Its factors are [rank, in] and [out, rank], its scale is alpha / rank, and `model.` is optional."""
    draw = np.random.default_rng(0)
    tensors = {}
    for index in range(3):
        tensors[f"{prefix}layers.{index}.self_attn.q_proj.lora_a"] = draw.normal(size=(2, 64)).astype(np.float32)
        tensors[f"{prefix}layers.{index}.self_attn.q_proj.lora_b"] = draw.normal(size=(32, 2)).astype(np.float32)
    save_file(tensors, tmp_path / "adapter.safetensors")
    config = {"rank": 2, "alpha": 3, "num_layers": 3, "lora_layers": ["self_attn.q_proj"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    found = load_adapter(tmp_path, model()).layers()
    assert list(found) == [f"model.layers.{index}.self_attn.q_proj" for index in range(3)]
    for path, part in found.items():
        assert part["scaling"].scale == 1.5
        stored = {side: tensors[prefix + path.removeprefix("model.") + f".lora_{side}"] for side in "ab"}
        np.testing.assert_array_equal(np.array(part["lora_a"]), stored["a"].T)
        np.testing.assert_array_equal(np.array(part["lora_b"]), stored["b"].T)


def test_the_go_ports_defaults(tmp_path):
    tensors = {"lm_head.lora_a": np.zeros((8, 64), np.float32), "lm_head.lora_b": np.zeros((10, 8), np.float32)}
    save_file(tensors, tmp_path / "adapter.safetensors")
    (tmp_path / "adapter_config.json").write_text('{"rank": 0, "alpha": 0, "lora_layers": null}')
    config = load_adapter(tmp_path, model()).config
    assert (config.rank, config.scale_of("lm_head")) == (8, 2.0)
    (tmp_path / "adapter_config.json").write_text('{"rank": 4}')
    assert "lm_head.lora_a: expected shape (64, 4) (rank 4), got (64, 8)" in message_of(
        lambda: load_adapter(tmp_path, model())
    )


# --- any value in any field ---

NUMBERS = [True, 0, 1, -1, 2.5, math.nan, math.inf, 10**30]
TREES = [[], ["a"], [1], [[]], [None], {}, {"a": 1}, {"a": "b"}, {"(": 2}, {"a": None}]
VALUES = [None, "", "x", "(", "all-linear", *NUMBERS, *TREES]


def mutated(config):
    """A configuration with each of the values in the place of each field."""
    for name in config:
        for value in VALUES:
            yield {**config, name: value}


def configurations(writer):
    if writer == "peft":
        return mutated(CONFIG)
    if writer == "go":
        return mutated({"rank": 4, "alpha": 8, "num_layers": 3, "lora_layers": ["self_attn.q_proj"]})
    inner = {"rank": 4, "scale": 2.0, "alpha": None, "rslora": False, "dropout": 0.0, "keys": None}
    inner |= {"rank_pattern": {}, "alpha_pattern": {}}
    outer = {"fine_tune_type": "lora", "num_layers": 3, "use_dora": False, "lora_parameters": inner}
    return itertools.chain(mutated(outer), ({**outer, "lora_parameters": part} for part in mutated(inner)))


@pytest.mark.parametrize("writer", ["mlx-lm", "peft", "go"])
def test_any_value_in_any_field_is_an_error_with_the_file_or_an_adapter(tmp_path, writer):
    base = model()
    save_adapter(tmp_path, an_adapter(keys=("self_attn.q_proj",)))
    changed(tmp_path, lambda tensors: None)
    for config in configurations(writer):
        (tmp_path / "adapter_config.json").write_text(json.dumps(config))
        message = refused(lambda: load_adapter(tmp_path, base))
        assert message is None or str(tmp_path) in message


def refused(call):
    """The message of the ValueError that a call raises, if it does."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return None
