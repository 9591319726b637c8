"""Native objects die with what owns them, through mlxffi.core; conftest.py compares their numbers for every test."""

import gc
import threading
import time

import pytest

import mlxffi.core as mx
from mlxffi import memory


def loss(tree):
    return (tree["w"] * tree["b"][0]).sum()


def tree():
    return {"w": mx.array([1.0, 2.0]), "b": [mx.array(3.0)]}


@pytest.fixture
def baseline():
    return memory.live_handles()


def test_a_call_leaves_nothing(baseline):
    for _ in range(3):
        mx.value_and_grad(loss)(tree())
        mx.grad(lambda w, *, b: (w * b).sum(), argnames="b")(mx.array([1.0]), b=mx.array([2.0]))
        mx.vjp(mx.sin, [mx.array(3.0)], [mx.array(1.0)])
        mx.jvp(mx.sin, [mx.array(3.0)], [mx.array(1.0)])
        mx.vmap(mx.sin)(mx.array([3.0]))
        mx.compile(loss)(tree())
        mx.checkpoint(loss)(tree())
        assert memory.live_handles() == baseline


def test_second_order_leaves_nothing(baseline):
    assert mx.grad(mx.grad(mx.checkpoint(lambda x: x * x * x)))(mx.array(2.0)).item() == 12.0
    assert memory.live_handles() == baseline


def test_indexing_leaves_nothing(baseline):
    array = mx.arange(24).reshape(2, 3, 4)
    for key in (0, (0, 1), (slice(None), 2), (..., -1), mx.array([1, 0]), None, (mx.array([0]), slice(0, 2))):
        array[key].tolist()
        array[key] = 7
    array.at[0].add(1)
    del array, key
    assert memory.live_handles() == baseline


def test_in_place_operators_leave_nothing(baseline):
    array = alias = mx.ones((3,))
    array += 1
    array *= mx.array(2.0)
    assert alias.tolist() == [4.0] * 3
    del array, alias
    assert memory.live_handles() == baseline


def test_a_failure_leaves_nothing(baseline):
    def fail(x):
        kept.append(x)
        raise KeyError("mine")

    kept = []
    for transform in (mx.value_and_grad(fail), mx.compile(fail), mx.checkpoint(fail), mx.vmap(fail)):
        with pytest.raises(KeyError, match="mine"):
            transform(mx.array([3.0]))
    assert len(kept) == 4
    kept.clear()
    del transform
    assert memory.live_handles() == baseline


def cycle_of_grad():
    weight = mx.array([1.0, 2.0])

    def function(x):
        assert transform is not None
        return (x * weight).sum()

    transform = mx.value_and_grad(function)
    transform(mx.array(3.0))


def cycle_of_method():
    class Model:
        def __init__(self):
            self.weight = mx.array([1.0, 2.0])
            self.step = mx.value_and_grad(self.loss)
            self.forward = mx.compile(self.loss)

        def loss(self, x):
            return (self.weight * x).sum()

    model = Model()
    model.step(mx.array(3.0))
    model.forward(mx.array(3.0))


@pytest.mark.parametrize("make", [cycle_of_grad, cycle_of_method], ids=lambda make: make.__name__)
def test_cycles_are_collected(make, baseline):
    make()
    assert memory.live_handles() != baseline
    gc.collect()
    assert memory.live_handles() == baseline


def test_arrays_do_not_count_as_garbage():
    # They refer to no objects: a loop that makes many of them starts no collection, as in mlx.core.
    class Derived(mx.array):
        pass

    assert not gc.is_tracked(mx.array([1.0, 2.0]))
    assert gc.is_tracked(Derived([1.0, 2.0])), "it may have attributes"


def test_transforms_may_die_on_another_thread(baseline):
    transforms = [mx.value_and_grad(loss), mx.compile(loss)]
    for transform in transforms:
        transform(tree())
    del transform
    thread = threading.Thread(target=transforms.clear)
    thread.start()
    thread.join()
    assert memory.live_handles() == baseline


def plus_constant():
    """A compiled function that holds 1 MB."""
    constant = mx.zeros(1 << 18)
    mx.eval(constant)
    return mx.compile(lambda x: x + constant)


def test_traces_of_a_living_thread_die_with_the_function():
    before = mx.get_active_memory()
    functions = [plus_constant() for _ in range(20)]
    called, done = threading.Event(), threading.Event()

    def call():
        mx.eval([function(mx.array(1.0)) for function in functions])
        called.set()
        done.wait(60)

    thread = threading.Thread(target=call)
    thread.start()
    called.wait(60)
    assert mx.get_active_memory() - before == 20 << 20
    functions.clear()
    # Where there is no GIL, what the thread made waits for a collection, and what that keeps alive for the next one.
    for _ in range(3):
        gc.collect()
    after = mx.get_active_memory()
    done.set()
    thread.join()
    assert after == before


def test_traces_of_a_living_function_die_with_the_thread():
    before = mx.get_active_memory()
    function = mx.compile(lambda x: x + mx.array([1.0] * (1 << 16)))
    for _ in range(10):
        thread = threading.Thread(target=lambda: mx.eval(function(mx.array(1.0))))
        thread.start()
        thread.join()
    # join() returns before the system's thread has ended, so the last traces may be there still for a moment.
    deadline = time.monotonic() + 10
    while mx.get_active_memory() - before >= 2 << 18 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert mx.get_active_memory() - before < 2 << 18


@pytest.mark.leaks
def test_calls_in_thousands_leave_memory_flat(baseline):
    step = mx.value_and_grad(loss)
    for _ in range(2000):
        step(tree())
    assert memory.live_handles()["array"] <= baseline["array"] + 2
