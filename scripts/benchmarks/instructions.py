"""How many instructions each call of `bench.py calls` takes, by valgrind's callgrind, in this tree and in an older one.

Unlike times, they can be compared on a busy machine. usage: bench.py instructions OTHER_TREE [PATTERN]
"""

from __future__ import annotations

import gc
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from ctypes import CDLL
from pathlib import Path

from mlxffi import core

from . import calls

# How many calls are counted, after as many that are not.
TIMES = 100
LIMITS = (1.05, 1.1, 1.25)
# Callgrind starts to count at one of them, and writes the sum at the other.
MARKS = """#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_ZERO_STATS; }
void end(void) { CALLGRIND_DUMP_STATS; }"""
# What costs nothing: the first of them lets other threads come to rest.
EMPTY = ("None", "pass")
HERE = Path(__file__).parents[2]


def main(other: str = str(HERE), part: str = "") -> None:
    """Print the instructions of each call in the other tree and here and their ratio, the greatest first."""
    before, now = counted(Path(other).resolve(), part), counted(HERE, part)
    ratios = {call: now[call] / before[call] for call in now if before.get(call)}
    for call, ratio in sorted(ratios.items(), key=lambda row: -row[1]):
        print(f"{ratio:6.2f} {before[call]:9.0f} -> {now[call]:9.0f}  {call}")
    mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
    above = (f"above {limit}: {sum(ratio > limit for ratio in ratios.values())}" for limit in LIMITS)
    print(f"{len(ratios)} calls, geometric mean {mean:.3f},", *above)


def counted(tree: Path, part: str) -> dict[str, float]:
    """The instructions of each call in a tree."""
    with tempfile.TemporaryDirectory() as folder:
        compiler = ["cc", "-shared", "-fPIC", "-xc", "-", "-o", f"{folder}/marks.so"]
        subprocess.run(compiler, input=MARKS, text=True, check=True)
        command = ["valgrind", "-q", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={folder}/sum"]
        command += [sys.executable, "-m", "benchmarks.instructions", part]
        places = f"{tree}{os.pathsep}{HERE / 'scripts'}"
        environment = {**os.environ, "PYTHONPATH": places}
        done = subprocess.run(command, stdout=subprocess.PIPE, cwd=folder, env=environment, check=True)
        names = json.loads(done.stdout)
        sums = [total(Path(folder) / f"sum.{number + 1}-01") for number in range(len(names))]
    return {call: (count - sums[1]) / TIMES for call, count in zip(names, sums, strict=True) if call not in EMPTY}


def total(file: Path) -> int:
    found = re.search(r"^(?:summary|totals): (\d+)", file.read_text(), re.MULTILINE)
    assert found
    return int(found[1])


# --- in the process that is counted ---


def run(part: str) -> None:
    """Make the calls, after empty ones, and print which."""
    gc.disable()
    library, counting = CDLL("./marks.so"), [False]
    marks = [library.begin, library.end]

    def clock() -> int:
        if counting[0]:
            marks.append(marks.pop(0))
            marks[-1]()
        return 0

    space = {**calls.namespace(core), "clock": clock}
    made = []
    for call in [*EMPTY, *(call for call in calls.all_calls() if re.search(part, call))]:
        timer = calls.timer(call, space)
        if calls.works(timer):
            timer(TIMES)
            counting[0] = True
            timer(TIMES)
            counting[0] = False
            made.append(call)
    print(json.dumps(made))


if __name__ == "__main__":
    run(sys.argv[1])
