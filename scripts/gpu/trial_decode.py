"""Experiment, not to stay: nodes of a token's graph, and decoding in turns by two processes of each core."""

from __future__ import annotations

import collections
import importlib
import json
import re
import statistics
import sys
import tempfile

from .asked import Together, in_turns
from .shapes import MODEL_06B


def nodes(core: str) -> None:
    if core == "mlxffi":
        importlib.import_module("mlxffi.compat").install()
    decode = importlib.import_module("gpu.decode")
    mx, caches = importlib.import_module("mlx.core"), importlib.import_module("mlx_lm.models.cache")
    model = decode._model({**MODEL_06B, "num_hidden_layers": 4}, None)
    cache = caches.make_prompt_cache(model)
    token = mx.argmax(model(mx.arange(32)[None], cache=cache)[:, -1], axis=-1)
    mx.eval(token)
    for _ in range(2):
        token = mx.argmax(model(token[None], cache=cache)[:, -1], axis=-1)
        with tempfile.NamedTemporaryFile("r", suffix=".dot") as file:
            mx.export_to_dot(file.name, token)
            found = collections.Counter(re.findall(r'label ?= ?"(\w+)[^"]*", shape ?= ?rectangle', file.read()))
        mx.eval(token)
    print(core, sum(found.values()), sorted(found.items()), flush=True)


def main() -> None:
    if len(sys.argv) > 2:
        nodes(sys.argv[2])
        return
    running = {f"{core} {n}": Together(["gpu.decode", json.dumps(MODEL_06B), core]) for n in "ab" for core in ("mlx", "mlxffi")}
    for name, found in in_turns(running, int(sys.argv[1])).items():
        for key in ("tokens", "build", "launch"):
            values = [answer[key] for answer in found]
            print(f"{name:10} {key:7} {statistics.median(values):8.1f}", [round(value) for value in values], flush=True)


if __name__ == "__main__":
    main()
