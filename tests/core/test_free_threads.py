"""What threads share without a lock of their own: trees, lists, arrays that change their shape, contexts, closures. The
results are those of one thread, on a Python without a GIL too, and mlxffi leaves that without one."""

import gc
import sys
import sysconfig

import numpy as np
import pytest
from helpers import together

import mlxffi.core as mx
from mlxffi import memory

pytestmark = pytest.mark.usefixtures("threads_alternate")

THREADS, ROUNDS = 8, 24


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL")
def test_the_gil_stays_off():
    assert not sys._is_gil_enabled()


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL")
@pytest.mark.skipif(not hasattr(sys, "_is_immortal"), reason="no object says so before CPython 3.14")
def test_threads_do_not_count_references_to_what_all_of_them_use():
    shared = [mx.array, mx.float32, type(mx.tanh), mx.tanh, mx.array.__mul__]
    assert [item for item in shared if not sys._is_immortal(item)] == []


def test_threads_differentiate_by_one_tree():
    """Each finds its own tracers in the tree or a copy of it, never those of others, which end up in no result."""
    tree = {"w": mx.array([1.0, 2.0]), "more": [mx.array(3.0), (mx.array(4.0), [])]}
    mx.eval(tree)
    before = tree["w"], tree["more"], *tree["more"][:1], tree["more"][1]

    def work(number):
        def loss(tree):
            scalar, (other, _) = tree["more"]
            return (tree["w"] * tree["w"]).sum() * float(number) + scalar * other

        for _ in range(ROUNDS):
            value, grads = mx.value_and_grad(loss)(tree)
            assert value.item() == 5.0 * number + 12.0
            assert grads["w"].tolist() == [2.0 * number, 4.0 * number]
            assert (grads["more"][0].item(), grads["more"][1][0].item()) == (4.0, 3.0)

    assert together(work, THREADS) == []
    after = tree["w"], tree["more"], *tree["more"][:1], tree["more"][1]
    assert all(a is b for a, b in zip(after, before, strict=True))


def test_an_array_is_made_of_a_list_that_others_change():
    rows = [[1.0, 2.0], [3.0, 4.0]]
    shapes = {(2, 2), (3, 2), (2, 3), "uneven"}

    def work(number):
        for _ in range(ROUNDS):
            if number % 2:
                rows.append([5.0, 6.0])
                rows.pop()
                rows[0].append(7.0)
                rows[0].pop()
                continue
            try:
                made = mx.array(rows)
            except ValueError:
                continue
            assert made.shape in shapes
            assert set(np.array(made).ravel()) <= {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}

    assert together(work, THREADS) == []


def test_an_array_is_read_while_it_gets_other_shapes():
    """Whoever reads it sees one of its values as a whole."""
    values = [np.arange(6.0, dtype=np.float32).reshape(2, 3), np.arange(4.0, dtype=np.float32), np.float32(5.0)]
    ready = [mx.array(value) for value in values]
    mx.eval(ready)
    shared = mx.array(values[0])
    known = {(value.shape, value.tobytes()) for value in map(np.asarray, values)}

    def work(number):
        for turn in range(ROUNDS):
            if number < 2:
                shared._become(ready[(number + turn) % len(ready)])
                continue
            assert shared.shape in {value.shape for value in values}
            copied = np.array(shared)
            assert (copied.shape, copied.tobytes()) in known
            assert shared[...].size in {6, 4, 1}
            assert len(str(shared)) > 5

    assert together(work, THREADS) == []


def test_a_list_of_arrays_is_read_while_others_change_it():
    arrays = [mx.array(float(number)) for number in range(4)]
    mx.eval(arrays)

    def work(number):
        for _ in range(ROUNDS):
            if number % 2:
                arrays.append(mx.array(1.0))
                arrays.pop()
            else:
                assert mx.stack(arrays).size in range(4, 4 + THREADS)

    assert together(work, THREADS) == []


def test_closures_are_counted_on_all_threads():
    x = mx.array(2.0)
    gc.collect()
    before = memory.live_handles()

    def work(number):
        for _ in range(ROUNDS):
            squared = mx.custom_function(mx.checkpoint(lambda a: a * a))
            assert mx.grad(squared)(x).item() == 4.0

    assert together(work, THREADS) == []
    gc.collect()
    assert memory.live_handles() == before


def test_threads_get_the_result_of_a_function_that_one_of_them_compiles():
    shared = [mx.compile(lambda x: {"sum": x.sum(), "twice": (x + x,)}) for _ in range(ROUNDS)]

    def work(number):
        for function in shared:
            found = function(mx.array([1.0, float(number)]))
            assert found["sum"].item() == 1.0 + number
            assert found["twice"][0].tolist() == [2.0, 2.0 * number]

    assert together(work, THREADS) == []
