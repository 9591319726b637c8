"""Where a record came from, put in front of what is wrong with it."""

from __future__ import annotations

from ..._errors import ArgumentError


class placed:
    """Name a place in the errors of a block: `train.jsonl:3: text: expected a string, got a number`."""

    # A class: where a generator under `contextmanager` raises another error, CPython 3.12 and newer leave a cycle of
    # the first one and its frames, and so every array that these hold.

    def __init__(self, place: str):
        self._place = place

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if isinstance(error, ArgumentError):
            raise ArgumentError(f"{self._place}: {error}") from error.__cause__


def place_of(data: object, index: int) -> str:
    """Where a record of some data came from, if the data know it, else its index."""
    where = getattr(data, "where", None)
    return str(where(index)) if where else f"record {index}"
