"""Arrays come back from files as they were written, and files that are missing or broken are errors."""

import io as standard

import numpy as np
import pytest
from helpers import error_of, needs_own_mlxc

import mlxffi as m
from mlxffi import io

DTYPES = ["bool", "uint8", "int16", "int64", "uint32", "float16", "bfloat16", "float32", "complex64"]


def same(found, array):
    return (found.dtype, found.shape, found.tolist()) == (array.dtype, array.shape, array.tolist())


def sample(dtype="float32"):
    return m.astype(m.Array([[0.0, 1.0, 2.5], [3.0, 4.0, 5.0]]), dtype)


# --- npy ---


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != "bfloat16"])
def test_npy_comes_back_and_is_numpys(dtype, tmp_path):
    array = sample(dtype)
    io.save(tmp_path / "a.npy", array)
    assert same(io.load(tmp_path / "a.npy"), array)
    assert np.load(tmp_path / "a.npy").tolist() == array.tolist()


def test_numpys_npy_is_read(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    assert same(io.load(str(tmp_path / "a.npy")), m.astype(m.reshape(m.arange(0, 6, 1, "int32"), [2, 3]), "int64"))


def test_views_are_written_in_row_order(tmp_path):
    io.save(tmp_path / "a.npy", m.transpose(sample()))
    assert io.load(tmp_path / "a.npy").tolist() == [[0.0, 3.0], [1.0, 4.0], [2.5, 5.0]]


def test_a_missing_suffix_is_appended(tmp_path):
    io.save(tmp_path / "a", sample())
    io.save_safetensors(tmp_path / "b", {"x": sample()})
    io.save_gguf(tmp_path / "c", {"x": sample()})
    assert {path.name for path in tmp_path.iterdir()} == {"a.npy", "b.safetensors", "c.gguf"}


def test_a_percent_sign_in_a_name_is_nothing_special(tmp_path):
    io.save(tmp_path / "100%d%s%n.npy", sample())
    assert same(io.load(tmp_path / "100%d%s%n.npy"), sample())
    with pytest.raises(RuntimeError, match="200%d%s%n"):
        io.load(tmp_path / "200%d%s%n.npy")


# --- safetensors ---


def test_safetensors_come_back_with_their_metadata(tmp_path):
    arrays = {f"w.{dtype}": sample(dtype) for dtype in [*DTYPES, "float64"]}
    arrays |= {"é": m.Array(1.5), "empty": m.zeros([0, 2])}
    metadata = {"format": "mlx", "schlüssel": "wert %s"}
    io.save_safetensors(tmp_path / "w.safetensors", arrays, metadata)
    found, strings = io.load_safetensors(tmp_path / "w.safetensors")
    assert found.keys() == arrays.keys()
    assert all(same(found[name], arrays[name]) for name in arrays)
    assert strings == metadata


def test_safetensors_without_arrays_and_metadata(tmp_path):
    io.save_safetensors(tmp_path / "w.safetensors", {})
    assert io.load_safetensors(tmp_path / "w.safetensors") == ({}, {})


def test_lists_and_numbers_are_arrays_too(tmp_path):
    io.save_safetensors(tmp_path / "w.safetensors", {"x": [1, 2], "y": 2.5})
    found, _ = io.load_safetensors(tmp_path / "w.safetensors")
    assert (found["x"].tolist(), found["y"].tolist()) == ([1, 2], 2.5)


@pytest.mark.parametrize(
    ("arrays", "metadata", "message"),
    [
        ({1: 1.0}, {}, "name: expected a str, got int"),
        ({"a\0b": 1.0}, {}, "name: expected a string without NUL characters"),
        ({}, {"k": 1}, r"metadata\['k'\]: expected a str, got int"),
    ],
)
def test_names_and_metadata_must_be_strings(arrays, metadata, message, tmp_path):
    with pytest.raises((TypeError, ValueError), match=message):
        io.save_safetensors(tmp_path / "w.safetensors", arrays, metadata)


# --- gguf ---

GGUF_DTYPES = ["float32", "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64"]


def test_gguf_comes_back_with_its_metadata(tmp_path):
    arrays = {dtype: sample(dtype) for dtype in GGUF_DTYPES}
    metadata = {"name": "mlx", "words": ["a", "b"], "number": m.Array(3.5), "list": m.Array([1, 2, 3])}
    io.save_gguf(tmp_path / "w.gguf", arrays, metadata)
    found, values = io.load_gguf(tmp_path / "w.gguf")
    assert all(same(found[name], arrays[name]) for name in arrays)
    assert found.keys() == arrays.keys()
    assert (values["name"], values["words"], values["number"].item()) == ("mlx", ["a", "b"], 3.5)
    assert values["list"].tolist() == [1, 2, 3]


@needs_own_mlxc
def test_gguf_metadata_lists_its_keys(tmp_path):
    metadata = {"name": "mlx", "words": ["a", "b"], "number": m.Array(3.5)}
    io.save_gguf(tmp_path / "w.gguf", {"x": sample()}, metadata)
    _, values = io.load_gguf(tmp_path / "w.gguf")
    assert sorted(values.keys()) == sorted(metadata)
    assert dict(values)["words"] == ["a", "b"]


def test_gguf_metadata_that_is_not_there(tmp_path):
    io.save_gguf(tmp_path / "w.gguf", {"x": sample()})
    _, values = io.load_gguf(tmp_path / "w.gguf")
    assert "name" not in values
    assert values.get("name", 7) == 7
    with pytest.raises(KeyError, match="name"):
        values["name"]


def test_gguf_refuses_dtypes_that_it_cannot_hold(tmp_path):
    with pytest.raises(RuntimeError, match=r"\[save_gguf\] tensor `x`: dtype uint32 is not supported"):
        io.save_gguf(tmp_path / "w.gguf", {"x": sample("uint32")})


# --- file objects ---

FORMATS = {
    "npy": (lambda file: io.save(file, sample()), io.load),
    "safetensors": (
        lambda file: io.save_safetensors(file, {"x": sample()}),
        lambda file: io.load_safetensors(file)[0]["x"],
    ),
    "gguf": (lambda file: io.save_gguf(file, {"x": sample()}), lambda file: io.load_gguf(file)[0]["x"]),
}


@pytest.mark.parametrize("name", FORMATS)
def test_file_objects_are_written_and_read(name):
    save, load = FORMATS[name]
    file = standard.BytesIO()
    save(file)
    file.seek(0)
    found = load(file)
    file.close()
    assert same(found, sample())


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("method", ["read", "write"])
def test_what_a_file_object_raises_arrives_as_the_same_object(name, method):
    error = KeyboardInterrupt("%s%n")

    def fail(*_):
        raise error

    file = type("Broken", (), {method: staticmethod(fail)})()
    assert error_of(lambda: FORMATS[name][method == "read"](file), KeyboardInterrupt) is error


def test_a_text_file_is_refused(tmp_path):
    with pytest.raises(TypeError):
        io.load(standard.StringIO("text"))
    with pytest.raises(TypeError):
        io.save(standard.StringIO(), sample())


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_no_file_is_a_type_error(name):
    save, load = FORMATS[name]
    with pytest.raises(TypeError, match=r"file: expected a path or a binary file with read\(\), got int"):
        load(3)
    with pytest.raises(TypeError, match=r"file: expected a path or a binary file with write\(\), got NoneType"):
        save(None)


# --- paths that are wrong ---


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_file_is_named(name, tmp_path):
    with pytest.raises(m.Error, match=r"Failed to open .*nothing\.here"):
        FORMATS[name][1](tmp_path / "nothing.here")


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_is_refused(name, tmp_path):
    for action in FORMATS[name]:
        with pytest.raises(RuntimeError, match="file: expected a file, got the directory"):
            action(tmp_path)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("content", [b"", b"junk" * 100, b"\xff" * 64])
def test_bad_content_is_an_error(name, content, tmp_path):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(m.Error):
        FORMATS[name][1](tmp_path / "bad")
    with pytest.raises(m.Error):
        FORMATS[name][1](standard.BytesIO(content))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_short_is_an_error(name, tmp_path):
    save, load = FORMATS[name]
    file = standard.BytesIO()
    save(file)
    whole = file.getvalue()
    (tmp_path / "short").write_bytes(whole[: len(whole) - 16])
    with pytest.raises(m.Error):
        load(tmp_path / "short").tolist()


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_that_is_not_there_cannot_be_written_to(name, tmp_path):
    with pytest.raises(RuntimeError, match="nowhere"):
        FORMATS[name][0](tmp_path / "nowhere" / "a")


@pytest.mark.parametrize("name", FORMATS)
def test_a_path_with_a_nul_is_refused(name):
    with pytest.raises(ValueError, match="file: expected a string without NUL characters"):
        FORMATS[name][1]("a\0b")


@pytest.mark.parametrize("name", ["save_safetensors", "save_gguf"])
def test_what_is_no_dict_is_named(name, tmp_path):
    save = getattr(io, name)
    with pytest.raises(TypeError, match="arrays: expected a dict, got list"):
        save(tmp_path / "file", [m.Array(1)])
    with pytest.raises(TypeError, match="metadata: expected a dict, got str"):
        save(tmp_path / "file", {"a": m.Array(1)}, "text")
    assert not list(tmp_path.iterdir())
