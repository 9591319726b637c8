"""Memory of the process: what MLX holds, and its limits."""

from __future__ import annotations

from typing import Any

from . import _trees
from ._array import array
from ._binding import abi, operation


@operation("get_active_memory")
def get_active_memory() -> int:
    """The bytes in use by arrays."""
    return abi.get_active_memory()


@operation("get_peak_memory")
def get_peak_memory() -> int:
    """The most bytes in use since the start of the program or the last reset."""
    return abi.get_peak_memory()


@operation("reset_peak_memory")
def reset_peak_memory() -> None:
    """Let the peak start again from 0."""
    abi.reset_peak_memory()


@operation("get_cache_memory")
def get_cache_memory() -> int:
    """The bytes that are kept for reuse."""
    return abi.get_cache_memory()


@operation("clear_cache")
def clear_cache() -> None:
    """Give back the memory that is kept for reuse."""
    abi.clear_cache()


@operation("get_memory_limit")
def get_memory_limit() -> int:
    """The guideline, in bytes, for the memory that computations use."""
    return abi.get_memory_limit()


@operation("set_memory_limit")
def set_memory_limit(limit: int) -> int:
    """Set the guideline, in bytes, for the memory that computations use; returns the one before."""
    return abi.set_memory_limit(limit)


@operation("set_cache_limit")
def set_cache_limit(limit: int) -> int:
    """Set how many bytes may be kept for reuse; returns the limit before."""
    return abi.set_cache_limit(limit)


@operation("set_wired_limit")
def set_wired_limit(limit: int) -> int:
    """Set how many bytes stay resident for the GPU (Metal); returns the limit before."""
    return abi.set_wired_limit(limit)


@operation("get_array_buffer_size")
def get_array_buffer_size(*args: Any) -> int:
    """The bytes of the buffers behind the arrays in trees, each buffer counted once.

    Raises:
      ValueError: an array has not been evaluated.
    """
    found: list[array] = []
    for tree in args:
        _trees.leaves(tree, found)
    return abi.get_array_buffer_size(found)
