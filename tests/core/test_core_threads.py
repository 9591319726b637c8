"""Threads, through mlxffi.core: sixteen trace, evaluate and fail at once, each with its own results and errors."""

import pytest
from helpers import THREADS, error_of, together

import mlxffi.core as mx

pytestmark = pytest.mark.usefixtures("threads_alternate")

ROUNDS = 8


def scaled_square(number):
    return lambda tree: mx.sum(tree["w"] * tree["w"] * float(number))


def test_each_thread_gets_its_own_gradients():
    def work(number):
        fn = scaled_square(number)
        made_once = mx.value_and_grad(fn)
        for _ in range(ROUNDS):
            for step in (made_once, mx.value_and_grad(mx.checkpoint(fn))):
                value, grads = step({"w": mx.array([1.0, 2.0])})
                assert (value.item(), grads["w"].tolist()) == (5.0 * number, [2.0 * number, 4.0 * number])

    assert together(work) == []


def test_threads_share_a_compiled_function():
    shared = mx.compile(mx.grad(lambda x: (x * x).sum()))

    def work(number):
        for size in range(1, ROUNDS):
            assert shared(mx.array([float(number)] * size)).tolist() == [2.0 * number] * size

    assert together(work) == []


def test_errors_reach_the_thread_that_caused_them():
    def work(number):
        mine = KeyError(number)

        def fail(x):
            raise mine

        for _ in range(ROUNDS):
            assert error_of(lambda: mx.grad(mx.checkpoint(fail))(mx.array(1.0)), Exception) is mine
            refused = error_of(lambda: mx.reshape(mx.array([1.0, 2.0]), (number + 100,)), Exception)
            assert isinstance(refused, ValueError)
            assert f"({number + 100})" in str(refused)
            assert mx.grad(lambda x: x * x)(mx.array(float(number))).item() == 2.0 * number

    assert together(work) == []


def test_threads_index_shared_arrays():
    table = mx.arange(THREADS * 4).reshape(THREADS, 4)
    mx.eval(table)

    def work(number):
        for _ in range(ROUNDS):
            assert table[number, 1:3].tolist() == [4 * number + 1, 4 * number + 2]
            mine = mx.zeros((4,))
            mine[number % 4] = 1.0
            assert mine.sum().item() == 1.0

    assert together(work) == []
