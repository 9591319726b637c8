"""The handle registry: objects of Python that C refers to, by integer keys.

C never sees a Python object. It holds a key, counted from 1, and gives the key back when it is done: the destructor of
a payload may run on any thread and in the middle of anything, so that it puts the key on a queue of C's (callbacks.c)
and touches no Python. `drain` empties the queue; the calls that add entries do so, and those that count them.
"""

from __future__ import annotations

import itertools
import weakref
from typing import Any

from . import _bindings
from ._ffi import ffi, lib, plain_mlxc

_entries: dict[int, Any] = {}
_keys = itertools.count(1)


class Held:
    """A function that a Python object keeps for reuse, such as a compiled function: the registry refers to it weakly.

    A strong entry would be a root that the garbage collector cannot see through, and a function that refers to its own
    transform would live for ever.
    """

    __slots__ = ("__weakref__", "function")

    def __init__(self, function: Any):
        self.function = function


def keep(value: object) -> int:
    """`enter`, after letting go of what C has dropped."""
    drain()
    return enter(value)


def enter(value: object) -> int:
    """A new key for an object, which lives until C drops the key; for a `Held`, which lives as long as its owner."""
    entry = weakref.ref(value) if type(value) is Held else value
    # Without a GIL two threads may count to the same number.
    while _entries.setdefault(key := next(_keys), entry) is not entry:
        pass
    return key


def find(key: int) -> Any:
    """The object under a key; for a `Held` its function.

    Raises:
      KeyError: C has dropped the key.
      RuntimeError: the owner of a `Held` is gone.
    """
    entry = _entries[key]
    if type(entry) is not weakref.ref:
        return entry
    held = entry()
    if held is None:
        raise RuntimeError("the function of a transform is gone: the transform was freed while it ran")
    return held.function


def drain() -> None:
    """Let go of the objects whose keys C has dropped."""
    while key := lib.glue_dropped_key():
        _entries.pop(key, None)


def count() -> int:
    """How many objects C refers to."""
    drain()
    return len(_entries)


_bindings.counters.append(count)


def live_handles() -> dict[str, int]:
    """How many native objects of each kind are alive, and under "callbacks" the objects of Python that C holds:
    functions, and owners of memory.

    Equal figures before and after some work mean that it leaked nothing. Over somebody else's mlx-c, which counts
    nothing, only "callbacks" is there.
    """
    callbacks = {"callbacks": _bindings.count()}
    if plain_mlxc:
        return callbacks
    kinds = range(lib.mlxffi_live_kinds())
    names = [ffi.string(lib.mlxffi_live_kind(kind)).decode().removeprefix("mlx_") for kind in kinds]
    return dict(zip(names, map(lib.mlxffi_live_objects, kinds), strict=True)) | callbacks
