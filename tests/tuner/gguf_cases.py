"""Tiny models of each family as GGUF files, and llama.cpp to read them."""

import json
import urllib.request

import numpy as np
from lm_models import MODELS, TEXT, tokenizer
from model_cases import config_dict, numbers, ours

import mlxffi.core as mx
from mlxffi.tuner import lora
from mlxffi.tuner.models import DecoderConfig, Tokenizer, decoder
from mlxffi.tuner.models.generate import generate

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1 + pair / 8 for pair in range(8)],
    "long_factor": [1.5 + pair**2 for pair in range(8)],
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
CONFIGS = {
    "llama": config_dict("llama", rope_scaling=LLAMA3, max_position_embeddings=65536),
    "mistral": {**MODELS["llama"], "model_type": "mistral", "rope_scaling": {"type": "linear", "factor": 4.0}},
    "qwen2": {**MODELS["llama"], "model_type": "qwen2", "rope_scaling": YARN},
    "qwen3": config_dict("qwen3"),
    "gemma3": config_dict("gemma3_text"),
}


def model(config, seed=0):
    """A decoder with random parameters that are large enough to matter."""
    arrays = numbers(DecoderConfig.from_dict(config), seed)
    return ours(config, {name: value * 3 if value.ndim == 2 else value + 0.5 for name, value in arrays.items()})


def peaked(config):
    """A decoder that is sure of each next token: the output layer has the embedding of another token in each row."""
    architecture, parameters = model(config)
    weight = np.array(parameters["model"]["embed_tokens"]["weight"])
    following = np.random.default_rng(5).permutation(len(weight))
    parameters["model"]["embed_tokens"]["weight"] = mx.array(8 * weight)
    parameters["lm_head"]["weight"] = mx.array(8 * weight[following])
    return architecture, parameters


def bytes_tokenizer():
    """The tokenizer of tests, with a chat template."""
    return Tokenizer(tokenizer(), {"bos_token": "<s>", "eos_token": "</s>"}, {"default": "{{ messages[0].content }}"})


def log_probabilities(architecture, parameters, ids, adapter=None):
    """Of the token after ids, by our decoder: float64 [vocabulary]."""
    tree = parameters if adapter is None else lora.attach(parameters, adapter)
    logits = np.array(decoder.logits(architecture, tree, mx.array([ids]))[0, -1].astype(mx.float32), np.float64)
    return logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()


def continued(made, ids, count=16):
    """The tokens that a model of ours finds likeliest, one after the other."""
    return generate(made, bytes_tokenizer(), ids, max_tokens=count).tokens


def sentencepiece_model(folder, **options):
    """A SentencePiece model of Python's manual in a folder, as tokenizer.model, and what reads it."""
    import sentencepiece

    folder.mkdir(exist_ok=True)
    (folder / "text").write_text("\n".join(TEXT), encoding="utf-8")
    usual = {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity"}
    usual |= {"remove_extra_whitespaces": False, "minloglevel": 2, "vocab_size": 500}
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"), model_prefix=str(folder / "m"), **{**usual, **options}
    )
    (folder / "m.model").rename(folder / "tokenizer.model")
    about = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


class LlamaCpp:
    """llama.cpp with a model, whose keys and values stay float32."""

    def __init__(self, path, adapter=None):
        import xllamacpp

        options = xllamacpp.CommonParams()
        options.model.path = str(path)
        options.n_ctx, options.n_parallel, options.warmup, options.verbosity = 256, 1, False, 0
        options.cpuparams.n_threads = 1
        options.cache_type_k = options.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        options.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        if adapter is not None:
            given = xllamacpp.CommonAdapterLoraInfo()
            given.path, given.scale = str(adapter), 1.0
            options.lora_adapters = [given]
        self._server = xllamacpp.Server(options)

    def continued(self, ids, count=16, **options):
        """The tokens that the model finds likeliest, one after the other."""
        return self._complete(ids, count, **options)["tokens"]

    def log_probabilities(self, ids):
        """Of the token after ids by its id; {} where the likeliest is no whole character, of which it tells nothing."""
        told = self._complete(ids, 1, logprobs=512).get("completion_probabilities", [])
        return {entry["id"]: entry["logprob"] for entry in told[0]["top_logprobs"]} if told else {}

    def tokens(self, text):
        """Those of a text, with what the model expects around it."""
        body = json.dumps({"content": text, "add_special": True, "parse_special": True}).encode()
        address = self._server.listening_address
        request = urllib.request.Request(f"{address}/tokenize", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["tokens"]

    def _complete(self, ids, count, **options):
        asked = {"prompt": ids, "max_tokens": count, "temperature": 0, "verbose": True, "return_tokens": True}
        return self._server.handle_completions({**asked, **options})["__verbose"]
