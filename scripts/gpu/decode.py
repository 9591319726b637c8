"""Decoding by mlx_lm's models over mlx.core and over mlxffi.core, timed in one process, for `gpu_tuner.py` to compare.

usage: python -m gpu.decode CONFIG [--bits N]      (CONFIG: JSON, with the fields of a config.json)

For each line that comes in, prints one of JSON: of each core its tokens a second, and the CPU time that the host takes
to build a token's graph and to launch it, in microseconds; and mlxffi.core's share of mlx.core's tokens. They are
medians of pairs of runs: the host sets a token's time, and differs between minutes and processes by more than cores.
"""

# mypy: disable-error-code="misc"

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

from .asked import Answer, answer

CORES = ("mlx", "mlxffi")
TOKENS, PAIRS = 64, 4


class Run(NamedTuple):
    """Tokens a second, and microseconds of CPU time a token."""

    tokens: float
    build: float
    launch: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=json.loads)
    parser.add_argument("--bits", type=int)
    options = parser.parse_args()
    decode = {core: _decoder(core, options.config, options.bits) for core in CORES}
    _pair(decode, 0)
    answer(lambda: _medians([_pair(decode, turn) for turn in range(PAIRS)]))


def _decoder(core: str, config: dict[str, Any], bits: int | None) -> Callable[[], Run]:
    """A model of modules of its own, which are mlx_lm's and MLX's over this core."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("mlx", "mlx_lm")]:
        del sys.modules[name]
    if core == "mlxffi":
        importlib.import_module("mlxffi.compat").install()
    mx, nn = importlib.import_module("mlx.core"), importlib.import_module("mlx.nn")
    qwen3 = importlib.import_module("mlx_lm.models.qwen3")
    caches = importlib.import_module("mlx_lm.models.cache")
    model = qwen3.Model(qwen3.ModelArgs.from_dict(config))
    model.set_dtype(mx.bfloat16)
    if bits:
        nn.quantize(model, bits=bits)
    mx.eval(model.parameters())
    return lambda: _run(mx, model, caches.make_prompt_cache(model))


def _run(mx: Any, model: Any, cache: Any) -> Run:
    """Each token's graph is built and launched while the one before is computed."""

    def following(tokens: Any) -> Any:
        return mx.argmax(model(tokens[None], cache=cache)[:, -1], axis=-1)

    token = following(mx.arange(32))
    mx.eval(token)
    build = launch = 0.0
    begin = time.perf_counter()
    for _ in range(TOKENS):
        start = time.thread_time()
        after = following(token)
        built = time.thread_time()
        mx.async_eval(after)
        build, launch = build + built - start, launch + time.thread_time() - built
        token.item()
        token = after
    token.item()
    return Run(TOKENS / (time.perf_counter() - begin), build / TOKENS * 1e6, launch / TOKENS * 1e6)


def _pair(decode: dict[str, Callable[[], Run]], turn: int) -> dict[str, Run]:
    """A run of each, in the other order at each turn."""
    return {core: decode[core]() for core in (CORES if turn % 2 else CORES[::-1])}


def _medians(pairs: list[dict[str, Run]]) -> Answer:
    shares = [pair["mlxffi"].tokens / pair["mlx"].tokens for pair in pairs]
    runs = {core: zip(*(pair[core] for pair in pairs), strict=True) for core in CORES}
    return {"share": median(shares), **{f"{core}.core": [*map(median, numbers)] for core, numbers in runs.items()}}


if __name__ == "__main__":
    main()
