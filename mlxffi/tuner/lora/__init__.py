"""LoRA and DoRA: adapters of trees of parameters and of `mlx.nn` models, in memory and in files.

`modules` has those of `mlx.nn` models. It needs `mlx.nn`, over `mlxffi.core`, and so is imported on its own.
"""

from __future__ import annotations

from .adapter import (
    Adapter,
    TrainableParameters,
    attach,
    create_adapter,
    detach,
    dora_gains,
    fuse,
    survival,
    trainable_parameters,
    unfuse,
)
from .config import LoRAConfig
from .files import export_peft, load_adapter, load_full, load_into, read_adapter, save_adapter, save_full
from .initial import begun, create_from_weights, since
from .merging import Merged, merge

__all__ = [
    "Adapter",
    "LoRAConfig",
    "Merged",
    "TrainableParameters",
    "attach",
    "begun",
    "create_adapter",
    "create_from_weights",
    "detach",
    "dora_gains",
    "export_peft",
    "fuse",
    "load_adapter",
    "load_full",
    "load_into",
    "merge",
    "read_adapter",
    "save_adapter",
    "save_full",
    "since",
    "survival",
    "trainable_parameters",
    "unfuse",
]
