"""Experiment: a step with variants of the code, EXP=old,cast,rope; not to stay."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import Any

import mlxffi.core as mx
from mlxffi.fused import swiglu
from mlxffi.tuner.layers import linear
from mlxffi.tuner.models import decoder
from mlxffi.tuner.models.rope import Rope
from mlxffi.tuner.trainer.packing import Packing

from . import step_profile
from .asked import answer
from .shapes import MODEL_06B, ROWS
from .training import prepared, timed

EXP = os.environ.get("EXP", "").split(",")


def old() -> None:
    def gated(config: Any, node: Any, gate: Any, up: Any, training: bool) -> Any:
        return linear(node, mx.checkpoint(swiglu)(gate, up), training=training)

    decoder._kept_apart = lambda function, training: gated if function is decoder._gated else function


def cast() -> None:
    tree, pack = Packing.tree, Packing.pack
    Packing.tree = lambda self, packed: tree(self, {k: v.astype(mx.bfloat16) for k, v in packed.items()})
    Packing.pack = lambda self, arrays: {k: v.astype(mx.float32) for k, v in pack(self, arrays).items()}


@lru_cache
def tables(length: int, features: int, theta: float) -> Any:
    angles = mx.arange(length, dtype=mx.float32)[:, None] * theta ** (-mx.arange(0, features, 2) / features)
    cos, sin = mx.cos(angles)[:, None, None], mx.sin(angles)
    found = cos, mx.stack([-sin, sin], axis=1)[:, None]
    mx.eval(found)
    return found


def turned(x: Any, cos: Any, sin: Any) -> Any:
    """[B, T, H, D]"""
    halves = x.reshape(*x.shape[:-1], 2, -1).astype(mx.float32)
    other = x.reshape(*x.shape[:-1], 2, -1)[..., ::-1, :].astype(mx.float32)
    return (halves * cos + other * sin).astype(x.dtype).reshape(x.shape)


def rope() -> None:
    def rotated(self: Any, x: Any, offset: Any, periods: Any) -> Any:
        cos, sin = tables(x.shape[2], x.shape[3], self.theta)

        @mx.custom_function
        def f(x: Any) -> Any:
            return turned(x, cos, sin)

        @f.vjp
        def back(primals: Any, cotangents: Any, outputs: Any) -> Any:
            given = cotangents[0] if isinstance(cotangents, (list, tuple)) else cotangents
            return turned(given, cos, -sin)

        return f(x.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)

    Rope._rotated = rotated


def main() -> None:
    for name in filter(None, EXP):
        globals()[name]()
    row = ROWS[sys.argv[1]]
    config = {**MODEL_06B, **eval(os.environ.get("SHAPE", "{}"))}
    if "profile" in sys.argv:
        step = prepared(config, row)
        step_profile.print_nodes(row)
        timed(step, 3)
        step_profile.print_host(step)
        step_profile.print_calls(step)
        return
    step = prepared(config, row)
    timed(step, 3)
    if "limits" in sys.argv:
        usual = mx.set_memory_limit(1)
        least = timed(step, 3)
        print("least", least, flush=True)
        for share in (1.1, 1.2, 1.35, 1.5):
            mx.set_memory_limit(int(share * least["peak"]))
            print(share, timed(step, 7), flush=True)
        mx.set_memory_limit(usual)
        print("none", timed(step, 7), flush=True)
        return
    answer(lambda: timed(step, 7))


if __name__ == "__main__":
    main()
