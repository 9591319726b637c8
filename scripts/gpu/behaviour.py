"""What holds whatever the numbers: transforms, layouts, rows on their own, the same bits again, infinities, threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

import mlxffi
from mlxffi import Array, ffi, lib, losses
from mlxffi._ffi import handle
from mlxffi.losses import reference

Loss = Callable[..., Array]
Report = Callable[[str, bool], None]
ROWS, CLASSES = 24, 1003  # rows that are not aligned alike
CLOSE = 1e-5


def check_all(report: Report) -> None:
    """Report a line for each property, over the three losses in bfloat16 and float32."""
    for dtype in ("float32", "bfloat16"):
        q, p = _logits(dtype, 1), _logits(dtype, 2)
        targets = mlxffi.random.randint(0, CLASSES, (ROWS,), dtype="int32")
        mlxffi.eval(q, p, targets)
        for name, loss, composed, inputs in (
            ("cross-entropy", losses.cross_entropy, reference.cross_entropy, [q, targets]),
            ("KL", losses.kl_div_loss, reference.kl_div_loss, [q, p]),
            ("JS", losses.js_div_loss, reference.js_div_loss, [q, p]),
        ):
            checks = {check.__name__.replace("_", " "): partial(check, loss, inputs) for check in CHECKS}
            checks["second order"] = partial(second_order, loss, inputs, composed)
            found = {text: holds(check) for text, check in checks.items()}
            wrong = [text for text, good in found.items() if not good]
            report(
                f"{name} {dtype}: {', '.join(found)}" + (f" -- WRONG: {', '.join(wrong)}" if wrong else ""), not wrong
            )
    report("JS: the gradients of a row sum to 0", _sums_to_zero(_logits("float32", 1), _logits("float32", 2)))
    report(
        "KL: a teacher's probability above 0 where the student's is 0 is infinite; rows without any are NaN",
        _infinite(),
    )
    report("events: a stream waits for another, and a thread for both", _waits_in_turn())


def _logits(dtype: str, seed: int) -> Array:
    values = 3 * np.random.default_rng(seed).standard_normal((ROWS, CLASSES))
    return mlxffi.astype(Array(values.astype(np.float32)), dtype)


def gradient(loss: Loss) -> Callable[[list[Array]], list[Array]]:
    """Losses and the student's gradient of their sum."""

    def function(given: list[Array]) -> list[Array]:
        values = loss(*given)
        return [mlxffi.sum(values), values]

    differentiated = mlxffi.value_and_grad(function, 0)

    def run(given: list[Array]) -> list[Array]:
        values, grads = differentiated.apply(*given)
        return [values[1], *grads]

    return run


def same(a: list[Array], b: list[Array]) -> bool:
    return all(x.shape == y.shape and bool(mlxffi.array_equal(x, y, False).item()) for x, y in zip(a, b, strict=True))


def close(a: list[Array], b: list[Array], tolerance: float) -> bool:
    pairs = [[np.array(mlxffi.astype(x, "float32")) for x in pair] for pair in zip(a, b, strict=True)]
    return all(x.shape == y.shape and bool(np.allclose(x, y, tolerance, tolerance)) for x, y in pairs)


def holds(check: Callable[[], bool]) -> bool:
    """Whether a check comes out true; one that raises does not, and says why."""
    try:
        return check()
    except (RuntimeError, ValueError) as error:
        print(f"     {type(error).__name__}: {str(error)[:200]}")
        return False


# --- properties: each takes a loss and its inputs ---


def the_same_bits_again(loss: Loss, inputs: list[Array]) -> bool:
    return same(gradient(loss)(inputs), gradient(loss)(inputs))


def rows_on_their_own(loss: Loss, inputs: list[Array]) -> bool:
    whole = gradient(loss)(inputs)
    return same(gradient(loss)([a[8:9] for a in inputs]), [a[8:9] for a in whole])


def compiled(loss: Loss, inputs: list[Array]) -> bool:
    return same(mlxffi.compile(gradient(loss))(inputs), gradient(loss)(inputs))


def checkpointed(loss: Loss, inputs: list[Array]) -> bool:
    again = mlxffi.checkpoint(lambda given: [loss(*given)])
    return same(gradient(lambda *given: again(list(given))[0])(inputs), gradient(loss)(inputs))


def mapped(loss: Loss, inputs: list[Array]) -> bool:
    grouped = [mlxffi.reshape(a, (4, 6, *a.shape[1:])) for a in inputs]
    found = mlxffi.vmap(gradient(loss))(grouped)
    return same([mlxffi.flatten(a, 0, 1) for a in found], gradient(loss)(inputs))


def transposed(loss: Loss, inputs: list[Array]) -> bool:
    turned = mlxffi.transpose(mlxffi.contiguous(mlxffi.transpose(inputs[0])))
    return same(gradient(loss)([turned, inputs[1]]), gradient(loss)(inputs))


def from_two_threads(loss: Loss, inputs: list[Array]) -> bool:
    expected = gradient(loss)(inputs)
    mlxffi.eval(*expected)
    wrong: list[Any] = []

    def work() -> None:
        for _ in range(20):
            found = gradient(loss)(inputs)
            mlxffi.eval(*found)
            if not same(found, expected):
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return not wrong


CHECKS = (the_same_bits_again, rows_on_their_own, compiled, checkpointed, mapped, transposed, from_two_threads)


def second_order(loss: Loss, inputs: list[Array], composed: Loss) -> bool:
    """The gradient of a weighted sum of gradients, as composed operations give it."""
    weights = mlxffi.astype(mlxffi.reshape(mlxffi.arange(0, ROWS, 1, "float32"), (ROWS, 1)), inputs[0].dtype)

    def twice(of: Loss) -> list[Array]:
        def function(given: list[Array]) -> list[Array]:
            slope = gradient(of)(given)[1]
            return [mlxffi.sum(mlxffi.astype(mlxffi.multiply(mlxffi.square(slope), weights), "float32"))]

        values, grads = mlxffi.value_and_grad(function, 0).apply(*inputs)
        return [*values, *grads]

    return close(twice(loss), twice(composed), 1e-4 if inputs[0].dtype == mlxffi.float32 else 3e-2)


def _sums_to_zero(q: Array, p: Array) -> bool:
    slopes = np.array(mlxffi.astype(gradient(losses.js_div_loss)([q, p])[1], "float32"))
    return bool(np.abs(slopes.sum(1)).max() < CLOSE)


def _infinite() -> bool:
    student, teacher = np.zeros((3, 40), np.float32), np.zeros((3, 40), np.float32)
    student[0, 7] = -np.inf
    student[1], teacher[1] = -np.inf, -np.inf
    values = np.array(losses.kl_div_loss(Array(student), Array(teacher)))
    return bool(values[0] == np.inf and np.isnan(values[1]) and values[2] == 0)


def _waits_in_turn(rounds: int = 20) -> bool:
    """Whether the first stream's products are done when the second stream, which waited for them, is."""
    first, second = mlxffi.Stream(), mlxffi.Stream()
    product = factor = mlxffi.full((2048, 2048), Array(1e-3), "float32")
    for _ in range(rounds):
        product = mlxffi.matmul(product, factor, stream=first)
    mlxffi.async_eval(product)
    events, done = ffi.new("mlxffi_event[2]"), ffi.new("bool *")
    failed = [lib.mlxffi_event_record(events, _stream(first))]
    failed += [lib.mlxffi_event_stream_wait(events[0], _stream(second))]
    failed += [lib.mlxffi_event_record(events + 1, _stream(second))]
    with ThreadPoolExecutor(1) as other:
        failed += [other.submit(lib.mlxffi_event_wait, events[1]).result()]
    failed += [lib.mlxffi_event_is_done(done, events[0])]
    failed += [lib.mlxffi_event_free(event) for event in events]
    return not any(failed) and bool(done[0])


def _stream(stream: mlxffi.Stream) -> Any:
    return handle("mlx_stream", stream._stream)
