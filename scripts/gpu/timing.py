"""Forward and backward passes timed beside what else there is, with the peak of memory, all in one run."""

from __future__ import annotations

import importlib
import importlib.util
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import mlxffi
from mlxffi import Array, fast, losses, memory
from mlxffi.losses import reference

REPEATS = 7
TOGETHER = 8  # passes between two waits, so that starting and waiting for one (0.4 ms) is not what is timed


class Bench:
    """Logits of the student and the teacher on the GPU, and the table of what was timed on them."""

    def __init__(self, rows: int, classes: int, dtype: str):
        self.rows, self.classes, self.dtype = rows, classes, dtype
        self.q, self.p = (self._logits() for _ in range(2))
        self.targets = mlxffi.random.randint(0, classes, (rows,), dtype="int32")
        self.weights = mlxffi.random.uniform(0.5, 1.5, (rows,))
        self.kept = mlxffi.astype(mlxffi.greater(mlxffi.random.uniform(0.0, 1.0, (rows,)), 0.1), "float32")
        ignored = mlxffi.equal(self.kept, 0.0)
        self.some = mlxffi.where(ignored, mlxffi.astype(-100, "int32"), self.targets)
        mlxffi.eval(self.q, self.p, self.targets, self.weights, self.kept, self.some)
        self.bytes = rows * classes * self.q.dtype.size
        self.milliseconds: dict[str, float] = {}
        self.peaks: dict[str, float] = {}

    def _logits(self) -> Array:
        drawn = mlxffi.random.normal((self.rows, self.classes), dtype=self.dtype)
        drawn = mlxffi.astype(mlxffi.multiply(drawn, 2.0), self.dtype)
        mlxffi.eval(drawn)
        return drawn

    def add(self, name: str, run: Callable[[], list[Array]]) -> None:
        """Time passes made of mlxffi's operations and print a line, with the peak of memory over the inputs."""
        memory.clear_cache()
        memory.reset_peak_memory()
        before = memory.active_memory()
        try:
            mlxffi.eval(*run())
            self.peaks[name] = (memory.peak_memory() - before) / self.bytes
            self.note(name, timed(partial(_mlx_passes, run)))
        except RuntimeError as error:
            print(f"{name:34} failed: {str(error)[:80]}", flush=True)

    def note(self, name: str, milliseconds: float) -> None:
        self.milliseconds[name] = milliseconds
        passes = milliseconds / self.milliseconds["read and write once"] * 2
        memory_used = f"  peak {self.peaks[name]:.3f} x the logits" if name in self.peaks else ""
        print(f"{name:34} {milliseconds:8.3f} ms  {passes:5.1f} passes{memory_used}", flush=True)


def _mlx_passes(run: Callable[[], list[Array]]) -> None:
    for _ in range(TOGETHER):
        outputs = run()
        mlxffi.async_eval(*outputs)
    mlxffi.eval(*outputs)


def timed(run: Callable[[], object]) -> float:
    """Milliseconds of one of the TOGETHER passes that run makes: the median of several runs after one."""
    run()
    found = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return 1e3 * statistics.median(found) / TOGETHER


def mlx(bench: Bench) -> None:
    """Ours, MLX's own cross-entropy, and the losses composed of MLX's operations."""
    q, p, t = bench.q, bench.p, bench.targets
    timed(lambda: mlxffi.eval(*(mlxffi.negative(q) for _ in range(TOGETHER))))  # a cold GPU copies at nine tenths
    bench.add("read and write once", lambda: [mlxffi.negative(q)])
    rate = 2 * bench.bytes / bench.milliseconds["read and write once"] / 1e9
    print(f"  {rate:.2f} TB/s; a pass is one read or one write of {bench.bytes / 1e9:.2f} GB", flush=True)
    entropy = losses.cross_entropy
    for name, loss, inputs in (
        ("cross-entropy: mx.fast", lambda a: fast.cross_entropy(a, t), [q]),
        ("cross-entropy", lambda a: entropy(a, t), [q]),
        ("cross-entropy, ignore_index", lambda a: entropy(a, bench.some, ignore_index=-100), [q]),
        ("cross-entropy, masked", lambda a: entropy(a, t, weights=bench.kept), [q]),
        ("cross-entropy, weighted", lambda a: entropy(a, t, weights=bench.weights), [q]),
        ("cross-entropy, smoothed", lambda a: entropy(a, t, label_smoothing=0.1), [q]),
        ("cross-entropy: composed", lambda a: reference.cross_entropy(a, t), [q]),
        ("KL", losses.kl_div_loss, [q, p]),
        ("KL, temperature 2", lambda a, b: losses.kl_div_loss(a, b, temperature=2.0), [q, p]),
        ("KL: composed", reference.kl_div_loss, [q, p]),
        ("JS", losses.js_div_loss, [q, p]),
        ("JS: composed", reference.js_div_loss, [q, p]),
    ):  # fmt: skip
        bench.add(name, passes(loss, inputs))
        if "composed" in name:
            bench.add(f"{name}, compiled", passes(loss, inputs, compiled=True))
    for name, loss in (("KL, both gradients", losses.kl_div_loss), ("JS, both gradients", losses.js_div_loss)):
        bench.add(name, passes(lambda a, b, loss=loss: loss(a, b, teacher_gradient=True), [q, p], (0, 1)))


def passes(
    loss: Callable[..., Array], inputs: list[Array], argnums: tuple[int, ...] = (0,), compiled: bool = False
) -> Callable[[], list[Array]]:
    """Forward and backward: the losses' sum and the gradients of the student, or of both."""
    function = mlxffi.value_and_grad(lambda given: [mlxffi.sum(loss(*given))], *argnums)

    def run(given: list[Array] = inputs) -> list[Array]:
        values, grads = function.apply(*given)
        return [*values, *grads]

    if not compiled:
        return run
    faster = mlxffi.compile(run)
    return lambda: faster(inputs)


def torch(bench: Bench) -> None:
    """PyTorch's losses, eager and compiled, on logits of the same size and distribution."""
    if not importlib.util.find_spec("torch"):
        print("PyTorch is not installed")
        return
    pytorch: Any = importlib.import_module("torch")
    functional = pytorch.nn.functional
    memory.clear_cache()
    dtype = getattr(pytorch, bench.dtype)
    shape = (bench.rows, bench.classes)
    q, p = ((2 * pytorch.randn(shape, device="cuda", dtype=dtype)).requires_grad_(k == 0) for k in range(2))
    t = pytorch.randint(0, bench.classes, (bench.rows,), device="cuda")

    def entropy(a: Any, _: Any) -> Any:
        return functional.cross_entropy(a, t, reduction="sum")

    def kl(a: Any, b: Any) -> Any:
        log_q, log_p = (functional.log_softmax(x, -1, dtype=pytorch.float32) for x in (a, b))
        return functional.kl_div(log_q, log_p, log_target=True, reduction="sum")

    def js(a: Any, b: Any) -> Any:
        log_q, log_p = (functional.log_softmax(x, -1, dtype=pytorch.float32) for x in (a, b))
        middle = pytorch.logaddexp(log_q, log_p) - 0.6931471805599453
        both = (functional.kl_div(middle, x, log_target=True, reduction="sum") for x in (log_q, log_p))
        return sum(both) / 2

    for name, loss in (("cross-entropy", entropy), ("KL", kl), ("JS", js)):
        for how, function in (("PyTorch", loss), ("torch.compile", pytorch.compile(loss))):
            try:
                bench.note(f"{name}: {how}", timed(partial(_torch_passes, pytorch, function, q, p)))
            except RuntimeError as error:
                print(f"{name}: {how} failed: {str(error)[:80]}", flush=True)


def _torch_passes(pytorch: Any, loss: Callable[[Any, Any], Any], q: Any, p: Any) -> None:
    for _ in range(TOGETHER):
        q.grad = None
        loss(q, p).backward()
    pytorch.cuda.synchronize()
