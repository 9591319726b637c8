"""Safetensors with float64 and with names that C cannot hold, and the names and kinds of files, in both layers."""

import json
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import mlxffi as m
import mlxffi.core as mx
from mlxffi import io


def write(folder, header, data=bytes(64)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "made.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return str(path)


# --- safetensors ---

TENSORS = {
    "wide": np.array([[0.1, 1e300], [-0.0, np.inf]]),
    'text "dtype":"F64" \\ é \U0001f600': np.array([1.5, 2.5]),
    "empty": np.zeros((0, 3)),
    "ints": np.array([1, -(2**60)]),
    "narrow": np.array([1.0, 2.0], np.float32),
}


def test_float64_of_the_safetensors_package(tmp_path):
    path = str(tmp_path / "a.safetensors")
    safetensors.numpy.save_file(TENSORS, path, {"F64": '{"dtype":"F64"}'})
    for found, metadata in (mx.load(path, return_metadata=True), io.load_safetensors(path)):
        assert metadata == {"F64": '{"dtype":"F64"}'}
        assert found.keys() == TENSORS.keys()
        for name, wanted in TENSORS.items():
            assert found[name].dtype.name == wanted.dtype.name
            np.testing.assert_array_equal(np.array(found[name].tolist()).reshape(wanted.shape), wanted)


@pytest.mark.parametrize("save", [mx.save_safetensors, io.save_safetensors])
def test_the_safetensors_package_reads_float64(tmp_path, save):
    made = {name: mx.array(value, getattr(mx, value.dtype.name)) for name, value in TENSORS.items()}
    if save is io.save_safetensors:
        made = TENSORS
    path = tmp_path / "a.safetensors"
    save(path, made, {"key": "value"})
    found = safetensors.numpy.load_file(path)
    assert found.keys() == TENSORS.keys()
    for name, wanted in TENSORS.items():
        assert found[name].dtype == wanted.dtype
        np.testing.assert_array_equal(found[name], wanted)


def test_float64_through_file_objects_and_over_what_is_read(tmp_path):
    path = tmp_path / "a"
    mx.save_safetensors(str(path), {"a": mx.array([1.0, 2.0], mx.float64)})
    found = mx.load(f"{path}.safetensors")
    mx.save_safetensors(str(path), {"a": found["a"] * 2, "b": mx.transpose(mx.array([[1.0, 2.0]], mx.float64))})
    with open(f"{path}.safetensors", "rb") as file:
        found = mx.load(file)
    assert (found["a"].tolist(), found["b"].tolist()) == ([2.0, 4.0], [[1.0], [2.0]])


def test_files_without_float64_are_those_of_mlx(tmp_path):
    import mlx.core as theirs

    for name, library in (("a", mx), ("b", theirs)):
        library.save_safetensors(str(tmp_path / name), {"x": library.arange(3), "y": library.ones((2, 2))}, {"k": "v"})
    contents = [
        json.loads((tmp_path / f"{name}.safetensors").read_bytes()[8:].partition(b"}}")[0] + b"}}") for name in "ab"
    ]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("dtype", ["F8_E5M2", "F8_E8M0", "F4", "I128", ""])
def test_a_dtype_that_mlx_lacks_is_named_with_its_tensor(tmp_path, dtype):
    entries = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    path = write(tmp_path, entries | {"b": {"dtype": dtype, "shape": [1], "data_offsets": [4, 5]}})
    for load in (mx.load, io.load_safetensors):
        with pytest.raises(RuntimeError, match=rf"tensor `b`: MLX has no dtype {dtype} \(file .*made"):
            load(path)


def test_a_name_with_a_nul_is_refused_where_c_reads_it(tmp_path):
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    path = write(tmp_path, {"a\0b": entry})
    with pytest.raises(RuntimeError, match="without NUL characters, got `a` and a NUL"):
        io.load_safetensors(path)
    assert list(mx.load(path)) == ["a\0b"]


@pytest.mark.parametrize("save", [mx.save_safetensors, mx.save_gguf])
def test_a_name_with_a_nul_is_refused_by_name(tmp_path, save):
    with pytest.raises(ValueError, match=r"names without NUL characters, got 'a\\x00b'"):
        save(str(tmp_path / "a"), {"a\0b": mx.ones(2)})
    assert not list(tmp_path.iterdir())


BAD = [
    b"", b"[]", b"{", b'{"a', b'{"a":1}', b'{"a":{"dtype":1}}', b'{"a":{"dtype":"F64"}}', b'{"a":{"dtype":"F64",}}',
    b'{"a":' + b"[" * 9999, b'{"\\u0000', b'{"\\u0000":1}', b'{"a\\', b'{"a\\u00',
    b'{"a":{"dtype":"F\\u00364","shape":[1],"data_offsets":[0,8]}}',
    b'{"a":{"dtype":"F64","shape":[99],"data_offsets":[0,792]}}',
    b'{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,4]}}',
]  # fmt: skip


@pytest.mark.parametrize("header", BAD, ids=lambda header: repr(header[:40]))
def test_headers_that_are_wrong(tmp_path, header):
    path = write(tmp_path, header)
    for load in (mx.load, io.load_safetensors):
        with pytest.raises(m.Error):
            load(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)


@settings(max_examples=60)
@given(
    names=st.lists(NAMES.filter(lambda name: name != "__metadata__"), unique=True, max_size=4),
    other=JSON,
    escaped=st.booleans(),
    indent=st.none() | st.integers(0, 2),
)
def test_any_header_is_gone_through(tmp_path_factory, names, other, escaped, indent):
    """Names of any letters, and fields that nobody knows."""
    entries = {name: {"x": other, "dtype": "F64", "shape": [1], "data_offsets": [0, 8]} for name in names}
    text = json.dumps(entries, ensure_ascii=escaped, indent=indent).encode("utf-8", "surrogatepass")
    if "\\ud" in json.dumps(other) or b"\\u0000" in text:
        return  # halves of a pair are no JSON for MLX; a NUL may not be in names
    found = io.load_safetensors(write(tmp_path_factory.mktemp("header"), text, struct.pack("<d", 0.1)))[0]
    assert {name: array.tolist() for name, array in found.items()} == {name: [0.1] for name in names}
