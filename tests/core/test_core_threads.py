"""Threads, through mlxffi.core: sixteen trace, evaluate and fail at once, each with its own results and errors."""

import sys
import threading

import pytest

import mlxffi.core as mx
from mlxffi import lib

THREADS = 16
ROUNDS = 8


@pytest.fixture(autouse=True)
def threads_alternate():
    """Switch between threads as often as Python can; and ask no C++ compiler for kernels."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    lib.mlx_set_compile_mode(lib.MLX_COMPILE_MODE_NO_FUSE)
    yield
    lib.mlx_set_compile_mode(lib.MLX_COMPILE_MODE_ENABLED)
    sys.setswitchinterval(before)


def together(work):
    """Run `work(number)` on all threads at once; what each raised, if anything."""
    barrier = threading.Barrier(THREADS)
    raised = []

    def run(number):
        barrier.wait()
        try:
            work(number)
        except BaseException as error:
            raised.append(repr(error.with_traceback(None)))

    threads = [threading.Thread(target=run, args=[number]) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def raised_by(call):
    try:
        call()
    except Exception as error:
        return error.with_traceback(None)
    raise AssertionError("nothing was raised")


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
            assert raised_by(lambda: mx.grad(mx.checkpoint(fail))(mx.array(1.0))) is mine
            refused = raised_by(lambda: mx.reshape(mx.array([1.0, 2.0]), (number + 100,)))
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
