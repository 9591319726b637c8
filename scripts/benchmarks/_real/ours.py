"""mlxffi.tuner: the trainer's own step, and its decoder with a cache."""

from __future__ import annotations

from typing import Any

import mlxffi.core as mx
from benchmarks._real import common
from benchmarks._tuner_steps.ours import trainer_step
from mlxffi.tuner.models import load_model


def _next(model: Any, cache: Any, tokens: mx.array) -> mx.array:
    """The likeliest token after those."""
    token = mx.argmax(model(tokens, cache)[:, -1:], axis=-1)
    mx.eval(token)
    return token


def _read(model: Any, count: int) -> tuple[Any, mx.array]:
    """A cache that has read so many tokens of the text but the last, and the last."""
    prompt = mx.array(common.text_tokens()[None, :count], dtype=mx.int32)
    cache = model.new_cache()
    model(prompt[:, :-1], cache)
    mx.eval([block.state for block in cache])
    return cache, prompt[:, -1:]


def _prompt(model: Any) -> None:
    _next(model, *_read(model, common.PROMPT))


def decode(model: Any) -> None:
    """Time the tokens that follow a text."""
    cache, token = _read(model, common.CONTEXT)

    def run() -> None:
        nonlocal token
        for _ in range(common.GENERATED):
            token = _next(model, cache, token)

    common.repeat(run, common.GENERATED)


def main() -> None:
    adapter = common.FOLDER.parent / "adapter" if common.TASK in (*common.STEPS, "decode adapted") else None
    model = load_model(common.FOLDER, adapter)[0]
    if common.TASK in common.STEPS:
        common.train(trainer_step(model, common.CHECKPOINTED), mx.get_peak_memory)
    elif common.TASK == "prompt":
        common.repeat(lambda: _prompt(model), common.PROMPT)
    else:
        decode(model)


if __name__ == "__main__":
    main()
