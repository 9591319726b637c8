"""Experiment, not to stay: variants of the step, PyTorch's and mlx_lm's in turns. usage: python -m gpu.trials TURNS ROW:VARIANTS ..."""

from __future__ import annotations

import statistics
import sys

from .asked import Together, in_turns, once
from .rows import MLX_LM, TORCH, commands
from .shapes import FULL, LONG, PACKED, SHORT

NAMES = {"short": SHORT, "long": LONG, "full": FULL, "4bit": PACKED}


def main() -> None:
    turns, runs = int(sys.argv[1]), {}
    for asked in sys.argv[2:]:
        row, _, variant = asked.partition(":")
        name = NAMES[row]
        known = {"torch": TORCH, "mlx_lm": MLX_LM}
        command = commands(name)[known[variant]] if variant in known else ["gpu.trial", name, variant]
        runs[asked] = command
    for name in dict.fromkeys(asked.partition(":")[0] for asked in runs):
        mine = {asked: command for asked, command in runs.items() if asked.startswith(name + ":")}
        for command in mine.values():
            once(Together(command))
        for asked, found in in_turns({asked: Together(command) for asked, command in mine.items()}, turns).items():
            times = [answer["milliseconds"] for answer in found if answer]
            peak = max([answer["peak"] for answer in found if answer] or [0]) / 1e9
            if times:
                print(f"{asked:24} {statistics.median(times):7.1f} ms ({min(times):.1f} to {max(times):.1f}) {peak:6.1f} GB", [round(t, 1) for t in times], flush=True)
            else:
                print(asked, "failed", flush=True)


if __name__ == "__main__":
    main()
