"""Makes tiny models of mlx_lm with random weights, a tokenizer, and data to tune on from Python's manual.

usage: python lm_models.py FOLDER
"""

import json
import pydoc_data.topics
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXT = [pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics)[:20]]
# What the tokenizer is trained on: unlike the manual, the same in every Python.
LICENSE = (Path(__file__).resolve().parents[2] / "LICENSE").read_text(encoding="utf-8")
VOCABULARY = 512
SHARED = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 512,
    "rope_theta": 10000.0,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
MODELS = {
    "llama": dict(SHARED, model_type="llama", tie_word_embeddings=False),
    "qwen3": dict(SHARED, model_type="qwen3", head_dim=16, tie_word_embeddings=True),
    "gemma3_text": dict(
        SHARED,
        model_type="gemma3_text",
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=16,
        sliding_window_pattern=2,
    ),
}


def tokenizer():
    """A byte-level BPE tokenizer."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    made.train_from_iterator([LICENSE], trainer)
    return made


def write_model(folder, config, made):
    import mlx.core as mx
    from mlx.utils import tree_flatten

    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    made.save(str(folder / "tokenizer.json"))
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "model_max_length": 512,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    module = import_module(f"mlx_lm.models.{config['model_type']}")
    model = module.Model(module.ModelArgs.from_dict(config))
    rng = np.random.default_rng(3)
    shapes = sorted((name, array.shape) for name, array in tree_flatten(model.parameters()))
    weights = {name: mx.array(rng.normal(0, 0.05, shape).astype(np.float32)) for name, shape in shapes}
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})


def write_data(folder):
    folder.mkdir()
    lines = [paragraph for text in TEXT for paragraph in text.split("\n\n") if 80 < len(paragraph) < 300]
    for index, name in enumerate(("train", "valid", "test")):
        chosen = lines[index * 16 : index * 16 + 16]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in chosen))


def main(folder):
    made = tokenizer()
    for name, config in MODELS.items():
        write_model(folder / name, config, made)
    write_data(folder / "data")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
