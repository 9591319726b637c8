"""Limits of memory for the time of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ... import core as mx


@contextmanager
def wired_memory() -> Iterator[None]:
    """On Metal, let as much memory stay resident as the system recommends; afterwards the limit is what it was.

    Elsewhere there is no such limit.
    """
    if not mx.metal.is_available():
        yield
        return
    before = mx.set_wired_limit(int(mx.device_info()["max_recommended_working_set_size"]))
    try:
        yield
    finally:
        mx.synchronize()
        mx.set_wired_limit(before)


def keep_cache_below(threshold: int) -> None:
    """Give memory that is kept for reuse back where it is more than a number of bytes; 0 stands for no limit."""
    if 0 < threshold < mx.get_cache_memory():
        mx.clear_cache()
