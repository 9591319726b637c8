"""Records of files: the right ones, or an error that names the file and the line."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tracemalloc

import pytest
from tuner_helpers import message_of, write_jsonl

from mlxffi import Error
from mlxffi.tuner.datasets import Records

FIRST = b'{"text": "a"}\n'


def records(path, content, **options):
    path.write_bytes(content)
    return Records(path, **options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "train.jsonl"


def test_records_are_read_in_any_order(path):
    wanted = [{"text": "é" * count, "number": count} for count in range(50)]
    found = Records(write_jsonl(path, wanted))
    assert len(found) == 50
    assert [found[index] for index in reversed(range(50))] == wanted[::-1]
    assert list(found) == wanted
    assert found[-1] == wanted[-1]
    assert found[3:7] == wanted[3:7]
    assert found.where(6) == f"{path}:7"
    for index in (50, -51):
        with pytest.raises(IndexError):
            found[index]


@pytest.mark.parametrize(
    "content",
    [
        b'{"text": "a"}\n{"text": "b"}\n',
        b'{"text": "a"}\n{"text": "b"}',
        b'{"text": "a"}\r\n{"text": "b"}\r\n',
        b'\xef\xbb\xbf{"text": "a"}\n{"text": "b"}\n',
        b'  {"text":\t"a"}  \n{"text": "b"} \r\n',
    ],
    ids=["plain", "no last newline", "CR LF", "byte order mark", "spaces"],
)
def test_ways_to_write_lines(path, content):
    assert list(records(path, content)) == [{"text": "a"}, {"text": "b"}]


def test_what_json_can_say(path):
    value = {"": [], "n": [1, -2.5e3, 10**300], "s": "\u2028\x7f\U0001f600", "t": {"a": {"a": None}}, "b": [True]}
    line = json.dumps(value).encode() + b"\n" + json.dumps(value, ensure_ascii=False).encode()
    assert list(records(path, line)) == [value, value]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": }', "expected JSON, got what cannot be read as such at column 10: Expecting value"),
        (b'{"text": "a"', "expected JSON"),
        (b'{"text": "a"} {"text": "b"}', "at column 15: Extra data"),
        (b'{"text": "a"}\r{"text": "b"}', "at column 15: Extra data"),
        (b'{"text": "a\tb"}', "Invalid control character"),
        (b"{'text': 'a'}", "at column 2"),
        (b'\xef\xbb\xbf{"text": "a"}', "at column 1"),
        (b'{"text": "\xff"}', "expected UTF-8, got the byte 0xff at column 11"),
        (b'{"text": "\xed\xa0\x80"}', "expected UTF-8, got the byte 0xed"),
        ('{"text": "a"}'.encode("utf-16-le"), "at column 2"),
        (b'{"text": "\\ud83d"}', "text: expected characters, got half of a surrogate pair, \\ud83d"),
        (b'{"text": [{"a": "\\uDE00 "}]}', "text: expected characters, got half of a surrogate pair, \\ude00"),
        (b'{"text": "a", "\\uD800": 1}', "\\ud800: expected characters, got half of a surrogate pair, \\ud800"),
        (b'{"text": "a", "text": "b"}', "the key 'text' occurs twice in an object"),
        (b'{"text": "a", "more": {"x": 1, "x": 1}}', "the key 'x' occurs twice in an object"),
        (b'{"text": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"text": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"text": ' * 100_000, "nested too deeply"),
        (b'{"text": "a", "n": ' + b"1" * 5000 + b"}", "Exceeds the limit (4300"),
        (b"[1]", "expected an object, got a list"),
        (b'"text"', "expected an object, got a string"),
        (b"null", "expected an object, got null"),
        (b"true", "expected an object, got true"),
        (b"7", "expected an object, got a number"),
    ],
)
@pytest.mark.parametrize("place", [1, 2, 5])
def test_a_bad_line_is_named(path, line, reason, place):
    if place == 1 and line.startswith(b"\xef\xbb\xbf"):
        return
    content = FIRST * (place - 1) + line + b"\n" + FIRST
    message = message_of(lambda: records(path, content))
    assert message.startswith(f"{path}:{place}: ")
    assert reason in message


def test_blank_lines_are_passed_over_and_counted(path):
    found = records(path, b"\n \t\r\n" + FIRST + b"\n\n" + b'{"text": "b"}\n\n{"text": "c"}')
    assert [record["text"] for record in found] == ["a", "b", "c"]
    assert [found.where(index) for index in range(3)] == [f"{path}:{line}" for line in (3, 6, 8)]
    assert message_of(lambda: records(path, FIRST + b"\n\n{")).startswith(f"{path}:4: ")


def test_numbers_that_are_none_may_stand_where_nobody_reads(path):
    (found,) = records(path, b'{"text": "a", "n": NaN, "more": [-Infinity, null]}')
    assert (found["text"], found["more"]) == ("a", [float("-inf"), None])


def test_an_emoji_written_as_a_surrogate_pair_is_a_character(path):
    assert records(path, b'{"text": "\\ud83d\\ude00"}\n')[0] == {"text": "\U0001f600"}


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file_has_no_record(path, content):
    assert message_of(lambda: records(path, content)) == (f"{path}: expected at least one record, got an empty file")


def test_a_check_sees_every_record_once(path):
    seen = []
    wanted = [{"text": str(count)} for count in range(9)]
    Records(write_jsonl(path, wanted), seen.append)
    assert seen == wanted


# --- sizes ---


def test_a_file_may_be_as_large_as_allowed_and_no_larger(path):
    content = FIRST * 10
    assert len(records(path, content, max_bytes=len(content))) == 10
    message = message_of(lambda: records(path, content, max_bytes=len(content) - 1))
    assert message == f"{path}:10: expected a file of at most {len(content) - 1} bytes, got more (max_file_bytes)"


def test_a_line_may_be_as_long_as_allowed_and_no_longer(path):
    content = FIRST * 2 + b'{"text": "aaaa"}\n'
    assert len(records(path, content, max_record_bytes=17)) == 3
    message = message_of(lambda: records(path, content, max_record_bytes=16))
    assert message == f"{path}:3: expected a line of at most 16 bytes, got a longer one (max_record_bytes)"


@pytest.mark.parametrize("limit", ["max_bytes", "max_record_bytes"])
def test_a_giant_line_is_refused_before_it_is_in_memory(path, limit):
    with path.open("wb") as file:
        file.truncate(1 << 32)  # a hole: it takes no room on the disk
    tracemalloc.start()
    try:
        message = message_of(lambda: Records(path, **{limit: 1 << 20}))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert message.startswith(f"{path}:1: expected a ")
    assert peak < 4 << 20


def test_memory_holds_where_lines_begin_and_no_more(path):
    with path.open("wb") as file:
        for _ in range(64):
            file.write(b'{"text": "' + b"x" * (1 << 18) + b'"}\n')
    tracemalloc.start()
    try:
        found = Records(path)
        held, peak = tracemalloc.get_traced_memory()
        assert sum(len(record["text"]) for record in found) == 1 << 24
    finally:
        tracemalloc.stop()
    assert held < 1 << 16
    assert peak < 4 << 20


# --- what is no file of records ---


def test_files_that_are_none(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for place in (tmp_path, tmp_path / "pipe", tmp_path / "socket", "/dev/zero", "/dev/null"):
            message = message_of(lambda place=place: Records(place))
            assert message == f"{place}: expected a regular file, got a folder, device, pipe or socket"
    with pytest.raises(FileNotFoundError, match="missing"):
        Records(tmp_path / "missing")


@contextlib.contextmanager
def somebody_else():
    """Root may read everything, nobody may not."""
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_file_that_may_not_be_read_is_named(path):
    path.write_bytes(FIRST)
    path.chmod(0)
    with pytest.raises(PermissionError, match=r"train\.jsonl"), somebody_else():
        Records(path)


def test_a_file_that_changed_is_noticed(path):
    found = records(path, FIRST * 2)
    path.write_bytes(b'{"text": "b"}\n' * 3)
    message = message_of(lambda: found[0], Error)
    assert message == f"{path}: the file has changed since it was opened as a dataset"


def test_no_file_stays_open(path):
    found = records(path, FIRST * 3)
    before = os.listdir("/dev/fd")
    assert [found[0], *found] == [{"text": "a"}] * 4
    with pytest.raises(ValueError, match="at least one record"):
        records(path, b"\n")
    with pytest.raises(ValueError, match="regular file"):
        Records(path.parent)
    assert len(os.listdir("/dev/fd")) == len(before)


def test_a_file_larger_than_the_memory_that_a_process_may_have(path, tmp_path):
    """The records of 256 MiB in a process that may not take 128 MiB more than it begins with."""
    line = b'{"text": "' + b"x" * ((1 << 20) - 13) + b'"}\n'
    with path.open("wb") as file:
        file.writelines([line] * 256)
    program = tmp_path / "program.py"
    program.write_text(
        "import resource, sys\n"
        "from mlxffi.tuner.datasets import Records\n"
        "taken = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (taken + (128 << 20),) * 2)\n"
        "records = Records(sys.argv[1])\n"
        "print(len(records), len(records[255]['text']))\n"
    )
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("needs /proc")
    done = subprocess.run([sys.executable, program, path], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == (f"256 {(1 << 20) - 13}\n", "")
