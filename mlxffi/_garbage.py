"""When arrays are freed. CPython ends an Array with the last reference to it. PyPy finds what is dead when its
collector comes; what has a finalizer it finds only by a collection of all memory, and running that costs more than an
operation.

So on PyPy an Array has no finalizer. A weak reference to it is kept under its handle, and from time to time the handles
of those that are gone are freed in one call. Most die young, and a collection that finds those takes microseconds. It
comes when the nursery is full, which has half the size of the processor's cache: by then what the dead ones own in C
has left the cache. So the nursery is filled up. (PyPy 7.3.19 has no call for this, and `add_memory_pressure` hastens
only what comes after the nursery.)
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias
from weakref import ref

from ._ffi import graph, lib, read

if TYPE_CHECKING:
    from .array import Array

# Whether what is dead waits for the collector.
WAITS = sys.implementation.name == "pypy"
if WAITS:
    from __pypy__ import newlist_hint  # type: ignore[import-not-found]

# So many new arrays are looked at together, for what they own to fit into the processor's cache; or more, for each list
# that fills the nursery.
YOUNG, YOUNG_FOR_A_LIST = 128, 4
# With so many older ones all memory is collected; then with twice of those that it left.
OLD = 1 << 17
# With so many bytes in arrays as well.
BYTES = 1 << 28
# Numbers in a list that the nursery just takes (its largest objects have 132 kB), and lists that fill any nursery.
NUMBERS, LISTS = 15_000, 1 << 16

# Handles and what tells whether their arrays are alive. (A list takes half the time of a dict.)
Watched: TypeAlias = "list[tuple[int, ref[Array]]]"
_young: Watched = []
_old: Watched = []
_young_limit = YOUNG
_old_limit = OLD
_bytes_limit = BYTES


def watching(make: Callable[[int], Array]) -> Callable[[int], Array]:
    """A function that makes an array, which is watched where what is dead waits."""

    def watched(handle: int) -> Array:
        array = make(handle)
        watch(array)
        return array

    return watched if WAITS else make


def watch(array: Array) -> None:
    """Free the array's handle after its end."""
    _young.append((array._h, ref(array)))
    if len(_young) >= _young_limit:
        _look_at_young()


def _look_at_young() -> None:
    global _young_limit
    _young_limit = max(YOUNG, YOUNG_FOR_A_LIST * _fill_nursery())
    _free_dead(_young)
    if len(_old) >= _old_limit:
        _collect()


def look_at_memory() -> None:
    """MLX has allocated memory for arrays."""
    global _bytes_limit
    if WAITS and _active() > _bytes_limit:
        _collect()
        _bytes_limit = max(BYTES, 2 * _active())


def _active() -> int:
    return int(read("size_t", lib.mlx_get_active_memory))


def _free_dead(watched: Watched) -> None:
    """Free the handles of arrays that are gone; the others are old from now on.

    Threads, and a finalizer in the middle of this, may do so at the same time: each array is taken out by one of them.
    """
    dead, alive = [], []
    try:
        for _ in range(len(watched)):
            entry = watched.pop()
            if entry[1]() is None:
                dead.append(entry[0])
            else:
                alive.append(entry)
    except IndexError:  # the others took the rest
        pass
    finally:
        _old.extend(alive)
        graph.glue_arrays_free(dead, len(dead))


def _collect() -> None:
    """Collect all memory, and free what that finds."""
    global _old_limit
    gc.collect()
    _free_dead(_young)
    _free_dead(_old)
    _old_limit = max(OLD, 2 * len(_old))


class _Collected:
    """An object that dies at once. It is finalized when all memory has been collected, whoever asked for that."""

    __slots__ = ()

    def __del__(self) -> None:
        try:
            _free_dead(_young)
            _free_dead(_old)
        finally:  # An interrupt may come in the middle.
            _Collected()


class _Filler:
    """Takes room in the nursery, and goes with the next collection of it."""

    __slots__ = ("__weakref__", "numbers")
    numbers: list[int]


def _fill() -> ref[_Filler]:
    filler = _Filler()
    filler.numbers = newlist_hint(NUMBERS)
    filler.numbers.append(0)
    # The compiler would leave out what nothing refers to.
    return ref(filler)


def _fill_nursery() -> int:
    """Have the nursery collected; how many lists that took."""
    before = _fill()
    for count in range(LISTS):
        # Holding one list at a time: what the collection finds alive, it copies.
        after = _fill()
        if before() is None:
            return count
        before = after
    return LISTS


if WAITS:
    _Collected()
