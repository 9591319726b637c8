"""The trainer's step on a GPU, timed, for `gpu_tuner.py` to compare.

usage: python -m gpu.tuner_step ROW      (a row of shapes.py)

For each line that comes in, prints one of JSON: milliseconds, the median of seven steps (of fewer where a batch is
larger than 4,096 tokens), and the peak of memory in bytes. Three steps come before all others.
"""

from __future__ import annotations

import sys

from .asked import answer
from .shapes import MODEL_06B, ROWS
from .training import prepared, timed


def main() -> None:
    row = ROWS[sys.argv[1]]
    step, count = prepared(MODEL_06B, row), max(1, 7 * 4096 // (row.batch * row.length))
    timed(step, 3)
    answer(lambda: timed(step, count))


if __name__ == "__main__":
    main()
