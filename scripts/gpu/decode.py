"""Decoding by mlx_lm's models over mlx.core or mlxffi.core, timed, for `gpu_tuner.py` to compare.

usage: python -m gpu.decode CONFIG mlx|mlxffi [--bits N]      (CONFIG: JSON, with the fields of a config.json)

For each line that comes in, prints one of JSON: tokens a second, and the host's microseconds a token to build the graph
and to launch it. One run comes before all others.
"""

# mypy: disable-error-code="misc"

from __future__ import annotations

import argparse
import importlib
import json
import time
from typing import Any

from .asked import Answer, answer

TOKENS = 256


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=json.loads)
    parser.add_argument("core", choices=("mlx", "mlxffi"))
    parser.add_argument("--bits", type=int)
    options = parser.parse_args()
    if options.core == "mlxffi":
        importlib.import_module("mlxffi.compat").install()
    model = _model(options.config, options.bits)
    _run(model)
    answer(lambda: _run(model))


def _model(config: dict[str, Any], bits: int | None) -> Any:
    mx, nn = importlib.import_module("mlx.core"), importlib.import_module("mlx.nn")
    qwen3 = importlib.import_module("mlx_lm.models.qwen3")
    model = qwen3.Model(qwen3.ModelArgs.from_dict(config))
    model.set_dtype(mx.bfloat16)
    if bits:
        nn.quantize(model, bits=bits)
    mx.eval(model.parameters())
    return model


def _run(model: Any) -> Answer:
    """Tokens a second, microseconds to build a token's graph and to launch it; the next is built meanwhile."""
    mx, caches = importlib.import_module("mlx.core"), importlib.import_module("mlx_lm.models.cache")
    cache = caches.make_prompt_cache(model)
    token = mx.argmax(model(mx.arange(32)[None], cache=cache)[:, -1], axis=-1)
    mx.eval(token)
    build = launch = 0.0
    begin = time.perf_counter()
    for _ in range(TOKENS):
        start = time.perf_counter()
        following = mx.argmax(model(token[None], cache=cache)[:, -1], axis=-1)
        built = time.perf_counter()
        mx.async_eval(following)
        build, launch = build + built - start, launch + time.perf_counter() - built
        token.item()
        token = following
    token.item()
    seconds = time.perf_counter() - begin
    return {"tokens": TOKENS / seconds, "build": build / TOKENS * 1e6, "launch": launch / TOKENS * 1e6}


if __name__ == "__main__":
    main()
