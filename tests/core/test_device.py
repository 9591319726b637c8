"""Devices and streams against mlx.core."""

import re
import threading

import mlx.core
import pytest
from both import same
from helpers import together

import mlxffi.core as mx

EXPRESSIONS = """
mx.cpu
mx.gpu
str(mx.cpu)
f'{mx.cpu}'
mx.cpu.name
mx.gpu.value
hash(mx.cpu) == hash('cpu')
mx.DeviceType(0)
mx.cpu == 0
mx.cpu == mx.Device(mx.cpu)
mx.cpu == mx.Device(mx.cpu, 1)
mx.cpu == mx.Device(mx.gpu)
mx.Device(mx.cpu) == mx.cpu
mx.Device(mx.cpu) == mx.Device(mx.cpu, 1)
mx.Device(mx.cpu) == mx.Device(mx.cpu, 0)
mx.Device(mx.cpu) == 3
mx.Device(mx.gpu)
mx.Device(mx.cpu, 1)
mx.Device(mx.cpu, index=3)
mx.Device(type=mx.cpu).type
mx.Device('cpu')
mx.Device(mx.cpu, -1)
mx.Device(mx.cpu, True)
mx.Device(mx.cpu, 2.0)
mx.Device(mx.cpu, 'x')
mx.Device(mx.cpu, 2**40)
mx.Device(mx.cpu, 0, 0)
mx.Device(mx.cpu, type=mx.cpu)
mx.Device(mx.cpu).type is mx.cpu
mx.Device(mx.cpu).type = mx.gpu;; 1
mx.Device(mx.cpu) != mx.cpu
mx.Device(mx.cpu) != 3
mx.Device(mx.cpu) < mx.cpu
mx.Device(mx.cpu) is mx.Device(mx.cpu)
len({mx.Device(mx.cpu), mx.Device(mx.cpu)})
copy.copy(mx.Device(mx.cpu))
mx.default_device() is mx.default_device()
mx.set_default_device(mx.Device(mx.cpu, 0)) ;; mx.default_device()
mx.default_device().type
s = mx.default_stream(mx.cpu);; s != s
s = mx.default_stream(mx.cpu);; s < s
s = mx.default_stream(mx.cpu);; s.device = 3;; 1
mx.default_stream(mx.gpu)
mx.StreamContext()
mx.StreamContext(s=mx.cpu).__enter__()
mx.StreamContext(s=mx.cpu, t=3)
mx.StreamContext(mx.cpu).__exit__()
mx.StreamContext(mx.cpu).__exit__(None, None, None, None)
mx.StreamContext(mx.cpu).__exit__(exc_type=None)
mx.StreamContext(mx.cpu).__exit__(None, None, traceback=None)
mx.StreamContext(mx.cpu).__exit__(None, exc_type=None)
mx.StreamContext(mx.cpu).__exit__(other=None)
mx.StreamContext(mx.gpu).__enter__()
mx.stream(s=mx.cpu).__enter__()
mx.stream()
d = mx.device_info(mx.cpu);; d.clear();; mx.device_info(mx.cpu)
mx.Device()
mx.Device(mx.cpu).foo
mx.Stream()
mx.ThreadLocalStream()
mx.new_stream(3)
mx.new_stream(mx.cpu).device
mx.new_stream(mx.gpu)
mx.new_thread_unsafe_stream(mx.cpu).device
mx.new_thread_local_stream(mx.cpu).device
mx.new_thread_local_stream(mx.gpu).device
mx.new_thread_local_stream(3)
mx.default_stream()
mx.default_stream(3)
mx.default_stream(mx.gpu)
mx.default_stream(mx.cpu).device
mx.default_stream(mx.cpu) == mx.default_stream(mx.cpu)
mx.default_stream(mx.cpu) == mx.default_stream(mx.Device(mx.cpu))
mx.default_stream(mx.cpu) == mx.cpu
mx.default_stream(mx.cpu) == 3
mx.default_stream(mx.cpu) == mx.new_thread_local_stream(mx.cpu)
mx.set_default_stream(mx.cpu)
mx.set_default_device(mx.gpu)
mx.set_default_device(3)
mx.Device(mx.cpu, 1) == mx.cpu
mx.default_stream(mx.Device(mx.cpu, 1))
mx.zeros(3, stream=mx.Device(mx.cpu, 2))
mx.default_device()
mx.device_info()
mx.device_info(mx.cpu)
mx.device_info(mx.gpu)
mx.device_info(mx.Device(mx.cpu, 1))
mx.device_info(3)
mx.device_count(mx.gpu)
mx.device_count(mx.cpu)
mx.device_count(3)
mx.is_available(mx.gpu)
mx.is_available(mx.cpu)
mx.is_available(mx.Device(mx.cpu, 1))
mx.is_available(3)
mx.stream(None)
mx.StreamContext(3)
mx.synchronize()
mx.synchronize(mx.cpu)
mx.synchronize(mx.Device(mx.cpu))
mx.synchronize(mx.new_thread_local_stream(mx.cpu))
mx.synchronize(mx.new_stream(mx.cpu))
mx.synchronize(3)
mx.array([1]).astype(mx.float32, mx.cpu)
mx.array([1]).astype(mx.float32, mx.Device(mx.cpu))
mx.array([1]).astype(mx.float32, mx.new_stream(mx.cpu))
mx.array([1]).astype(mx.float32, mx.new_thread_local_stream(mx.cpu))
mx.array([1]).astype(mx.float32, stream=mx.gpu)
mx.array([1]).astype(mx.float32, stream=3)
"""


@pytest.mark.parametrize("text", EXPRESSIONS.strip().splitlines())
def test_same(text):
    same(text)


REFUSED = {
    "default_stream(): device: expected a Device or DeviceType": lambda: mx.default_stream(3),
    "is_available(): device: expected a Device or DeviceType": lambda: mx.is_available(3),
    "device: expected a Device or DeviceType": lambda: mx.new_stream(3),
    "device: expected a Device or DeviceType, got int": lambda: mx.new_thread_unsafe_stream(3),
    "inv(): a: expected an array": lambda: mx.linalg.inv(3),
    "rope(): a: expected an array": lambda: mx.fast.rope(3, 2, traditional=False, base=1.0, scale=1.0, offset=0),
    "Group: no constructor defined; use mx.distributed.init": lambda: mx.distributed.Group(),
}


@pytest.mark.parametrize("text", REFUSED)
def test_errors_name_what_was_called(text):
    with pytest.raises(TypeError, match="^" + re.escape(text)):
        REFUSED[text]()


@pytest.mark.parametrize("library", [mx, mlx.core])
def test_stream_context(library):
    before = library.default_stream(library.cpu)
    chosen = library.new_stream(library.cpu)
    with library.stream(chosen):
        assert library.default_stream(library.cpu) == chosen
        with library.stream(library.Device(library.cpu, 0)):
            assert library.default_device() == library.cpu
        assert library.default_stream(library.cpu) == chosen
    assert library.default_stream(library.cpu) == before
    with pytest.raises(ZeroDivisionError), library.stream(chosen):
        raise ZeroDivisionError
    assert library.default_stream(library.cpu) == before


def test_a_context_is_used_again():
    context = mx.stream(mx.new_thread_local_stream(mx.cpu))
    before = mx.default_stream(mx.cpu)
    for _ in range(2):
        with context:
            assert mx.default_stream(mx.cpu) != before
            assert (mx.array([1]) + 1).item() == 2
    assert mx.default_stream(mx.cpu) == before


def test_reprs_count_streams():
    text = repr(mx.new_stream(mx.cpu))
    assert text.startswith("Stream(Device(cpu, 0), ")
    assert repr(mx.new_thread_local_stream(mx.gpu)).startswith("ThreadLocalStream(Device(gpu, 0), ")


def test_a_thread_local_stream_differs_by_thread():
    stream = mx.new_thread_local_stream(mx.cpu)
    found = []

    def here():
        found.append(repr(stream._here()))
        found.append((mx.array([1, 2]).astype(mx.float32, stream) + 1).tolist())
        mx.clear_streams()

    thread = threading.Thread(target=here)
    thread.start()
    thread.join()
    assert found[0] != repr(stream._here())
    assert found[1] == [2, 3]
    assert stream == stream
    assert stream != mx.new_thread_local_stream(mx.cpu)


def test_threads_have_their_own_default_stream():
    before, chosen, found = mx.default_stream(mx.cpu), mx.new_stream(mx.cpu), []

    def here():
        with mx.stream(mx.new_stream(mx.cpu)):
            found.append(mx.default_stream(mx.cpu) == chosen)
        found.append(mx.default_stream(mx.cpu) == before)
        mx.clear_streams()

    with mx.stream(chosen):
        thread = threading.Thread(target=here)
        thread.start()
        thread.join()
        assert mx.default_stream(mx.cpu) == chosen
    assert found == [False, False]


def test_a_context_is_used_within_itself():
    before, chosen = mx.default_stream(mx.cpu), mx.new_stream(mx.cpu)
    context = mx.stream(chosen)
    with context:
        with context:
            assert mx.default_stream(mx.cpu) == chosen
        assert mx.default_stream(mx.cpu) == chosen
    assert mx.default_stream(mx.cpu) == before != chosen


def test_a_context_is_left_where_it_was_entered():
    before, context = mx.default_stream(mx.cpu), mx.stream(mx.new_stream(mx.cpu))
    with context:
        (refused,) = together(lambda number: context.__exit__(), 1)
        assert "left on another thread" in refused
    assert mx.default_stream(mx.cpu) == before


def test_objects_that_were_not_made_by_mlx():
    stream = mx.Stream.__new__(mx.Stream)
    for use in (lambda: stream.device, lambda: stream.index, lambda: repr(stream), lambda: mx.StreamContext(stream)):
        with pytest.raises((TypeError, ValueError, RuntimeError)):
            use()
    assert stream != mx.default_stream(mx.cpu)
    context = mx.StreamContext.__new__(mx.StreamContext)
    with pytest.raises(TypeError), context:
        pass
