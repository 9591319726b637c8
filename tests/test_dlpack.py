"""DLPack: arrays of other libraries come in and ours go out, in any strides, and are let go of once."""

import itertools
import threading

import numpy as np
import pytest
from exporters import NUMPY, Exporter, message, same, watched
from helpers import needs_capsules, needs_own_mlxc

import mlxffi as m
from mlxffi import Array, _dlpack, memory
from mlxffi import dtype as dtypes
from mlxffi._ffi import ffi

pytestmark = needs_capsules


def views(source):
    yield from (source, source.T, source[::-1, ::2], source[:, 1], source[1:1], source[1, 1, ...], source[None, 1:, 1:])
    yield np.broadcast_to(source[:1], source.shape)


@pytest.mark.parametrize("dtype", NUMPY)
@pytest.mark.parametrize("old", [False, True])
def test_an_exporter_with_any_strides_becomes_an_array(dtype, old):
    source = (np.arange(12) % 5).astype(dtype).reshape(3, 4)
    for view in views(source):
        # An old capsule cannot say that its memory is only for reading.
        if view.flags.writeable or not old:
            assert same(Array(Exporter(view, old=old)), view)


def test_an_exporter_is_let_go_of_once():
    for step, old in itertools.product((1, 2), (False, True)):
        source, deaths = watched((100, 100))
        array = Array(Exporter(source[::step], old=old))
        wanted = source[::step].tolist()
        del source
        assert array.tolist() == wanted
        del array
        memory.live_handles()  # takes the keys out of the queue
        assert deaths == [1]


class Forged:
    """An exporter whose capsule was changed after it was made."""

    def __init__(self, source, **changes):
        self.source = source
        self.changes = changes

    def __dlpack__(self, max_version=None):
        capsule = self.source.__dlpack__(max_version=max_version)
        tensor = ffi.cast("DLManagedTensorVersioned *", _dlpack.pointer_in(capsule, b"dltensor_versioned")).dl_tensor
        for name, value in self.changes.items():
            part, _, field = name.partition("_")
            setattr(getattr(tensor, part), field, value)
        return capsule


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"dtype_lanes": 4}, TypeError, "value: expected elements of one of bool, uint8,"),
        ({"dtype_code": 3}, TypeError, "value: expected elements of one of bool, uint8,"),
        ({"dtype_bits": 24}, TypeError, "value: expected elements of one of bool, uint8,"),
        ({"device_device_type": 2}, ValueError, "value: expected memory that the CPU reads, got DLPack device type 2;"),
    ],
)
def test_an_exporter_that_cannot_be_adopted_is_let_go_of_once(changes, error, text):
    source, deaths = watched((4,))
    assert message(error, Array, Forged(source, **changes)).startswith(text)
    del source
    assert deaths == [1]


def test_memory_of_another_device_is_asked_for_on_the_cpu():
    assert Array(Exporter(np.arange(3), device=(2, 0))).tolist() == [0, 1, 2]

    class Stubborn(Exporter):
        def __dlpack__(self, max_version=None):
            raise AssertionError("without dl_device the memory is another device's")

    assert "got DLPack device type 2; copy it to the CPU first" in message(
        ValueError, Array, Stubborn(np.arange(3), device=(2, 0))
    )


def test_an_exporters_own_error_arrives():
    class Broken(Exporter):
        def __dlpack__(self, **options):
            raise BufferError("no export today")

    with pytest.raises(BufferError, match="no export today"):
        Array(Broken(None))

    class Liar(Exporter):
        def __dlpack__(self, **options):
            return "a capsule"

    assert "expected a DLPack capsule from Liar.__dlpack__(), got 'a capsule'" in message(ValueError, Array, Liar(None))


@pytest.mark.parametrize("dtype", dtypes.DTYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("version", [None, (1, 0)])
def test_arrays_export_every_dtype_with_its_strides(dtype, version):
    class Consumer:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(max_version=version)

        __dlpack_device__ = Array.__dlpack_device__

    for array in (Array([[1, 0, 1], [0, 1, 1]], dtype), Array(1, dtype), Array([], dtype)):
        for view in (array, m.transpose(array)):
            assert Array(Consumer(view)).dtype is dtype
            assert Array(Consumer(view)).tolist() == view.tolist()


@needs_own_mlxc
def test_a_capsule_that_nobody_takes_frees_its_array():
    array = Array([1, 2])
    before = memory.live_handles()["array"]
    names = [repr(array.__dlpack__()), repr(array.__dlpack__(max_version=(1, 1)))]
    assert '"dltensor"' in names[0]
    assert '"dltensor_versioned"' in names[1]
    assert memory.live_handles()["array"] == before


@needs_own_mlxc
def test_a_consumer_may_let_go_of_an_array_on_another_thread():
    before = memory.live_handles()["array"]
    views = [np.from_dlpack(Array([1, 2]))]
    assert memory.live_handles()["array"] == before + 1
    thread = threading.Thread(target=views.clear)
    thread.start()
    thread.join()
    assert memory.live_handles()["array"] == before


def test_an_exported_copy_can_be_written_to():
    array = m.transpose(Array([[1, 2], [3, 4]]))
    copied = np.from_dlpack(array, copy=True)
    copied[0, 0] = 9
    assert array.tolist() == [[1, 3], [2, 4]]
    assert copied.tolist() == [[9, 3], [2, 4]]


def test_an_export_to_another_device_is_an_error():
    array = Array([1])
    assert array.__dlpack_device__() == (1, 0)
    with pytest.raises(BufferError, match=r"dl_device: expected \(1, 0\), the CPU, got \(2, 0\)"):
        array.__dlpack__(dl_device=(2, 0))
    with pytest.raises(BufferError, match="stream: expected None for memory of the CPU, got 1"):
        array.__dlpack__(stream=1)


def test_arrays_are_exchanged_with_mlx_core():
    core = pytest.importorskip("mlx.core")
    for dtype in (core.bfloat16, core.float32, core.bool_, core.complex64, core.uint64):
        source = core.array([[1, 0], [0, 1]]).astype(dtype)
        array = Array(source)
        assert array.dtype.name == str(dtype).rpartition(".")[2].removesuffix("_")
        assert array.tolist() == source.tolist()
        assert core.from_dlpack(array).tolist() == source.tolist()
