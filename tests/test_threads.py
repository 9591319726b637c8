"""Threads: sixteen trace, evaluate and fail at once, and each gets its own results and its own errors."""

import threading

import numpy as np
import pytest
from helpers import error_of, needs_own_mlxc, together
from races import lazily, threads_evaluate, threads_wait

import mlxffi as m
from mlxffi import Array

pytestmark = pytest.mark.usefixtures("threads_alternate")

ROUNDS = 12


class Failure(Exception):
    pass


def scaled_square(number):
    return lambda x: [m.sum(x[0] * x[0] * float(number))]


def test_each_thread_gets_its_own_gradients():
    def work(number):
        fn = scaled_square(number)
        with m.value_and_grad(fn) as made_once:
            for _ in range(ROUNDS):
                for grad_fn in (made_once, m.value_and_grad(m.checkpoint(fn))):
                    values, grads = grad_fn(Array([1.0, 2.0]))
                    assert (values[0].item(), grads[0].tolist()) == (5.0 * number, [2.0 * number, 4.0 * number])

    assert together(work) == []


def test_threads_share_a_grad_fn():
    shared = m.value_and_grad(lambda x: [m.sum(m.checkpoint(lambda y: [y[0] * y[0]])(x)[0])])

    def work(number):
        for _ in range(ROUNDS):
            values, grads = shared(Array([float(number), 1.0]))
            assert (values[0].item(), grads[0].tolist()) == (number**2 + 1.0, [2.0 * number, 2.0])

    assert together(work) == []


def test_threads_share_a_compiled_function():
    shared = m.compile(lambda x: m.grad(lambda y: [m.sum(y[0] * y[0])])(x[0]))

    def work(number):
        for size in range(1, ROUNDS):
            assert shared([Array([float(number)] * size)])[0].tolist() == [2.0 * number] * size

    assert together(work) == []


def test_threads_evaluate_graphs_of_many_nodes():
    """Each its own, of nodes with one user and with two, and of as many as no table is kept for."""

    def work(number):
        for count in (30, 300, 5_000, 30):
            terms = [m.square(Array(float(number + place))) for place in range(count)]
            total = m.sum(m.stack([*terms, *terms]))
            expected = 2 * np.sum(np.square(number + np.arange(count, dtype=np.float64)))
            assert np.isclose(total.item(), expected, rtol=1e-5)

    assert together(work) == []


def test_threads_share_arrays_that_are_computed():
    weight = Array([1.0, 2.0]).eval()
    scaled = m.vmap(lambda x: [x[0] * weight])

    def work(number):
        for _ in range(ROUNDS):
            assert scaled([Array([[float(number)] * 2])])[0].tolist() == [[number, 2.0 * number]]

    assert together(work) == []


def test_errors_reach_the_thread_that_caused_them():
    """Exceptions of callbacks, errors of MLX and right results, one after the other and on all threads at once."""

    def work(number):
        mine = Failure(number)

        def fail(x):
            raise mine

        for _ in range(ROUNDS):
            assert error_of(lambda: m.value_and_grad(m.checkpoint(fail))(Array(1.0)), Exception) is mine
            refused = error_of(lambda: m.reshape(Array([1.0, 2.0]), [number + 100]), Exception)
            assert isinstance(refused, ValueError)
            assert f"({number + 100})" in str(refused)
            assert m.grad(scaled_square(number))(Array([1.0]))[0].tolist() == [2.0 * number]

    assert together(work) == []


def test_captured_arrays_are_those_of_the_thread():
    """What one thread differentiates is a constant for another."""
    weight = Array([1.0, 2.0]).eval()
    checkpointed = m.checkpoint(lambda x: [m.sum(x[0] * weight)])

    def work(number):
        for _ in range(ROUNDS):
            assert m.grad(checkpointed)(Array([float(number)] * 2))[0].tolist() == [1.0, 2.0]
            assert m.grad(lambda x: [m.sum(x[0])])(weight)[0].tolist() == [1.0, 1.0]

    assert together(work) == []


def test_transforms_are_freed_while_others_run():
    shared = m.value_and_grad(scaled_square(3))
    outcomes = set()

    def work(number):
        for turn in range(ROUNDS):
            if number == 0 and turn == ROUNDS // 2:
                shared.free()
            try:
                outcomes.add(tuple(shared(Array([1.0, 2.0]))[1][0].tolist()))
            except ValueError as error:
                outcomes.add(str(error)[:14])

    assert together(work) == []
    assert outcomes - {"[GradFn.apply]"} <= {(6.0, 12.0)}
    assert "[GradFn.apply]" in outcomes


def test_an_array_of_another_thread_is_explained():
    made = []
    thread = threading.Thread(target=lambda: made.append(m.exp(Array(1.0))))
    thread.start()
    thread.join()
    with pytest.raises(RuntimeError, match=r"There is no Stream.* belongs to the thread that built it"):
        made[0].eval()


# Each as somebody who has the array may ask for it.
WAYS = [Array.eval, Array.async_eval, Array.tolist, np.array, repr, lambda a: m.vjp(lambda x: [x[0] * a], [a], [a])]


@needs_own_mlxc
def test_threads_evaluate_the_same_arrays():
    threads_evaluate(lambda: lazily(m, Array), WAYS, lambda arrays: m.eval(*arrays))


@needs_own_mlxc
def test_threads_wait_for_the_same_arrays():
    threads_wait(lambda: lazily(m, Array), WAYS, lambda arrays: m.async_eval(*arrays))
