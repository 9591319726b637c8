#!/usr/bin/env bash
# mlx_lm 0.32.2 writes token types to GGUF files as a list of uint32, but llama.cpp expects int32: its build in
# xllamacpp 2026.10.11549 refuses such files (invalid gguf type for tokenizer.ggml.token_type), and accepts them with
# int32. mlx_lm also labels a byte-level tokenizer as llama, which means SentencePiece, with the same score for all
# tokens and no merges. Exits with 1 if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mlx==0.32.4 mlx-cpu==0.32.4 mlx-lm==0.32.2 transformers==5.24.0 tokenizers==0.23.3 \
  gguf==0.19.0 xllamacpp==2026.10.11549
"$folder/venv/bin/python" - "$folder" 2>"$folder/log" <<'PROGRAM'
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import gguf
import mlx.core as mx
import xllamacpp
from mlx.utils import tree_flatten
from mlx_lm.gguf import convert_to_gguf
from mlx_lm.models import llama
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

print(*(f"{name} {version(name)}" for name in ("mlx-lm", "xllamacpp")))
folder = Path(sys.argv[1])
made = Tokenizer(models.BPE())
made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
made.train_from_iterator(["this is a text of words, and these are other words of a text"] * 4, trainer)
made.save(str(folder / "tokenizer.json"))
about = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
(folder / "tokenizer_config.json").write_text(json.dumps(about))
config = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1, "intermediate_size": 64,
    "vocab_size": made.get_vocab_size(), "num_attention_heads": 4, "num_key_value_heads": 4, "rms_norm_eps": 1e-5, "max_position_embeddings": 64,
    "rope_theta": 10000.0, "tie_word_embeddings": False,
}
(folder / "config.json").write_text(json.dumps(config))
model = llama.Model(llama.ModelArgs.from_dict(config))
weights = dict(tree_flatten(model.parameters()))
convert_to_gguf(folder, weights, config, str(folder / "theirs.gguf"))

field = gguf.GGUFReader(folder / "theirs.gguf").get_field("tokenizer.ggml.token_type")
print("the kinds of tokens are of type", field.types[-1].name)
arrays, metadata = mx.load(str(folder / "theirs.gguf"), return_metadata=True)
metadata["tokenizer.ggml.token_type"] = metadata["tokenizer.ggml.token_type"].astype(mx.int32)
mx.save_gguf(str(folder / "signed.gguf"), arrays, metadata)


servers = []  # to the end of the process: one that goes before it has begun to work may wait for itself


def loads(name):
    options = xllamacpp.CommonParams()
    options.model.path, options.n_ctx, options.warmup, options.verbosity = str(folder / name), 64, False, 0
    try:
        servers.append(xllamacpp.Server(options))
    except RuntimeError:
        return False
    return True


found = loads("theirs.gguf"), loads("signed.gguf")
print("llama.cpp loads what mlx_lm wrote:", found[0], "- with int32:", found[1])
scores = set(metadata["tokenizer.ggml.scores"].tolist())
print("tokenizer:", metadata["tokenizer.ggml.model"], "- scores:", scores)
sys.stdout.flush()
os._exit((*found, metadata["tokenizer.ggml.model"], len(scores)) != (False, True, "llama", 1))
PROGRAM
