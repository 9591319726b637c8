"""Beside plain LoRA: rates by factor, noise in embeddings, starts from weights, parameters trained themselves."""

import json
from collections import Counter
from importlib.metadata import version

import mlx.core as real
import numpy as np
import pytest
import training
from end_to_end import command, options
from lora_cases import wide
from mlx_lm.tuner.utils import load_adapters
from model_cases import config_dict, numbers, ours, theirs, tokens
from tuner_helpers import message_of

import mlxffi.core as mx
from mlxffi.tuner import layers, lora
from mlxffi.tuner.cli.engine import _require_none
from mlxffi.tuner.lora import Adapter, LoRAConfig, create_adapter, create_from_weights, since
from mlxffi.tuner.lora.initial import kind_of_factors
from mlxffi.tuner.models import decoder_model
from mlxffi.tuner.models.load import adapted
from mlxffi.tuner.optimizers import AdamW, lora_plus
from mlxffi.tuner.trainer import TrainingArgs, train
from mlxffi.tuner.trainer.metrics import read_metrics
from mlxffi.tuner.trees import flatten, map_paths

IDS = tokens(2, 12)
KEYS = ("self_attn.q_proj", "mlp.down_proj")


def llama(**changes):
    """A tiny Llama with biases: its config.json, its decoder, its parameters."""
    about = config_dict("llama", attention_bias=True, **changes)
    config, _ = ours(about, {})
    # Large enough that every layer counts.
    return about, *ours(about, {name: 4 * value for name, value in numbers(config).items()})


def logits(config, parameters, adapter=None, training=False, **options):
    model = decoder_model(config, parameters, adapter, **options)
    return np.array(model.logits(model.trainable(), mx.array(IDS), training=training))


def by_name(parameters):
    """The arrays of a tree, as numpy's."""
    return {path: np.array(item) for path, item in flatten(parameters).items()}


def moved(adapter, seed=3):
    """An adapter as training might leave it."""
    rng = np.random.default_rng(seed)
    return Adapter(
        map_paths(
            lambda path, item: item + mx.array(rng.normal(0, 0.05, item.shape).astype(np.float32)), adapter.parameters
        ),
        adapter.config,
    )


# --- LoRA+ ---


@pytest.mark.parametrize("rate", [0.1, lambda step: 0.1 / (1 + step.astype(mx.float32))], ids=["number", "schedule"])
def test_second_factors_have_a_rate_of_their_own(rate):
    trained = {"q": {"lora_a": mx.array([1.0, 2.0]), "lora_b": mx.array([3.0])}, "norm": {"weight": mx.array([4.0])}}
    gradients = map_paths(lambda path, item: mx.ones_like(item), trained)
    optimizer = lora_plus("sgd", rate, 16.0)
    state, found = optimizer.init(trained), trained
    for _ in range(2):
        found, state = optimizer.update(gradients, state, found)
    total = 0.2 if rate == 0.1 else 0.1 + 0.05
    np.testing.assert_allclose(np.array(found["q"]["lora_a"]), [1 - total, 2 - total], rtol=1e-6)
    np.testing.assert_allclose(np.array(found["norm"]["weight"]), [4 - total], rtol=1e-6)
    np.testing.assert_allclose(np.array(found["q"]["lora_b"]), [3 - 16 * total], rtol=1e-6)
    assert state["learning_rate"].item() == pytest.approx(0.1 if rate == 0.1 else 0.05)


@pytest.mark.parametrize("ratio", [0, -1.0, float("nan"), "16"])
def test_a_ratio_out_of_range_is_named(ratio):
    assert "[lora_plus] ratio: expected a finite number above 0" in message_of(lambda: lora_plus("sgd", 0.1, ratio))


# --- NEFTune ---


def test_noise_is_uniform_of_the_size_of_the_formula(monkeypatch):
    seen = []
    monkeypatch.setattr("mlxffi.tuner.models.decoder._block", lambda config, layer, node, x, *_: seen.append(x) or x)
    _, config, parameters = llama()
    mx.random.seed(0)
    logits(config, parameters, training=True, noise=5.0)
    rows, width = IDS.shape[1], config.hidden_size
    noise = wide(seen[0] - parameters["model"]["embed_tokens"]["weight"][mx.array(IDS)])
    bound = 5.0 / np.sqrt(rows * width)
    assert abs(noise).max() <= bound * (1 + 1e-5)
    assert noise.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)
    assert abs(noise.mean()) < 0.1 * bound


def test_noise_is_there_in_training_alone():
    _, config, parameters = llama()
    plain = logits(config, parameters, training=True)
    np.testing.assert_array_equal(logits(config, parameters, noise=5.0), logits(config, parameters))
    mx.random.seed(1)
    first = logits(config, parameters, training=True, noise=5.0)
    second = logits(config, parameters, training=True, noise=5.0)
    mx.random.seed(1)
    np.testing.assert_array_equal(logits(config, parameters, training=True, noise=5.0), first)
    assert abs(first - plain).max() > 0
    assert abs(first - second).max() > 0


# --- starts from weights ---


def by_hand(weight, kind, rank, scale):
    """What the factors begin with, [out, in], in float64: without what the scale multiplies it by."""
    if kind.startswith("pissa"):
        u, values, vt = np.linalg.svd(weight, full_matrices=False)
        return (u[:, :rank] * values[:rank]) @ vt[:rank]
    q, r = np.linalg.qr(weight)
    return scale * q[:, :rank] @ r[:rank]


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_100", "olora"])
@pytest.mark.parametrize("options", [{"scale": 2.5}, {"alpha": 6.0, "rslora": True, "rank_pattern": {"down_proj": 3}}])
def test_factors_begin_with_a_part_of_the_weights(start, options):
    _, config, parameters = llama()
    about = LoRAConfig(rank=4, keys=(*KEYS, "lm_head"), init_lora_weights=start, **options)
    begun, negative = create_from_weights(parameters, about)
    for path, node in begun.layers().items():
        weight = parameters["lm_head"] if path == "lm_head" else parameters["model"]["layers"][int(path.split(".")[2])]
        for part in [] if path == "lm_head" else path.split(".")[3:]:
            weight = weight[part]
        rank, scale = about.rank_of(path), about.scale_of(path)
        expected = by_hand(wide(weight["weight"]), start, rank, scale)
        found = wide(layers.update(node, "linear"))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * abs(expected).max())
        np.testing.assert_array_equal(wide(layers.update(negative.layers()[path], "linear")), -found)
    # Together they change nothing.
    both = logits(config, lora.attach(parameters, negative), begun)
    np.testing.assert_allclose(both, logits(config, parameters), rtol=0, atol=1e-6)


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_100", "olora"])
def test_expert_layers_and_embeddings_begin_so_too(start):
    rng = np.random.default_rng(0)
    weights = {"embed_tokens": rng.normal(size=(24, 16)), "experts": rng.normal(size=(3, 16, 24))}
    tree = {name: {"weight": mx.array(weight.astype(np.float32))} for name, weight in weights.items()}
    about = LoRAConfig(rank=4, scale=0.5, keys=tuple(tree), init_lora_weights=start)
    begun, _ = create_from_weights(tree, about)
    for path, node in begun.layers().items():
        found = wide(layers.update(node, kind_of_factors(path, node)))
        matrices = weights[path] if found.ndim == 3 else weights[path][None]
        expected = np.stack([by_hand(matrix, start, 4, 0.5) for matrix in matrices])
        np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=0, atol=1e-4 * abs(expected).max())


@pytest.mark.parametrize("scheme", [None, layers.Quantization(32, 4, "affine"), layers.Quantization(16, 4, "nvfp4")])
@pytest.mark.parametrize("options", [{"scale": 2.5}, {"alpha": 6.0, "rank_pattern": {"down_proj": 3}}])
def test_what_is_written_is_the_change_since_the_start(scheme, options, tmp_path):
    """As LoRA of twice the rank for the weights as they are, quantized or not."""
    about_model, config, parameters = llama()
    if scheme is not None:
        parameters = lora.adapter.map_layers(lambda path, node: layers.quantized(node, scheme), parameters)
    about = LoRAConfig(rank=4, keys=KEYS, init_lora_weights="pissa", **options)
    begun, negative = create_from_weights(parameters, about)
    trained = moved(begun)
    wanted = logits(config, lora.attach(parameters, negative), trained)
    lora.save_adapter(tmp_path, since(trained, begun))
    found = logits(*adapted(config, parameters, tmp_path))
    assert abs(wanted - logits(config, parameters)).max() > 1e-3
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6 * max(1, abs(wanted).max()))
    stored = json.loads((tmp_path / "adapter_config.json").read_text())["lora_parameters"]
    assert stored["rank"] == 8
    if scheme is None and "scale" in options:
        model = load_adapters(theirs(about_model, by_name(parameters)), str(tmp_path))
        np.testing.assert_allclose(np.array(model(real.array(IDS))), wanted, rtol=0, atol=1e-4)


def test_starts_that_cannot_be_are_named():
    _, _, parameters = llama()
    for given, message in [
        (
            {"rank": 65, "keys": KEYS[:1]},
            "rank: model.layers.0.self_attn.q_proj: expected at most 64, its smaller side",
        ),
        ({"scale": -1.0, "keys": KEYS}, "expected a number above 0 for this start, got -1.0"),
    ]:
        about = LoRAConfig(init_lora_weights="pissa", **given)
        assert message in message_of(lambda about=about: create_from_weights(parameters, about))
    for given, message in [
        ({"init_lora_weights": "loftq"}, "expected one of True, pissa, pissa_niter_N, olora, got 'loftq'"),
        ({"init_lora_weights": "pissa_niter_"}, "pissa_niter_N, olora, got 'pissa_niter_'"),
        ({"init_lora_weights": "pissa", "use_dora": True}, "pissa goes with LoRA, not with DoRA"),
        ({"bias": "some"}, "bias: expected one of none, all, lora_only, got 'some'"),
        ({"modules_to_save": "lm_head"}, "modules_to_save: expected a list of names, got 'lm_head'"),
    ]:
        assert message in message_of(lambda given=given: LoRAConfig(**given))


# --- parameters trained themselves ---

SAVED = {
    "embedding and head": {"modules_to_save": ("embed_tokens", "lm_head")},
    "norm": {"modules_to_save": ("model.norm", "input_layernorm")},
    "biases": {"bias": "all"},
    "tokens": {"trainable_token_indices": (3, 500, 7), "modules_to_save": ("norm",)},
    "biases of layers": {"bias": "lora_only", "modules_to_save": ("lm_head",)},
}


@pytest.mark.parametrize("name", SAVED)
def test_parameters_that_are_trained_are_written_and_read(name, tmp_path):
    about, config, parameters = llama()
    adapter = moved(create_adapter(parameters, LoRAConfig(rank=4, scale=2.0, keys=KEYS, **SAVED[name])))
    assert adapter.whole()
    wanted = logits(config, parameters, adapter)
    factors_alone = Adapter({"model": {"layers": adapter.parameters["model"]["layers"]}}, adapter.config)
    assert abs(wanted - logits(config, parameters)).max() > 1e-3
    lora.save_adapter(tmp_path / "ours", adapter)
    np.testing.assert_array_equal(logits(*adapted(config, parameters, tmp_path / "ours")), wanted)
    again = lora.read_adapter(tmp_path / "ours")
    assert {path: item.shape for path, item in flatten(again.parameters).items()} == {
        path: item.shape for path, item in flatten(adapter.parameters).items()
    }
    assert factors_alone.layers().keys() == again.layers().keys()
    # mlx_lm has no such adapters, which 0.31 (on CPython 3.10) does not say, and reads the fused model.
    if version("mlx_lm") >= "0.32":
        with pytest.raises(ValueError, match="not an adapter parameter"):
            load_adapters(theirs(about, by_name(parameters)), str(tmp_path / "ours"))
    fused = lora.fuse(parameters, adapter)
    np.testing.assert_allclose(logits(config, fused), wanted, rtol=0, atol=1e-5)
    model = theirs(about, by_name(fused))
    np.testing.assert_allclose(np.array(model(real.array(IDS))), wanted, rtol=0, atol=1e-4)
    # By PEFT's names, as we read them
    lora.export_peft(again, tmp_path / "peft")
    np.testing.assert_allclose(logits(*adapted(config, parameters, tmp_path / "peft")), wanted, rtol=0, atol=1e-6)


@pytest.mark.leaks
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", [*SAVED, "pissa", "patterns"])
def test_peft_computes_the_same(name, tied, tmp_path):
    torch, transformers, peft = map(pytest.importorskip, ("torch", "transformers", "peft"))
    about, config, parameters = llama(tie_word_embeddings=tied)
    options = dict(SAVED.get(name, {}))
    if tied:
        options["modules_to_save"] = tuple(part for part in options.get("modules_to_save", ()) if part != "lm_head")
        options["modules_to_save"] = options["modules_to_save"] or None
    if name == "patterns":
        options = {"rank_pattern": {"q_proj": 2}, "alpha": 8.0, "alpha_pattern": {"down_proj": 3.0}}
    settings = LoRAConfig(**{"rank": 4, "scale": 2.0, "keys": KEYS, **options})
    adapter = moved(create_adapter(parameters, settings))
    if name == "pissa":
        begun, _ = create_from_weights(parameters, LoRAConfig(rank=4, keys=KEYS, init_lora_weights="pissa", scale=2.0))
        adapter = since(moved(begun), begun)
    lora.export_peft(adapter, tmp_path, tied=tied)
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.LlamaConfig(**{key: value for key, value in about.items() if key != "model_type"}),
        dtype=torch.float32,
    )
    state = {path: torch.tensor(np.array(item)) for path, item in flatten(parameters).items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"] if tied else [], [])
    loaded = peft.PeftModel.from_pretrained(model, str(tmp_path)).eval()
    with torch.no_grad():
        found = loaded(torch.tensor(IDS).long()).logits.numpy()
    np.testing.assert_allclose(found, logits(config, parameters, adapter), rtol=0, atol=1e-4)


def test_quantized_modules_are_trained_unpacked(tmp_path):
    _, config, parameters = llama()
    scheme = layers.Quantization(32, 4, "affine")
    packed = lora.adapter.map_layers(lambda path, node: layers.quantized(node, scheme), parameters)
    adapter = moved(create_adapter(packed, LoRAConfig(rank=4, keys=KEYS, modules_to_save=("lm_head",))))
    assert adapter.whole()["lm_head.weight"].shape == (config.vocab_size, config.hidden_size)
    lora.save_adapter(tmp_path, adapter)
    np.testing.assert_array_equal(logits(*adapted(config, packed, tmp_path)), logits(config, packed, adapter))


def test_the_head_that_is_trained_gets_its_gradient():
    """Also where losses take what the output layer gets."""
    config, parameters = training.decoder()
    about = LoRAConfig(rank=2, keys=("self_attn.q_proj",), modules_to_save=("embed_tokens", "norm"))
    adapter = create_adapter(parameters, about)
    model = decoder_model(config, parameters, adapter)
    before = {path: np.array(item) for path, item in flatten(model.trainable()).items()}
    train(model, AdamW(0.01), training.batches(2), args=TrainingArgs(iters=3))
    after = {path: np.array(item) for path, item in flatten(model.trainable()).items()}
    for path in ("model.embed_tokens.weight", "model.norm.weight"):
        assert (after[path] != before[path]).any()
    # Rows of tokens that are no input, as no row is: all are outputs.
    assert (after["model.embed_tokens.weight"] != before["model.embed_tokens.weight"]).any(axis=1).all()


def test_what_does_not_fit_is_named(tmp_path):
    _, _, parameters = llama()
    adapter = create_adapter(parameters, LoRAConfig(rank=4, keys=KEYS, modules_to_save=("lm_head",)))
    lora.save_adapter(tmp_path, adapter)
    other = {**parameters, "lm_head": {"weight": parameters["lm_head"]["weight"][:5]}}
    assert "lm_head.weight: expected shape" in message_of(lambda: lora.load_adapter(tmp_path, other))
    about = json.loads((tmp_path / "adapter_config.json").read_text())
    about["lora_parameters"]["modules_to_save"] = ["lm_head", "embed_tokens"]
    (tmp_path / "adapter_config.json").write_text(json.dumps(about))
    assert "model.embed_tokens.weight: missing" in message_of(lambda: lora.load_adapter(tmp_path, parameters))
    message = message_of(lambda: create_adapter(parameters, LoRAConfig(keys=KEYS, modules_to_save=("head",))))
    assert "modules_to_save: expected names of the model's modules, got 'head'" in message
    assert "expected factors alone" in message_of(lambda: lora.unfuse(parameters, adapter))
    assert "expected factors alone" in message_of(lambda: lora.merge([adapter, adapter], [1, 1]))


# --- DoRA on all bases ---


@pytest.mark.parametrize("scheme", [None, *((32, 4, "affine"), (32, 8, "affine"), (32, 4, "mxfp4"), (16, 4, "nvfp4"))])
def test_dora_of_any_base_is_that_of_the_unpacked_one(scheme):
    """Of linear layers and the embedding."""
    _, config, parameters = llama()
    packed = parameters
    if scheme is not None:
        scheme = layers.Quantization(*scheme)
        packed = lora.adapter.map_layers(lambda path, node: layers.quantized(node, scheme), parameters)
    dense = lora.adapter.map_layers(lambda path, node: layers.dequantized(node), packed)
    about = LoRAConfig(rank=4, scale=2.0, keys=(*KEYS, "model.embed_tokens", "lm_head"), use_dora=True)
    adapter = create_adapter(packed, about)
    np.testing.assert_allclose(logits(config, packed, adapter), logits(config, packed), rtol=0, atol=1e-4)
    adapter = moved(adapter)
    wanted = logits(config, dense, adapter)
    assert abs(wanted - logits(config, dense)).max() > 1e-2
    np.testing.assert_allclose(logits(config, packed, adapter), wanted, rtol=0, atol=1e-4)


# --- which layers ---


def test_blocks_and_names_of_peft_choose_layers():
    _, _, parameters = llama()
    about = LoRAConfig(target_modules=("q_proj", "down_proj"), layers_to_transform=(1,), exclude_modules=("down_proj",))
    assert list(create_adapter(parameters, about).layers()) == ["model.layers.1.self_attn.q_proj"]
    about = LoRAConfig(rank=8, target_modules=("q_proj", "v_proj"), rank_pattern={"v_proj": 2})
    ranks = Counter(node["lora_a"].shape[1] for node in create_adapter(parameters, about).layers().values())
    assert ranks == {8: 2, 2: 2}


# --- on the command line ---

CONFIGURED = {
    "pissa": {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "init_lora_weights": "pissa", "target_modules": ["q_proj"]},
    "saved": {"rank": 4, "scale": 2.0, "dropout": 0.1, "bias": "all", "modules_to_save": ["embed_tokens", "norm"]},
    "olora": {"rank": 4, "scale": 2.0, "init_lora_weights": "olora", "rank_pattern": {"q_proj": 2}},
}


@pytest.fixture(scope="module")
def folder(folder):
    for name, about in CONFIGURED.items():
        (folder / f"{name}.yaml").write_text(json.dumps({"lora_parameters": about}))
    return folder


def tune(folder, adapter, name, **more):
    where = {"model": folder / "model", "data": folder / "data", "adapter_path": adapter}
    values = {"iters": 6, "batch_size": 4, "max_seq_length": 64, "learning_rate": 0.003, "save_every": 3, **more}
    beside = {"neftune_noise_alpha": 5, "loraplus_lr_ratio": 16, "config": folder / f"{name}.yaml"}
    return command(*options(train=True, **where, **values, **beside))[0]


@pytest.mark.parametrize("name", CONFIGURED)
def test_a_run_goes_on_to_the_bit_and_its_files_are_the_model(name, folder, tmp_path):
    """With NEFTune's noise, dropout and LoRA+."""
    tune(folder, tmp_path / "whole", name, test=True)
    tune(folder, tmp_path / "parts", name, iters=3)
    out = tune(folder, tmp_path / "parts", name, resume=True, test=True)
    first, second = (mx.load(str(tmp_path / part / "adapters.safetensors")) for part in ("whole", "parts"))
    assert first.keys() == second.keys()
    for path, item in first.items():
        np.testing.assert_array_equal(np.array(second[path]), np.array(item), err_msg=path)
    # The loss of the folder is that of the model that was trained.
    where = {"model": folder / "model", "data": folder / "data", "adapter_path": tmp_path / "parts"}
    again, _ = command(*options(test=True, max_seq_length=64, **where))
    assert again.splitlines()[-1] == out.splitlines()[-1]
    assert out.splitlines()[-1].startswith("Test loss ")


@pytest.mark.parametrize(
    ("then", "now", "message"),
    [
        ("init_lora_weights: pissa", "init_lora_weights: olora", "init_lora_weights was pissa, not olora"),
        ("init_lora_weights: pissa", "dropout: 0.1", "init_lora_weights was pissa, not True"),
        ("scale: 20.0", "scale: 10.0", "scale was 20.0, not 10.0"),
    ],
)
def test_a_run_goes_on_with_what_its_factors_mean(then, now, message, folder, tmp_path):
    config, given = tmp_path / "c.yaml", {"iters": 1, "max_seq_length": 64, "train": True}
    given |= {"model": folder / "model", "data": folder / "data", "adapter_path": tmp_path / "a", "config": config}
    config.write_text(f"lora_parameters: {{rank: 4, {then}}}\n")
    command(*options(**given))
    config.write_text(f"lora_parameters: {{rank: 4, {now}}}\n")
    _, err = command(*options(**{**given, "iters": 2}, resume=True), status=2)
    assert f"the run can only go on as it began: {message}\n" in err


def test_a_run_begins_with_what_was_trained_beside_factors(folder, tmp_path):
    tune(folder, tmp_path / "first", "saved", iters=2)
    tune(folder, tmp_path / "second", "saved", iters=1, resume_adapter_file=tmp_path / "first")
    first, second = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("first", "second"))
    assert second[0]["val_loss"] == pytest.approx(first[-1]["val_loss"], rel=1e-6)


def test_what_models_of_mlx_lm_do_not_do_is_named():
    message = message_of(lambda: _require_none({"neftune_noise_alpha": 0.0, "modules_to_save": ("lm_head",)}))
    assert message == "modules_to_save: expected with our own decoder (engine own), got it with a model of mlx_lm"


def test_mistakes_are_told_before_anything_is_written(folder, tmp_path):
    where = {"model": folder / "model", "data": folder / "data", "adapter_path": tmp_path / "a"}
    for given, message in [
        ({"neftune_noise_alpha": -1}, "neftune_noise_alpha: expected a number of at least 0, got -1.0"),
        ({"loraplus_lr_ratio": 0}, "ratio: expected a finite number above 0, got 0.0"),
        ({"loraplus_lr_ratio": 2, "fine_tune_type": "full"}, "loraplus_lr_ratio: expected with an adapter"),
        ({"config": folder / "pissa.yaml", "fine_tune_type": "dora"}, "pissa goes with LoRA, not with DoRA"),
        (
            {"config": folder / "pissa.yaml", "resume_adapter_file": "x"},
            "resume_adapter_file, init_lora_weights: expected one of them, got both",
        ),
    ]:
        _, err = command(*options(train=True, **where, **given), status=2)
        assert message in err
    assert not (tmp_path / "a").exists()


def test_parts_of_blocks_stay_as_they_are(folder, tmp_path):
    (tmp_path / "c.yaml").write_text("freeze: [layers.0, mlp, q_proj]\n")
    where = {"model": folder / "model", "data": folder / "data", "adapter_path": tmp_path / "a"}
    given = {**where, "iters": 2, "max_seq_length": 64, "learning_rate": 0.01, "num_layers": -1, "train": True}
    full = {"fine_tune_type": "full", "config": tmp_path / "c.yaml"}
    command(*options(**given, **full))
    before, after = (
        mx.load(str(path)) for path in (folder / "model/model.safetensors", tmp_path / "a/adapters.safetensors")
    )
    others = [path for path in before if "mlp" not in path and "q_proj" not in path]
    assert {path for path in others if path.startswith("model.layers.1")} == set(after)
    assert all((np.array(after[path]) != np.array(before[path])).any() for path in after)
    for text, message in [
        ("freeze: [layers.7]", "freeze: expected names of parts that are trained else, got 'layers.7'"),
        ("freeze: [model]", "freeze: expected something to be left to train, got model"),
        ("freeze: mlp", "freeze: expected a list of names, got 'mlp'"),
    ]:
        (tmp_path / "c.yaml").write_text(text)
        _, err = command(*options(**given, **full), status=2)
        assert message in err
    (tmp_path / "c.yaml").write_text("freeze: [mlp]")
    _, err = command(*options(**given, config=tmp_path / "c.yaml"), status=2)
    assert "freeze: expected with fine_tune_type full, got it with lora" in err


@pytest.mark.parametrize("scheme", [None, layers.Quantization(32, 4, "affine")])
def test_rows_of_tokens_are_trained_alone(scheme):
    config, parameters = training.decoder()
    if scheme is not None:
        packed = layers.quantized(parameters["model"]["embed_tokens"], scheme)
        parameters = {**parameters, "model": {**parameters["model"], "embed_tokens": packed}}
    table = np.array(layers.dense_weight(parameters["model"]["embed_tokens"]))
    adapter = create_adapter(parameters, LoRAConfig(rank=2, keys=("self_attn.q_proj",), trainable_token_indices=(9, 2)))
    model = decoder_model(config, parameters, adapter)
    train(model, AdamW(0.01), training.batches(2), args=TrainingArgs(iters=3))
    after = np.array(model.parameters()["model"]["embed_tokens"]["weight"])
    assert sorted(np.flatnonzero((after != table).any(axis=1))) == [2, 9]
    rows = model.trainable()["model"]["embed_tokens"]["token_rows"]
    np.testing.assert_array_equal(after[[9, 2]], np.array(rows))


@pytest.mark.parametrize("indices", [(1, 1), (99,), (0, 23)])
def test_tokens_that_have_no_row_are_named(indices):
    _, parameters = training.decoder()
    about = LoRAConfig(keys=("self_attn.q_proj",), trainable_token_indices=indices)
    message = message_of(lambda: create_adapter(parameters, about))
    assert "trainable_token_indices: expected different tokens below 23" in message


def test_a_table_that_is_not_there_is_named():
    _, parameters = training.decoder()
    about = LoRAConfig(keys=("self_attn.q_proj",), trainable_token_indices={"head": [1]})
    assert "got [1] of 'head'" in message_of(lambda: create_adapter(parameters, about))
    message = message_of(lambda: LoRAConfig(trainable_token_indices={"lm_head": [-1]}))
    assert "trainable_token_indices['lm_head']: expected" in message
