"""What llama.cpp makes of the files that are written here: the same numbers, tokens and texts."""

import json

import pytest

pytest.importorskip("xllamacpp", exc_type=ImportError)

import numpy as np
from end_to_end import command, options
from gguf_cases import (
    CONFIGS,
    LONGROPE,
    LlamaCpp,
    bytes_tokenizer,
    continued,
    log_probabilities,
    model,
    peaked,
    sentencepiece_model,
)
from lm_models import tokenizer

import mlxffi.core as mx
from mlxffi.tuner import lora
from mlxffi.tuner.models import DecoderConfig, Tokenizer, decoder_model, load_model, random_parameters, save_model
from mlxffi.tuner.models.gguf.model import export_adapter, export_model
from mlxffi.tuner.models.vocabularies import SPLITS, Kind, Tokens, byte_level, with_ends
from mlxffi.tuner.trees import tree_map

mx.random.seed(0)

TEXTS = [
    "Hello world", "  two  spaces\n\n\n x", "I'm 12345 things, don't! \xe9\xe0\xfc \u4f60\u597d \U0001f600", "",
    "<s>user\nhi</s>\n", "\ttabs  \t and   ends  ", "x=1;y==2 // c++ {a:b}", "THE QUICK'S brown", "\r\nwin\r\n",
    "e\u0301",
]  # fmt: skip


def prompts(count=3):
    return [np.random.default_rng(seed).integers(2, 500, 40).tolist() for seed in range(count)]


def largest_difference(theirs, *ours):
    """Of log-probabilities after several prompts, of which at least one must be told."""
    told = [(theirs.log_probabilities(ids), log_probabilities(*ours[:2], ids, *ours[2:])) for ids in prompts()]
    found = [abs(mine[token] - value) for their, mine in told for token, value in their.items()]
    assert len(found) >= 500
    return max(found)


@pytest.mark.parametrize("family", CONFIGS)
def test_each_family_continues_with_the_same_tokens(tmp_path, family):
    made = model(CONFIGS[family])
    export_model(tmp_path / "m.gguf", made[1], CONFIGS[family], bytes_tokenizer(), "F32")
    theirs = LlamaCpp(tmp_path / "m.gguf")
    # llama.cpp looks up Gemma's GELU in a table of float16.
    assert largest_difference(theirs, *made) < (5e-3 if family == "gemma3" else 1e-4)
    for ids in prompts():
        assert theirs.continued(ids) == continued(decoder_model(*made), ids)


@pytest.mark.filterwarnings("ignore:llama.cpp takes LongRoPE's long factors")
@pytest.mark.parametrize("original", [32, 1024])
def test_longrope_of_a_context_above_and_below_its_first_one(tmp_path, original):
    """Which is the same for a text's length here: prompts have 40 tokens, and the context 256."""
    scaling = {**LONGROPE, "original_max_position_embeddings": original, "attention_factor": 1.3}
    config = {**CONFIGS["llama"], "rope_scaling": scaling}
    made = model(config)
    export_model(tmp_path / "m.gguf", made[1], config, bytes_tokenizer(), "F32")
    theirs, read = LlamaCpp(tmp_path / "m.gguf"), load_model(tmp_path / "m.gguf")[0]
    assert largest_difference(theirs, *made) < 1e-4
    for ids in prompts():
        assert theirs.continued(ids) == continued(decoder_model(*made), ids) == continued(read, ids)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1"])
def test_each_type_continues_with_the_same_tokens(tmp_path, kind):
    """llama.cpp rounds what it multiplies blocks with, so the model is one that is sure."""
    made = peaked(CONFIGS["llama"])
    export_model(tmp_path / "m.gguf", made[1], CONFIGS["llama"], bytes_tokenizer(), kind)
    theirs, read = LlamaCpp(tmp_path / "m.gguf"), load_model(tmp_path / "m.gguf")[0]
    for ids in prompts():
        found = theirs.continued(ids)
        assert len(set(found)) > 8
        assert found == continued(read, ids) == continued(decoder_model(*made), ids)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3"])
def test_an_adapter_beside_the_model(tmp_path, family):
    architecture, parameters = model(CONFIGS[family])
    keys = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.o_proj", "mlp.down_proj")
    config = lora.LoRAConfig(rank=4, scale=3.0, keys=keys, rank_pattern={"o_proj": 2}, num_layers=1)
    adapter = trained(lora.create_adapter(parameters, config))
    export_model(tmp_path / "m.gguf", parameters, CONFIGS[family], bytes_tokenizer(), "F32")
    export_adapter(tmp_path / "a.gguf", adapter, architecture)
    theirs = LlamaCpp(tmp_path / "m.gguf", tmp_path / "a.gguf")
    assert largest_difference(theirs, architecture, parameters, adapter) < (5e-3 if family == "gemma3" else 1e-4)
    made = decoder_model(architecture, parameters, adapter)
    assert [theirs.continued(ids) for ids in prompts()] == [continued(made, ids) for ids in prompts()]
    base = decoder_model(architecture, parameters)
    assert [continued(base, ids) for ids in prompts()] != [continued(made, ids) for ids in prompts()]


def trained(adapter):
    """An adapter whose factors are all random."""
    return lora.Adapter(tree_map(lambda value: 0.2 * mx.random.normal(value.shape), adapter.parameters), adapter.config)


def test_the_commands_from_a_folder_to_llama_cpp_and_back(tmp_path):
    config, (_, parameters) = CONFIGS["qwen2"], model(CONFIGS["qwen2"])
    save_model(tmp_path / "model", parameters, config)
    bytes_tokenizer().save(tmp_path / "model")
    adapter = trained(lora.create_adapter(parameters, lora.LoRAConfig(rank=4, scale=3.0, keys=("self_attn.v_proj",))))
    lora.save_adapter(tmp_path / "a", adapter)
    words = {"model": tmp_path / "model", "adapter_path": tmp_path / "a"}
    command("fuse", *options(**words, export_gguf=tmp_path / "fused.gguf", gguf_type="F32"))
    command("fuse", *options(**words, export_gguf_lora=tmp_path / "lora.gguf"))
    command("convert", *options(model=tmp_path / "model", mlx_path=tmp_path / "base.gguf", gguf_type="F32"))
    command("convert", *options(model=tmp_path / "fused.gguf", mlx_path=tmp_path / "back"))
    expected = [continued(load_model(tmp_path / "model", tmp_path / "a")[0], ids) for ids in prompts()]
    fused, beside = LlamaCpp(tmp_path / "fused.gguf"), LlamaCpp(tmp_path / "base.gguf", tmp_path / "lora.gguf")
    for found in (fused.continued, beside.continued, lambda ids: continued(load_model(tmp_path / "back")[0], ids)):
        assert [found(ids) for ids in prompts()] == expected


def exported(tokenizer, path, size=520):
    config = {**CONFIGS["llama"], "vocab_size": size}
    export_model(path, random_parameters(DecoderConfig.from_dict(config), mx.random.key(0)), config, tokenizer, "F16")
    return LlamaCpp(path)


@pytest.mark.parametrize("splits", SPLITS)
def test_texts_are_split_alike(tmp_path, splits):
    stated = json.loads(tokenizer().to_str())["model"]
    texts = sorted(stated["vocab"], key=stated["vocab"].get)
    kinds = [Kind.CONTROL if text in ("<s>", "</s>") else Kind.NORMAL for text in texts]
    merges = [" ".join(pair) for pair in stated["merges"]]
    backend = with_ends(byte_level(Tokens(texts, kinds), merges, SPLITS[splits]), "<s>", None)
    made = Tokenizer(backend, {"bos_token": "<s>", "eos_token": "</s>"})
    theirs = exported(made, tmp_path / "m.gguf")
    read = Tokenizer.from_directory(tmp_path / "m.gguf")
    # Qwen's own tokenizer composes characters, llama.cpp does not.
    for text in TEXTS[: -1 if splits.startswith("qwen") else None]:
        assert theirs.tokens(text) == made.encode(text) == read.encode(text)


@pytest.mark.parametrize("prefix", [True, False])
def test_pieces_are_found_alike(tmp_path, prefix):
    sentencepiece_model(tmp_path / "t", add_dummy_prefix=prefix)
    made = Tokenizer.from_directory(tmp_path / "t")
    theirs = exported(made, tmp_path / "m.gguf")
    read = Tokenizer.from_directory(tmp_path / "m.gguf")
    for text in TEXTS:
        assert theirs.tokens(text) == made.encode(text) == read.encode(text)
