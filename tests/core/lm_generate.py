"""Loads the models in a folder with mlx_lm and prints what they say: `python lm_generate.py FOLDER`."""

import json
import sys
from pathlib import Path

import mlx.core as mx
from lm_models import MODELS
from mlx_lm import generate, load
from mlx_lm.models.cache import make_prompt_cache


def said_by(folder):
    model, tokenizer = load(str(folder))
    prompt = "The assert statement is a convenient way"
    tokens = mx.array([tokenizer.encode(prompt)])
    logits = model(tokens, cache=make_prompt_cache(model))[0, -1]
    said = generate(model, tokenizer, prompt=prompt, max_tokens=24)
    return {"said": said, "logits": logits.astype(mx.float32).tolist(), "core": mx.__name__}


print(json.dumps({name: said_by(Path(sys.argv[1]) / name) for name in MODELS}))
