"""Hugging Face directories: read as mlx_lm reads them, written whole, and refused with the names of what is wrong."""

import json
import os

import numpy as np
import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from lm_models import MODELS, tokenizer, write_model
from model_cases import nested, tokens

import mlxffi
import mlxffi.core as mx
from mlxffi.tuner import layers, lora
from mlxffi.tuner.models.load import decoder_model, load_model, load_parameters, save_model
from mlxffi.tuner.models.weights import quantizations
from mlxffi.tuner.trees import flatten, tree_map

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
# By which predicates mlx_lm quantizes: all layers in one way; or each in its own, one of them not.
MIXED = {
    "model.layers.0.mlp.down_proj": {"group_size": 32, "bits": 8},
    "model.layers.1.self_attn.q_proj": False,
    "model.embed_tokens": {"group_size": 32, "bits": 6},
}
QUANTIZED = {
    "affine": ({"group_size": 32, "bits": 4}, {}),
    "3 bits": ({"group_size": 32, "bits": 3}, {}),
    "mxfp4": ({"group_size": 32, "bits": 4, "mode": "mxfp4"}, {}),
    "mixed": ({"group_size": 32, "bits": 4}, MIXED),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a directory for each of mlx_lm's tiny models."""
    made = tmp_path_factory.mktemp("models")
    for name, config in MODELS.items():
        write_model(made / name, {**config, "hidden_size": 64, "intermediate_size": 96}, tokenizer())
    return made


def theirs(path):
    from mlx_lm.utils import load_model as load

    return load(path)[0]


def assert_same_logits(path, adapter_path=None):
    import mlx.core as real
    from mlx_lm.utils import load_adapters

    ids = tokens(2, 24)
    model, _, _ = load_model(path, adapter_path)
    their_model = theirs(path)
    if adapter_path is not None:
        their_model = load_adapters(their_model, str(adapter_path))
    expected = np.array(their_model(real.array(ids)).astype(real.float32))
    found = np.array(model(mx.array(ids)).astype(mx.float32))
    np.testing.assert_allclose(found, expected, **CLOSE)
    return found


def copied(source, target, **changes):
    """A copy of a model's directory with changes to config.json."""
    target.mkdir()
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    config = {**json.loads((source / "config.json").read_text()), **changes}
    (target / "config.json").write_text(json.dumps(config))
    return target


def rewritten(path, change):
    """A directory whose tensors a function has changed."""
    arrays = mx.load(str(path / "model.safetensors"))
    mx.eval(arrays)
    change(arrays)
    (path / "model.safetensors").unlink()
    mx.save_safetensors(str(path / "model.safetensors"), arrays)
    return path


# --- reading ---


@pytest.mark.parametrize("name", MODELS)
def test_directories_give_mlx_lms_logits(name, folder):
    assert_same_logits(folder / name)


def quantized_directory(source, target, scheme, own):
    """A directory that mlx_lm has quantized, some layers in ways of their own."""
    from mlx_lm.utils import load_config, quantize_model, save_config
    from mlx_lm.utils import save_model as save

    predicate = (lambda path, module: own.get(path, hasattr(module, "to_quantized"))) if own else None
    options = {"mode": "affine", **scheme}
    model, config = quantize_model(theirs(source), load_config(source), quant_predicate=predicate, **options)
    copied(source, target)
    (target / "model.safetensors").unlink()
    save(target, model)
    save_config(config, config_path=target / "config.json")
    return target


@pytest.mark.parametrize("scheme", QUANTIZED)
@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_quantized_checkpoints_of_mlx_lm_are_read(name, scheme, folder, tmp_path):
    path = quantized_directory(folder / name, tmp_path / "quantized", *QUANTIZED[scheme])
    assert_same_logits(path)
    found = quantizations(load_parameters(path)[2])
    default = layers.Quantization(**QUANTIZED[scheme][0])
    assert found["model.layers.0.self_attn.k_proj"] == default
    if scheme == "mixed":
        assert found["model.layers.0.mlp.down_proj"] == layers.Quantization(32, 8)
        assert found["model.embed_tokens"] == layers.Quantization(32, 6)
        assert "model.layers.1.self_attn.q_proj" not in found


def test_an_output_layer_of_a_tied_model_is_left_out(folder, tmp_path):
    path = rewritten(
        copied(folder / "llama", tmp_path / "model", tie_word_embeddings=True),
        lambda arrays: arrays.update(
            {"lm_head.weight": mx.zeros((512, 64)), "model.layers.0.self_attn.rotary_emb.inv_freq": mx.zeros((8,))}
        ),
    )
    assert_same_logits(path)


def test_what_sees_is_left_out(folder, tmp_path):
    path = copied(folder / "gemma3_text", tmp_path / "model")
    plain = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(nested(plain)))

    def change(arrays):
        text = {f"language_model.{name}": arrays.pop(name) for name in list(arrays)}
        arrays.update({**text, "vision_tower.x": mx.zeros((2,)), "multi_modal_projector.y": mx.zeros((2,))})

    found = assert_same_logits(rewritten(path, change))
    np.testing.assert_allclose(found, assert_same_logits(folder / "gemma3_text"), **CLOSE)
    config, _, parameters = load_parameters(path)
    save_model(tmp_path / "out", parameters, config, path)
    np.testing.assert_array_equal(assert_same_logits(tmp_path / "out"), found)


# --- adapters ---


def moved(tree):
    """A tree of parameters that have been trained."""
    rng = np.random.default_rng(6)
    return tree_map(lambda value: value + mx.array(rng.normal(0, 0.1, value.shape).astype(np.float32)), tree)


@pytest.mark.parametrize("use_dora", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_with_an_adapter_gives_mlx_lms_logits(name, packed, use_dora, folder, tmp_path):
    path = folder / name
    if packed:
        path = quantized_directory(path, tmp_path / "quantized", *QUANTIZED["affine"])
    plain = assert_same_logits(path)
    config = lora.LoRAConfig(rank=4, scale=3.0, num_layers=1, use_dora=use_dora)
    adapter = lora.create_adapter(load_parameters(path)[2], config)
    lora.save_adapter(tmp_path / "adapters", lora.Adapter(moved(adapter.parameters), config))
    assert np.abs(assert_same_logits(path, tmp_path / "adapters") - plain).max() > 1e-3
    model = load_model(path, tmp_path / "adapters")[0]
    assert flatten(model.trainable()).keys() == flatten(adapter.parameters).keys()


def test_a_model_takes_parameters_that_were_trained_themselves(folder, tmp_path):
    path = folder / "qwen3"
    model = decoder_model(*load_parameters(path)[1:], trainable=["model.layers.1"])
    lora.save_full(tmp_path / "full", moved(model.trainable()))
    model.update(moved(model.trainable()))
    again = load_model(path, tmp_path / "full")[0]
    assert again.adapter is None
    ids = mx.array(tokens(1, 9))
    np.testing.assert_array_equal(np.array(again(ids)), np.array(model(ids)))


# --- writing ---


def assert_same_arrays(found, expected):
    found, expected = flatten(found), flatten(expected)
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        assert found[path].dtype == value.dtype
        np.testing.assert_array_equal(np.array(found[path]), np.array(value), err_msg=path)


@pytest.mark.parametrize("shard_bytes", [10**9, 30_000])
@pytest.mark.parametrize("name", MODELS)
def test_a_written_model_is_read_again_here_and_by_mlx_lm(name, shard_bytes, folder, tmp_path):
    config, _, parameters = load_parameters(folder / name)
    save_model(tmp_path / "out", parameters, config, folder / name, shard_bytes=shard_bytes)
    again = load_parameters(tmp_path / "out")
    assert_same_arrays(again[2], parameters)
    assert_same_logits(tmp_path / "out")
    shards = [mx.load(str(file)) for file in (tmp_path / "out").glob("*.safetensors")]
    assert (len(shards) == 1) == (shard_bytes > 10**6)
    for shard in shards:
        assert len(shard) == 1 or sum(value.nbytes for value in shard.values()) <= shard_bytes
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_written_quantized_model_tells_how(folder, tmp_path):
    path = quantized_directory(folder / "llama", tmp_path / "quantized", *QUANTIZED["mixed"])
    config, _, parameters = load_parameters(path)
    save_model(tmp_path / "out", parameters, config, path)
    assert_same_arrays(load_parameters(tmp_path / "out")[2], parameters)
    assert_same_logits(tmp_path / "out")
    save_model(tmp_path / "dense", dense(parameters), config, path)
    assert "quantization" not in load_parameters(tmp_path / "dense")[0]


def dense(tree):
    """A tree with all layers unpacked."""
    if isinstance(tree, dict):
        return layers.dequantized(tree) if "weight" in tree else {key: dense(item) for key, item in tree.items()}
    return [dense(item) for item in tree]


def test_adapters_are_fused_before_a_model_is_written(folder, tmp_path):
    config, _, parameters = load_parameters(folder / "qwen3")
    adapter = lora.create_adapter(parameters, lora.LoRAConfig(keys=("mlp.up_proj",), num_layers=1))
    adapter = lora.Adapter(moved(adapter.parameters), adapter.config)
    attached = lora.attach(parameters, adapter)
    with pytest.raises(ValueError, match=r"adapters must be fused; model\.layers\.1\.mlp\.up_proj carry some"):
        save_model(tmp_path / "out", attached, config, folder / "qwen3")
    save_model(tmp_path / "out", lora.fuse(attached), config, folder / "qwen3")
    lora.save_adapter(tmp_path / "adapters", adapter)
    fused = assert_same_logits(tmp_path / "out")
    np.testing.assert_allclose(fused, assert_same_logits(folder / "qwen3", tmp_path / "adapters"), **CLOSE)


def test_models_are_written_to_new_folders_only(folder, tmp_path):
    config, _, parameters = load_parameters(folder / "qwen3")
    (tmp_path / "empty").mkdir()
    save_model(tmp_path / "empty", parameters, config)
    with pytest.raises(FileExistsError, match="new or empty folder"):
        save_model(tmp_path / "empty", parameters, config)


def test_a_model_that_could_not_be_written_leaves_nothing(folder, tmp_path):
    config, _, parameters = load_parameters(folder / "qwen3")
    with pytest.raises(TypeError):
        save_model(tmp_path / "out", parameters, {**config, "no JSON": object()})
    assert list(tmp_path.iterdir()) == []


# --- what is wrong ---


def refusal(path):
    """Why a directory is not read; pytest's own way would keep the arrays on the stack alive."""
    try:
        load_parameters(path)
    except ValueError as error:
        return str(error)
    raise AssertionError(f"{path} was read")


def test_tensors_that_do_not_fit_are_all_named(folder, tmp_path):
    def change(arrays):
        arrays["model.layers.0.extra"] = mx.zeros((3,))
        arrays["model.norm.weight"] = mx.zeros((65,))
        del arrays["model.layers.1.mlp.up_proj.weight"]

    path = rewritten(copied(folder / "llama", tmp_path / "model"), change)
    assert refusal(path).splitlines() == [
        "the weights are not those that config.json describes:",
        "  model.layers.1.mlp.up_proj.weight: missing",
        "  model.layers.0.extra: unknown",
        "  model.norm.weight: expected (64,), got (65,)",
    ]


@pytest.mark.parametrize("shape", [(), (0,), (64, 1), (64, 3), (64, 200), (2, 2, 2)])
def test_scales_that_do_not_fit_are_named(shape, folder, tmp_path):
    path = quantized_directory(folder / "qwen3", tmp_path / "model", *QUANTIZED["affine"])
    name = "model.layers.0.self_attn.q_proj.scales"
    with pytest.raises(ValueError, match=r"q_proj\.(scales|biases): expected "):
        load_parameters(rewritten(path, lambda arrays: arrays.update({name: mx.zeros(shape)})))


def test_shards_that_the_index_does_not_describe_are_named(folder, tmp_path):
    config, _, parameters = load_parameters(folder / "qwen3")
    out = tmp_path / "out"
    save_model(out, parameters, config, folder / "qwen3", shard_bytes=30_000)
    index = out / "model.safetensors.index.json"
    places = json.loads(index.read_text())["weight_map"]
    first, last = places["model.embed_tokens.weight"], places["model.norm.weight"]
    index.write_text(json.dumps({"weight_map": {**places, "model.norm.weight": first}}))
    assert f"model.norm.weight ({first})" in refusal(out)
    index.write_text(json.dumps({"weight_map": {**places, "model.norm.weight": "../secret.safetensors"}}))
    assert "index.json: weight_map: expected names of files in this folder" in refusal(out)
    index.unlink()
    (out / "model-copy.safetensors").write_bytes((out / last).read_bytes())
    assert "model.norm.weight: other files of the model have them, too" in refusal(out)
    index.write_text(json.dumps({"weight_map": places}))
    (out / last).unlink()
    with pytest.raises(FileNotFoundError, match=last):
        load_parameters(out)


def test_files_that_are_cut_short_are_named(folder, tmp_path):
    path = copied(folder / "qwen3", tmp_path / "model")
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(mlxffi.Error, match=r"model\.safetensors"):
        load_parameters(path)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("llama", {"model_type": "mixtral"}, "model_type: 'mixtral' is none of llama, mistral"),
        ("llama", {"model_type": None}, "model_type: None"),
        ("llama", {"num_local_experts": 8}, "num_local_experts: 8 is not supported"),
        ("qwen3", {"rope_scaling": {"type": "su", "factor": 4.0}}, "rope_type: 'su' is not supported"),
        ("qwen3", {"rope_scaling": {"type": "linear"}}, "rope_scaling: factor: expected a positive number, got None"),
        ("llama", {"hidden_act": "relu"}, "hidden_act: 'relu' is not supported"),
        ("llama", {"num_key_value_heads": 3}, "num_key_value_heads: 3 does not divide"),
        ("llama", {"hidden_size": "64"}, "hidden_size: expected an integer of at least 1, got '64'"),
        ("llama", {"vocab_size": None}, "vocab_size: expected an integer of at least 1, got None"),
        ("llama", {"layer_types": ["full_attention"]}, "layer_types: expected 2 times"),
        ("gemma3_text", {"final_logit_softcapping": 30.0}, "final_logit_softcapping: 30.0 is not supported"),
        ("gemma3_text", {"sliding_window": 0}, "sliding_window: expected an integer of at least 1, got 0"),
        ("llama", {"quantization_config": {"quant_method": "gptq"}}, "quant_method 'gptq' is not supported"),
        ("llama", {"quantization": 4}, "quantization: expected an object, got 4"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor: 0.5 is not supported"),
    ],
)
def test_what_the_decoder_cannot_do_is_named(name, changes, message, folder, tmp_path):
    told = refusal(copied(folder / name, tmp_path / "model", **changes))
    assert told.startswith("config.json: ")
    assert message in told


def test_files_that_are_missing_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a folder with a model"):
        load_model(tmp_path / "none")
    path = copied(folder / "qwen3", tmp_path / "model")
    (path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected model\.safetensors"):
        load_model(path)
    (path / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_model(path)
    (path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="expected a JSON object, got list"):
        load_model(path)
