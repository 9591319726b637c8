"""Arrays for and from other libraries: capsules and numpy arrays, which share memory and keep it alive."""

import copy
import gc
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import both

import mlxffi.core as mx
from mlxffi import memory

DTYPES = ("bool_", "int8", "uint8", "int16", "uint32", "int64", "float16", "float32", "complex64")


class Exporter:
    """What has a capsule and nothing else."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **_):
        return self.array.__dlpack__()


def arrays():
    """How many arrays there are."""
    return memory.live_handles()["array"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_is_shared_in_any_layout(dtype):
    made = mx.array(np.arange(12).reshape(3, 4) % 3).astype(getattr(mx, dtype))
    views = (made, made.T, made[:, ::-2], made[1, 1], made[:0], mx.broadcast_to(made[0], (2, 4)))
    for view in views:
        wanted = view.tolist()
        for take in (
            np.from_dlpack,
            lambda array: array.__array__(),
            np.asarray,
            lambda array: array.__getstate__()[0],
        ):
            found = take(view)
            assert found.tolist() == wanted
            assert found.dtype.name == dtype.rstrip("_")
            assert found.shape == view.shape


def test_arrays_for_numpy_outlive_what_they_were_made_of():
    before = arrays()
    array = mx.array([1.0, 2, 3])
    mx.eval(array)
    for take in (np.from_dlpack, lambda array: array.__array__()):
        taken = take(array)
        assert arrays() == before + 2
        del taken
        assert arrays() == before + 1
    taken = array.__array__()
    taken[0] = 7
    assert array.tolist() == [7, 2, 3]
    del array
    gc.collect()
    assert taken.tolist() == [7, 2, 3]


@pytest.mark.parametrize("version", [None, (0, 8), (1, 0), (2, 0)])
def test_a_capsule_frees_its_array_once(version):
    before = arrays()
    array = mx.array([1.0, 2, 3])
    mx.eval(array)
    capsule = array.__dlpack__(max_version=version, dl_device=(1, 0), copy=False)
    name = "dltensor_versioned" if version and version[0] >= 1 else "dltensor"
    assert f'"{name}"' in repr(capsule)
    del array
    assert arrays() == before + 1
    del capsule
    assert arrays() == before


def test_a_capsule_knows_bfloat16():
    array = mx.array([1.0, 2.0], mx.bfloat16)
    mx.eval(array)

    assert mx.array(Exporter(array)).dtype is mx.bfloat16


@pytest.mark.parametrize(
    ("options", "error"),
    [({"dl_device": (2, 0)}, BufferError), ({"dl_device": 1}, TypeError), ({"max_version": 3}, TypeError)],
)
def test_what_a_capsule_is_not_made_for(options, error):
    array = mx.array([1.0])
    mx.eval(array)
    with pytest.raises(error):
        array.__dlpack__(**options)


def test_arrays_without_a_value_have_no_memory():
    array = mx.array.__new__(mx.array)
    for take in (array.__array__, array.__dlpack__, lambda: np.asarray(array)):
        with pytest.raises(ValueError, match="never given a value"):
            take()


def test_an_integer_of_another_library_lies_inside_too():
    for position in (np.int64(2), np.int8(-3)):
        with pytest.raises(IndexError, match="from -2 to 1"):
            mx.array([1, 2])[position]


def test_copies_are_of_their_own():
    array = mx.array([1.0, 2])
    for made in (copy.copy(array), copy.deepcopy([array])[0], mx.positive(array)):
        made += 1
        assert array.tolist() == [1, 2]
        assert made.tolist() == [2, 3]


@pytest.mark.parametrize(
    "text",
    [
        "mx.from_dlpack(np.arange(6, dtype=np.float32).reshape(2, 3))",
        "mx.from_dlpack(np.arange(6.0))",
        "mx.from_dlpack(np.arange(6)[::2])",
        "mx.from_dlpack(np.arange(0))",
        "mx.from_dlpack(mx.array([1, 2]))",
        "mx.from_dlpack(np.arange(3), copy=True)",
        "mx.from_dlpack(np.arange(3), copy=False)",
        "mx.from_dlpack([1.0])",
        "mx.from_dlpack(None)",
        "mx.array([[1, 2], [3, 4]])[np.int64(1)]",
        "mx.array([[1, 2], [3, 4]])[np.uint8(0)]",
        "mx.array([[1, 2], [3, 4]])[np.int64(-1)]",
        "mx.array([[1, 2], [3, 4]])[np.float32(1)]",
        "mx.array([[1, 2], [3, 4]])[...]",
        "mx.array(1.0)[...]",
        "mx.array([1, 2]) == 'x'",
        "mx.array([1, 2]) != 'x'",
        "mx.array([1.0, 2, 3]).at[0].subtract(mx.array(2.0))",
        "mx.array([1.0, 2, 3]).at[1:].subtract(mx.array([2, 3]))",
        "mx.array([1.0, 2, 3]).at[1:].divide(mx.array([2, 3]))",
        "mx.array([8, 2, 3]).at[0].divide(mx.array(2))",
        "mx.array([8, 2, 3]).at[0].subtract(mx.array(2, mx.uint8))",
        "mx.array([8, 2, 3]).at[0].subtract(mx.array(True))",
        "mx.array([8, 2, 3]).at[mx.array([0, 0])].subtract(mx.array([1, 2]))",
        "mx.einsum_path('ij,jk,kl->il', mx.ones((2, 3)), mx.ones((3, 4)), mx.ones((4, 5)))",
        "mx.einsum_path('ij->ji', mx.ones((2, 3)))",
        "mx.einsum_path('ij,jk->ik', mx.ones((2, 3)))",
        "mx.depends(mx.array([1, 2]), mx.array([3]))",
        "mx.positive(mx.array([True, False]), stream=mx.cpu)",
        "mx.positive(1.0)",
    ],
)
def test_same(text):
    both.same(text)
