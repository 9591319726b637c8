"""When to look for garbage. CPython frees an array with the last reference to it. PyPy does when its collector comes,
and that looks at Python's own memory: its nursery is half of the processor's cache, which may be hundreds of megabytes,
and until it is full millions of arrays of C's can lie dead (PyPy 7.3.19; `add_memory_pressure` hastens only what comes
after the nursery). So there the collector is called.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ._ffi import lib, read

if TYPE_CHECKING:
    from .array import Array

# Whether what is dead waits for the collector.
WAITS = sys.implementation.name != "cpython"
# So many arrays, dead and alive, are made from one collection to the next: some 80 MB of graphs, and 200 ns for each.
ARRAYS = 1 << 17
# With so many bytes in arrays the collector is called; then with twice of those that it left.
BYTES = 1 << 28

_made = 0
_limit = BYTES


def count_arrays(count: int) -> None:
    """So many arrays have been made."""
    global _made
    _made += count
    if _made >= ARRAYS:
        _made = 0
        gc.collect()


def counting(make: Callable[[int], Array]) -> Callable[[int], Array]:
    """A function that makes an array, which is counted where what is dead waits."""

    def counted(handle: int) -> Array:
        count_arrays(1)
        return make(handle)

    return counted if WAITS else make


def look_at_memory() -> None:
    """MLX has allocated memory for arrays."""
    global _limit
    if WAITS and _active() > _limit:
        gc.collect()
        _limit = max(BYTES, 2 * _active())


def _active() -> int:
    return int(read("size_t", lib.mlx_get_active_memory))
