"""Objects of Python whose memory arrays of C use: each is held under a key until C is done with it.

C queues the key without touching Python; `drain` takes it out of the registry on the next call.
"""

from __future__ import annotations

import itertools

from ._ffi import ffi, lib

_owners: dict[int, object] = {}
_keys = itertools.count(1)
KEYS = ffi.typeof("intptr_t[]")


def keep(owner: object) -> int:
    """Hold an object until C drops the key that this returns."""
    key = next(_keys)
    _owners[key] = owner
    return key


def drain() -> None:
    """Let go of the objects whose arrays C has destroyed."""
    while count := lib.glue_dropped_count():
        keys = ffi.new(KEYS, count)
        for key in keys[0 : lib.glue_dropped(keys, count)]:
            _owners.pop(key, None)


def held() -> int:
    """How many objects are held."""
    drain()
    return len(_owners)
