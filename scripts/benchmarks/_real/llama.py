"""llama.cpp, as the wheel xllamacpp has it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import xllamacpp

from benchmarks._real import common


def _server() -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = str(common.FOLDER)
    for cpus in (params.cpuparams, params.cpuparams_batch):
        cpus.n_threads = int(os.environ["OMP_NUM_THREADS"])
    params.n_ctx, params.n_parallel, params.n_gpu_layers, params.n_threads_http = 2 * common.PROMPT, 1, 0, 1
    return xllamacpp.Server(params)


def _of_a_token(generate: Callable[[int, int], None]) -> tuple[float, float]:
    """Without what reading the prompt takes."""
    short, long = (common.timed(partial(generate, common.CONTEXT, n))[0] for n in (1, 1 + common.GENERATED))
    wall, cpu = ((b - a) / common.GENERATED for a, b in zip(short, long, strict=True))
    return wall, cpu


def main() -> None:
    server = _server()

    def generate(prompt: int, count: int) -> None:
        tokens = common.text_tokens()[:prompt].tolist()
        options = {"cache_prompt": False, "temperature": 0.0, "ignore_eos": True}
        found = server.handle_completions({"prompt": [tokens], "n_predict": count, **options})
        if found["timings"]["predicted_n"] != count:
            raise SystemExit(f"expected {count} tokens, got {found}")

    if common.TASK == "prompt":
        common.repeat(lambda: generate(common.PROMPT, 1), common.PROMPT)
    else:
        common.report([_of_a_token(generate) for _ in range(common.WARMUPS + common.REPEATS)][common.WARMUPS :])


if __name__ == "__main__":
    main()
