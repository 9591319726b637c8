"""Work that fails in a stream's thread: whatever depends on it raises, however often it is read."""

import concurrent.futures
import contextlib
import os

import numpy as np
import pytest

import mlxffi.core as mx


def loaded(tmp_path, stream=None):
    np.save(tmp_path / "x.npy", np.arange(100_000, dtype=np.float32))
    return mx.load(str(tmp_path / "x.npy"), stream=stream)


def cut(tmp_path, stream=None):
    """An array of a file that is cut after its header was read."""
    array = loaded(tmp_path, stream)
    os.truncate(tmp_path / "x.npy", 1000)
    return array


READERS = [mx.eval, lambda a: a[5].item(), np.array, lambda a: mx.eval(a + 5), lambda a: (a + 1).tolist(), repr]


@pytest.mark.parametrize("read", READERS)
def test_every_read_of_what_failed_raises(tmp_path, read):
    first = cut(tmp_path)
    twice = first * 2
    sums = twice + 1
    for array in (sums, twice, first, sums):
        with pytest.raises(RuntimeError, match="Unable to read"):
            read(array)


def test_a_long_chain_of_what_failed_raises_wherever_it_is_read(tmp_path):
    made = [cut(tmp_path)]
    for _ in range(60):
        made.append(made[-1] + 1)
    kept = made[20::13]
    del made
    for array in (kept[-1], *kept):
        with pytest.raises(RuntimeError, match="Unable to read"):
            mx.eval(array)


def test_what_is_scheduled_while_it_fails(tmp_path):
    for _ in range(100):
        first = last = cut(tmp_path)
        for _ in range(8):
            last = mx.maximum(last, -5.0)
        for array in (first, last):
            with contextlib.suppress(RuntimeError):
                mx.async_eval(array)
        for array in (first, last):
            with pytest.raises(RuntimeError, match="Unable to read"):
                np.array(array)


def test_others_on_the_stream_are_computed(tmp_path):
    with pytest.raises(RuntimeError, match="Unable to read"):
        mx.eval(cut(tmp_path) + 1)
    assert (mx.arange(5) + 1).tolist() == [1, 2, 3, 4, 5]


def test_what_was_computed_before_stays(tmp_path):
    before = mx.arange(5) * 2
    mx.eval(before)
    with pytest.raises(RuntimeError, match="Unable to read"):
        mx.eval(cut(tmp_path)[:5] + before)
    assert before.tolist() == [0, 2, 4, 6, 8]


def told_by(how):
    """Whether it is told depends on how far the stream is."""
    with contextlib.suppress(RuntimeError):
        how()


# What waits for streams, or schedules on them, and is told in place of the arrays whose work failed.
OTHERS = {
    "synchronize": mx.synchronize,
    "synchronize a stream": lambda: mx.synchronize(mx.default_stream(mx.cpu)),
    "clear_cache": mx.clear_cache,
    "set_cache_limit": lambda: mx.set_cache_limit(mx.set_cache_limit(10**9)),
    "eval of another": lambda: mx.eval(mx.arange(100_000) * 3),
    "a factorisation": lambda: mx.eval(mx.linalg.inv(mx.eye(3), stream=mx.cpu)),
    "a gradient": lambda: mx.grad(lambda x: mx.sum(x * x * mx.array(x[0].item())))(mx.ones(5)),
}


@pytest.mark.parametrize("how", OTHERS)
def test_a_failure_told_to_others_is_told_at_every_read(tmp_path, how):
    first = cut(tmp_path)
    second = first * 2
    told_by(lambda: mx.async_eval(second))
    third = second + 1
    told_by(OTHERS[how])
    for array in (first, second, third, second):
        with pytest.raises(RuntimeError, match="Unable to read"):
            mx.sum(array).item()


def test_a_failure_told_to_an_operation_is_told_at_every_read(tmp_path):
    index = cut(tmp_path).astype(mx.int32)
    told_by(lambda: mx.async_eval(index))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="Unable to read"):
            mx.eval(mx.take(mx.arange(10), index))
        with pytest.raises(RuntimeError, match="Unable to read"):
            index.tolist()


def test_what_was_finished_before_the_failure_stays(tmp_path):
    before = mx.arange(100_000) * 2
    mx.async_eval(before)
    mx.synchronize()  # what is unfinished when a call tells of a failure may be what failed
    failed = cut(tmp_path) + 1
    told_by(lambda: mx.async_eval(failed))
    told_by(mx.synchronize)
    assert before[5].item() == 10
    with pytest.raises(RuntimeError, match="Unable to read"):
        mx.eval(failed)
    assert (mx.arange(100_000) * 3)[5].item() == 15


def in_a_thread(function):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function).exception()


def test_a_thread_that_lacks_the_stream_leaves_what_is_pending(tmp_path):
    first = cut(tmp_path)
    second, third = first + 1, first * 2
    told_by(lambda: mx.async_eval(second))
    assert isinstance(in_a_thread(lambda: mx.eval(third)), RuntimeError)
    for array in (first, second, third):
        with pytest.raises(RuntimeError, match="Unable to read"):
            np.array(array)


def test_what_failed_inside_a_graph_of_several_streams_is_told_where_it_is_read(tmp_path):
    first = cut(tmp_path)
    second = mx.add(first, 1, stream=mx.new_stream(mx.cpu))
    with pytest.raises(RuntimeError, match="Unable to read"):
        mx.eval(second)
    told_by(lambda: mx.async_eval(first))
    for array in (first, second, first * 2):
        with pytest.raises(RuntimeError, match="Unable to read"):
            np.array(array)


def test_who_asks_while_it_fails_is_told_each_time(tmp_path):
    for _ in range(200):
        first = cut(tmp_path)
        told_by(lambda array=first: mx.async_eval(array))
        with pytest.raises(RuntimeError, match="Unable to read"):
            np.array(first)  # numpy asks once more, of another protocol


def test_nobody_waits_for_what_was_broken_off_while_it_was_scheduled(tmp_path):
    for _ in range(200):
        first = cut(tmp_path)
        second = first + 1
        told_by(lambda array=second: mx.async_eval(array))
        told_by(lambda array=first: np.array(array))
        with pytest.raises(RuntimeError, match="Unable to read"):
            np.array(second)


def too_large(a, stream):
    """Scheduling it fails: there is no memory for 2^48 bytes."""
    return mx.add(mx.broadcast_to(a[:1], (1 << 16, 1 << 16, 1 << 14)), 1.0, stream=stream)


def across(first, streams, steps):
    """A chain that changes streams, and goes on: past a hundred tasks MLX waits while it schedules."""
    made = [first]
    for stream in streams:
        made.append(mx.multiply(made[-1], 2.0, stream=stream))
    for _ in range(steps):
        made.append(mx.maximum(made[-1], -5.0, stream=streams[-1]))
    return made


def all_fail(made, text):
    for array in made:
        with pytest.raises(RuntimeError, match=text):
            np.array(array)


@pytest.mark.parametrize("steps", [0, 8, 150])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("schedule", [mx.eval, mx.async_eval])
def test_nobody_waits_for_what_was_broken_off_on_several_streams(tmp_path, schedule, count, steps):
    streams = [mx.new_stream(mx.cpu) for _ in range(count)]
    made = across(cut(tmp_path, streams[0]), streams, steps)
    told_by(lambda: schedule(too_large(made[-1], streams[0])))
    all_fail(made, "Unable to read")


def test_nobody_waits_for_any_output_of_what_was_broken_off(tmp_path):
    one, other = mx.new_stream(mx.cpu), mx.new_stream(mx.cpu)
    made = across(cut(tmp_path, one), [one, other], 150)
    outputs = [mx.add(made[1], 1.0, stream=other), mx.add(made[-1], 1.0, stream=one)]
    told_by(lambda: mx.async_eval(*outputs))
    all_fail([*outputs, *made], "Unable to read")


@pytest.mark.parametrize("steps", [0, 20])
@pytest.mark.parametrize("count", [1, 2])
def test_what_was_scheduled_before_memory_ran_out_stays(tmp_path, count, steps):
    streams = [mx.new_stream(mx.cpu) for _ in range(count)]
    made = across(loaded(tmp_path, streams[0]), streams, steps)
    with pytest.raises(MemoryError):
        mx.async_eval(too_large(made[-1], streams[-1]))
    for array in made:
        assert array[99_999].item() in {99_999.0 * 2**power for power in range(count + 1)}


def test_what_other_streams_compute_is_not_doubted(tmp_path):
    other = mx.new_stream(mx.cpu)
    for _ in range(50):
        array = mx.arange(1, 1001, stream=other)
        mx.async_eval(array)
        told_by(lambda: mx.eval(mx.linalg.cholesky(-mx.eye(3), stream=mx.cpu)))
        told_by(lambda: mx.eval(cut(tmp_path)))
        assert array[-1].item() == 1000


def test_many_failures_are_all_remembered(tmp_path):
    made = []
    for _ in range(600):
        first = cut(tmp_path)
        told_by(lambda array=first: mx.async_eval(array))
        made += [first, first * 2]
        told_by(lambda array=made[-1]: mx.eval(array))
    all_fail(made, "Unable to read")
