"""Devices and streams."""

from __future__ import annotations

from . import _handles
from ._errors import ArgumentError
from ._ffi import check, handle, lib, read, require_no_fork

__all__ = ["Device", "Stream", "default_device", "default_stream", "set_default_device", "set_default_stream"]

TYPES = {"cpu": 0, "gpu": 1}


class Device(_handles.Owner):
    """A device: its type, "cpu" or "gpu", and its index among those of the type.

    Args:
      type: "cpu" or "gpu".
      index: among the devices of the type, from 0.

    Raises:
      ValueError: the type is another.
    """

    __slots__ = ("_device",)
    _slot = "_device"
    _device: int
    _free = lib.glue_device_free

    def __init__(self, type: str = "cpu", index: int = 0):
        super().__init__(lib.glue_device_new_type(_number_of(type), index))

    @property
    def type(self) -> str:
        """ "cpu" or "gpu"."""
        number = read("mlx_device_type", lib.mlx_device_get_type, handle("mlx_device", self._device))
        return "cpu" if number == lib.MLX_CPU else "gpu"

    @property
    def index(self) -> int:
        """Its number among the devices of its type."""
        return int(read("int", lib.glue_device_get_index, self._device))

    def __repr__(self) -> str:
        return f"Device({self.type!r}, {self.index})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and bool(lib.glue_device_equal(self._device, other._device))

    def __hash__(self) -> int:
        return hash((self.type, self.index))


class Stream(_handles.Owner):
    """A queue of computations on one device. It belongs to the thread that made it.

    Args:
      device: where it computes; None for the default device.
    """

    __slots__ = ("_stream",)
    _slot = "_stream"
    _stream: int
    _free = lib.glue_stream_free

    def __init__(self, device: Device | None = None):
        device = default_device() if device is None else device
        super().__init__(lib.glue_stream_new_device(Device.handle_in(device, "device")))

    @property
    def device(self) -> Device:
        """The device it computes on."""
        return Device._own(lib.glue_stream_get_device(self._stream))

    @property
    def index(self) -> int:
        """Its number in the process."""
        return int(read("int", lib.glue_stream_get_index, self._stream))

    def synchronize(self) -> None:
        """Wait until everything queued on it is done."""
        require_no_fork("synchronize")
        check(lib.glue_synchronize(self._stream))

    def __repr__(self) -> str:
        return f"Stream({self.device!r}, {self.index})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and bool(lib.glue_stream_equal(self._stream, other._stream))

    def __hash__(self) -> int:
        return hash(self.index)


def default_device() -> Device:
    """The device for operations that are given no stream."""
    return Device._own(lib.glue_get_default_device())


def set_default_device(device: Device) -> None:
    """Choose the device for operations that are given no stream.

    Args:
      device: the device, for all threads.
    """
    check(lib.glue_set_default_device(Device.handle_in(device, "device")))


def default_stream(device: Device | None = None) -> Stream:
    """The calling thread's default stream of a device.

    Args:
      device: the device; None: the default device.

    Returns:
      The stream.
    """
    device = default_device() if device is None else device
    return Stream._own(lib.glue_get_default_stream(Device.handle_in(device, "device")))


def set_default_stream(stream: Stream) -> None:
    """Make a stream the calling thread's default for its device."""
    check(lib.glue_set_default_stream(Stream.handle_in(stream, "stream")))


def is_available(device: Device) -> bool:
    """Whether a device exists.

    Args:
      device: the device.

    Returns:
      True if it can be used.
    """
    return bool(read("bool", lib.glue_device_is_available, Device.handle_in(device, "device")))


def device_count(type: str) -> int:
    """The number of devices of a type.

    Args:
      type: "cpu" or "gpu".

    Returns:
      The number; 0 if there is no such backend.
    """
    return int(read("int", lib.glue_device_count, _number_of(type)))


def _number_of(type: str) -> int:
    if type not in TYPES:
        raise ArgumentError(f"type: expected 'cpu' or 'gpu', got {type!r}")
    return TYPES[type]
