"""The whole sweep of derivatives and maps: every check of every case of tests/derivatives.

usage: python scripts/derivatives.py [words that the operation's name has]
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "derivatives"))

from catalogue import cases
from checks import checks_of, outcome
from departures import reason_of
from steps import step_cases

from mlxffi import lib


def main(words: list[str]) -> int:
    chosen = [case for case in [*cases(), *step_cases()] if not words or any(word in case.operation for word in words)]
    # No C++ compiler for the kernels of each of the compiled functions.
    lib.mlx_set_compile_mode(lib.MLX_COMPILE_MODE_NO_FUSE)
    kinds: Counter[str] = Counter()
    known = 0
    for case in chosen:
        for name in checks_of(case):
            problem = outcome(case, name)
            if problem and reason_of(case, name):
                known += 1
            elif problem:
                kinds[name] += 1
                print(f"{case.label} · {name}: {problem[:200]}")
    sorts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    operations = len({case.operation for case in chosen})
    print(f"{operations} operations, {len(chosen)} cases, {sum(len(list(checks_of(case))) for case in chosen)} checks")
    print(f"{sum(kinds.values())} departures{': ' if kinds else ''}{sorts}; {known} in the table")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
