"""Paths and binary file objects, as what C reads and writes: a path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ._errors import OperationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def path_of(file: str | os.PathLike[str]) -> str:
    """A path as a str.

    Raises:
      RuntimeError: it is that of a directory.
    """
    name = os.fsdecode(os.fspath(file))
    if os.path.isdir(name):
        raise OperationError(f"file: expected a file, got the directory {name!r}")
    return name


@contextmanager
def reading(file: Any, suffix: str) -> Iterator[str]:
    """A path with what a file holds; an open file outlives its name, so that arrays may be read from it later."""
    if isinstance(file, (str, os.PathLike)):
        yield path_of(file)
        return
    require(file, "read")
    with temporary(suffix) as path:
        with open(path, "wb") as copy:
            copy_file(file, copy)
        yield path


@contextmanager
def writing(file: Any, suffix: str) -> Iterator[str]:
    """A path to write to, whose file goes into a file object where that is what `file` is."""
    if isinstance(file, (str, os.PathLike)):
        yield path_of(file)
        return
    require(file, "write")
    with temporary(suffix) as path:
        yield path
        with open(path, "rb") as copy:
            copy_file(copy, file)


@contextmanager
def temporary(suffix: str) -> Iterator[str]:
    """A path in a folder of its own, which goes afterwards."""
    from tempfile import TemporaryDirectory  # for file objects only: it takes a tenth of the package's import

    with TemporaryDirectory() as folder:
        yield os.path.join(folder, f"file{suffix}")


def copy_file(source: Any, target: Any) -> None:
    from shutil import copyfileobj  # as above

    copyfileobj(source, target)


def require(file: object, method: str, wanted: str = "a path or a binary file") -> None:
    """See that a file has a method."""
    if not hasattr(file, method):
        raise TypeError(f"file: expected {wanted} with {method}(), got {type(file).__name__}")
