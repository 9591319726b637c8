"""Experiment, not to stay: the trainer's step in variants. usage: python -m gpu.trial ROW VARIANT[,VARIANT] [profile]"""

from __future__ import annotations

import sys

from mlxffi.tuner.models import functional
from mlxffi.tuner.models.joined import Joints
from mlxffi.tuner.trainer import packing

from . import step_profile
from .asked import answer
from .shapes import MODEL_06B, ROWS
from .training import prepared, timed


def apart() -> None:
    """Without joints."""
    functional.joints_of = lambda *_: Joints()


def ungated() -> None:
    """The gate and the up projection as two arrays."""
    from mlxffi.tuner.models import decoder

    def mlp(config: Any, node: Any, x: Any, training: bool) -> Any:
        gate, up = decoder._projections(node, "gate_up_proj", x, training)
        return decoder._lean(decoder._gated, node["down_proj"], decoder.swiglu, gate, up, training=training)

    decoder._mlp = mlp


def flat() -> None:
    """All arrays of a dtype in one."""
    packing.LARGE = 2**62


def main() -> None:
    for name in sys.argv[2].split(","):
        globals().get(name, lambda: None)()
    row = ROWS[sys.argv[1]]
    step = prepared(MODEL_06B, row)
    if "profile" in sys.argv:
        print(sys.argv[1:], flush=True)
        step_profile.print_nodes(row)
        timed(step, 3)
        step_profile.print_host(step)
        step_profile.print_calls(step)
        return
    count = max(1, 7 * 4096 // (row.batch * row.length))
    timed(step, 3)
    answer(lambda: timed(step, count))


if __name__ == "__main__":
    main()
