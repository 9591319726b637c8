"""The trainer's step on a GPU, timed, for `gpu_tuner.py` to compare.

usage: python -m gpu.tuner_step ROW      (a row of shapes.py)

For each line that comes in, prints one of JSON: milliseconds, the median of seven steps, and the peak of memory in
bytes. Three steps come before all others.
"""

from __future__ import annotations

import sys

from .asked import answer
from .shapes import MODEL_06B, ROWS
from .training import prepared, timed


def main() -> None:
    step = prepared(MODEL_06B, ROWS[sys.argv[1]])
    timed(step, 3)
    answer(lambda: timed(step, 7))


if __name__ == "__main__":
    main()
