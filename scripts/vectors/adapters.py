"""Files of adapters: names, orientation, scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .program import Case, Program
from .tensors import Array, F

LAYER = "model.layers.0.self_attn.q_proj"
IN, OUT, RANK = 6, 4, 2


def factors(salt: int = 0, dtype: str = "float32") -> tuple[Array, Array, Array]:
    return (
        F(IN, RANK, salt=salt, dtype=dtype),
        F(RANK, OUT, salt=salt + 1, dtype=dtype),
        F(OUT, low=1, high=2, salt=salt + 2, dtype=dtype),
    )


def cases() -> list[Case]:
    a, b, m = factors()
    mlx_lm = {f"{LAYER}.lora_a": a, f"{LAYER}.lora_b": b}
    go = {f"{LAYER}.lora_a": a.T.copy(), f"{LAYER}.lora_b": b.T.copy()}
    peft = {
        f"base_model.model.{LAYER}.lora_A.weight": a.T.copy(),
        f"base_model.model.{LAYER}.lora_B.weight": b.T.copy(),
    }
    magnitude = {f"base_model.model.{LAYER}.lora_magnitude_vector": m}
    lm_config: dict[str, Any] = {"fine_tune_type": "lora", "num_layers": 1}
    peft_config: dict[str, Any] = {"peft_type": "LORA", "r": RANK, "target_modules": ["q_proj"]}
    scale, alpha = {"rank": RANK, "scale": 20.0, "dropout": 0.0}, {"rank": RANK, "alpha": 16.0, "dropout": 0.0}
    both = {**scale, **alpha}
    return [
        _case("mlx_lm/scale", {**lm_config, "lora_parameters": scale}, mlx_lm, [a, b], 20),
        _case("mlx_lm/alpha", {**lm_config, "lora_parameters": alpha}, mlx_lm, [a, b], 8),
        _case("mlx_lm/scale_beside_alpha", {**lm_config, "lora_parameters": both}, mlx_lm, [a, b], 20),
        _case(
            "mlx_lm/dora",
            {**lm_config, "fine_tune_type": "dora", "lora_parameters": scale},
            {**mlx_lm, f"{LAYER}.m": m},
            [a, b],
            20,
            m,
        ),
        _case("peft/lora", {**peft_config, "lora_alpha": 16}, peft, [a, b], 8),
        _case("peft/rslora", {**peft_config, "lora_alpha": 16, "use_rslora": True}, peft, [a, b], 16 / math.sqrt(RANK)),
        _case("peft/dora", {**peft_config, "lora_alpha": 16, "use_dora": True}, {**peft, **magnitude}, [a, b], 8, m),
        _case(
            "go/lora",
            {"rank": RANK, "alpha": 16.0, "num_layers": 1, "lora_layers": ["self_attn.q_proj"]},
            go,
            [a, b],
            8,
        ),
    ]


def _case(
    name: str,
    config: dict[str, Any],
    tensors: dict[str, Array],
    pair: list[Array],
    scale: float,
    m: Array | None = None,
) -> Case:
    files = {f"adapter/{name}/{key}": value for key, value in tensors.items()}
    arguments = {"config": config, "file": {key: f"adapter/{name}/{key}" for key in tensors}, "layer": LAYER}
    known = [*pair, np.asarray(scale, np.float32), *([] if m is None else [m])]
    contract = {"name": "adapter", "arguments": arguments}
    return Case(f"adapter/{name}", Program(), contract=contract, known=[known], files=files, rtol=1e-6, atol=0)
