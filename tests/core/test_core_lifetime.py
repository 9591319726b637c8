"""Native objects die with what owns them, through mlxffi.core; conftest.py compares their numbers for every test."""

import gc
import threading

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


def test_transforms_may_die_on_another_thread(baseline):
    transforms = [mx.value_and_grad(loss), mx.compile(loss)]
    for transform in transforms:
        transform(tree())
    del transform
    thread = threading.Thread(target=transforms.clear)
    thread.start()
    thread.join()
    assert memory.live_handles() == baseline


@pytest.mark.leaks
def test_calls_in_thousands_leave_memory_flat(baseline):
    step = mx.value_and_grad(loss)
    for _ in range(2000):
        step(tree())
    assert memory.live_handles()["array"] <= baseline["array"] + 2
