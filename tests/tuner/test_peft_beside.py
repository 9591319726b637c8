"""PEFT's folders that have more than factors: weights, biases, rows of tokens, other vocabularies; tied embeddings."""

import json
import os

import numpy as np
import pytest
from tuner_helpers import message_of

import mlxffi.core as mx
from mlxffi.tuner import lora
from mlxffi.tuner.files import write_arrays
from mlxffi.tuner.models import DecoderConfig, decoder_model, random_parameters
from mlxffi.tuner.models.load import adapted, load_parameters, save_model
from mlxffi.tuner.trees import flatten

mx.random.seed(0)

SHAPE = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2}  # fmt: skip
Q = "model.layers.0.self_attn.q_proj"
TOKENS = np.arange(20, dtype=np.int32)[None]


def config_of(tied):
    return {"model_type": "qwen2", **SHAPE, "tie_word_embeddings": tied, "max_position_embeddings": 64}


def base(tied=False):
    config = DecoderConfig.from_dict(config_of(tied))
    return config, random_parameters(config, mx.random.key(1), std=0.2)


def drawn(seed, *shape):
    return mx.array(np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 0.2)


def written(folder, tensors, **about):
    """A folder as PEFT writes it, with factors of one layer and what else there is."""
    named = {f"base_model.model.{name}": value for name, value in tensors.items()}
    factors = {
        f"base_model.model.{Q}.lora_A.weight": drawn(1, 4, 32),
        f"base_model.model.{Q}.lora_B.weight": drawn(2, 32, 4),
    }
    write_arrays(folder / "adapter_model.safetensors", {**factors, **named}, {"format": "pt"})
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": [Q], **about}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def logits(*decoder):
    return np.array(decoder_model(*decoder)(mx.array(TOKENS)))


def test_a_copy_of_what_there_is_changes_nothing(tmp_path):
    _, parameters = base()
    copy = {"model.embed_tokens.base_layer.weight": parameters["model"]["embed_tokens"]["weight"]}
    written(tmp_path, copy)
    tree, adapter = lora.load_into(tmp_path, parameters)
    assert tree is parameters
    assert list(lora.load_adapter(tmp_path, parameters).layers()) == list(adapter.layers()) == [Q]


@pytest.mark.parametrize("path", ["lm_head.weight", "model.norm.weight", f"{Q}.bias", "model.embed_tokens.weight"])
def test_weights_and_biases_of_the_model_take_their_places(path, tmp_path):
    _, parameters = base()
    value = drawn(3, *flatten(parameters)[path].shape)
    name = path.replace(".bias", ".base_layer.bias")
    written(tmp_path, {name: value}, bias="all", modules_to_save=["lm_head"])
    tree, _ = lora.load_into(tmp_path, parameters)
    found = flatten(tree)
    assert mx.array_equal(found.pop(path), value)
    assert all(mx.array_equal(found[name], value) for name, value in flatten(parameters).items() if name != path)
    assert "which lora.load_into puts into the tree" in message_of(lambda: lora.load_adapter(tmp_path, parameters))
    assert "needs a tree" in message_of(lambda: lora.read_adapter(tmp_path))


def test_a_bias_of_the_factors_is_scaled_as_they_are(tmp_path):
    _, parameters = base()
    value = drawn(3, 32)
    written(tmp_path, {f"{Q}.lora_B.bias": value}, lora_bias=True)
    tree, _ = lora.load_into(tmp_path, parameters)
    bias = tree["model"]["layers"][0]["self_attn"]["q_proj"]["bias"]
    np.testing.assert_allclose(np.array(bias), 8 / 4 * np.array(value), rtol=1e-6)


@pytest.mark.parametrize("stated", [[3, 7], {"embed_tokens": [3, 7]}])
@pytest.mark.parametrize("tied", [False, True])
def test_rows_of_tokens_take_their_places(stated, tied, tmp_path):
    config, parameters = base(tied)
    rows = drawn(3, 2, 32)
    written(tmp_path, {"model.embed_tokens.token_adapter.trainable_tokens_delta": rows}, trainable_token_indices=stated)
    found, tree, _ = adapted(config, parameters, tmp_path)
    weight, before = (np.array(item["model"]["embed_tokens"]["weight"]) for item in (tree, parameters))
    np.testing.assert_array_equal(weight[[3, 7]], np.array(rows))
    np.testing.assert_array_equal(np.delete(weight, [3, 7], 0), np.delete(before, [3, 7], 0))
    assert found.tied is tied
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "target_modules": [Q]}))
    assert "trainable_token_indices: expected the tokens" in message_of(lambda: adapted(config, parameters, tmp_path))


@pytest.mark.parametrize("tied", [False, True])
def test_another_vocabulary(tied, tmp_path):
    config, parameters = base(tied)
    new = {"model.embed_tokens.weight": drawn(3, 44, 32), "lm_head.weight": drawn(4, 44, 32)}
    found, tree, adapter = adapted(config, parameters, written(tmp_path, new))
    assert (found.vocab_size, found.tied) == (44, False)
    assert logits(found, tree, adapter).shape == (1, 20, 44)
    # It stays when the model is written.
    save_model(tmp_path / "fused", lora.fuse(tree, adapter), config_of(tied))
    about, again, parameters = load_parameters(tmp_path / "fused")
    assert (about["vocab_size"], again.vocab_size, again.tied) == (44, 44, False)
    np.testing.assert_allclose(logits(again, parameters), logits(found, tree, adapter), atol=1e-5)


def test_an_adapter_of_a_tied_embedding_is_one_of_the_input(tmp_path):
    config, parameters = base(tied=True)
    factors = {
        "model.embed_tokens.lora_embedding_A": drawn(3, 4, 40),
        "model.embed_tokens.lora_embedding_B": drawn(4, 32, 4),
    }
    written(tmp_path, factors, target_modules=[Q, "model.embed_tokens"])
    found, tree, adapter = adapted(config, parameters, tmp_path)
    # The same by hand: an output layer that stays what it was, and an embedding that is changed.
    embedding = parameters["model"]["embed_tokens"]["weight"]
    change = 2 * (factors["model.embed_tokens.lora_embedding_B"] @ factors["model.embed_tokens.lora_embedding_A"]).T
    q = lora.Adapter({"model": {"layers": adapter.parameters["model"]["layers"]}}, adapter.config)
    model = {**parameters["model"], "embed_tokens": {"weight": embedding + change}}
    wanted = logits(found, {"model": model, "lm_head": {"weight": embedding}}, q)
    np.testing.assert_allclose(logits(found, tree, adapter), wanted, atol=1e-5)
    assert abs(logits(config, parameters) - wanted).max() > 0.1
    # Where nothing can be parted it is refused, and so is its counterpart.
    message = message_of(lambda: lora.load_adapter(tmp_path, parameters))
    assert "model.embed_tokens: this embedding is the output layer of the model, too" in message
    assert "the output layer, too" in message_of(lambda: lora.export_peft(adapter, tmp_path / "x", tied=True))
    # Fused, there are two matrices.
    save_model(tmp_path / "fused", lora.fuse(tree, adapter), config_of(True))
    about, again, parameters = load_parameters(tmp_path / "fused")
    assert about["tie_word_embeddings"] is False
    np.testing.assert_allclose(logits(again, parameters), wanted, atol=1e-5)


def test_what_fits_nowhere_is_named(tmp_path):
    _, parameters = base()
    strays = {"model.rest.weight": drawn(3, 4), "model.norm.weight": drawn(3, 4), f"{Q}.lora_B.bias": drawn(3, 5)}
    written(tmp_path, strays)
    lines = message_of(lambda: lora.load_into(tmp_path, parameters)).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == sorted([Q, "model.norm.weight", "model.rest.weight"])


# --- made by PEFT itself ---

CASES = {
    "embed_tokens": {"target_modules": ["model.embed_tokens", "q_proj"]},
    "lm_head": {"target_modules": ["lm_head", "q_proj"]},
    "both saved": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "head saved": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "norm saved": {"target_modules": ["q_proj"], "modules_to_save": ["norm"]},
    "tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [1, 5]},
    "bias": {"target_modules": ["q_proj", "o_proj"], "bias": "all"},
    "bias of layers": {"target_modules": ["q_proj"], "bias": "lora_only"},
    "lora_bias": {"target_modules": ["q_proj", "k_proj"], "lora_bias": True},
    "tied on purpose": {"target_modules": ["model.embed_tokens"], "ensure_weight_tying": True},
    "resized": {"target_modules": ["q_proj"]},
}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_peft(name, tied, tmp_path):
    torch, transformers, peft = map(pytest.importorskip, ("torch", "transformers", "peft"))
    torch.manual_seed(0)
    made = transformers.AutoModelForCausalLM.from_config(
        transformers.Qwen2Config(**SHAPE, tie_word_embeddings=tied, initializer_range=0.2), dtype=torch.float32
    )
    made.save_pretrained(tmp_path / "base")
    # PEFT asks the folder of the model how many tokens there were.
    made = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    if name == "resized":
        made.resize_token_embeddings(48)
    theirs = peft.get_peft_model(made, peft.LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **CASES[name]))
    for parameter in theirs.parameters():
        if parameter.requires_grad:
            parameter.data = torch.randn_like(parameter) * 0.2
    theirs.save_pretrained(tmp_path / "adapter")
    with torch.no_grad():
        wanted = theirs.eval()(torch.tensor(TOKENS).long()).logits.numpy()
    _, config, parameters = load_parameters(tmp_path / "base")
    found, tree, adapter = adapted(config, parameters, tmp_path / "adapter")
    np.testing.assert_allclose(logits(found, tree, adapter), wanted, rtol=0, atol=2e-4)
    assert os.listdir(tmp_path / "adapter")
