"""What the rows of `gpu_tuner.py` are to come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .rows import MLX_LM, OURS, TORCH, Cell, Table
from .shapes import FULL, LONG, LONGEST, PACKED, SHORT

Report = Callable[[str, bool], None]
# How many times one GPU's tokens a second several are to have.
SEVERAL = {2: 1.9, 4: 3.7}


def judge_steps(table: Table, report: Report) -> None:
    """A verdict on each aim of a step."""

    def at_most(line: str, a: float, b: float, most: float) -> None:
        report(f"{line}: {a / b:.2f} (aim: at most {most})", a / b <= most)

    short, long, longest, packed, full = (table[name] for name in (SHORT, LONG, LONGEST, PACKED, FULL))
    at_most(f"{SHORT}: time of torch.compile's", short[OURS].milliseconds, short[TORCH].milliseconds, 0.70)
    at_most(f"{SHORT}: peak of torch.compile's", short[OURS].peak, short[TORCH].peak, 1.0)
    at_most(f"{LONG}: time of mlx_lm's", long[OURS].milliseconds, long[MLX_LM].milliseconds, 0.5)
    at_most(f"{LONG}: peak of mlx_lm's", long[OURS].peak, long[MLX_LM].peak, 0.25)
    at_most(f"{LONGEST}: peak of 80 GB", longest[OURS].peak, 80e9, 1.0)
    at_most(f"{PACKED}: time of bfloat16's", packed[OURS].milliseconds, short[OURS].milliseconds, 1.15)
    saved = (short[OURS].peak - packed[OURS].peak) / 1e9
    report(f"{PACKED}: {saved:.2f} GB less than bfloat16 (aim: 1.2)", saved >= 1.2)
    at_most(f"{FULL}: time of torch.compile's", full[OURS].milliseconds, full[TORCH].milliseconds, 0.8)


def judge_processes(count: int, cells: Sequence[Cell], report: Report) -> None:
    """A verdict on the tokens a second of several GPUs beside one's."""
    one, several = cells
    times, aim = count * one.milliseconds / several.milliseconds, SEVERAL.get(count, 0.9 * count)
    report(f"{SHORT} on each of {count} GPUs: {times:.2f} times one's tokens a second (aim: {aim})", times >= aim)


def judge_decoding(found: Mapping[str, Sequence[float]], report: Report) -> None:
    """A verdict on decoding over mlxffi.core for each kind of weights."""
    for kind in ("bfloat16", "4-bit"):
        share = found[f"mlxffi.core, {kind}"][0] / found[f"mlx.core, {kind}"][0]
        report(f"decoding, {kind}: {share:.3f} of mlx.core's tokens a second (aim: at least 0.98)", share >= 0.98)
