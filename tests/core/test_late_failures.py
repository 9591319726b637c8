"""Work that fails in a stream's thread: whatever depends on it raises, however often it is read."""

import os

import numpy as np
import pytest

import mlxffi.core as mx


def cut(tmp_path):
    """An array of a file that is cut after its header was read."""
    path = tmp_path / "x.npy"
    np.save(path, np.arange(100_000, dtype=np.float32))
    array = mx.load(str(path))
    os.truncate(path, 1000)
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
