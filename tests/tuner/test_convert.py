"""`mlxffi-lora convert`: to the byte what mlx_lm.convert makes of the same options, and rules that it has not."""

import json

import numpy as np
import pytest
from end_to_end import command, options
from lm_models import MODELS, tokenizer, write_model
from tuner_helpers import message_of

import mlxffi.core as mx
from mlxffi.tuner.layers import Quantization
from mlxffi.tuner.models import load_model, load_parameters
from mlxffi.tuner.models.quantizing import by_recipe, rule_of, scheme_of
from mlxffi.tuner.models.weights import quantizations

mx.random.seed(0)

WAYS = {
    "plain": {"quantize": True},
    "eight": {"quantize": True, "q_bits": 8, "q_group_size": 32, "dtype": "float16"},
    "mxfp4": {"quantize": True, "q_mode": "mxfp4", "dtype": "bfloat16"},
    "nvfp4": {"quantize": True, "q_mode": "nvfp4", "dtype": "bfloat16"},
    "mxfp8": {"quantize": True, "q_mode": "mxfp8"},
    "mixed_2_6": {"quantize": True, "q_group_size": 32, "quant_predicate": "mixed_2_6"},
    "mixed_3_4": {"quantize": True, "q_group_size": 64, "quant_predicate": "mixed_3_4"},
    "dtype": {"dtype": "bfloat16"},
}


@pytest.fixture(scope="module", params=["llama", "gemma3_text"])
def folder(request, tmp_path_factory):
    made = tmp_path_factory.mktemp("convert")
    write_model(made / "model", {**MODELS[request.param], "num_hidden_layers": 4}, tokenizer())
    return made


def arrays(path):
    return mx.load(str(path / "model.safetensors"))


@pytest.mark.parametrize("way", WAYS)
def test_the_bytes_are_mlx_lms(folder, tmp_path, way):
    convert = pytest.importorskip("mlx_lm.convert").convert
    convert(str(folder / "model"), str(tmp_path / "theirs"), **WAYS[way])
    command("convert", *options(model=folder / "model", mlx_path=tmp_path / "ours", **WAYS[way]))
    theirs, ours = arrays(tmp_path / "theirs"), arrays(tmp_path / "ours")
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert (ours[name].dtype, bytes(ours[name])) == (value.dtype, bytes(value)), name
    # Either reads the other's configuration to the same end.
    found, expected = (quantizations(load_parameters(tmp_path / name)[2]) for name in ("ours", "theirs"))
    assert found == expected
    assert bool(found) == ("quantize" in WAYS[way])


def test_group_sizes_that_mlx_lm_leaves_open(folder, tmp_path):
    """Its recipes write null where no group size is asked for."""
    convert = pytest.importorskip("mlx_lm.convert").convert
    convert(str(folder / "model"), str(tmp_path / "theirs"), quantize=True, quant_predicate="mixed_3_6")
    words = {"quantize": True, "quant_predicate": "mixed_3_6"}
    command("convert", *options(model=folder / "model", mlx_path=tmp_path / "ours", **words))
    assert '"group_size": null' in (tmp_path / "theirs/config.json").read_text()
    theirs, ours = arrays(tmp_path / "theirs"), arrays(tmp_path / "ours")
    assert all(bytes(ours[name]) == bytes(value) for name, value in theirs.items())
    found, expected = (quantizations(load_parameters(tmp_path / name)[2]) for name in ("ours", "theirs"))
    assert found == expected
    assert found["model.layers.0.self_attn.q_proj"] == Quantization(64, 3)


def test_unpacked_weights_are_mlx_lms_but_for_one_rounding(folder, tmp_path):
    convert = pytest.importorskip("mlx_lm.convert").convert
    command("convert", *options(model=folder / "model", mlx_path=tmp_path / "packed", quantize=True))
    convert(str(tmp_path / "packed"), str(tmp_path / "theirs"), dequantize=True)
    command("convert", *options(model=tmp_path / "packed", mlx_path=tmp_path / "ours", dequantize=True))
    theirs, ours = arrays(tmp_path / "theirs"), arrays(tmp_path / "ours")
    assert ours.keys() == theirs.keys()
    assert all(np.abs(np.array(ours[name]) - np.array(value)).max() < 1e-6 for name, value in theirs.items())
    assert "quantization" not in json.loads((tmp_path / "ours/config.json").read_text())


def test_rules_choose_by_pattern(folder, tmp_path):
    rules = ["--q-rule", r"layers\.[01]\..*down_proj=8:32", "--q-rule", "embed_tokens=none", "--q-rule", "down_proj=6"]
    command(
        "convert", *options(model=folder / "model", mlx_path=tmp_path / "m", quantize=True, q_group_size=32), *rules
    )
    found = quantizations(load_parameters(tmp_path / "m")[2])
    assert found["model.layers.1.mlp.down_proj"] == Quantization(32, 8)
    assert found["model.layers.2.mlp.down_proj"] == Quantization(32, 6)
    assert found["model.layers.2.mlp.up_proj"] == Quantization(32, 4)
    assert "model.embed_tokens" not in found
    assert len(load_model(tmp_path / "m")[0].trainable()) >= 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"quantize": True, "dequantize": True}, "quantize, dequantize: expected one of them"),
        ({"quant_predicate": "mixed_3_6"}, "--quantize is missing"),
        ({"quantize": True, "q_rule": "down_proj"}, "q_rule: expected PATTERN=BITS"),
        ({"quantize": True, "q_rule": "(=4"}, "q_rule: '(' is no regular expression"),
        ({"quantize": True, "q_bits": 7}, "bits"),
        ({"quantize": True, "q_mode": "mxfp4", "quant_predicate": "mixed_3_6"}, "quant_predicate: expected no rule"),
        ({"quantize": True, "mlx_path": "x.gguf"}, "quantized by --gguf-type"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(folder, tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    _, err = command("convert", *options(**{"model": folder / "model", "mlx_path": "m", **given}), status=2)
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_stays(folder, tmp_path):
    _, err = command("convert", *options(model=folder / "model", mlx_path=tmp_path), status=2)
    assert "mlx_path: expected a new folder" in err


def test_a_rule_is_read():
    assert rule_of("a=b=3", Quantization(64, 4)).scheme == Quantization(64, 3)
    assert rule_of("x=5:128", Quantization(32, 8)).scheme == Quantization(128, 5)
    assert rule_of("x=none", Quantization()).scheme is None
    assert "got 'x=4:'" in message_of(lambda: rule_of("x=4:", Quantization()))


def test_other_modes_and_recipes_are_named():
    assert "mode: expected one of affine, mxfp4, nvfp4, mxfp8, got 'q4'" in message_of(lambda: scheme_of("q4"))
    assert "name: expected one of mixed_2_6, " in message_of(lambda: by_recipe("mixed", {}, 64))
