"""Losses of a training run of a small decoder, for `gpu_tuner.py` to compare.

usage: python -m gpu.tuner_losses FAMILY CASE [DEVICE ...]      (of shapes.py; gpu, cpu)

For each line that comes in, prints one of JSON: of how many processes this is one, and the losses by device.
"""

from __future__ import annotations

import os
import sys

# Before MLX reads it: float32 is to be float32, not TF32.
os.environ.setdefault("MLX_ENABLE_TF32", "0")

# isort: split
import mlxffi.core as mx
from mlxffi.tuner.distributed import World

from .asked import Answer, answer
from .training import losses_of


def main() -> None:
    family, case, *devices = sys.argv[1:]
    known = {"gpu": mx.gpu, "cpu": mx.cpu}

    def found() -> Answer:
        return {"size": World().size, **{name: losses_of(family, case, known[name]) for name in devices}}

    answer(found)


if __name__ == "__main__":
    main()
