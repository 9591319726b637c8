"""What a call costs on top of MLX: mlxffi and mlxffi.core beside mlx.core, in turns, in one process (with one BLAS)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

# First: the BLAS bridge must come before libmlx binds its BLAS.
import mlxffi
from mlxffi import Array, core

# isort: split
import mlx.core as mx

from ._rows import Call, Row, in_core
from ._timing import in_turns, on_threads, repeated
from ._transform_rows import transforms

ROUNDS = 15
WIDTH, BATCH, LAYERS = 256, 64, 4


# --- the contestants: the same work for each library ---


def operations() -> Iterator[Row]:
    """Rows that build graphs."""
    a, b = Array(1.0), Array(2.0)

    def scalars(work: Callable[[Any, Any, Any], Call]) -> Callable[[Any], Call]:
        return lambda module: work(module, module.array(1.0), module.array(2.0))

    yield in_core("a + b", 20_000, lambda: a + b, scalars(lambda m, x, y: lambda: x + y))
    yield in_core("add(a, b)", 20_000, lambda: mlxffi.add(a, b), scalars(lambda m, x, y: lambda: m.add(x, y)))
    yield in_core("a * 2.0", 20_000, lambda: a * 2.0, scalars(lambda m, x, y: lambda: x * 2.0))
    yield in_core("exp(a)", 20_000, lambda: mlxffi.exp(a), scalars(lambda m, x, y: lambda: m.exp(x)))


def of_core() -> Iterator[Row]:
    """Rows of what mlx.core has and mlxffi has not, or has in another form."""
    for name, work in {
        "a[1]": lambda a, at: lambda: a[1],
        "a[1:3, ::2]": lambda a, at: lambda: a[1:3, ::2],
        "a[indices]": lambda a, at: lambda: a[at],
        "a[..., None, 0]": lambda a, at: lambda: a[..., None, 0],
        "a[1] = 0": lambda a, at: lambda: a.__setitem__(1, 0),
        "a[indices] = 0": lambda a, at: lambda: a.__setitem__(at, 0),
        "a.sum(axis=0)": lambda a, at: lambda: a.sum(axis=0),
        "a.reshape(2, 4)": lambda a, at: lambda: a.reshape(2, 4),
        "a.shape": lambda a, at: lambda: a.shape,
    }.items():
        yield in_core(name, 5_000, None, partial(_on_matrix, work))


def _on_matrix(work: Callable[[Any, Any], Call], module: Any) -> Call:
    return work(module.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]), module.array([0, 2]))


def steps() -> Iterator[Row]:
    """Rows that evaluate: a training step of a small perceptron, eager and compiled."""
    mx.random.seed(0)
    weights = [(mx.random.normal((WIDTH, WIDTH)) * WIDTH**-0.5).tolist() for _ in range(LAYERS)]
    batch = [mx.random.normal((BATCH, WIDTH)).tolist() for _ in range(2)]
    ours, core_step, mx_step = _our_step(), _step_of(core), _step_of(mx)
    mine = [Array(part) for part in [*weights, *batch]]
    cores, theirs = ([module.array(part) for part in [*weights, *batch]] for module in (core, mx))
    compiled = mlxffi.compile(ours), core.compile(core_step), mx.compile(mx_step)
    for name, (first, second, third) in {"eager": (ours, core_step, mx_step), "compiled": compiled}.items():
        calls = partial(_evaluated, first, mine), partial(_run, core, second, cores), partial(_run, mx, third, theirs)
        yield f"training step, {name}", 20, *calls


def _evaluated(step: Any, values: list[Array]) -> None:
    mlxffi.eval(*step(values))


def _run(module: Any, step: Any, values: list[Any]) -> None:
    module.eval(step(*values))


def _loss(module: Any, parameters: Any, inputs: Any, targets: Any) -> Any:
    hidden = inputs
    for weight in parameters:
        hidden = module.tanh(hidden @ weight)
    return module.mean(module.square(hidden - targets))


def _our_step() -> Callable[[list[Array]], list[Array]]:
    loss = lambda v: [_loss(mlxffi, v[:LAYERS], v[LAYERS], v[LAYERS + 1])]  # noqa: E731
    gradient = mlxffi.value_and_grad(loss, *range(LAYERS))

    def step(values: list[Array]) -> list[Array]:
        found, grads = gradient(*values)
        return [found[0], *(weight - grad * 0.01 for weight, grad in zip(values, grads, strict=False))]

    return step


def _step_of(module: Any) -> Callable[..., list[Any]]:
    loss = lambda *v: _loss(module, v[:LAYERS], v[LAYERS], v[LAYERS + 1])  # noqa: E731
    gradient = module.value_and_grad(loss, argnums=list(range(LAYERS)))

    def step(*values: Any) -> list[Any]:
        found, grads = gradient(*values)
        return [found, *(weight - grad * 0.01 for weight, grad in zip(values, grads, strict=False))]

    return step


def main() -> None:
    """Print microseconds for each call and the ratios to mlx.core; then the cost on four threads."""
    print(f"nothing but the training steps is evaluated; median of {ROUNDS} rounds in turns, microseconds a call")
    print(f"{'':28} {'mlxffi':>9} {'ratio':>6} {'m.core':>9} {'ratio':>6} {'mlx.core':>9}")
    for row in [*operations(), *of_core(), *transforms(), *steps()]:
        _print_row(*row)
    _print_threads()


def _print_row(name: str, times: int, ours: Call | None, in_core: Call, theirs: Call) -> None:
    calls = {"ours": ours, "core": in_core, "theirs": theirs}
    contestants = {side: repeated(call, times) for side, call in calls.items() if call}
    found = {side: value / times * 1e6 for side, value in in_turns(contestants, ROUNDS).items()}
    base = found["theirs"]
    ours_cell, core_cell = (_cell(found.get(side), base) for side in ("ours", "core"))
    print(f"{name:28} {ours_cell} {core_cell} {base:9.2f}")


def _cell(value: float | None, base: float) -> str:
    return " " * 16 if value is None else f"{value:9.2f} {value / base:6.2f}"


def _print_threads(times: int = 20_000) -> None:
    a, b = Array(1.0), Array(2.0)
    one = {"one": on_threads(lambda: a + b, times, 1), "four": on_threads(lambda: a + b, times, 4)}
    seconds = in_turns(one, ROUNDS)
    single, together = seconds["one"] / times * 1e9, seconds["four"] / (4 * times) * 1e9
    ratio = together / single
    print(f"a + b on one thread {single:.0f} ns, on four at once {together:.0f} ns an operation: {ratio:.2f}")
