"""GGUF files: what gguf-py writes is read, what is written is what gguf-py reads, and broken files are named."""

import json
import re
import struct

import gguf
import numpy as np
import pytest
import tokenizers
from end_to_end import command, options, write_data
from gguf_cases import CONFIGS, LONGROPE, bytes_tokenizer, continued, log_probabilities, model
from hypothesis import example, given
from hypothesis import strategies as st
from tuner_helpers import message_of

import mlxffi.core as mx
from mlxffi.tuner import lora
from mlxffi.tuner.models import DecoderConfig, Tokenizer, load_model, load_parameters, random_parameters
from mlxffi.tuner.models.gguf import architecture
from mlxffi.tuner.models.gguf.blocks import PACKED, encoded
from mlxffi.tuner.models.gguf.file import Tensor, is_gguf, read_header, write_gguf
from mlxffi.tuner.models.gguf.model import export_adapter, export_model, rounded
from mlxffi.tuner.models.gguf.tokenizer import tokenizer_metadata
from mlxffi.tuner.models.weights import quantizations
from mlxffi.tuner.trees import flatten

mx.random.seed(0)

KINDS = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"]
Q6_K = gguf.GGMLQuantizationType.Q6_K


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model of each family in float32, by family."""
    made = tmp_path_factory.mktemp("gguf")
    for family, config in CONFIGS.items():
        export_model(made / family, model(config)[1], config, bytes_tokenizer(), "F32")
    return made


# --- blocks ---


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_those_of_gguf_py(kind):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(16, 64)).astype(np.float32)
    values[0], values[1, :32], values[2] = 0, 1e-30, values[2] * 1e3
    values[3] = np.round(values[3] * 4) / 4  # halves
    expected = gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])
    assert np.array_equal(np.array(encoded(mx.array(values), kind)), expected.reshape(-1).view(np.uint8))


@pytest.mark.parametrize("kind", PACKED)
def test_what_blocks_come_to_is_what_gguf_py_reads(kind):
    values = np.random.default_rng(0).normal(size=(16, 64)).astype(np.float32)
    type = gguf.GGMLQuantizationType[kind]
    expected = gguf.quants.dequantize(gguf.quants.quantize(values, type), type)
    np.testing.assert_allclose(np.array(rounded(mx.array(values), kind)), expected, rtol=1e-6)
    # A width that has no blocks is that of F16.
    odd = values[:, :48]
    assert np.array_equal(np.array(rounded(mx.array(odd), kind)), odd.astype(np.float16).astype(np.float32))


@given(st.lists(st.floats(-8, 8, width=16), min_size=32, max_size=32))
@example([0.0] * 30 + [4.25390625, -7.5625])  # just below a whole number, to which float32 rounds it
def test_blocks_of_any_numbers(numbers):
    values = np.array([numbers], np.float32) + 0.0  # of 0 and -0, either may be the least
    for kind in ("Q8_0", "Q4_0", "Q4_1"):
        expected = gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])
        assert bytes(encoded(mx.array(values), kind)) == expected.tobytes()


# --- whole files ---


@pytest.mark.parametrize("family", CONFIGS)
def test_what_is_written_is_read(files, family):
    decoder, parameters = model(CONFIGS[family])
    config, found, read = load_parameters(files / family)
    ids = list(range(2, 60))
    assert np.array_equal(log_probabilities(found, read, ids), log_probabilities(decoder, parameters, ids))
    assert config["model_type"] == {"mistral": "llama", "gemma3": "gemma3_text"}.get(family, family)
    arrays = flatten(parameters)
    apart = {name: abs(np.array(value) - np.array(arrays[name])).max() for name, value in flatten(read).items()}
    assert apart.keys() == arrays.keys()
    # Norms of Gemma stand there as 1 + weight.
    assert all(value <= (1e-7 if family == "gemma3" else 0) for value in apart.values())


def test_gguf_py_reads_what_is_written(files):
    reader = gguf.GGUFReader(files / "qwen3")
    decoder, parameters = model(CONFIGS["qwen3"])
    found = {tensor.name: tensor.data for tensor in reader.tensors}
    assert np.array_equal(found["blk.1.ffn_up.weight"], parameters["model"]["layers"][1]["mlp"]["up_proj"]["weight"])
    assert found["blk.0.attn_q_norm.weight"].shape == (decoder.head_dim,)
    assert reader.get_field("qwen3.attention.key_length").contents() == decoder.head_dim
    assert reader.get_field("tokenizer.ggml.pre").contents() == "gpt-2"
    assert reader.get_field("tokenizer.chat_template").contents() == "{{ messages[0].content }}"


def writer(path, name="llama", width=64, heads=4, blocks=1):
    """A file of gguf-py with the metadata of a small Llama."""
    made = gguf.GGUFWriter(path, name)
    made.add_context_length(128)
    made.add_embedding_length(width)
    made.add_block_count(blocks)
    made.add_feed_forward_length(32)
    made.add_head_count(heads)
    made.add_layer_norm_rms_eps(1e-5)
    made.add_tokenizer_model("gpt2")
    made.add_tokenizer_pre("default")
    stated = json.loads(bytes_tokenizer().backend_tokenizer.to_str())["model"]
    made.add_token_list(sorted(stated["vocab"], key=stated["vocab"].get))
    made.add_token_types([3, 3] + [1] * 510)
    made.add_token_merges([" ".join(pair) for pair in stated["merges"]])
    made.add_eos_token_id(1)
    return made


def finished(made):
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()


def tensors(rng):
    """Those of the small Llama, by name: the values, and the type they are to have."""
    shapes = {"token_embd": (512, 64), "blk.0.attn_q": (64, 64), "blk.0.attn_k": (64, 64), "blk.0.attn_v": (64, 64)}
    shapes |= {"blk.0.attn_output": (64, 64), "blk.0.ffn_gate": (32, 64), "blk.0.ffn_up": (32, 64)}
    shapes |= {"blk.0.ffn_down": (64, 32), "blk.0.attn_norm": (64,), "blk.0.ffn_norm": (64,), "output_norm": (64,)}
    kinds = {"token_embd": "Q8_0", "blk.0.attn_q": "Q4_0", "blk.0.attn_k": "Q4_1", "blk.0.ffn_down": "Q5_0"}
    kinds |= {"blk.0.attn_v": "F16", "blk.0.ffn_up": "BF16", "blk.0.attn_output": "Q5_1"}
    return {
        name: (rng.normal(0, 0.3, shape).astype(np.float32), gguf.GGMLQuantizationType[kinds.get(name, "F32")])
        for name, shape in shapes.items()
    }


@pytest.fixture
def mixed(tmp_path):
    """A file of gguf-py with tensors of many types, and their numbers as gguf-py decodes them."""
    made, expected = writer(tmp_path / "m.gguf"), {}
    for name, (values, kind) in tensors(np.random.default_rng(1)).items():
        data = gguf.quants.quantize(values, kind)
        made.add_tensor(f"{name}.weight", data, raw_dtype=kind)
        expected[name] = gguf.quants.dequantize(data, kind).astype(np.float64)
    finished(made)
    return tmp_path / "m.gguf", expected


def halves(rows, heads):
    """Rows of heads in the order of Hugging Face: the even ones of a head first."""
    split = rows.reshape(heads, -1, 2, rows.shape[-1])
    return np.concatenate([split[:, :, 0], split[:, :, 1]], axis=1).reshape(rows.shape)


def test_blocks_stay_as_they_are(mixed):
    path, expected = mixed
    with pytest.warns(UserWarning, match="decoded to floating point: 1 of type Q5_0, 1 of type Q5_1"):
        _, decoder, parameters = load_parameters(path)
    kept = {layer: scheme.bits for layer, scheme in quantizations(parameters).items()}
    block = "model.layers.0.self_attn"
    assert kept == {"model.embed_tokens": 8, f"{block}.q_proj": 4, f"{block}.k_proj": 4}
    found = flatten(lora.fuse(parameters, dequantize=True))
    attention = {name: np.array(found[f"{block}.{name}_proj.weight"], np.float64) for name in "qkvo"}
    for name, wanted in (("q", halves(expected["blk.0.attn_q"], 4)), ("k", halves(expected["blk.0.attn_k"], 4)),
                         ("v", expected["blk.0.attn_v"]), ("o", expected["blk.0.attn_output"])):  # fmt: skip
        # MLX's products are rounded to float16 once.
        assert np.abs(attention[name] - wanted).max() < 1e-3
    assert np.array(found["model.norm.weight"]).dtype == np.float16
    assert decoder.tied


def test_a_model_of_blocks_is_tuned_and_fused(mixed, tmp_path):
    path, _ = mixed
    write_data(tmp_path / "data", counts=(8, 4, 4))
    shared = {"model": path, "adapter_path": tmp_path / "a"}
    run = {"iters": 3, "batch_size": 4, "max_seq_length": 64, "learning_rate": 0.01, "num_layers": 1}
    _, err = command(*options(train=True, data=tmp_path / "data", **shared, **run))
    assert err.startswith("mlxffi-lora: warning: ")
    assert "1 of type Q5_0" in err
    command("fuse", *options(**shared, dequantize=True, save_path=tmp_path / "fused"))
    command("fuse", *options(**shared, export_gguf=tmp_path / "fused.gguf", gguf_type="F16"))
    told, _ = command("fuse", *options(**shared, export_gguf=tmp_path / "packed.gguf", gguf_type="Q4_0"))
    left = r"quantized to Q4_0: \d+% of what the adapter changes is left, .*; --gguf-type F16 keeps all of it"
    assert re.search(left, told)
    command("fuse", *options(**shared, export_peft=tmp_path / "peft"))
    assert (tmp_path / "peft/adapter_model.safetensors").is_file()
    command(*options(train=True, resume=True, data=tmp_path / "data", **shared, **{**run, "iters": 4}))
    ids = bytes_tokenizer().encode("A list of")
    with pytest.warns(UserWarning, match="Q5_0"):
        adapted = load_model(path, tmp_path / "a")[0]
    assert continued(load_model(tmp_path / "fused")[0], ids) == continued(load_model(tmp_path / "fused.gguf")[0], ids)
    assert len(continued(adapted, ids)) == 16
    text, _ = command("generate", *options(**shared, prompt="A list of", max_tokens=3, quiet=True))
    assert text


def test_a_folder_of_a_file_is_one_of_its_model(files, tmp_path):
    command("convert", *options(model=files / "llama", mlx_path=tmp_path / "m"))
    config = json.loads((tmp_path / "m/config.json").read_text())
    assert config["rope_scaling"] == CONFIGS["llama"]["rope_scaling"]
    assert (config["rms_norm_eps"], config["vocab_size"], config["eos_token_id"]) == (1e-6, 512, 1)
    read, written = Tokenizer.from_directory(files / "llama"), Tokenizer.from_directory(tmp_path / "m")
    assert read.encode("A list's 42") == written.encode("A list's 42")
    assert written.apply_chat_template([{"content": "Hi"}]) == read.encode("Hi", add_special_tokens=False)
    assert (written.special_tokens, written.eos_token_ids) == (read.special_tokens, {1})
    arrays = {"a": flatten(load_parameters(tmp_path / "m")[2]), "b": flatten(load_parameters(files / "llama")[2])}
    assert all(mx.array_equal(arrays["a"][name], arrays["b"][name]) for name in arrays["b"])


def test_wavelengths_of_no_known_scaling_stay_what_they_are(tmp_path):
    scaling = {**CONFIGS["llama"]["rope_scaling"], "original_max_position_embeddings": 64, "low_freq_factor": 2.0}
    config = {**CONFIGS["llama"], "rope_scaling": scaling}
    export_model(tmp_path / "m.gguf", model(config)[1], config, bytes_tokenizer(), "F32")
    read, decoder, _ = load_parameters(tmp_path / "m.gguf")
    assert read["rope_scaling"]["rope_type"] == "longrope"
    assert decoder.rope.periods == pytest.approx(DecoderConfig.from_dict(config).rope.periods)
    assert decoder.rope.magnitude == 1


def test_longrope_is_read_as_it_was(tmp_path):
    config = {**CONFIGS["llama"], "rope_scaling": LONGROPE}
    with pytest.warns(UserWarning, match="long factors for all of a context of more than 64 tokens"):
        export_model(tmp_path / "m.gguf", model(config)[1], config, bytes_tokenizer(), "F32")
    rope, expected = load_parameters(tmp_path / "m.gguf")[1].rope, DecoderConfig.from_dict(config).rope
    assert (rope.context, rope.magnitude) == (64, pytest.approx(expected.magnitude))
    assert rope.periods == pytest.approx(expected.periods)
    assert rope.long_periods == pytest.approx(expected.long_periods)


def test_factors_of_longrope_need_its_name(tmp_path):
    made = {f"{name}.weight": Tensor(mx.array(values), "F32") for name, (values, _) in tensors(np.random).items()}
    made["rope_factors_long.weight"] = Tensor(mx.ones(8), "F32")
    write_gguf(tmp_path / "m.gguf", metadata_of_small(), made)
    assert "got one without the other" in message_of(lambda: load_model(tmp_path / "m.gguf"))


def test_the_ends_of_turns_are_found(tmp_path):
    made = writer(tmp_path / "m.gguf")
    made.add_eot_token_id(7)
    made.add_add_bos_token(True)
    made.add_bos_token_id(0)
    made.add_chat_template([{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}])
    finished(made)
    tokenizer = Tokenizer.from_directory(tmp_path / "m.gguf")
    assert tokenizer.eos_token_ids == {1, 7}
    assert tokenizer.encode("")[0] == 0
    assert tokenizer.chat_templates == {"default": "d", "tool_use": "t"}


# --- what is refused ---


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "general.architecture",
            "gpt2",
            "expected one of llama, qwen2, qwen3, gemma3, got 'gpt2'",
        ),
        ("llama.expert_count", 4, "llama.expert_count: the decoder has not"),
        ("llama.rope.dimension_count", 8, "llama.rope.dimension_count: the decoder has not"),
        ("llama.rope.scaling.type", "grouped", "rope.scaling.type: expected none, linear, yarn or longrope"),
        ("llama.rope.scaling.type", "longrope", "rope.scaling.type: expected longrope with rope_factors_short.weight"),
        ("llama.attention.head_count", "four", "llama.attention.head_count: expected an integer"),
        ("llama.feed_forward_length", 48, "the weights are not those"),
        ("tokenizer.ggml.model", "t5", "tokenizer.ggml.model: expected gpt2 or llama, got 't5'"),
        ("tokenizer.ggml.pre", "chameleon", "tokenizer.ggml.pre: expected one of gpt-2, default"),
        ("tokenizer.ggml.merges", ["a", "b"], "merges: expected pairs of tokens"),
        ("tokenizer.ggml.merges", [1], "tokenizer.ggml.merges: expected a list of str"),
        ("llama.rope.scaling.factor", -2.0, "factor: expected a positive number, got -2.0"),
        ("tokenizer.ggml.tokens", [], "tokenizer.ggml.tokens: expected the vocabulary"),
        ("tokenizer.ggml.token_type", [1, 2], "tokenizer.ggml.token_type: expected one for each of 512 tokens, got 2"),
        ("tokenizer.ggml.eos_token_id", 4000, "tokenizer.ggml.eos_token_id: expected an id below 512, got 4000"),
    ],
)
def test_what_a_file_asks_for_is_named(tmp_path, key, value, message):
    metadata = metadata_of_small()
    made = {f"{name}.weight": Tensor(mx.array(values), "F32") for name, (values, _) in tensors(np.random).items()}
    write_gguf(tmp_path / "m.gguf", {**metadata, key: value}, made)
    assert message in message_of(lambda: load_model(tmp_path / "m.gguf"))
    assert str(tmp_path) in message_of(lambda: load_model(tmp_path / "m.gguf"))


def metadata_of_small():
    shape = {"num_key_value_heads": 4, "num_hidden_layers": 1, "intermediate_size": 32}
    config = {**CONFIGS["llama"], **shape, "rope_scaling": None, "tie_word_embeddings": True}
    found = architecture.metadata_of(config, DecoderConfig.from_dict(config))
    return {**found, **tokenizer_metadata(bytes_tokenizer(), 512)}


def test_a_file_that_ends_too_early(files, tmp_path):
    whole = (files / "qwen3").read_bytes()
    for length in (4, 20, 100, 3000, len(whole) // 2):
        (tmp_path / "m.gguf").write_bytes(whole[:length])
        with pytest.raises((ValueError, RuntimeError), match=r"GGUF|gguf"):
            load_model(tmp_path / "m.gguf")
    (tmp_path / "m.gguf").write_bytes(b"")
    assert not is_gguf(tmp_path / "m.gguf")
    for head in (b"GGUF" + struct.pack("<I", 1), b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**60)):
        (tmp_path / "m.gguf").write_bytes(head + bytes(64))
        assert "expected a GGUF file, got one that cannot be read" in message_of(
            lambda: read_header(tmp_path / "m.gguf")
        )


def refused(tmp_path, config, tokenizer=None, **more):
    parameters = random_parameters(DecoderConfig.from_dict(config), mx.random.key(0))
    words = (tmp_path / "m.gguf", parameters, config, tokenizer or bytes_tokenizer())
    found = message_of(lambda: export_model(*words, **more))
    assert not (tmp_path / "m.gguf").exists()
    return found


def test_what_llama_cpp_would_compute_otherwise_is_refused(tmp_path):
    dynamic = {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}
    assert "'dynamic' cannot be written" in refused(tmp_path, {**CONFIGS["qwen2"], **dynamic})
    llama3 = {"rope_scaling": CONFIGS["llama"]["rope_scaling"]}
    assert "not for qwen3" in refused(tmp_path, {**CONFIGS["qwen3"], **llama3})
    longrope = {"rope_scaling": LONGROPE}
    assert "has longrope's for Llama and Mistral" in refused(tmp_path, {**CONFIGS["qwen2"], **longrope})
    scalar = {**CONFIGS["gemma3"], "query_pre_attn_scalar": 32}
    assert "query_pre_attn_scalar: llama.cpp has 16 for this size, got 32" in refused(tmp_path, scalar)
    assert "kind: expected one of F32" in refused(tmp_path, CONFIGS["qwen3"], kind="Q2_K")
    assert "expected at most 256 tokens" in refused(tmp_path, {**CONFIGS["qwen3"], "vocab_size": 256})


def test_a_window_that_llama_cpp_lacks_is_told(tmp_path):
    config = {**CONFIGS["mistral"], "sliding_window": 32}
    with pytest.warns(UserWarning, match="no window of 32 tokens for mistral"):
        export_model(tmp_path / "m.gguf", model(config)[1], config, bytes_tokenizer())
    assert read_header(tmp_path / "m.gguf").metadata["llama.context_length"] == 32


def test_widths_that_make_no_blocks_are_float16(tmp_path):
    config = {**CONFIGS["qwen3"], "intermediate_size": 40}
    with pytest.warns(UserWarning, match=r"2 tensors are F16, .* multiple of 32: blk.0.ffn_down.weight"):
        export_model(tmp_path / "m.gguf", model(config)[1], config, bytes_tokenizer(), "Q8_0")
    types = read_header(tmp_path / "m.gguf").types
    assert (types["blk.0.ffn_down.weight"], types["blk.0.ffn_up.weight"]) == ("F16", "Q8_0")


def test_tokenizers_that_llama_cpp_lacks(tmp_path):
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"</s>": 0, "a": 1}, "</s>"))
    assert "have BPE, got WordLevel" in refused(tmp_path, CONFIGS["qwen3"], Tokenizer(words, {"eos_token": "</s>"}))
    odd = bytes_tokenizer()
    odd.backend_tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    assert "changes no text before it splits it; got Lowercase" in refused(tmp_path, CONFIGS["qwen3"], odd)
    odd = bytes_tokenizer()
    odd.backend_tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    assert "no name for this way to split texts: None" in refused(tmp_path, CONFIGS["qwen3"], odd)


@pytest.mark.parametrize("keys", [("model.embed_tokens",), ("self_attn.q_proj",)])
def test_adapters_that_llama_cpp_lacks(tmp_path, keys):
    decoder, parameters = model(CONFIGS["qwen3"])
    config = lora.LoRAConfig(keys=keys, use_dora=keys == ("self_attn.q_proj",))
    adapter = lora.create_adapter(parameters, config)
    message = message_of(lambda: export_adapter(tmp_path / "a.gguf", adapter, decoder))
    assert "neither DoRA nor embeddings" in message
    assert keys[0] in message


def test_what_is_trained_beside_factors_is_not_lost_on_the_way_to_llama_cpp(tmp_path):
    _, parameters = model(CONFIGS["qwen3"])
    adapter = lora.create_adapter(parameters, lora.LoRAConfig(modules_to_save=("norm",)))
    lora.save_adapter(tmp_path / "adapter", adapter)
    where = options(model=tmp_path / "no model", adapter_path=tmp_path / "adapter")
    _, err = command("fuse", *where, "--export-gguf-lora", tmp_path / "a.gguf", status=2)
    assert "parameters beside the factors; got model.norm.weight" in err
    assert not (tmp_path / "a.gguf").exists()


def test_mlx_lm_has_no_gguf_files(files):
    _, err = command("generate", *options(model=files / "qwen3", engine="mlx_lm", prompt="a"), status=2)
    assert "expected a folder with config.json" in err
