"""What threads share. In mlx.core those that evaluate the same arrays at once end the process, and those that enter the
same context get an error."""

import io
import threading

import numpy as np
import pytest
from helpers import together
from races import lazily, threads_evaluate, threads_wait

import mlxffi.core as mx

pytestmark = pytest.mark.usefixtures("threads_alternate")

# Each as somebody who has the array may ask for it.
WAYS = [
    mx.eval, mx.async_eval, mx.array.tolist, np.array, repr, lambda a: a.sum().item(), lambda a: a[mx.argmax(a)],
    lambda a: mx.jvp(lambda x: x * a, [a], [a]), lambda a: mx.export_to_dot(io.StringIO(), a),
    lambda a: mx.save(io.BytesIO(), a), lambda a: mx.compile(lambda x: x + 1)(a),
]  # fmt: skip


def test_threads_evaluate_the_same_arrays():
    threads_evaluate(lambda: lazily(mx, mx.array), WAYS, mx.eval)


def test_threads_wait_for_the_same_arrays():
    threads_wait(lambda: lazily(mx, mx.array), WAYS, mx.async_eval)


def test_threads_share_a_context():
    """Each gets back its own default, in whichever order they leave."""
    context = mx.stream(mx.new_thread_local_stream(mx.cpu))
    entered, left = threading.Barrier(2, timeout=60), threading.Event()

    def work(number):
        own = mx.new_stream(mx.cpu)
        mx.set_default_stream(own)
        with context:
            inside = mx.default_stream(mx.cpu)
            entered.wait()
            assert number == 0 or left.wait(60)
            assert mx.default_stream(mx.cpu) == inside != own
        left.set()
        assert mx.default_stream(mx.cpu) == own
        mx.clear_streams()

    assert together(work, 2) == []
