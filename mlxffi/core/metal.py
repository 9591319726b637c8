"""The Metal backend, and older names of the memory functions."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

from . import _device
from ._binding import abi
from .generated import memory
from .generated.metal import is_available as is_available

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")


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


# --- older names ---


def _moved(function: Callable[P, R]) -> Callable[P, R]:
    """A function of the package under the name that it had here."""
    name = function.__name__

    @functools.wraps(function)
    def moved(*args: P.args, **kwargs: P.kwargs) -> R:
        text = f"mx.metal.{name} is deprecated and will be removed in a future version. Use mx.{name} instead."
        print(text, file=sys.stderr)
        return function(*args, **kwargs)

    return moved


get_active_memory = _moved(memory.get_active_memory)
get_peak_memory = _moved(memory.get_peak_memory)
reset_peak_memory = _moved(memory.reset_peak_memory)
get_cache_memory = _moved(memory.get_cache_memory)
set_memory_limit = _moved(memory.set_memory_limit)
set_cache_limit = _moved(memory.set_cache_limit)
set_wired_limit = _moved(memory.set_wired_limit)
clear_cache = _moved(memory.clear_cache)


@_moved
def device_info() -> dict[str, str | int]:
    """The properties of the GPU; none without Metal."""
    return _device.device_info(_device.Device(_device.gpu)) if is_available() else {}
