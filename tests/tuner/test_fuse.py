"""Fusing: what is left in weights that are quantized again, what a model keeps that sees, and models of mlx_lm."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from end_to_end import CONFIG, command, options
from lora_cases import QUANTIZATIONS, factors, layer, name_of

import mlxffi.core as mx
from mlxffi.tuner import layers, lora
from mlxffi.tuner.files import write_arrays
from mlxffi.tuner.models import DecoderConfig, random_parameters, save_model
from mlxffi.tuner.trees import flatten

mx.random.seed(0)


def doubles(item):
    return np.array(item.astype(mx.float32), np.float64)


@pytest.mark.parametrize("scheme", QUANTIZATIONS, ids=name_of)
@pytest.mark.parametrize("kind", ["linear", "embedding", "switch"])
def test_what_is_left_of_an_adapter_is_measured(scheme, kind):
    node = {**layer(kind, scheme), "adapters": (factors(kind, scale=0.05),)}
    weight, wanted = (doubles(item) for item in (layers.dense_weight(node), layers.adapted_weight(node, kind)))
    fused = layers.requantized({key: node[key] for key in node if key != "adapters"}, layers.adapted_weight(node, kind))
    found = doubles(layers.dense_weight(fused))
    kept, whole, error = layers.surviving([(node, kind), (layer(kind), kind)])
    assert kept == pytest.approx(((found - weight) * (wanted - weight)).sum(), rel=1e-3)
    assert whole == pytest.approx(((wanted - weight) ** 2).sum(), rel=1e-3)
    assert error == pytest.approx(((found - wanted) ** 2).sum(), rel=1e-3)


def test_without_quantized_layers_nothing_is_lost():
    adapter = factors("linear")
    assert layers.surviving([({**layer("linear"), "adapters": (adapter,)}, "linear")]) is None
    assert layers.surviving([(layer("linear", QUANTIZATIONS[0]), "linear")]) is None


def test_a_share_is_told_in_words():
    assert str(layers.Survival(0.5, 1.0, 4.0)) == (
        "50% of what the adapter changes is left, beside an error of 2.00 times its size"
    )


def tune(folder, model, adapter, **more):
    values = {"iters": 2, "batch_size": 4, "num_layers": 1, "max_seq_length": 64, "learning_rate": 0.01, **more}
    command(*options(train=True, **values, model=model, data=folder / "data", adapter_path=adapter))


def test_the_command_tells_what_is_left_and_names_what_keeps_all(folder, tmp_path):
    config = DecoderConfig.from_dict(CONFIG)
    parameters = random_parameters(config, mx.random.key(5))
    for block in parameters["model"]["layers"]:
        block["self_attn"]["q_proj"] = layers.quantized(block["self_attn"]["q_proj"], layers.Quantization(32, 4))
    save_model(tmp_path / "model", parameters, CONFIG, folder / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "model" / name).is_file()
    tune(folder, tmp_path / "model", tmp_path / "a")
    words = {"model": tmp_path / "model", "adapter_path": tmp_path / "a"}
    told = command("fuse", *options(**words, save_path=tmp_path / "f"))[0]
    assert re.search(
        r"quantized again: \d+% of what the adapter changes is left, .*; --dequantize keeps all of it", told
    )
    assert "again" not in command("fuse", *options(**words, dequantize=True, save_path=tmp_path / "g"))[0]


def test_a_model_that_sees_keeps_what_sees(folder, tmp_path):
    text = {**CONFIG, "model_type": "gemma3_text", "tie_word_embeddings": True, "sliding_window": 16}
    config = {
        "model_type": "gemma3",
        "architectures": ["Seeing"],
        "vocab_size": CONFIG["vocab_size"],
        "text_config": text,
    }
    parameters = random_parameters(DecoderConfig.from_dict(config), mx.random.key(0))
    eyes = {"vision_tower.weight": mx.ones((2, 3)), "multi_modal_projector.weight": mx.zeros(4)}
    model = tmp_path / "model"
    model.mkdir()
    write_arrays(model / "model.safetensors", {**flatten(parameters), **eyes})
    (model / "config.json").write_text(json.dumps(config))
    (model / "preprocessor_config.json").write_text("{}")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (model / name).write_bytes((folder / "model" / name).read_bytes())
    tune(folder, model, tmp_path / "a")
    command("fuse", *options(model=model, adapter_path=tmp_path / "a", save_path=tmp_path / "f"))
    found = mx.load(str(tmp_path / "f/model.safetensors"))
    assert found.keys() == flatten(parameters).keys() | eyes.keys()
    assert all(mx.array_equal(found[name], value) for name, value in eyes.items())
    assert (tmp_path / "f/preprocessor_config.json").is_file()
    assert json.loads((tmp_path / "f/config.json").read_text())["architectures"] == ["Seeing"]
    with pytest.warns(UserWarning, match="what sees in it is not written"):
        save_model(tmp_path / "blind", parameters, config)


# --- what mlx_lm's models were trained to ---

WRITE = """
import sys, json
import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models import phi3
config = json.loads(sys.argv[2])
model = phi3.Model(phi3.ModelArgs.from_dict(config))
mx.save_safetensors(sys.argv[1] + "/model.safetensors", dict(tree_flatten(model.parameters())), {"format": "mlx"})
"""
UNFUSE = """
import sys
import numpy as np
from mlxffi import compat
compat.install()
from mlx_lm import load
from mlx.utils import tree_flatten
from mlxffi.tuner.lora import modules
base, fused = (dict(tree_flatten(load(path)[0].parameters())) for path in sys.argv[1:3])
model = load(sys.argv[2])[0]
restored = dict(tree_flatten(modules.unfuse_model(model, sys.argv[3]).parameters()))
apart = max(float(abs(np.array(restored[name]) - np.array(base[name])).max()) for name in base)
moved = max(float(abs(np.array(fused[name]) - np.array(base[name])).max()) for name in base)
print(apart, moved)
"""


def program(*words):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TRANSFORMERS_VERBOSITY": "error"}
    environment |= {"MLX_DISABLE_COMPILE": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def lm():
    """Imported here: what an import keeps of the frames that it was called from would keep a test's arrays, too."""
    pytest.importorskip("transformers")
    return pytest.importorskip("mlx_lm")


def test_what_mlx_lm_trained_is_fused_and_taken_out_and_exported(lm, folder, tmp_path):
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "num_attention_heads": 4}
    more = {"num_key_value_heads": 2, "rms_norm_eps": 1e-6, "max_position_embeddings": 128, "rope_theta": 1e4}
    config = {"model_type": "phi3", **shape, **more, "vocab_size": CONFIG["vocab_size"]}
    config |= {"original_max_position_embeddings": 128}
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (model / name).write_bytes((folder / "model" / name).read_bytes())
    program("-c", WRITE, model, json.dumps(config))
    run = ["-m", "mlxffi.tuner"]
    at = ["--data", folder / "data", "--batch-size", 4, "--max-seq-length", 64]
    program(*run, "--model", model, "--train", *at, "--iters", 3, "--learning-rate", 0.01, "--num-layers", 2,
            "--adapter-path", tmp_path / "a")  # fmt: skip
    program(*run, "fuse", "--model", model, "--adapter-path", tmp_path / "a", "--save-path", tmp_path / "f")
    tested = ((model, tmp_path / "a"), (tmp_path / "f", ""))
    told = [program(*run, "--model", at_, "--test", *at, "--adapter-path", path) for at_, path in tested]
    adapted, fused = (float(text.partition("Test loss ")[2].partition(",")[0]) for text in told)
    assert fused == pytest.approx(adapted, abs=2e-3)
    apart, moved = map(float, program("-c", UNFUSE, model, tmp_path / "f", tmp_path / "a").split())
    assert apart < 1e-6 < 1e-3 < moved
    program(*run, "fuse", "--model", model, "--adapter-path", tmp_path / "a", "--export-peft", tmp_path / "p")
    ours, theirs = (lora.read_adapter(tmp_path / name).layers() for name in ("a", "p"))
    assert ours.keys() == theirs.keys()
    assert all(mx.array_equal(ours[path]["lora_a"], theirs[path]["lora_a"]) for path in ours)
