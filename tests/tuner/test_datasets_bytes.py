"""Whatever bytes a file has: the right records, or an error that names the first line that is none."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuner_helpers import ByteTokenizer, unique

from mlxffi.tuner.datasets import DatasetConfig, load_dataset

LIMIT = 4096
CONFIG = DatasetConfig(kind="text", max_record_bytes=LIMIT)

characters = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | characters,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(characters, inner, max_size=3),
    max_leaves=8,
)
records = st.builds(
    lambda more, text: {**more, "text": text}, st.dictionaries(characters, values, max_size=3), characters
)
written = st.builds(
    lambda record, ascii_only, end: json.dumps(record, ensure_ascii=ascii_only).encode() + end,
    records,
    st.booleans(),
    st.sampled_from([b"\n", b"\r\n", b"  \n"]),
)
deep = st.builds(lambda depth, letter: letter * depth + b"\n", st.integers(1, LIMIT), st.sampled_from([b"[", b'{"a":']))
nested = st.builds(
    lambda depth, text: b'{"text": "a", "more": ' + b"[" * depth + text + b"]" * depth + b"}\n",
    st.integers(1, 100),
    st.sampled_from([b"1", b'"\\ud83d\\ude00"', b'"\\ud83d"', b"{}", b""]),
)
huge = st.builds(
    lambda size: b'{"text": "' + b"x" * size + b'"}\n', st.integers(LIMIT - 20, LIMIT + 20) | st.just(1 << 20)
)
odd = st.sampled_from(
    [
        b"\n",
        b" \n",
        b"\xff\n",
        b"[]\n",
        b'{"text": 1}\n',
        b'{"text": "a", "text": "b"}\n',
        b'{"text": NaN}\n',
        b'{"text": "\\ud800"}\n',
        b"\xef\xbb\xbf{}\n",
        b"\0\n",
    ]
)


def meant(line):
    """The record on a line, if there is one: by the rules, without a view to how they are kept."""
    try:
        record = json.loads(line.decode(), object_pairs_hook=unique)
        json.dumps(record, ensure_ascii=False).encode()
    except (ValueError, RecursionError, AssertionError):
        return None
    usable = isinstance(record, dict) and isinstance(record.get("text"), str)
    return record if usable and len(line) <= LIMIT else None


def expected(content):
    """The records of a file, and the number of the first line that is none; blank ones are passed over."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    ends = [*[line + b"\n" for line in lines[:-1]], *[line for line in lines[-1:] if line]]
    found = [meant(line) if len(line) > LIMIT or line.strip(b" \t\r\n") else () for line in ends]
    return [record for record in found if record != ()], found.index(None) + 1 if None in found else None


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("bytes") / "train.jsonl"


def loaded(path):
    """The dataset of a file, or the message of the error."""
    try:
        return load_dataset(path, ByteTokenizer(), CONFIG).train
    except ValueError as error:
        return str(error)


def require_the_records_or_the_line(path, content):
    path.write_bytes(content)
    wanted, bad = expected(content)
    found = loaded(path)
    if bad or not wanted:
        assert isinstance(found, str)
        assert found.startswith(f"{path}:{bad}: " if bad else f"{path}: expected at least one record")
        return
    assert len(found) == len(wanted)
    for index, record in enumerate(wanted):
        assert list(found[index].tokens) == [*record["text"].encode(), 256]


@settings(max_examples=150, deadline=None)
@given(content=st.lists(written, max_size=8).map(b"".join), mark=st.booleans())
def test_good_files(path, content, mark):
    assert expected(content)[1] is None
    require_the_records_or_the_line(path, b"\xef\xbb\xbf" * mark + content)


@settings(max_examples=200, deadline=None)
@given(content=st.lists(written | odd | deep | nested | huge, max_size=6).map(b"".join))
def test_files_with_bad_lines(path, content):
    require_the_records_or_the_line(path, content)


edits = st.tuples(
    st.floats(0, 1), st.integers(0, 12), st.binary(max_size=6) | st.sampled_from([b'"', b"\n", b"{", b"\\u"])
)


@settings(max_examples=300, deadline=None)
@given(content=st.lists(written, min_size=1, max_size=4).map(b"".join), changes=st.lists(edits, min_size=1, max_size=4))
def test_mangled_files(path, content, changes):
    for place, dropped, inserted in changes:
        start = int(place * len(content))
        content = content[:start] + inserted + content[start + dropped :]
    require_the_records_or_the_line(path, content)


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes(path, content):
    require_the_records_or_the_line(path, content)
