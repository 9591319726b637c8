"""Devices and streams."""

from __future__ import annotations

import enum
import functools
import itertools
from typing import Any, TypeAlias

from .. import device as lower
from .._errors import RangeError, check, last_error
from .._ffi import ffi, lib, native
from ._binding import operation


class DeviceType(enum.Enum):
    """A kind of device."""

    cpu = 0
    gpu = 1

    def __repr__(self) -> str:
        return f"DeviceType.{self.name}"

    __str__ = __repr__

    def __eq__(self, arg: object, /) -> bool:
        return self is arg or (type(arg) is Device and arg.type is self)

    def __hash__(self) -> int:
        return hash(self.name)


DeviceType.__module__ = "mlxffi.core"
cpu = DeviceType.cpu
gpu = DeviceType.gpu


class Device(native.DeviceOwner):
    """A device: its type and its index among those of the type."""

    __slots__ = ()
    __module__ = "mlxffi.core"


def _kind(value: object) -> str:
    return type(value).__name__


class Stream(native.StreamOwner):
    """A queue of computations on one device, of the thread that made it."""

    __slots__ = ()
    __module__ = "mlxffi.core"


class ThreadLocalStream:
    """One stream on each thread that uses it, made at the first use there."""

    __module__ = "mlxffi.core"
    __slots__ = ("_device", "_h", "_index")
    _device: Device
    _h: int
    _index: int
    _counter = itertools.count()

    def __init__(self, *_: Any):
        raise TypeError("ThreadLocalStream: no constructor defined; use mx.new_thread_local_stream")

    @classmethod
    def _on(cls, device: Device) -> ThreadLocalStream:
        made = cls.__new__(cls)
        made._h, made._index, made._device = 0, next(cls._counter), device
        made._h = lib.glue_thread_local_stream_new(device._h)
        if not made._h:
            raise last_error()
        return made

    def __del__(self) -> None:
        handle, self._h = getattr(self, "_h", 0), 0
        if handle:
            lib.glue_thread_local_stream_free(handle)

    @property
    def device(self) -> Device:
        """The device it computes on."""
        return self._device

    def _here(self) -> Stream:
        """The stream of this thread."""
        return Stream._own(lib.glue_thread_local_stream_get(self._h))

    def __repr__(self) -> str:
        return f"ThreadLocalStream({self._device!r}, {self._index})"

    def __eq__(self, arg: object, /) -> bool:
        return isinstance(arg, ThreadLocalStream) and self._index == arg._index

    __hash__ = object.__hash__


StreamOrDevice: TypeAlias = Stream | ThreadLocalStream | Device | DeviceType | None


# --- what functions take as `stream` ---


class _Held(int):
    """A handle with its owner, which lives as long as the int does."""

    owner: Stream


def stream_of(value: Any) -> Stream:
    """The stream that a Stream, ThreadLocalStream, Device or DeviceType stands for on this thread.

    Raises:
      TypeError: it is something else.
    """
    if isinstance(value, Stream):
        return value
    if isinstance(value, ThreadLocalStream):
        return value._here()
    if isinstance(value, (Device, DeviceType)):
        return default_stream(value)
    raise TypeError(f"stream: expected a Stream, ThreadLocalStream, Device, DeviceType or None, got {_kind(value)}")


def stream_handle(value: Any) -> int:
    """The handle that glue functions take for a `stream` argument; 0, the default stream, for None.

    Keep the result itself until the call is made: it may own the stream.
    """
    if value is None:
        return 0
    if type(value) is Stream:
        return value._h
    owner = stream_of(value)
    held = _Held(owner._h)
    held.owner = owner
    return held


def _device(value: Any, name: str = "device") -> Device:
    if isinstance(value, Device):
        return value
    if isinstance(value, DeviceType):
        return Device(value)
    raise TypeError(f"{name}: expected a Device or DeviceType, got {_kind(value)}")


# --- devices ---


@operation("default_device")
def default_device() -> Device:
    """The device on which operations run that name no stream."""
    on = lower.default_device()
    return Device(DeviceType[on.type], on.index)


@operation("set_default_device")
def set_default_device(device: Device | DeviceType) -> None:
    """Choose the device on which operations run that name no stream."""
    chosen = _device(device)
    check(lib.glue_set_default_device(chosen._h))


@operation("device is_available")
def is_available(device: Device | DeviceType) -> bool:
    """Whether a device is there."""
    asked, found = _device(device), ffi.new("bool *")
    check(lib.glue_device_is_available(found, asked._h))
    return bool(found[0])


@operation("device_count")
def device_count(device_type: DeviceType) -> int:
    """How many devices of a type there are."""
    if not isinstance(device_type, DeviceType):
        raise TypeError(f"device_type: expected a DeviceType, got {_kind(device_type)}")
    return lower.device_count(device_type.name)


def device_info(d: Device | DeviceType | None = None) -> dict[str, str | int]:
    """What the backend tells about a device (None: the default one); empty where there is no such device."""
    device = default_device() if d is None else _device(d, "d")
    if device.type is not cpu and not device_count(device.type):
        return {}
    return dict(_cpu_info()) if device.type is cpu else _info(device)


@functools.cache
def _cpu_info() -> dict[str, str | int]:
    return _info(Device(cpu))


def _info(device: Device) -> dict[str, str | int]:
    info = lib.glue_device_info_get(device._h)
    if not info:
        raise last_error()
    try:
        return {key: _info_value(info, key) for key in _info_keys(info)}
    finally:
        lib.glue_device_info_free(info)


def _info_keys(info: int) -> list[str]:
    keys = ffi.new("mlx_vector_string *")
    check(lib.mlx_device_info_get_keys(keys, ffi.new("mlx_device_info *", [ffi.cast("void *", info)])[0]))
    try:
        return [_string_at(keys[0], index) for index in range(lib.mlx_vector_string_size(keys[0]))]
    finally:
        lib.mlx_vector_string_free(keys[0])


def _string_at(strings: Any, index: int) -> str:
    text = ffi.new("char **")
    check(lib.mlx_vector_string_get(text, strings, index))
    return str(ffi.string(text[0]).decode())


def _info_value(info: int, key: str) -> str | int:
    name = key.encode()
    found, text, size = ffi.new("bool *"), ffi.new("const char **"), ffi.new("size_t *")
    check(lib.glue_device_info_is_string(found, info, name))
    if found[0]:
        check(lib.glue_device_info_get_string(text, info, name))
        return str(ffi.string(text[0]).decode())
    check(lib.glue_device_info_get_size(size, info, name))
    return int(size[0])


# --- streams ---


@operation("default_stream")
def default_stream(device: Device | DeviceType) -> Stream:
    """The calling thread's default stream of a device."""
    on = _device(device)
    if on.index >= max(device_count(on.type), 1):
        raise RangeError(f"device: expected one that this process has, got {on!r}")
    return Stream._own(lib.glue_get_default_stream(on._h))


@operation("set_default_stream")
def set_default_stream(stream: Stream) -> None:
    """Make a stream the calling thread's default for its device."""
    if not isinstance(stream, Stream):
        raise TypeError(f"stream: expected a Stream, got {_kind(stream)}")
    check(lib.glue_set_default_stream(stream._h))


def new_stream(device: Device | DeviceType) -> Stream:
    """A new stream on a device, for the calling thread."""
    on = _device(device)
    return Stream._own(lib.glue_stream_new_device(on._h))


def new_thread_local_stream(device: Device | DeviceType) -> ThreadLocalStream:
    """A new stream on a device for each thread that uses it."""
    return ThreadLocalStream._on(_device(device))


def new_thread_unsafe_stream(device: Device | DeviceType) -> Stream:
    """A new stream on a device that every thread may use, one at a time; callers see to that."""
    on = _device(device)
    return Stream._own(lib.glue_stream_new_thread_unsafe(on._h))


def clear_streams() -> None:
    """Destroy the streams of the calling thread, at its end."""
    check(lib.glue_clear_streams())


def synchronize(stream: StreamOrDevice = None) -> None:
    """Wait for what is queued on a stream (None: the default stream of the default device)."""
    if stream is None:
        check(lib.glue_synchronize_default())
    else:
        waited = stream_of(stream)
        check(lib.glue_synchronize(waited._h))


class StreamContext(native.ContextOwner):
    """A `with` block in which a stream or device is the default."""

    __module__ = "mlxffi.core"
    __slots__ = ()

    def _enter(self) -> None:
        """Make it the default, where C leaves that to Python: for a ThreadLocalStream, and beside unusual devices."""
        before = default_stream(default_device())
        chosen = self._stream
        if isinstance(chosen, (Device, DeviceType)):
            set_default_device(chosen)
        else:
            stream = stream_of(chosen)
            set_default_device(stream.device)
            set_default_stream(stream)
        self._before = before


@operation("stream")
def stream(s: Stream | ThreadLocalStream | Device | DeviceType) -> StreamContext:
    """A `with` block in which a stream or device is the default."""
    return StreamContext(s)
