"""Safetensors with float64 and with names that C cannot hold, and the names and kinds of files, in both layers."""

import io as standard
import json
import re
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


def save_archive(path, arrays):
    mx.savez(path, **arrays)


@pytest.mark.parametrize("save", [mx.save_safetensors, mx.save_gguf, save_archive])
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
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
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


# --- npy and npz ---

READ = {
    "float64": np.arange(3.0), "complex64": np.arange(3).astype(np.complex64), "scalar": np.array(2.5, np.float32),
    "columns": np.asfortranarray(np.arange(24).reshape(2, 3, 4)), "big-endian": np.arange(3, dtype=">f4"),
    "empty": np.zeros((0, 3), np.float32), "bool": np.array([True, False]), "half": np.arange(3, dtype=np.float16),
    "big-endian integers": np.arange(3, dtype=">i8"), "a column": np.asfortranarray(np.arange(3)),
}  # fmt: skip
LACKED = {
    "O": np.array([1, "a"], dtype=object), "U2": np.array(["ab"]), "S2": np.array([b"ab"]), "c16": np.zeros(2, "c16"),
    "f16": np.zeros(2, np.longdouble), "M8[D]": np.array(["2020"], "M8[D]"), "('a', '<f4')": np.zeros(2, [("a", "f4")]),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_npy_files_of_numpy(tmp_path, name):
    array = READ[name]
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", x=array)
    file = standard.BytesIO((tmp_path / "a.npy").read_bytes())
    loaded = [mx.load(tmp_path / "a.npy"), mx.load(file, "npy"), mx.load(str(tmp_path / "a.npz"))["x"]]
    for found in (*loaded, io.load(tmp_path / "a.npy")):
        assert (found.dtype.name, found.shape) == (array.dtype.newbyteorder("=").name, array.shape)
        assert found.tolist() == array.tolist()


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize != 16, reason="the name of long double differs")
@pytest.mark.parametrize("dtype", LACKED)
def test_npy_files_of_what_mlx_lacks(tmp_path, dtype):
    """MLX names the first three letters of a dtype, and no entry."""
    np.save(tmp_path / "a.npy", LACKED[dtype])
    np.savez(tmp_path / "a.npz", good=np.ones(2), bad=LACKED[dtype])
    named = re.escape(dtype)
    for load in (lambda: mx.load(tmp_path / "a.npy"), lambda: io.load(tmp_path / "a.npy")):
        with pytest.raises(ValueError, match=rf"a dtype of MLX, got .*{named}"):
            load()
    with pytest.raises(ValueError, match=rf"bad\.npy: .* a dtype of MLX, got .*{named}"):
        mx.load(tmp_path / "a.npz")


# --- names and file objects ---

SAVED = {"npy": mx.save, "npz": mx.savez, "safetensors": mx.save_safetensors, "gguf": mx.save_gguf}


def saved(kind, folder):
    path = folder / f"a.{kind}"
    SAVED[kind](path, {"x": mx.arange(3)} if kind in ("safetensors", "gguf") else mx.arange(3))
    return path


def numbers_in(found):
    return (next(iter(found.values())) if isinstance(found, dict) else found).tolist()


@pytest.mark.parametrize("kind", SAVED)
def test_names_that_end_oddly(tmp_path, kind):
    content = saved(kind, tmp_path).read_bytes()
    for name in (f".{kind}", f"a.b.{kind}", f"ü €.{kind}", f"{kind}.{kind}"):
        (tmp_path / name).write_bytes(content)
        for file in (tmp_path / name, str(tmp_path / name)):
            assert numbers_in(mx.load(file)) == [0, 1, 2]
    for name in (f"b.{kind.upper()}", f"b.{kind}.", f"b.{kind} ", f"b.{kind}.bak", "plain"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=r"\[load\] (Unknown file format|Could not infer file format)"):
            mx.load(tmp_path / name)
        assert numbers_in(mx.load(tmp_path / name, format=kind)) == [0, 1, 2]
    for bad, error in ((f".{kind}", ValueError), (kind.upper(), ValueError), (3, TypeError)):
        with pytest.raises(error, match="format"):
            mx.load(tmp_path / "plain", format=bad)


@pytest.mark.parametrize("kind", ["npy", "npz", "safetensors"])
def test_a_file_object_is_read_from_where_it_stands(tmp_path, kind):
    """MLX reads the header from there, and the elements of .npy from other places."""
    content = saved(kind, tmp_path).read_bytes()
    file = standard.BytesIO(b"junk" + content)
    file.seek(4)
    assert numbers_in(mx.load(file, kind)) == [0, 1, 2]
    with pytest.raises(AttributeError, match="name"):
        mx.load(standard.BytesIO(content))


@pytest.mark.parametrize("kind", SAVED)
def test_a_suffix_that_is_missing_is_appended(tmp_path, kind):
    value = {"x": mx.arange(3)} if kind in ("safetensors", "gguf") else mx.arange(3)
    for name in ("plain", f"b.{kind.upper()}", f"b.{kind}.bak", kind, "dot."):
        SAVED[kind](str(tmp_path / name), value)
        assert (tmp_path / f"{name}.{kind}").is_file()
    with pytest.raises((ValueError, AttributeError)):
        SAVED[kind](bytes(tmp_path / "bytes"), value)


# --- exported functions ---


def test_exported_functions_that_are_cut_or_changed(tmp_path):
    path = tmp_path / "f.mlxfn"
    mx.export_function(str(path), lambda x: mx.divmod(mx.exp(x), mx.array([1.5, 2.5])), mx.array([1.0, 2.0]))
    content, expected = path.read_bytes(), mx.divmod(mx.exp(mx.array([1.0, 2.0])), mx.array([1.5, 2.5]))
    seal = content.index(b"mlxffi sum")
    renamed = content.replace(b"DivMod", b"DivMob")
    for changed in (content[:-1], content[: seal - 1], renamed, renamed[:seal]):
        path.write_bytes(changed)
        with pytest.raises(RuntimeError, match=r"the file is damaged: .*f\.mlxfn"):
            mx.import_function(str(path))
    path.write_bytes(content[:seal])
    assert [a.tolist() for a in mx.import_function(str(path))(mx.array([1.0, 2.0]))] == [a.tolist() for a in expected]
