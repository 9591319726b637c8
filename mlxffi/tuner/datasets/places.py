"""Where a record came from, put in front of what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..._errors import ArgumentError


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Name a place in the errors of a block: `train.jsonl:3: text: expected a string, got a number`."""
    try:
        yield
    except ArgumentError as error:
        raise ArgumentError(f"{place}: {error}") from error.__cause__


def place_of(data: object, index: int) -> str:
    """Where a record of some data came from, if the data know it, else its index."""
    where = getattr(data, "where", None)
    return str(where(index)) if where else f"record {index}"
