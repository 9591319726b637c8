"""Arrays that threads share: in mlx.core those that evaluate the same ones at once end the process."""

import io
import threading

import numpy as np
import pytest
from helpers import THREADS, together

import mlxffi.core as mx

pytestmark = pytest.mark.usefixtures("threads_alternate")

ROUNDS = 8


def lazily():
    """Arrays that hang together and are not computed, most of them siblings, and what they are to be."""
    numbers = np.arange(6, dtype=np.float32)
    arrays, expected = [], []
    for step in range(1, 13):
        quotient, remainder = mx.divmod(mx.array(numbers) + float(step), 3.0)
        arrays += [quotient, remainder, mx.exp(quotient) + remainder]
        expected += [*(parts := np.divmod(numbers + step, 3)), np.exp(parts[0]) + parts[1]]
    return arrays, expected


# Each as somebody who has the array may ask for it.
WAYS = [
    mx.eval, mx.async_eval, mx.array.tolist, np.array, repr, lambda a: a.sum().item(), lambda a: a[mx.argmax(a)],
    lambda a: mx.jvp(lambda x: x * a, [a], [a]), lambda a: mx.export_to_dot(io.StringIO(), a),
    lambda a: mx.save(io.BytesIO(), a), lambda a: mx.compile(lambda x: x + 1)(a),
]  # fmt: skip


def test_threads_evaluate_the_same_arrays():
    """One thread has built them and computes them; the others get what it computed, or are told whose they are."""
    barrier, shared, refusals = threading.Barrier(THREADS, timeout=60), [], []

    def work(number):
        for _ in range(ROUNDS):
            if not number:
                shared[:] = lazily()
            barrier.wait()
            arrays, expected = shared
            for place in range(len(arrays)):
                array = arrays[place * (2 * number + 1) % len(arrays)]
                try:
                    WAYS[(place + number) % len(WAYS)](array)
                except RuntimeError as error:
                    refusals.append((number > 0, "belongs to the thread" in str(error)))
            if not number:
                mx.eval(arrays)
            barrier.wait()
            np.testing.assert_allclose(arrays[number], expected[number], rtol=1e-6)
            barrier.wait()

    assert together(work) == []
    assert set(refusals) <= {(True, True)}


def test_threads_wait_for_the_same_arrays():
    """What has been handed to MLX's threads may be waited for on any thread."""
    for _ in range(ROUNDS):
        arrays, expected = lazily()
        mx.async_eval(arrays)

        def work(number, arrays=arrays, expected=expected):
            for way in WAYS:
                way(arrays[number])
            np.testing.assert_allclose(arrays[number], expected[number], rtol=1e-6)

        assert together(work) == []
