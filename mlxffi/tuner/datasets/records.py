"""Records of a file of any size: all are checked at the beginning, each is read again when it is needed.

Those of a jsonl file are read from it; others from a copy as such. What stays in memory is where each line begins. One
line is one record, an object in JSON, in which NaN and Infinity may stand for numbers; an object that says a key twice
is refused, because one of its values would be lost. Blank lines are passed over.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import tempfile
import weakref
from abc import abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, overload

from ..._errors import ArgumentError, OperationError
from ..files import PathLike
from .fields import MAX_FILE_BYTES, MAX_RECORD_BYTES, Record, half_of_a_pair, json_name

BOM = b"\xef\xbb\xbf"
JSON_SPACE = b" \t\r\n"


class Stored(Sequence[Record]):
    """Records that stand somewhere as lines of JSON, and are read from there as they are needed.

    Args:
      path: of the file that they came from.
    """

    fingerprint: str

    def __init__(self, path: PathLike):
        self.path = os.fspath(path)
        # Where each line begins, and the last one ends.
        self._bounds = array("q")
        # The first record of each run that stands on consecutive lines, and the line of that record.
        self._runs, self._run_lines = array("q"), array("q")

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        index = range(len(self))[index]
        return parsed(self._bytes(self._bounds[index], self._bounds[index + 1]))

    def where(self, index: int) -> str:
        """The file and line of a record.

        Args:
          index: 0 to the number of records - 1.

        Returns:
          A text such as "train.jsonl:3"; lines count from 1.
        """
        run = bisect_right(self._runs, index) - 1
        return f"{self.path}:{self._run_lines[run] + index - self._runs[run]}"

    @abstractmethod
    def _bytes(self, start: int, end: int) -> bytes:
        """What stands between two places."""

    def _note_line(self, line: int) -> None:
        """The next record begins on this line."""
        if not self._runs or line != self._run_lines[-1] + len(self) - self._runs[-1]:
            self._runs.append(len(self))
            self._run_lines.append(line)

    def _finish(self, digest: hashlib.blake2b) -> None:
        # The same for files of the same bytes, and for no others.
        self.fingerprint = digest.hexdigest()
        if not self:
            raise ArgumentError(f"{self.path}: expected at least one record, got an empty file")


class Records(Stored):
    """The records of a jsonl file, in its order.

    Args:
      path: a regular file in UTF-8, with one object a line; a byte order mark at its beginning and CR LF are accepted.
      check: called with each record at the beginning; raises ArgumentError for one that will not do.
      max_bytes: larger files are refused, also if they grow while they are read.
      max_record_bytes: longer lines are refused; no more of a line than this is ever held.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no regular file, too large, has no record, or a line is not as above or refused by `check`; the
        message names the file and the line, counted from 1.
      RuntimeError: when a record is read: the file has changed since it was checked.
    """

    def __init__(
        self,
        path: PathLike,
        check: Callable[[Record], None] = lambda record: None,
        *,
        max_bytes: int = MAX_FILE_BYTES,
        max_record_bytes: int = MAX_RECORD_BYTES,
    ):
        super().__init__(path)
        self._max_bytes, self._max_record_bytes = max_bytes, max_record_bytes
        digest = hashlib.blake2b(digest_size=16)
        with opened(self.path) as file:
            self._version = _version(file)
            self._read(file, check, digest)
        self._finish(digest)

    def _bytes(self, start: int, end: int) -> bytes:
        with opened(self.path) as file:
            if _version(file) != self._version:
                raise OperationError(f"{self.path}: the file has changed since it was opened as a dataset")
            file.seek(start)
            return file.read(end - start)

    def _read(self, file: io.BufferedReader, check: Callable[[Record], None], digest: hashlib.blake2b) -> None:
        file.seek(len(BOM) if file.read(len(BOM)) == BOM else 0)
        self._bounds.append(file.tell())
        number = 0
        while line := file.readline(min(self._max_record_bytes, self._max_bytes - self._bounds[-1]) + 1):
            digest.update(line)
            number += 1
            is_record = bool(line.strip(JSON_SPACE))
            with placed(f"{self.path}:{number}"):
                self._require_room(line)
                if is_record:
                    check(parsed(line))
            if is_record:
                self._note_line(number)
                self._bounds.append(self._bounds[-1] + len(line))
            else:  # belongs to what stands before it, which does not mind
                self._bounds[-1] += len(line)

    def _require_room(self, line: bytes) -> None:
        require_room(self._bounds[-1] + len(line), self._max_bytes)
        require_short(len(line), self._max_record_bytes)


class Copied(Stored):
    """Records of any other file, as lines of JSON in a temporary file, which goes when they do.

    Args:
      path: of the file that they come from.
      records: each with its line there.
      check: as for `Records`.
      max_bytes: more are refused, counted in the temporary file.

    Raises:
      ValueError: there are no records, too many bytes of them, or one is refused by `check`.
      OSError: there is no room for the temporary file.
    """

    def __init__(
        self,
        path: PathLike,
        records: Iterable[tuple[int, Record]],
        check: Callable[[Record], None] = lambda record: None,
        *,
        max_bytes: int = MAX_FILE_BYTES,
    ):
        super().__init__(path)
        self._bounds.append(0)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        digest = hashlib.blake2b(digest_size=16)
        for number, record in records:
            with placed(f"{self.path}:{number}"):
                line = _written(record)
                require_room(self._bounds[-1] + len(line), max_bytes)
                check(record)
            self._file.write(line)
            digest.update(line)
            self._note_line(number)
            self._bounds.append(self._bounds[-1] + len(line))
        self._file.flush()
        self._finish(digest)

    def _bytes(self, start: int, end: int) -> bytes:
        return os.pread(self._file.fileno(), end - start, start)


def _written(record: Record) -> bytes:
    try:
        return json.dumps(record, ensure_ascii=False).encode() + b"\n"
    except RecursionError as error:
        raise ArgumentError(_reason(error)) from None


def require_room(size: int, limit: int) -> None:
    """Raise if a file has more bytes than allowed.

    Args:
      size: of the file, in bytes.
      limit: of that.

    Raises:
      ValueError: it has more.
    """
    if size > limit:
        raise ArgumentError(f"expected a file of at most {limit} bytes, got more (max_file_bytes)")


def require_short(size: int, limit: int, name: str = "a line") -> None:
    """Raise if a record has more bytes than allowed.

    Args:
      size: of the record, in bytes.
      limit: of that.
      name: what the record is in the file, for the message.

    Raises:
      ValueError: it has more.
    """
    if size > limit:
        raise ArgumentError(f"expected {name} of at most {limit} bytes, got a longer one (max_record_bytes)")


# --- files ---


def opened(path: str) -> io.BufferedReader:
    """Open a regular file for reading; anything else at the path is refused without waiting for it.

    Args:
      path: of the file.

    Returns:
      The file, open for reading bytes.

    Raises:
      OSError: there is no such file, or it cannot be read.
      ValueError: it is no regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            _refuse_file(path)
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        _refuse_file(path)
    return os.fdopen(descriptor, "rb")


def _refuse_file(path: str) -> NoReturn:
    raise ArgumentError(f"{path}: expected a regular file, got a folder, device, pipe or socket")


def _version(file: io.BufferedReader) -> tuple[int, ...]:
    """What is another when a file has been replaced or written to."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


# --- lines ---


def parsed(line: bytes) -> Record:
    """The object on a line.

    Args:
      line: of a file, with or without its end.

    Returns:
      The object as a dictionary.

    Raises:
      ValueError: the line is no UTF-8, no JSON, or no object.
    """
    text = text_of(line)
    try:
        value = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(_reason(error)) from None
    if not isinstance(value, dict):
        raise ArgumentError(f"expected an object, got {json_name(value)}")
    if b"\\ud" in line or b"\\uD" in line:
        _require_characters(value)
    return value


def text_of(line: bytes) -> str:
    """A line as text.

    Args:
      line: of a file.

    Returns:
      The text.

    Raises:
      ValueError: it is no UTF-8.
    """
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArgumentError(_reason(error)) from None


def _require_characters(record: Record) -> None:
    """Raise where a field, used or not, has half of a surrogate pair."""
    for field, value in record.items():
        try:
            json.dumps([field, value], ensure_ascii=False).encode("utf-8")
        except (UnicodeEncodeError, RecursionError) as error:
            name = field.encode("utf-8", "backslashreplace").decode("utf-8")
            raise ArgumentError(f"{name}: {_reason(error)}") from None


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"expected UTF-8, got the byte 0x{error.object[error.start]:02x} at column {error.start + 1}"
    if isinstance(error, UnicodeEncodeError):
        return half_of_a_pair(error)
    if isinstance(error, json.JSONDecodeError):
        place = f"column {error.pos + 1}"
        if "\n" in error.doc.rstrip():
            place = f"line {error.lineno} of the record, column {error.colno}"
        return f"expected JSON, got what cannot be read as such at {place}: {error.msg}"
    if isinstance(error, RecursionError):
        return "expected JSON, got lists or objects nested too deeply"
    return f"expected JSON, got what cannot be read as such: {error}"


def _unique(pairs: list[tuple[str, Any]]) -> Record:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ArgumentError(f"the key {twice!r} occurs twice in an object")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_unique)


# --- which records these are, and where one came from ---


def fingerprint_of(data: Any) -> str:
    """A text that differs for other records: the data's own, or one computed from everything in them.

    Args:
      data: with a `fingerprint`, or a sequence of records, all of which are read.

    Returns:
      The fingerprint.
    """
    known = getattr(data, "fingerprint", None)
    if known is not None:
        return str(known)
    digest = hashlib.blake2b(digest_size=16)
    for index in range(len(data)):
        digest.update(_content(data[index]))
    return digest.hexdigest()


def _content(item: Any) -> bytes:
    if isinstance(item, tuple):
        return b"|".join(map(_content, item))
    try:
        return memoryview(item).tobytes()
    except TypeError:
        return repr(item).encode("utf-8", "backslashreplace")


class placed:
    """Name a place in the errors of a block: `train.jsonl:3: text: expected a string, got a number`.

    Args:
      place: such as "train.jsonl:3".
    """

    # A class: where a generator under `contextmanager` raises another error, CPython 3.12 and newer leave a cycle of
    # the first one and its frames, and so every array that these hold.

    def __init__(self, place: str):
        self._place = place

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if isinstance(error, ArgumentError):
            raise ArgumentError(f"{self._place}: {error}") from error.__cause__


def place_of(data: object, index: int) -> str:
    """Where a record came from, if the data can tell, else its index.

    Args:
      data: with a method `where`, or without.
      index: of the record, from 0.

    Returns:
      A text such as "train.jsonl:3" or "record 2".
    """
    where = getattr(data, "where", None)
    return str(where(index)) if where else f"record {index}"
