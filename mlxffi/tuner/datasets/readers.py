"""Files of records by their suffixes: JSON lines, a JSON array, CSV, Parquet; all but the last also compressed.

Every reader goes through its file once, from the beginning to the end, and holds no more of it than a record (of a
Parquet file, a batch of rows).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from ..._errors import ArgumentError
from ..checks import required
from ..files import PathLike
from .fields import DatasetConfig, Record
from .records import BOM, JSON_SPACE, Copied, Records, Stored, opened, parsed, placed, require_short, text_of

# Each record with its line; of a Parquet file, its row.
Numbered: TypeAlias = "Iterator[tuple[int, Record]]"

CHUNK = 1 << 16
ROWS = 256


def stored(path: PathLike, check: Callable[[Record], None], config: DatasetConfig) -> Stored:
    """The records of a file, in its order, all of them checked.

    Args:
      path: a regular file; what is in it is told by its suffix, and is JSON lines where that is none of `READERS`.
      check: called with each record; raises ArgumentError for one that will not do.
      config: has the limits.

    Returns:
      The records, read when they are asked for: from the file if that has JSON lines, else from a copy.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is not as its suffix says, or a record is refused; the message names the file and the line.
    """
    format, compression = suffixes_of(Path(path).name)
    limits = {"max_bytes": config.max_file_bytes}
    if format == ".jsonl" and not compression:
        return Records(path, check, max_record_bytes=config.max_record_bytes, **limits)
    with opened(str(path)) as file:
        try:
            records = READERS[format](DECOMPRESSORS[compression](file), str(path), config.max_record_bytes)
            return Copied(path, records, check, **limits)
        except _unreadable() as error:
            kind = compression or format
            raise ArgumentError(f"{path}: expected a {kind} file, got what cannot be read as such: {error}") from None


def suffixes_of(name: str) -> tuple[str, str]:
    """The format of a file and its compression ("" for none), by its name.

    Args:
      name: of the file.

    Returns:
      (a key of `READERS`, a key of `DECOMPRESSORS`), such as (".jsonl", ".gz").

    Raises:
      ValueError: it is a Parquet file that was compressed once more.
    """
    path = Path(name)
    compression = path.suffix if path.suffix in DECOMPRESSORS else ""
    inner = path.with_suffix("").suffix if compression else path.suffix
    if inner == ".parquet" and compression:
        raise ArgumentError(f"{name}: expected a Parquet file as it is, which is compressed within, got {compression}")
    return (inner if inner in READERS else ".jsonl"), compression


def _unreadable() -> tuple[type[Exception], ...]:
    """What readers and decompressors raise for bytes that are none of theirs."""
    zstandard, arrow = sys.modules.get("zstandard"), sys.modules.get("pyarrow")
    more = [zstandard.ZstdError] if zstandard else []
    more += [arrow.ArrowException, UnicodeDecodeError] if arrow else []
    return (EOFError, gzip.BadGzipFile, zlib.error, *more)


# --- JSON ---


def _lines(file: io.BufferedReader, path: str, limit: int) -> Numbered:
    number = 0
    while line := file.readline(limit + 1):
        number += 1
        with placed(f"{path}:{number}"):
            require_short(len(line), limit)
            line = line if number > 1 else line.removeprefix(BOM)
            record = parsed(line) if line.strip(JSON_SPACE) else None
        if record is not None:
            yield number, record


def _json(file: io.BufferedReader, path: str, limit: int) -> Numbered:
    """An array of objects; or objects one a line, which some call so, too."""
    begin = file.peek(CHUNK).removeprefix(BOM).lstrip(JSON_SPACE)
    return _array(file, path, limit) if begin.startswith(b"[") else _lines(file, path, limit)


def _array(file: io.BufferedReader, path: str, limit: int) -> Numbered:
    before, _, first = file.read(CHUNK).partition(b"[")
    elements = _elements(chain([first], iter(partial(file.read, CHUNK), b"")), limit)
    line, is_empty = 1 + before.count(b"\n"), True
    while True:
        with placed(f"{path}:{line}"):
            piece, is_last = next(elements, (None, True))
        if piece is None:
            return
        text = piece.strip(JSON_SPACE)
        start = line + piece[: len(piece) - len(piece.lstrip(JSON_SPACE))].count(b"\n")
        with placed(f"{path}:{start}"):
            record = None if is_empty and is_last and not text else parsed(text)
        if record is not None:
            yield start, record
        line, is_empty = line + piece.count(b"\n"), False


IN_STRING, OUTSIDE = re.compile(rb'["\\]'), re.compile(rb'["\[\]{},]')
DEPTHS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1, b",": 0}


def _elements(chunks: Iterator[bytes], limit: int) -> Iterator[tuple[bytes, bool]]:
    """What stands between the commas of an array of which the first bracket was read, and whether it is the last."""
    held, depth, is_string, skip = bytearray(), 0, False, 0
    for chunk in chunks:
        begin, place = 0, skip
        while match := (IN_STRING if is_string else OUTSIDE).search(chunk, place):
            mark, place = match[0], match.end()
            if mark == b'"':
                is_string = not is_string
            elif mark == b"\\":
                place += 1
            else:
                depth += DEPTHS[mark]
                if depth < 0 or (depth == 0 and mark == b","):
                    held += chunk[begin : match.start()]
                    require_short(len(held), limit, "a record")
                    yield bytes(held), depth < 0
                    held, begin = bytearray(), place
            if depth < 0:
                return _require_end(chain([chunk[place:]], chunks))
        skip = max(place - len(chunk), 0)
        held += chunk[begin:]
        require_short(len(held), limit, "a record")
    raise ArgumentError("expected the ] of the array, got the end of the file")


def _require_end(chunks: Iterator[bytes]) -> None:
    for chunk in chunks:
        if chunk.strip(JSON_SPACE):
            raise ArgumentError("expected nothing behind the array, got more")


# --- tables ---


def _csv(file: io.BufferedReader, path: str, limit: int) -> Numbered:
    """Rows by the names in the first one; texts, all of them."""
    lines = _Lines(file, path, limit)
    rows = csv.reader(lines, strict=True)
    names: list[str] = []
    while True:
        start = lines.number + 1
        with placed(f"{path}:{start}"):
            row = _row(rows, limit)
            lines.size = 0
            if row is None:
                return
            if not names:
                names = row
                _require_names(names)
                continue
            if row and len(row) != len(names):
                raise ArgumentError(f"expected {len(names)} fields, as the first line has, got {len(row)}")
        if row:
            yield start, dict(zip(names, row, strict=True))


def _row(rows: Iterator[list[str]], limit: int) -> list[str] | None:
    # A text may be as long as a record, which this limit, of the whole process, is too small for.
    before = csv.field_size_limit(limit)
    try:
        return next(rows, None)
    except csv.Error as error:
        raise ArgumentError(f"expected CSV, got what cannot be read as such: {error}") from None
    finally:
        csv.field_size_limit(before)


class _Lines(Iterator[str]):
    """The lines of a file as texts; `number` is that of the last one, `size` may be set to 0 where a record begins."""

    def __init__(self, file: io.BufferedReader, path: str, limit: int):
        self._file, self._path, self._limit = file, path, limit
        self.number = self.size = 0

    def __next__(self) -> str:
        line = self._file.readline(self._limit + 1)
        if not line:
            raise StopIteration
        line = line if self.number else line.removeprefix(BOM)
        self.number += 1
        self.size += len(line)
        require_short(self.size, self._limit, "a record")
        return text_of(line)


def _require_names(names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ArgumentError(f"expected names of columns, each once, got {twice!r} twice")


def _parquet(file: io.BufferedReader, path: str, limit: int) -> Numbered:
    table = required("pyarrow.parquet", "data").ParquetFile(file)
    with placed(path):
        _require_names(table.schema_arrow.names)
    row = 0
    for batch in table.iter_batches(batch_size=ROWS):
        for record in batch.to_pylist():
            row += 1
            text = json.dumps(record, default=_nothing)
            with placed(f"{path}:{row}"):
                require_short(len(text), limit, "a record")
            yield row, json.loads(text)


def _nothing(value: object) -> None:
    """What JSON has no word for, such as bytes and dates: null."""


READERS: dict[str, Callable[[io.BufferedReader, str, int], Numbered]] = {
    ".jsonl": _lines,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
}


# --- compression ---


class _Zstd(io.RawIOBase):
    """What is compressed in the frames of a file."""

    # Of so few bytes at a time comes no more than the memory has.
    PACKED = 1 << 10

    def __init__(self, file: io.BufferedReader):
        self._new_frame = required("zstandard", "data").ZstdDecompressor().decompressobj
        self._file, self._frame = file, None
        self._packed, self._plain = b"", memoryview(b"")

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, or a part of it; 0 at the end."""
        while not self._plain:
            packed = self._packed or self._file.read(self.PACKED)
            if not packed and self._frame is None:
                return 0
            if not packed:
                raise EOFError("it ends in the middle of a frame")
            self._frame = frame = self._frame or self._new_frame()
            self._plain = memoryview(frame.decompress(packed))
            self._packed = frame.unused_data if frame.eof else b""
            self._frame = None if frame.eof else frame
        count = min(len(buffer), len(self._plain))
        buffer[:count], self._plain = self._plain[:count], self._plain[count:]
        return count


DECOMPRESSORS: dict[str, Callable[[io.BufferedReader], io.BufferedReader]] = {
    "": lambda file: file,
    ".gz": lambda file: io.BufferedReader(gzip.GzipFile(fileobj=file), CHUNK),
    ".zst": lambda file: io.BufferedReader(_Zstd(file), CHUNK),
}
