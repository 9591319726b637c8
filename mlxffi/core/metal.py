"""The Metal backend, and older names of the memory functions."""

from __future__ import annotations

import sys

from . import _device
from ._binding import abi
from .generated import memory
from .generated.metal import is_available as is_available


def start_capture(path: str) -> None:
    """Start recording the GPU's work; does nothing without Metal.

    Args:
      path: the .gputrace document to write.
    """
    if not isinstance(path, str):
        raise TypeError(f"path: expected a str, got {type(path).__name__}")
    if is_available():
        abi.metal_start_capture(path)


def stop_capture() -> None:
    """End the recording."""
    if is_available():
        abi.metal_stop_capture()


def _deprecated(name: str) -> None:
    print(
        f"mx.metal.{name} is deprecated and will be removed in a future version. Use mx.{name} instead.",
        file=sys.stderr,
    )


def get_active_memory() -> int:
    """Deprecated: `get_active_memory` of the package."""
    _deprecated("get_active_memory")
    return memory.get_active_memory()


def get_peak_memory() -> int:
    """Deprecated: `get_peak_memory` of the package."""
    _deprecated("get_peak_memory")
    return memory.get_peak_memory()


def reset_peak_memory() -> None:
    """Deprecated: `reset_peak_memory` of the package."""
    _deprecated("reset_peak_memory")
    memory.reset_peak_memory()


def get_cache_memory() -> int:
    """Deprecated: `get_cache_memory` of the package."""
    _deprecated("get_cache_memory")
    return memory.get_cache_memory()


def set_memory_limit(limit: int) -> int:
    """Deprecated: `set_memory_limit` of the package.

    Args:
      limit: bytes.

    Returns:
      The former limit, in bytes.
    """
    _deprecated("set_memory_limit")
    return memory.set_memory_limit(limit)


def set_cache_limit(limit: int) -> int:
    """Deprecated: `set_cache_limit` of the package.

    Args:
      limit: bytes.

    Returns:
      The former limit, in bytes.
    """
    _deprecated("set_cache_limit")
    return memory.set_cache_limit(limit)


def set_wired_limit(limit: int) -> int:
    """Deprecated: `set_wired_limit` of the package.

    Args:
      limit: bytes.

    Returns:
      The former limit, in bytes.
    """
    _deprecated("set_wired_limit")
    return memory.set_wired_limit(limit)


def clear_cache() -> None:
    """Deprecated: `clear_cache` of the package."""
    _deprecated("clear_cache")
    memory.clear_cache()


def device_info() -> dict[str, str | int]:
    """Deprecated: `device_info` of the package, for the GPU."""
    _deprecated("device_info")
    return _device.device_info(_device.Device(_device.gpu)) if is_available() else {}
