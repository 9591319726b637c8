"""Arrays that threads share: in mlx.core those that evaluate the same ones at once end the process."""

import io

import numpy as np
import pytest
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
