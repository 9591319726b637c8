"""Batches of records: padding, inputs, targets and masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from .program import Case, Program
from .tensors import Array


def batch(records: list[dict[str, Any]], max_seq_length: int) -> list[Array]:
    """Inputs, targets and mask of a batch."""
    longest = max(len(record["tokens"]) for record in records)
    width = min(1 + 32 * -(-longest // 32), max_seq_length)
    tokens = np.zeros((len(records), width), np.int32)
    mask = np.zeros((len(records), width - 1), bool)
    for row, record in enumerate(records):
        length = min(len(record["tokens"]), width)
        tokens[row, :length] = record["tokens"][:length]
        places = np.arange(1, width)
        mask[row] = (record["offset"] <= places) & (places < length)
    return [tokens[:, :-1], tokens[:, 1:], mask]


def _tokens(count: int, salt: int = 0) -> list[int]:
    return [1 + (37 * i + 11 * salt) % 250 for i in range(count)]


BATCHES = {
    "one": ([(5, 0)], 2048),
    "padding": ([(5, 0), (3, 0), (7, 0)], 2048),
    "prompt": ([(5, 2), (6, 5)], 2048),
    "prompt_is_all": ([(4, 4), (6, 1)], 2048),
    "prompt_is_longer": ([(4, 9), (6, 0)], 2048),
    "width_of_32": ([(32, 0)], 2048),
    "width_of_33": ([(33, 0), (2, 1)], 2048),
    "width_of_64": ([(64, 3)], 2048),
    "cut": ([(12, 0), (5, 1)], 8),
    "cut_to_the_token": ([(8, 0), (9, 0)], 8),
    "prompt_is_cut": ([(12, 10), (5, 0)], 8),
    "one_token": ([(1, 0), (2, 0)], 2048),
    "offset_of_one": ([(4, 1)], 2048),
}


def cases() -> list[Case]:
    return [_case(name, shape, most) for name, (shape, most) in BATCHES.items()]


def _case(name: str, shape: list[tuple[int, int]], most: int) -> Case:
    records = [{"tokens": _tokens(count, i), "offset": offset} for i, (count, offset) in enumerate(shape)]
    contract = {"name": "batch", "arguments": {"records": records, "max_seq_length": most}}
    return Case(f"batch/{name}", Program(), contract=contract, known=[batch(records, most)])
