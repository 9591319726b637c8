"""Files of records that are no jsonl: the same records, or an error that names the file and the line."""

import csv
import gzip
import io
import json
import os
import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuner_helpers import ByteTokenizer, message_of, unique

from mlxffi.tuner.checks import MissingLibraryError
from mlxffi.tuner.datasets import DatasetConfig, load_dataset

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
zstandard = pytest.importorskip("zstandard")

BYTES = ByteTokenizer()


def as_lines(records):
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


def as_array(records):
    return json.dumps(records, indent=2, ensure_ascii=False).encode()


def as_csv(records):
    file = io.StringIO()
    writer = csv.DictWriter(file, sorted({name for record in records for name in record}))
    writer.writeheader()
    writer.writerows(records)
    return file.getvalue().encode()


def as_parquet(records):
    file = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(records), file, row_group_size=2)
    return file.getvalue()


WRITERS = {".jsonl": as_lines, ".json": as_array, ".csv": as_csv, ".parquet": as_parquet}
PACKERS = {"": lambda content: content, ".gz": gzip.compress, ".zst": lambda content: zstandard.compress(content)}
KINDS = [(format, packed) for format in WRITERS for packed in PACKERS if format != ".parquet" or not packed]


def written(path, records, format=None, packed=""):
    path.write_bytes(PACKERS[packed](WRITERS[format or path.suffix](records)))
    return path


def loaded(path, **config):
    return load_dataset(path, BYTES, DatasetConfig(**config)).train


def texts(dataset):
    return [bytes(list(dataset[index].tokens)[:-1]).decode() for index in range(len(dataset))]


@pytest.mark.parametrize(("format", "packed"), KINDS)
def test_the_same_records_from_each_kind_of_file(tmp_path, format, packed):
    records = [
        {"text": text}
        for text in ('a "quoted", text', "two\nlines", "é\U0001f600", " [1, {2}] \\", "\r\n", "x" * 200_000)
    ]
    path = written(tmp_path / f"a{format}{packed}", records, format, packed)
    found = loaded(path)
    assert texts(found) == [record["text"] for record in records]
    assert texts(found)[::-1] == [record["text"] for record in records[::-1]]
    assert found.about == [f"{path}: 6 records, texts"]
    before = os.listdir("/dev/fd")
    del found
    assert len(os.listdir("/dev/fd")) < len(before) or (format, packed) == (".jsonl", "")


@pytest.mark.parametrize(("format", "packed"), KINDS)
def test_the_line_of_a_record_that_is_refused(tmp_path, format, packed):
    records = [
        {"text": "a\nb" if format == ".csv" else "a"},
        {"text": "b"},
        {"text": None if format != ".csv" else "c"},
    ]
    name = f"a{format}{packed}"
    if format == ".csv":
        (tmp_path / name).write_bytes(PACKERS[packed](b'text,n\r\n"a\nb",1\r\nb,2\r\nc\r\n'))
        reason, line = "expected 2 fields, as the first line has, got 1", 5
    else:
        written(tmp_path / name, records, format, packed)
        reason, line = "text: expected a string, got null", {".json": 8}.get(format, 3)
    assert message_of(lambda: loaded(tmp_path / name)) == f"{tmp_path / name}:{line}: {reason}"


@pytest.mark.parametrize(("format", "packed"), KINDS)
def test_a_folder_has_a_file_of_any_kind_for_each_split(tmp_path, format, packed):
    for name, count in {"train": 3, "validation": 2, "test": 1}.items():
        written(tmp_path / f"{name}{format}{packed}", [{"text": name}] * count, format, packed)
    splits = load_dataset(tmp_path, BYTES)
    assert [len(split) for split in splits] == [3, 2, 1]
    assert texts(splits.valid) == ["validation"] * 2


def test_a_split_in_parts_and_which_file_counts(tmp_path):
    for number in (1, 0):
        written(tmp_path / f"train-0000{number}-of-00002.parquet", [{"text": str(number)}] * 2)
    assert texts(load_dataset(tmp_path, BYTES).train) == ["0", "0", "1", "1"]
    written(tmp_path / "train.csv", [{"text": "csv"}])
    assert texts(load_dataset(tmp_path, BYTES).train) == ["csv"]
    written(tmp_path / "train.jsonl", [{"text": "jsonl"}])
    assert texts(load_dataset(tmp_path, BYTES).train) == ["jsonl"]


# --- JSON ---


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b'[{"text": "a"}\n {"text": "b"}]', 1, "at line 2 of the record, column 2: Extra data"),
        (b'[{"text": "a"},\n\n]', 3, "expected JSON"),
        (b'[{"text": "a"},\n,\n{}]', 2, "expected JSON"),
        (b'[{"text": "a"}]\n[', 1, "expected nothing behind the array, got more"),
        (b'[{"text": "a"},\n{"text": "b"}', 1, "expected the ] of the array, got the end of the file"),
        (b'[{"text": "a"},\n{"text": "b', 1, "expected the ] of the array, got the end of the file"),
        (b'[{"text": "a"},\n\n  7]', 3, "expected an object, got a number"),
        (b'\n[{"text": "a"},\n{"text": "a", "text": "b"}]', 3, "the key 'text' occurs twice in an object"),
        (b'[{"text": "\\ud800"}]', 1, "text: expected characters, got half of a surrogate pair, \\ud800"),
        (b'[{"text": "a"},\n{"text": "\xff"}]', 2, "expected UTF-8, got the byte 0xff"),
        (b'[{"text": "a"}, {"text": 1]}]', 1, "expected JSON"),
        (b'{"text": "a"}\n{"text": 1}', 2, "text: expected a string, got a number"),
        (b'{\n"train": []}', 1, "expected JSON"),
        (b'[{"text": "a", "more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]", 1, "nested too deeply"),
    ],
)
def test_a_bad_array_is_named_with_the_line(tmp_path, content, line, reason):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    message = message_of(lambda: loaded(path))
    assert message.startswith(f"{path}:{line}: ")
    assert reason in message


def test_arrays_that_are_right(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf \n[\n {"text": "a", "n": NaN, "m": null}\n,{"text": "\\ud83d\\ude00"} ]\n \n')
    assert texts(loaded(path)) == ["a", "\U0001f600"]
    assert [loaded(path).where(index) for index in range(2)] == [f"{path}:3", f"{path}:4"]
    path.write_bytes(b'{"text": "a"}\n\n{"text": "b"}')
    assert loaded(path).where(1) == f"{path}:3"
    for content in (b"[]", b" [ \n ]", b"", b"\xef\xbb\xbf"):
        path.write_bytes(content)
        assert message_of(lambda: loaded(path)) == f"{path}: expected at least one record, got an empty file"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
arrays = st.lists(
    st.builds(
        lambda more, text: {**more, "text": text}, st.dictionaries(st.text(max_size=4), values), st.text(max_size=9)
    ),
    min_size=1,
    max_size=5,
)
edits = st.tuples(
    st.floats(0, 1), st.integers(0, 9), st.binary(max_size=5) | st.sampled_from([b'"', b"\n", b"{", b"]", b",", b"\\"])
)


def meant(content):
    """The texts of an array of records by Python's own reader of all of it; None where it is none."""
    try:
        found = json.loads(content.decode("utf-8-sig"), object_pairs_hook=unique)
        json.dumps(found, ensure_ascii=False).encode()
        assert isinstance(found, list)
        assert all(isinstance(record["text"], str) for record in found)
    except (ValueError, AssertionError, TypeError, KeyError):
        return None
    return [record["text"] for record in found] or None


@settings(max_examples=150, deadline=None)
@given(records=arrays, indent=st.sampled_from([None, 0, 3]), ascii=st.booleans(), changes=st.lists(edits, max_size=2))
def test_whatever_an_array_says(tmp_path_factory, records, indent, ascii, changes):
    content = json.dumps(records, indent=indent, ensure_ascii=ascii).encode()
    for place, dropped, inserted in changes:
        start = int(place * len(content))
        content = content[:start] + inserted + content[start + dropped :]
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    wanted = meant(content)
    if not content.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").startswith(b"["):
        return
    if wanted is None:
        assert message_of(lambda: loaded(path, kind="text")).startswith(str(path))
    else:
        assert texts(loaded(path, kind="text")) == wanted


def test_borders_of_what_is_read_at_a_time(tmp_path, monkeypatch):
    from mlxffi.tuner.datasets import readers

    content = json.dumps([{"text": '\\"[{,'}, {"text": "b\\\\", "c": {"d": ["}"]}}, {"text": "é"}], ensure_ascii=False)
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    for size in range(1, 20):
        monkeypatch.setattr(readers, "CHUNK", size)
        assert texts(loaded(tmp_path / "a.json")) == ['\\"[{,', "b\\\\", "é"]


# --- CSV ---


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"text,text\na,b\n", 1, "expected names of columns, each once, got 'text' twice"),
        (b"text\na\n\xff\n", 3, "expected UTF-8, got the byte 0xff at column 1"),
        (b'text\na\n"b\n\n', 3, "expected CSV, got what cannot be read as such"),
        (b'text\na\n"b"c\n', 3, "expected CSV, got what cannot be read as such"),
        (b"text,n\na,1\n\nb,2,3\n", 4, "expected 2 fields, as the first line has, got 3"),
        (b"texts\na\n", 2, "expected the fields prompt and completion"),
        (b"text\n" + b"a" * 300 + b"\n", 2, "max_record_bytes"),
        (b'text\n"' + b"a\n" * 300 + b'"\n', 2, "max_record_bytes"),
    ],
)
def test_a_bad_table_is_named_with_the_line(tmp_path, content, line, reason):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    message = message_of(lambda: loaded(path, max_record_bytes=250))
    assert message.startswith(f"{path}:{line}: ")
    assert reason in message


def test_tables_with_marks_blank_lines_and_long_texts(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbftext,n\r\na,1\r\n\r\n" + b"b" * 500_000 + b",2\r\n")
    limit = csv.field_size_limit()
    found = loaded(path)
    assert [len(text) for text in texts(found)] == [1, 500_000]
    assert found.where(1) == f"{path}:4"
    assert csv.field_size_limit() == limit


def test_lists_in_a_table_of_texts_are_json(tmp_path):
    messages = json.dumps([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    path = written(
        tmp_path / "a.csv", [{"messages": messages, "tools": '[{"name": "f"}]'}, {"messages": messages, "tools": ""}]
    )
    found = loaded(path)
    assert bytes(list(found[0].tokens)) == b"<tools 1><user>a</><assistant>b</>"
    assert bytes(list(found[1].tokens)) == b"<user>a</><assistant>b</>"
    written(path, [{"messages": "[{]"}])
    assert message_of(lambda: loaded(path)).startswith(f"{path}:2: messages: expected a list of objects, or the JSON")


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.text(st.characters(exclude_characters="\0\r", codec="utf-8"), max_size=20), min_size=1, max_size=5)
)
def test_whatever_a_table_says(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    written(path, [{"text": text, "n": "1"} for text in rows])
    assert texts(loaded(path)) == rows


# --- Parquet ---


def test_what_parquet_can_hold_and_json_cannot(tmp_path):
    path = tmp_path / "a.parquet"
    columns = {"text": ["a", "b", "c"], "n": [float("nan"), None, 1.0], "bytes": [b"\xff", b"", None]}
    columns["day"] = arrow.array([0, 1, None], arrow.date32())
    columns["messages"] = [None, None, None]
    parquet.write_table(arrow.table(columns), path)
    assert texts(loaded(path)) == ["a", "b", "c"]
    assert "bytes: expected a string, got null" in message_of(lambda: loaded(path, kind="text", text_feature="bytes"))


def test_messages_of_parquet_lack_what_they_lack(tmp_path):
    turns = [{"role": "user", "content": "a", "name": None}, {"role": "assistant", "content": "b", "name": "c"}]
    path = written(tmp_path / "a.parquet", [{"messages": turns}])
    assert bytes(list(loaded(path)[0].tokens)) == b"<user>a</><assistant>b</>"


def test_columns_of_one_name(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(arrow.table([["a"], ["b"]], names=["text", "text"]), path)
    assert "expected names of columns, each once, got 'text' twice" in message_of(lambda: loaded(path))


# --- what is none ---


@pytest.mark.parametrize(("format", "packed"), KINDS[1:])
def test_files_that_are_not_what_their_name_says(tmp_path, format, packed):
    path = tmp_path / f"a{format}{packed}"
    for content in (b"\x00garbage\xff" * 9, b"x"):
        path.write_bytes(content)
        assert message_of(lambda: loaded(path)).startswith(str(path))


@pytest.mark.parametrize(("format", "packed"), [kind for kind in KINDS if kind[0] == ".parquet" or kind[1]])
def test_files_that_were_cut_off(tmp_path, format, packed):
    path = written(tmp_path / f"a{format}{packed}", [{"text": "abc" * number} for number in range(20)], format, packed)
    content = path.read_bytes()
    for size in (len(content) - 1, len(content) // 2, 9):
        path.write_bytes(content[:size])
        message = message_of(lambda: loaded(path))
        assert message.startswith(f"{path}: expected a {packed or format} file, got what cannot be read as such: ")


def test_frames_one_after_the_other(tmp_path):
    for packed in (".gz", ".zst"):
        path = tmp_path / f"a.jsonl{packed}"
        path.write_bytes(b"".join(PACKERS[packed](as_lines([{"text": text}])) for text in "abc"))
        assert texts(loaded(path)) == ["a", "b", "c"]


@pytest.mark.parametrize("packed", [".gz", ".zst"])
def test_much_from_little_is_refused_before_it_is_in_memory(tmp_path, packed):
    path = tmp_path / f"a.jsonl{packed}"
    path.write_bytes(PACKERS[packed](b'{"text": "' + b"x" * (64 << 20) + b'"}'))
    assert path.stat().st_size < 1 << 17
    tracemalloc.start()
    try:
        assert f"{path}:1: expected a line of at most" in message_of(lambda: loaded(path, max_record_bytes=1 << 20))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 << 20


def test_limits_of_copies(tmp_path):
    for format in WRITERS:
        path = written(tmp_path / f"a{format}", [{"text": "abc"}] * 9)
        assert "(max_file_bytes)" in message_of(lambda path=path: loaded(path, max_file_bytes=50))
        assert "(max_record_bytes)" in message_of(lambda path=path: loaded(path, max_record_bytes=3))
    message = message_of(lambda: loaded(written(tmp_path / "a.parquet.gz", [{"text": "a"}], ".parquet", ".gz")))
    assert message == "a.parquet.gz: expected a Parquet file as it is, which is compressed within, got .gz"


def test_libraries_that_are_not_there_are_named(tmp_path, monkeypatch):
    for name, library in {"a.parquet": "pyarrow.parquet", "a.jsonl.zst": "zstandard"}.items():
        written(tmp_path / name, [{"text": "a"}], *((".parquet", "") if "parquet" in name else (".jsonl", ".zst")))
        monkeypatch.setitem(sys.modules, library, None)
        message = message_of(lambda name=name: loaded(tmp_path / name), MissingLibraryError)
        assert message == f"this needs {library}, which is not installed: pip install 'mlxffi[data]'"


def test_arrays_and_tables_larger_than_the_memory_that_a_process_may_have(tmp_path):
    """64 MiB in a process that may not take 32 MiB more than it begins with."""
    text = "x" * ((1 << 20) - 16)
    with (tmp_path / "a.json").open("w") as array, (tmp_path / "a.csv").open("w") as table:
        array.write("[" + ",\n".join([f'{{"text": "{text}"}}'] * 64) + "]")
        table.write("text\n" + f"{text}\n" * 64)
    program = (
        "import resource, sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from mlxffi.tuner.datasets import DatasetConfig\n"
        "from mlxffi.tuner.datasets.readers import stored\n"
        "taken = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (taken + (32 << 20),) * 2)\n"
        "records = stored(sys.argv[1], lambda record: None, DatasetConfig())\n"
        "print(len(records), len(records[63]['text']))\n"
    )
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("needs /proc")
    for name in ("a.json", "a.csv"):
        words = [sys.executable, "-c", program, tmp_path / name, os.getcwd()]
        environ = {**os.environ, "TMPDIR": str(tmp_path)}
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environ)
        assert (done.stdout, done.stderr) == (f"64 {len(text)}\n", "")
