"""Graphs of many small nodes on a CPU, scheduled ahead of their outputs: values, and what the program keeps."""

import numpy as np
import pytest

import mlxffi.core as mx

STEPS = 40
SIZE = 3000


def chain(x, steps=STEPS):
    """Each of x, x + 1, x + 2, ..., made of the one before."""
    found = [x]
    for _ in range(steps):
        found.append(found[-1] + 1)
    return found


def test_what_the_program_keeps_is_computed_with_the_output():
    made = chain(mx.zeros([SIZE]))
    kept = {place: made[place] for place in (1, STEPS // 2, STEPS - 1)}
    output = made[-1]
    del made
    mx.eval(output)
    for place, array in kept.items():
        assert np.array_equal(np.array(array), np.full(SIZE, place, np.float32))
    assert np.array_equal(np.array(output), np.full(SIZE, STEPS, np.float32))


def test_kept_arrays_of_slow_work_are_waited_for():
    a = np.random.default_rng(0).normal(size=(400, 400)) / 20
    made = [mx.array(a.astype(np.float32))]
    for _ in range(12):
        made.append(made[-1] @ made[0])
    mx.async_eval(made[-1])
    product = a
    for array in made[1:]:
        product = product @ a
        np.testing.assert_allclose(np.array(array), product, atol=1e-4)


@pytest.mark.parametrize("places", [(STEPS, 20), (20, STEPS), (20, 20), (3, STEPS, 30)])
def test_outputs_that_need_each_other(places):
    made = chain(mx.array([1.0, 2.0]))
    mx.eval(*(made[place] for place in places))
    for place in places:
        assert made[place].tolist() == [1.0 + place, 2.0 + place]


def crossed(library, x):
    """Halves of x, exchanged and changed again and again, and one of each time."""
    kept = []
    for _ in range(12):
        first, second = library.split(x * 2, 2)
        kept.append(second)
        x = library.concatenate([second + 1, first])
    return [x, *kept]


def test_operations_of_several_results():
    x = np.arange(12.0, dtype=np.float32).reshape(6, 2)
    found = crossed(mx, mx.array(x))
    mx.eval(found[0])
    for array, wanted in zip(found, crossed(np, x), strict=True):
        assert np.array_equal(np.array(array), wanted)


def test_nodes_of_two_streams():
    other = mx.new_stream(mx.cpu)
    x = mx.array([1.0])
    for step in range(STEPS):
        x = mx.add(x, 1, stream=other if step % 2 else mx.cpu)
    assert x.item() == 1.0 + STEPS
    y = sum(chain(mx.add(x, 1, stream=other))[1:], mx.array(0.0))
    assert y.item() == STEPS * (STEPS + 2) + STEPS * (STEPS + 1) / 2


def test_a_chain_works_in_the_memory_of_its_results():
    size = 1 << 20
    x = mx.zeros([size])
    mx.eval(x)
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    output = chain(x, 30)[-1]
    mx.eval(output)
    assert output[0].item() == 30.0
    # 30 results of 4 MB, each in the place of the one before.
    assert mx.get_peak_memory() - before < 4 * 4 * size


def test_updates_in_place_of_what_was_there():
    cache = mx.zeros([4, SIZE])
    seen = []
    for step in range(STEPS):
        cache = cache.at[step % 4].add(step)
        seen.append(cache)
    mx.eval(cache)
    wanted = np.zeros((4, SIZE), np.float32)
    for step, array in enumerate(seen):
        wanted[step % 4] += step
        assert np.array_equal(np.array(array), wanted), step
