"""What the rows of `gpu_tuner.py` are to come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .rows import MLX_LM, OURS, TORCH, Cell, Table
from .shapes import FULL, LONG, LONGEST, PACKED, SHORT

Report = Callable[[str, bool], None]
# How many times one GPU's tokens a second several are to have.
SEVERAL = {2: 1.9, 4: 3.7}


class Aim(NamedTuple):
    """The most that a number of a row here may be, as a share of somebody's in a row."""

    row: str
    number: str
    whose: str
    other: str
    most: float


AIMS = (
    Aim(SHORT, "milliseconds", TORCH, SHORT, 0.70),
    Aim(SHORT, "peak", TORCH, SHORT, 1.0),
    Aim(LONG, "milliseconds", MLX_LM, LONG, 0.5),
    Aim(LONG, "peak", MLX_LM, LONG, 0.25),
    Aim(PACKED, "milliseconds", OURS, SHORT, 1.15),
    Aim(FULL, "milliseconds", TORCH, FULL, 0.8),
)


def judge_steps(table: Table, report: Report) -> None:
    """A verdict on each aim of the rows there are."""
    for aim in AIMS:
        if aim.row in table and aim.other in table:
            share = getattr(table[aim.row][OURS], aim.number) / getattr(table[aim.other][aim.whose], aim.number)
            line = f"{aim.row}: {aim.number} {share:.2f} of {aim.whose}'s, {aim.other} (aim: at most {aim.most})"
            report(line, share <= aim.most)
    if LONGEST in table:
        peak = table[LONGEST][OURS].peak / 1e9
        report(f"{LONGEST}: peak {peak:.1f} GB (aim: at most 80)", peak <= 80)
    if PACKED in table and SHORT in table:
        saved = (table[SHORT][OURS].peak - table[PACKED][OURS].peak) / 1e9
        report(f"{PACKED}: {saved:.2f} GB less than bfloat16 (aim: 1.2)", saved >= 1.2)


def judge_processes(count: int, cells: Sequence[Cell], report: Report) -> None:
    """A verdict on the tokens a second of several GPUs beside one's."""
    one, several = cells
    times, aim = count * one.milliseconds / several.milliseconds, SEVERAL.get(count, 0.9 * count)
    report(f"{SHORT} on each of {count} GPUs: {times:.2f} times one's tokens a second (aim: {aim})", times >= aim)


def judge_decoding(shares: Mapping[str, float], report: Report) -> None:
    """A verdict on decoding over mlxffi.core for each kind of weights."""
    for kind, share in shares.items():
        report(f"decoding, {kind}: {share:.3f} of mlx.core's tokens a second (aim: at least 0.98)", share >= 0.98)
