"""What a call costs on top of MLX: mlxffi beside mlx.core, in turns, in one process (so both use the same BLAS)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

# First: the BLAS bridge must come before libmlx binds its BLAS.
import mlxffi
from mlxffi import Array

# isort: split
import mlx.core as mx

from ._timing import in_turns

ROUNDS = 15
WIDTH, BATCH, LAYERS = 256, 64, 4


def repeated(call: Callable[[], object], times: int) -> Callable[[], None]:
    """The call in a loop of its own, so that the loop costs both sides the same."""

    def run() -> None:
        for _ in range(times):
            call()

    return run


def on_threads(call: Callable[[], object], times: int, threads: int) -> Callable[[], None]:
    """The call on several threads at once, `times` calls on each."""

    def run() -> None:
        workers = [threading.Thread(target=repeated(call, times)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return run


# --- the contestants: the same work for both libraries ---


def operations() -> Iterator[tuple[str, int, Callable[[], object], Callable[[], object]]]:
    """Rows that build graphs: a name, how many calls make one timing, mlxffi's call, mlx.core's."""
    a, b = Array(1.0), Array(2.0)
    x, y = mx.array(1.0), mx.array(2.0)
    yield "a + b, no evaluation", 20_000, lambda: a + b, lambda: x + y
    yield "add(a, b), no evaluation", 20_000, lambda: mlxffi.add(a, b), lambda: mx.add(x, y)
    yield "a * 2.0, no evaluation", 20_000, lambda: a * 2.0, lambda: x * 2.0
    yield "exp(a), no evaluation", 20_000, lambda: mlxffi.exp(a), lambda: mx.exp(x)
    ours = mlxffi.value_and_grad(lambda v: [mlxffi.square(v[0])])
    theirs = mx.value_and_grad(mx.square)
    yield "value_and_grad of square", 2_000, lambda: ours(a), lambda: theirs(x)
    yield "vjp of 10 operations", 1_000, partial(_vjp_ours, a), partial(_vjp_theirs, x)


def _ten(module: Any, value: Any) -> Any:
    for _ in range(5):
        value = module.sin(value) * value
    return value


def _vjp_ours(a: Array) -> object:
    return mlxffi.vjp(lambda v: [_ten(mlxffi, v[0])], [a], [a])


def _vjp_theirs(x: mx.array) -> object:
    return mx.vjp(lambda v: _ten(mx, v), [x], [x])


def _loss(module: Any, parameters: Any, inputs: Any, targets: Any) -> Any:
    hidden = inputs
    for weight in parameters:
        hidden = module.tanh(hidden @ weight)
    return module.mean(module.square(hidden - targets))


def steps() -> Iterator[tuple[str, int, Callable[[], object], Callable[[], object]]]:
    """Rows that evaluate: a training step of a small perceptron, eager and compiled."""
    mx.random.seed(0)
    theirs = [mx.random.normal((WIDTH, WIDTH)) * WIDTH**-0.5 for _ in range(LAYERS)]
    batch = [mx.random.normal((BATCH, WIDTH)) for _ in range(2)]
    mx.eval(theirs, batch)
    ours = [Array(weight.tolist()) for weight in theirs]
    ours_batch = [Array(part.tolist()) for part in batch]
    mlxffi.eval(*ours, *ours_batch)
    argnums = range(LAYERS)
    our_grad = mlxffi.value_and_grad(lambda v: [_loss(mlxffi, v[:LAYERS], v[LAYERS], v[LAYERS + 1])], *argnums)
    their_grad = mx.value_and_grad(lambda *v: _loss(mx, v[:LAYERS], v[LAYERS], v[LAYERS + 1]), argnums=list(argnums))

    def our_step(values: list[Array]) -> list[Array]:
        loss, grads = our_grad(*values)
        return [loss[0], *(weight - grad * 0.01 for weight, grad in zip(values, grads, strict=False))]

    def their_step(*values: mx.array) -> list[mx.array]:
        loss, grads = their_grad(*values)
        return [loss, *(weight - grad * 0.01 for weight, grad in zip(values, grads, strict=False))]

    our_compiled, their_compiled = mlxffi.compile(our_step), mx.compile(their_step)
    mine, other = [*ours, *ours_batch], [*theirs, *batch]
    yield "training step, eager", 20, lambda: mlxffi.eval(*our_step(mine)), lambda: mx.eval(their_step(*other))
    yield (
        "training step, compiled",
        20,
        lambda: mlxffi.eval(*our_compiled(mine)),
        lambda: mx.eval(their_compiled(*other)),
    )


def main() -> None:
    """Print microseconds for each call and the ratio to mlx.core; then the cost on four threads."""
    print(f"median of {ROUNDS} rounds in turns, microseconds a call")
    print(f"{'':28} {'mlxffi':>9} {'mlx.core':>9} {'ratio':>6}")
    for name, times, ours, theirs in [*operations(), *steps()]:
        seconds = in_turns({"ours": repeated(ours, times), "theirs": repeated(theirs, times)}, ROUNDS)
        mine, other = (seconds[side] / times * 1e6 for side in ("ours", "theirs"))
        print(f"{name:28} {mine:9.2f} {other:9.2f} {mine / other:6.2f}")
    _print_threads()


def _print_threads(times: int = 20_000) -> None:
    a, b = Array(1.0), Array(2.0)
    one = {"one": on_threads(lambda: a + b, times, 1), "four": on_threads(lambda: a + b, times, 4)}
    seconds = in_turns(one, ROUNDS)
    single, together = seconds["one"] / times * 1e9, seconds["four"] / (4 * times) * 1e9
    ratio = together / single
    print(f"a + b on one thread {single:.0f} ns, on four at once {together:.0f} ns an operation: {ratio:.2f}")


