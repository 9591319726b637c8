"""Devices and streams."""

from __future__ import annotations

import enum
import functools
import itertools

from .. import _pickles
from ._binding import abi, native
from .generated.device import default_device as default_device
from .generated.device import device_count as device_count
from .generated.device import is_available as is_available
from .generated.device import set_default_device as set_default_device
from .generated.stream import default_stream as default_stream
from .generated.stream import set_default_stream as set_default_stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

__all__ = [
    "Device", "DeviceType", "Stream", "StreamContext", "StreamOrDevice", "ThreadLocalStream", "clear_streams",
    "cpu", "default_device", "default_stream", "device_count", "device_info", "gpu", "is_available", "new_stream",
    "new_thread_local_stream", "new_thread_unsafe_stream", "set_default_device", "set_default_stream", "stream",
    "synchronize",
]  # fmt: skip


class DeviceType(enum.Enum):
    """A kind of device."""

    cpu = 0
    gpu = 1

    def __repr__(self) -> str:
        return f"DeviceType.{self.name}"

    __str__ = __repr__

    def __reduce_ex__(self, _: Any) -> Any:
        return _pickles.reduced(self, self.name)

    def __eq__(self, arg: object, /) -> bool:
        return self is arg or (type(arg) is Device and arg.type is self)

    def __hash__(self) -> int:
        return hash(self.name)


DeviceType.__module__ = "mlxffi.core"
cpu = DeviceType.cpu
gpu = DeviceType.gpu


class Device(native.DeviceOwner):
    """A device: its type and its index among those of the type.

    Args:
      type: a DeviceType, such as `mx.cpu`.
      index: among the devices of the type, from 0; 0 by default.

    Raises:
      TypeError: the type is no DeviceType, or the index no int of 32 bits.
    """

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
    __slots__ = ("_device", "_handle", "_index")
    _device: Device
    _handle: native.Handle
    _index: int
    _counter = itertools.count()

    def __init__(self, *_: Any):
        raise TypeError("ThreadLocalStream: no constructor defined; use mx.new_thread_local_stream")

    @classmethod
    def _on(cls, device: Device) -> ThreadLocalStream:
        made = cls.__new__(cls)
        made._handle = abi.thread_local_stream_new(device)
        made._index, made._device = next(cls._counter), device
        return made

    @property
    def device(self) -> Device:
        """The device it computes on."""
        return self._device

    def _here(self) -> Stream:
        """The stream of this thread."""
        return abi.thread_local_stream_get(self._handle)

    def __repr__(self) -> str:
        return f"ThreadLocalStream({self._device!r}, {self._index})"

    def __eq__(self, arg: object, /) -> bool:
        return isinstance(arg, ThreadLocalStream) and self._index == arg._index

    __hash__ = object.__hash__


StreamOrDevice: TypeAlias = Stream | ThreadLocalStream | Device | DeviceType | None


# --- what functions take as `stream` ---


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


def _device(value: Any, name: str = "device") -> Device:
    if isinstance(value, Device):
        return value
    if isinstance(value, DeviceType):
        return Device(value)
    raise TypeError(f"{name}: expected a Device or DeviceType, got {_kind(value)}")


# --- devices ---


def device_info(d: Device | DeviceType | None = None) -> dict[str, str | int]:
    """What the backend reports about a device.

    Args:
      d: the device; None: the default device.

    Returns:
      Values by name; empty if there is no such device.
    """
    device = default_device() if d is None else _device(d, "d")
    if device.type is not cpu and not device_count(device.type):
        return {}
    return dict(_cpu_info()) if device.type is cpu else _info(device)


@functools.cache
def _cpu_info() -> dict[str, str | int]:
    return _info(Device(cpu))


def _info(device: Device) -> dict[str, str | int]:
    info = abi.device_info_get(device)
    return {key: _info_value(info, key) for key in abi.device_info_get_keys(info)}


def _info_value(info: native.Handle, key: str) -> str | int:
    if abi.device_info_is_string(info, key):
        return abi.device_info_get_string(info, key)
    return abi.device_info_get_size(info, key)


# --- streams ---


def new_stream(device: Device | DeviceType) -> Stream:
    """Make a stream on a device for the calling thread.

    Args:
      device: the device.

    Returns:
      The stream.
    """
    return abi.stream_new_device(_device(device))


def new_thread_local_stream(device: Device | DeviceType) -> ThreadLocalStream:
    """Make a stream on a device for each thread that uses it.

    Args:
      device: the device.

    Returns:
      The stream.
    """
    return ThreadLocalStream._on(_device(device))


def new_thread_unsafe_stream(device: Device | DeviceType) -> Stream:
    """Make a stream on a device that any thread may use, but only one at a time; the caller must ensure that.

    Args:
      device: the device.

    Returns:
      The stream.
    """
    return abi.stream_new_thread_unsafe(_device(device))


def clear_streams() -> None:
    """Destroy the streams of the calling thread, at its end."""
    abi.clear_streams()


def synchronize(stream: StreamOrDevice = None) -> None:
    """Wait for what is queued on a stream (None: the default stream of the default device)."""
    abi.synchronize_default() if stream is None else abi.synchronize(stream_of(stream))


def make_default(chosen: StreamOrDevice) -> Stream:
    """What a StreamContext does where C leaves that to Python: for a ThreadLocalStream, and beside unusual devices.

    Returns:
      The stream that was the default before.
    """
    before = default_stream(default_device())
    if isinstance(chosen, (Device, DeviceType)):
        set_default_device(chosen)
    else:
        stream = stream_of(chosen)
        set_default_device(stream.device)
        set_default_stream(stream)
    return before


StreamContext = native.StreamContext
# The class itself: a function around it would be most of what a call costs.
stream = StreamContext
