"""LoRA and DoRA: adapters of trees of parameters and of `mlx.nn` models, in memory and in files."""

from __future__ import annotations

from .adapter import Adapter, attach, create_adapter, detach, dora_gains, fuse, unfuse
from .config import LoRAConfig

__all__ = [
    "Adapter",
    "LoRAConfig",
    "attach",
    "create_adapter",
    "detach",
    "dora_gains",
    "fuse",
    "unfuse",
]
