"""The losses on the CPU, forward and backward: ours, mlx.core's operations, its fast.cross_entropy, and PyTorch."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

# First: the BLAS bridge must come before libmlx binds its BLAS.
import mlxffi
from mlxffi import Array

# isort: split
import mlx.core as mx

from ._timing import in_turns

ROWS, CLASSES = 512, 32_000
ROUNDS = 5
DTYPES = {"float32": mx.float32, "bfloat16": mx.bfloat16}

Contestants = dict[str, Callable[[], object]]


# --- the losses in mlx.core's operations, as mlx.nn and mlx-lm write them ---


def _log_softmax(x: mx.array) -> mx.array:
    x = x.astype(mx.float32)
    return x - mx.logsumexp(x, axis=-1, keepdims=True)


def _cross_entropy(x: mx.array, targets: mx.array) -> mx.array:
    x = x.astype(mx.float32)
    chosen = mx.take_along_axis(x, targets[:, None], axis=-1).squeeze(-1)
    return (mx.logsumexp(x, axis=-1) - chosen).mean()


def _kl(q: mx.array, p: mx.array) -> mx.array:
    log_q, log_p = _log_softmax(q), _log_softmax(p)
    return (mx.exp(log_p) * (log_p - log_q)).sum(-1).mean()


def _js(q: mx.array, p: mx.array) -> mx.array:
    log_q, log_p = _log_softmax(q), _log_softmax(p)
    middle = mx.logaddexp(log_q, log_p) - float(np.log(2))
    return 0.5 * (mx.exp(log_p) * (log_p - middle) + mx.exp(log_q) * (log_q - middle)).sum(-1).mean()


def _core(loss: Callable[..., mx.array], *arrays: mx.array) -> Contestants:
    """mlx.core's value_and_grad, as it is and compiled."""
    plain = mx.value_and_grad(loss)
    compiled = mx.compile(plain)
    return {
        "mlx.core": lambda: mx.eval(plain(*arrays)),
        "mlx.core compiled": lambda: mx.eval(compiled(*arrays)),
    }


# --- ours ---


def _ours(loss: Callable[..., Array], *arrays: mx.array) -> Contestants:
    logits, *others = [Array(array) for array in arrays]
    function = mlxffi.value_and_grad(lambda inputs: [mlxffi.mean(loss(inputs[0], *others))])

    def run() -> None:
        value, gradients = function(logits)
        mlxffi.eval(*value, *gradients)

    return {"mlxffi": run}


# --- PyTorch, where it is installed ---


def _torch(name: str, dtype: str, *arrays: mx.array) -> Contestants:
    if not importlib.util.find_spec("torch"):
        return {}
    torch: Any = importlib.import_module("torch")
    numbers = [torch.from_numpy(np.array(array.astype(mx.float32))) for array in arrays[:2]]
    logits, other = (number.to(getattr(torch, dtype)) for number in numbers)
    logits.requires_grad_(True)
    functional = torch.nn.functional

    def kl(log_a: Any, log_b: Any) -> Any:
        return functional.kl_div(log_b, log_a, log_target=True, reduction="none")

    def loss() -> Any:
        if name == "cross-entropy":
            return functional.cross_entropy(logits.float(), numbers[1].long())
        log_q, log_p = (functional.log_softmax(x.float(), -1) for x in (logits, other))
        if name == "KL":
            return kl(log_p, log_q).sum(-1).mean()
        middle = torch.logaddexp(log_q, log_p) - float(np.log(2))
        return 0.5 * (kl(log_p, middle) + kl(log_q, middle)).sum(-1).mean()

    def run() -> None:
        logits.grad = None
        loss().backward()

    return {"PyTorch": run}


# --- the table ---


def _cases(dtype: str) -> dict[str, Contestants]:
    mx.random.seed(0)
    q, p = (mx.random.normal((ROWS, CLASSES)).astype(DTYPES[dtype]) for _ in range(2))
    targets = mx.random.randint(0, CLASSES, (ROWS,))
    mx.eval(q, p, targets)
    fast: Contestants = {}
    if hasattr(mx.fast, "cross_entropy"):
        gradient = mx.value_and_grad(lambda x: mx.fast.cross_entropy(x, targets).mean())
        fast = {"mx.fast.cross_entropy": lambda: mx.eval(gradient(q))}
    cases: dict[str, tuple[Callable[..., Array], Callable[..., mx.array], mx.array, Contestants]] = {
        "cross-entropy": (mlxffi.cross_entropy, _cross_entropy, targets, fast),
        "KL": (mlxffi.kl_div_loss, _kl, p, {}),
        "JS": (mlxffi.js_div_loss, _js, p, {}),
    }
    return {
        name: {**_ours(ours, q, other), **_core(core, q, other), **more, **_torch(name, dtype, q, other)}
        for name, (ours, core, other, more) in cases.items()
    }


def _floor(cpus: int) -> dict[str, float]:
    """Reading float32 logits and copying them with numpy, on a thread for each CPU, in seconds."""
    source = np.ones((ROWS, CLASSES), np.float32)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(source, cpus), np.array_split(target, cpus), strict=True))
    with ThreadPoolExecutor(cpus) as pool:
        read = lambda: list(pool.map(lambda part: part[0].max(), parts))  # noqa: E731
        copy = lambda: list(pool.map(lambda part: np.copyto(part[1], part[0]), parts))  # noqa: E731
        return in_turns({"read": read, "copy": copy}, ROUNDS)


def main() -> None:
    """Print milliseconds (medians) and how much longer than ours each takes, for each loss and dtype."""
    mx.set_default_device(mx.cpu)
    mlxffi.set_default_device(mlxffi.Device("cpu"))
    load, cpus = os.getloadavg()[0], len(os.sched_getaffinity(0))
    print(f"{ROWS} x {CLASSES}, forward and backward, median of {ROUNDS} in turns, ms; {cpus} CPUs, load {load:.2f}")
    floor = _floor(cpus)
    print(f"memory floor, float32 on all CPUs: read {floor['read'] * 1e3:.1f}, copy {floor['copy'] * 1e3:.1f}")
    for dtype in DTYPES:
        for name, contestants in _cases(dtype).items():
            seconds = in_turns(contestants, ROUNDS)
            print(f"{name}, {dtype}")
            for who, taken in seconds.items():
                print(f"  {who:22} {taken * 1e3:8.1f}  {taken / seconds['mlxffi']:6.1f}")
