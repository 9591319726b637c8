#!/usr/bin/env python3
"""Call GradFns again and again, with success and with failure, and watch the memory of the process.

usage: python scripts/soak.py [--count N]

Prints resident memory and live native objects as it goes, and a verdict. The status is 0 where memory stays flat.
"""

from __future__ import annotations

import argparse
import gc
import platform
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import mlxffi
from mlxffi import Array, memory

# Pages that allocators keep while they warm up are no leak; one object of a call would be, at 100,000 calls.
ALLOWED_BYTES_PER_CALL = 8
CPYTHON = sys.implementation.name == "cpython"
# A heap that is collected grows before it is.
ALLOWED_BYTES = 1 << 20 if CPYTHON else 64 << 20
REPORTS = 5


class Failure(Exception):
    """What the failing functions raise."""


def loss(x: list[Array]) -> list[Array]:
    return [mlxffi.sum(mlxffi.multiply(mlxffi.checkpoint(_square)([x[0]])[0], x[1]))]


def _square(x: list[Array]) -> list[Array]:
    return [mlxffi.square(x[0])]


def failing(x: list[Array]) -> list[Array]:
    raise Failure(f"at {x[0].shape}")


def succeed(inputs: list[Array]) -> Callable[[], None]:
    """A call of a reused GradFn, one of a GradFn made for it, and an evaluation."""
    reused = mlxffi.value_and_grad(loss, 0, 1)

    def step() -> None:
        _, grads = reused.apply(*inputs)
        mlxffi.eval(*grads)
        with mlxffi.value_and_grad(loss) as made:
            made.apply(*inputs)

    return step


def fail(inputs: list[Array]) -> Callable[[], None]:
    """The same, with a function that raises in the innermost of two transforms."""
    reused = mlxffi.value_and_grad(mlxffi.checkpoint(failing))

    def step() -> None:
        with mlxffi.value_and_grad(failing) as made:
            for grad_fn in (reused, made):
                try:
                    grad_fn.apply(*inputs)
                except Failure:
                    continue
                raise AssertionError("the failing function did not fail")

    return step


def resident() -> int:
    """The bytes of this process that are in memory (macOS tells only the most there ever were)."""
    if platform.system() == "Linux":
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def alive() -> dict[str, int]:
    """The live native objects, with the collector's help where nothing is freed without it."""
    if not CPYTHON:
        gc.collect()
        gc.collect()
    return memory.live_handles()


def soak(name: str, step: Callable[[], None], count: int) -> bool:
    """Run a step `count` times after a warm-up; whether memory stayed flat."""
    for _ in range(max(count // 10, 100)):
        step()
    objects, start = alive(), resident()
    for number in range(1, count + 1):
        step()
        if number % max(count // REPORTS, 1) == 0:
            objects_now = sum(alive().values())
            print(f"{name}: {number} calls, {resident() / 1e6:.2f} MB resident, {objects_now} objects")
    grown = resident() - start
    flat = grown <= ALLOWED_BYTES + ALLOWED_BYTES_PER_CALL * count and alive() == objects
    print(f"{name}: {grown / 1e3:+.0f} kB in {count} calls, {'flat' if flat else 'NOT FLAT'}")
    return flat


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="calls of each kind (default: 100,000)")
    count = parser.parse_args().count
    if count < 1:
        parser.error(f"--count: expected 1 or more, got {count}")
    gc.collect()
    if CPYTHON:
        gc.disable()
    inputs = [Array([1.0, 2.0, 3.0]), Array([4.0, 5.0, 6.0])]
    flat = [soak("success", succeed(inputs), count), soak("failure", fail(inputs), count)]
    print("soak: memory is flat" if all(flat) else "soak: memory grows")
    return 0 if all(flat) else 1


if __name__ == "__main__":
    sys.exit(main())
