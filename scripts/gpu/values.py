"""Values and gradients of every loss on the GPU against float64, on random, extreme and awkward inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import mlxffi
from mlxffi import Array, losses, memory

from . import reference

# Gradients are at most the cotangent (over the temperature); a half dtype rounds them. Values are float32 always.
VALUE_TOLERANCE = 3e-6
GRADIENT_TOLERANCE = {"float32": 5e-6, "float16": 1e-3, "bfloat16": 8e-3}
# A gradient starts from each row's logarithm of a sum in float32, whose last digit is 0.001 at 10,000.
LARGE_TOLERANCE = 2e-3
TEMPERATURE = 2.0
IGNORED = -100

Worst = dict[str, float]


def check_all(report: Callable[[str, bool], None]) -> None:
    """Report a line and a verdict for each kind of input, dtype and shape."""
    rng = np.random.default_rng(5)
    for kind, dtype, shape in cases():
        x, y = inputs(rng, kind, shape)
        worst = compare(rng, x, y, dtype, kind)
        limit = max(GRADIENT_TOLERANCE[dtype], LARGE_TOLERANCE if kind == "large" else 0)
        good = all(error <= (limit if name[0] == "d" else VALUE_TOLERANCE) for name, error in worst.items())
        errors = " ".join(f"{name} {error:.0e}" for name, error in worst.items())
        report(f"{kind:9} {dtype:8} {shape[0]:>3} x {shape[1]:<6} {errors}", good)


def check_many(report: Callable[[str, bool], None], rows: int = 17_000, classes: int = 262_144) -> None:
    """More than 2^32 elements: the last row must come out as the first."""
    one = mlxffi.astype(mlxffi.remainder(mlxffi.arange(0, classes, 1, "float32"), 7.0), "bfloat16")
    q = mlxffi.add(mlxffi.zeros((rows, 1), "bfloat16"), one)
    p = mlxffi.negative(q)
    mlxffi.eval(q, p)
    goal = mlxffi.full((rows,), 3, "int32")
    for name, loss, logits in (
        ("cross-entropy", lambda a: losses.cross_entropy(a, goal), [q]),
        ("KL", losses.kl_div_loss, [q, p]),
        ("JS", losses.js_div_loss, [q, p]),
    ):
        found, grads = differentiated(loss, np.ones(rows), {}, *logits)
        same = mlxffi.all(mlxffi.equal(grads[0][0], grads[0][-1])).item() and found[0].item() == found[-1].item()
        moved = mlxffi.max(mlxffi.abs(grads[0][-1])).item() > 0
        report(f"{name}: the last row of {rows} x {classes} is as the first", bool(same and moved))
        del found, grads
        memory.clear_cache()


def cases() -> Iterator[tuple[str, str, tuple[int, int]]]:
    for dtype in GRADIENT_TOLERANCE:
        for shape in ((3, 1), (5, 7), (300, 129), (4, 1001), (3, 32000), (2, 151936), (2, 262144)):
            yield "random", dtype, shape
    for kind in ("equal", "one-hot", "extreme", "ascending", "infinite", "large", "shifted"):
        for dtype in GRADIENT_TOLERANCE:
            if not (kind == "large" and dtype == "float16"):  # infinite there
                yield kind, dtype, (4, 5003)


def inputs(rng: Any, kind: str, shape: tuple[int, int]) -> tuple[Any, Any]:
    """Student's and teacher's logits."""
    x, y = 3 * rng.standard_normal((2, *shape))
    if kind == "equal":
        y = x
    if kind == "one-hot":
        x, y = np.full(shape, -1e4), np.full(shape, -1e4)
        x[:, 3], y[:, 5] = 1e4, 1e4
    if kind == "extreme":
        x, y = rng.choice([-1e4, 0.0, 1e4], (2, *shape))
    if kind == "ascending":  # each chunk of a row is larger than all before it
        x, y = np.sort(10 * x, 1), np.sort(10 * y, 1)
    if kind == "large":
        x, y = 1e3 * x, 1e3 * y
    if kind == "infinite":  # a teacher's probability is 0 wherever a student's is
        y[:, ::3], x[:, ::6] = -np.inf, -np.inf
    return x, y


def compare(rng: Any, x: Any, y: Any, dtype: str, kind: str) -> Worst:
    """The worst error of each loss and gradient; gradients by the size of the row's cotangent."""
    q, p = (placed(a, dtype, kind == "shifted") for a in (x, y))
    x, y = (np.array(mlxffi.astype(a, "float32")).astype(np.float64) for a in (q, p))
    n, classes = x.shape
    cotangent = rng.standard_normal(n).astype(np.float32).astype(np.float64)
    cotangent[0] = 0.0
    targets = rng.integers(0, classes, n)
    targets[np.isinf(x[np.arange(n), targets])] = 1 % classes
    worst: Worst = {}
    _cross_entropies(worst, q, x, targets, rng.random(n).astype(np.float32), cotangent)
    for name, loss, definition in (("kl", losses.kl_div_loss, reference.kl), ("js", losses.js_div_loss, reference.js)):
        value, dq, dp = definition(x, y, cotangent, TEMPERATURE)
        for teacher in (False, True):
            options = {"temperature": TEMPERATURE, "teacher_gradient": teacher}
            values, grads = differentiated(loss, cotangent, options, q, p)
            note(worst, name, values, value, np.maximum(1, np.abs(value)))
            note(worst, f"d{name}", grads[0], dq, np.abs(cotangent)[:, None])
            size = np.abs(cotangent)[:, None] * np.maximum(1, value)[:, None]
            note(worst, f"d{name}p", grads[1], dp if teacher else 0 * dp, size)
    return worst


def _cross_entropies(worst: Worst, q: Array, x: Any, targets: Any, weights: Any, cotangent: Any) -> None:
    ignored = np.where(np.arange(len(targets)) == len(targets) - 1, IGNORED, targets)
    smoothing = 0.0 if np.isinf(x).any() else 0.1
    cases: dict[str, tuple[Any, dict[str, Any]]] = {
        "ce": (targets, {}),
        "ceI": (ignored, {"ignore_index": IGNORED}),
        "ceW": (targets, {"weights": weights}),
        "ceS": (targets, {"label_smoothing": smoothing}),
    }
    for name, (goal, options) in cases.items():
        loss = partial(_entropy, goal=Array(goal.astype(np.int32)), options=options)
        renamed = {"smoothing" if key == "label_smoothing" else key: value for key, value in options.items()}
        value, dx = reference.cross_entropy(x, goal, cotangent, **renamed)
        values, grads = differentiated(loss, cotangent, {}, q)
        note(worst, name, values, value, np.maximum(1, np.abs(value)))
        note(worst, f"d{name}", grads[0], dx, np.abs(cotangent)[:, None])


def _entropy(logits: Array, goal: Array, options: dict[str, Any]) -> Array:
    rows: Array = losses.cross_entropy(logits, goal, **options)
    return rows


def differentiated(
    loss: Callable[..., Array], cotangent: Any, options: Any, *logits: Array
) -> tuple[Array, list[Array]]:
    """Values, and the gradients of their sum weighted by the cotangent."""
    weights = Array(cotangent.astype(np.float32))

    def function(given: list[Array]) -> list[Array]:
        values = loss(*given, **options)
        return [mlxffi.sum(mlxffi.multiply(values, weights)), values]

    outputs, grads = mlxffi.value_and_grad(function, *range(len(logits))).apply(*logits)
    return outputs[1], grads


def placed(values: Any, dtype: str, shifted: bool) -> Array:
    """The values on the GPU; shifted: row-contiguous, but starting between two 16-byte boundaries."""
    if not shifted:
        return mlxffi.astype(Array(values.astype(np.float32)), dtype)
    padded = mlxffi.astype(Array(np.concatenate([[0.0], values.reshape(-1)]).astype(np.float32)), dtype)
    mlxffi.eval(padded)
    return mlxffi.reshape(padded[1:], values.shape)


def note(worst: Worst, name: str, found: Array, expected: Any, size: Any) -> None:
    """Keep the largest error; where a row's size is 0, its numbers must be 0."""
    numbers = np.array(mlxffi.astype(found, "float32")).astype(np.float64)
    with np.errstate(all="ignore"):
        errors = np.where(numbers == expected, 0, np.abs(numbers - expected) / size)
    error = float(np.max(np.where(np.isnan(errors), np.inf, errors)))
    worst[name] = max(worst.get(name, 0.0), error)
