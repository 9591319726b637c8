"""Files that are complete or not there: written beside their place, flushed to the disk, then renamed."""

from __future__ import annotations

import fcntl
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from .. import core as mx
from .._errors import ArgumentError, OperationError

PathLike: TypeAlias = "str | os.PathLike[str]"


@contextmanager
def replaced(path: PathLike) -> Iterator[Path]:
    """A path to write to, which replaces `path` if the block ends without an error.

    Whatever happens meanwhile, a kill included, `path` is what it was before or what was written, whole.

    Args:
      path: its folders are made if they are not there.

    Returns:
      A context whose value is the path to write to, beside the other.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        yield beside
        _flush(beside)
        os.replace(beside, target)
        _flush(target.parent)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: PathLike) -> Iterator[None]:
    """Lock a folder, which is made if necessary: nobody else writes there until the block or the process ends.

    Args:
      folder: to lock.

    Returns:
      A context without a value.

    Raises:
      RuntimeError: another process, or another block of this one, has it.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _lock(folder, descriptor)
        _remove_left(Path(folder))
        yield
    finally:
        os.close(descriptor)


def _remove_left(folder: Path) -> None:
    """Remove what killed processes have left beside their files."""
    for path in folder.glob(".*.*"):
        process = path.name.split(".")[1]
        if process.isdigit() and path.is_file() and not _is_running(int(process)):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _lock(folder: PathLike, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OperationError(f"{os.fspath(folder)}: another run writes into this folder") from None
    except OSError as error:  # some network file systems have no locks of folders
        warnings.warn(f"{os.fspath(folder)}: the folder cannot be locked against other runs: {error}", stacklevel=4)


def is_taken(folder: PathLike) -> bool:
    """Whether a path exists and is not an empty folder.

    Args:
      folder: any path.

    Returns:
      False for an empty folder and for nothing.
    """
    target = Path(folder)
    return target.exists() and (not target.is_dir() or any(target.iterdir()))


def require_place(argument: str, path: PathLike) -> None:
    """Raise OSError unless something can be written at the path that an argument names: before the work, not after it.

    Args:
      argument: its name, for the message.
      path: what it names, which need not be there.

    Raises:
      OSError: it is empty, lies in what is no folder, or in a folder that cannot be written to.
    """
    if not os.fspath(path):
        raise FileNotFoundError(f"{argument}: expected a path, got an empty one")
    nearest = next(place for place in Path(path).absolute().parents if place.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f"{argument}: expected a path in a folder, got {path}, and {nearest} is none")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(f"{argument}: expected a path in a folder that can be written to, got {path}")


def require_folder(argument: str, folder: PathLike) -> None:
    """Raise OSError unless the path that an argument names is a folder to write to, or can become one.

    Args:
      argument: its name, for the message.
      folder: what it names.

    Raises:
      OSError: it is something else, or cannot be written to.
    """
    require_place(argument, folder)
    if Path(folder).exists() and not Path(folder).is_dir():
        raise NotADirectoryError(f"{argument}: expected a folder, got {folder}, which is none")
    if Path(folder).is_dir() and not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{argument}: expected a folder that can be written to, got {folder}")


def require_other(argument: str, path: PathLike, source: PathLike) -> None:
    """Raise FileExistsError where an argument names the very file or folder that is read.

    Args:
      argument: its name, for the message.
      path: what it names.
      source: what is read.

    Raises:
      FileExistsError: it is the same.
    """
    if Path(path).exists() and Path(path).samefile(source):
        raise FileExistsError(f"{argument}: expected another path than that of the model, got {path}")


def require_free(argument: str, folder: PathLike) -> None:
    """Raise OSError unless the folder that an argument names is new or empty, and can be written to.

    Args:
      argument: its name, for the message.
      folder: what it names.

    Raises:
      OSError: there is something, or it cannot be written to.
    """
    require_folder(argument, folder)
    if is_taken(folder):
        raise FileExistsError(f"{argument}: expected a new or empty folder, got one that has something in it: {folder}")


def write_arrays(path: PathLike, arrays: Mapping[str, mx.array], metadata: Mapping[str, str] | None = None) -> None:
    """Write named arrays, and texts by key, as a safetensors file.

    Args:
      path: of the file, which is replaced atomically.
      arrays: by name.
      metadata: texts by key; None for none.
    """
    with replaced(path) as beside:
        mx.save_safetensors(str(beside), dict(arrays), dict(metadata or {}))


def write_json(path: PathLike, value: Any) -> None:
    """Write a value as JSON, with sorted keys.

    Args:
      path: of the file, which is replaced atomically.
      value: what JSON can hold.
    """
    with replaced(path) as beside:
        beside.write_text(json.dumps(value, indent=4, sort_keys=True) + "\n", encoding="utf-8")


def read_text(path: PathLike) -> str:
    """The text in a file.

    Args:
      path: of the file.

    Returns:
      All of it.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not UTF-8; the message names the file.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ArgumentError(f"{os.fspath(path)}: expected a text in UTF-8, got other bytes: {error}") from None


def read_json(path: PathLike) -> Any:
    """The value in a JSON file.

    Args:
      path: of the file.

    Returns:
      The value.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not JSON; the message names the file and the place in it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ArgumentError(f"{os.fspath(path)}: expected JSON, got what cannot be read as such: {error}") from None


def read_object(path: PathLike) -> dict[str, Any]:
    """The object in a JSON file.

    Args:
      path: of the file.

    Returns:
      Values by name.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not JSON, or no object; the message names the file.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise ArgumentError(f"{os.fspath(path)}: expected a JSON object, got {type(found).__name__}")
    return found
