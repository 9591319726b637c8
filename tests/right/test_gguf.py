"""GGUF files: the right arrays, or an error that names the tensor and its type; both layers, and files that lie."""

import struct
import sys

import gguf_files as files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlxffi.core as mx
from mlxffi import io

SHAPES = [(256,), (3, 512), (2, 2, 256), (0, 256)]
METADATA = {
    "u8": ("B", 200), "i8": ("b", -3), "u16": ("H", 65535), "i16": ("h", -7), "u32": ("I", 2**32 - 1), "i32": ("i", -9),
    "u64": ("Q", 2**64 - 1), "i64": ("q", -(2**63)), "f32": ("f", 0.5), "flag": ("?", True), "name": ("text", "é x"),
    "words": (["text"], ["a", "", "ü"]), "ints": (["i"], [1, -2]), "halves": (["f"], [0.5, 1.5]),
    "flags": (["?"], [True, False]), "nothing": (["i"], []), "no words": (["text"], []),
    "doubles": (["d"], [0.1, 1e300]), "f64": ("d", 0.1),
}  # fmt: skip


def write(folder, content):
    path = folder / "file.gguf"
    path.write_bytes(content)
    return str(path)


def numbers_of(arrays, name, kind):
    """The elements of a tensor as float64; those of packed types by their weights, scales and biases."""
    array = arrays[name]
    if kind in files.PACKED:
        scales, biases = (arrays[f"{name}.{part}"] for part in ("scales", "biases"))
        width = 8 if kind == "Q8_0" else 4
        words = np.array(array)[..., None] >> np.arange(0, 32, width, np.uint32) & np.uint32(2**width - 1)
        groups = words.reshape(*scales.shape, 32).astype(np.float64)
        found = groups * np.array(scales, np.float64)[..., None] + np.array(biases, np.float64)[..., None]
        return found.reshape(*array.shape[:-1], array.shape[-1] * 32 // width)
    return np.array(array.astype(mx.float32) if array.dtype == mx.bfloat16 else array).astype(np.float64)


DTYPES = {
    "F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16, "F64": mx.float64, "I8": mx.int8, "I16": mx.int16,
    "I32": mx.int32, "I64": mx.int64, "MXFP4": mx.bfloat16,
}  # fmt: skip
READ = sorted(set(files.TYPES) - {"IQ2_XS"})


def require_right(arrays, name, kind, shape, raw):
    wanted = files.decoded(kind, shape, raw)
    if kind in files.PACKED:
        assert arrays[name].dtype == mx.uint32
    else:
        assert arrays[name].dtype == DTYPES.get(kind, mx.float16)
        if arrays[name].dtype == mx.float16:
            wanted = wanted.astype(np.float16)
    np.testing.assert_array_equal(numbers_of(arrays, name, kind), wanted.astype(np.float64))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", READ)
def test_every_type_is_decoded(tmp_path, kind, shape):
    raw = files.random_tensor(kind, shape, 1)
    path = write(tmp_path, files.file_of({"a": (kind, shape, raw), "z": ("I8", (3,), b"\1\2\3")}))
    arrays = mx.load(path)
    require_right(arrays, "a", kind, shape, raw)
    assert arrays["z"].tolist() == [1, 2, 3]
    flat, _ = io.load_gguf(path)
    assert {name: (array.dtype.name, array.tolist()) for name, array in flat.items()} == {
        name: (array.dtype.name, array.tolist()) for name, array in arrays.items()
    }


def test_each_block_of_32_has_its_own_scale(tmp_path):
    """MLX reads every odd one of Q4_K with the scale of the one before."""
    scales = bytes(range(1, 5)) + bytes(4) + bytes([5, 6, 7, 8])
    raw = np.array([1, 0], "<f2").tobytes() + scales + b"\x11" * 128
    arrays = mx.load(write(tmp_path, files.file_of({"a": ("Q4_K", (256,), raw)})))
    assert arrays["a"].reshape(8, 32)[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_large_tensors_are_decoded_in_pieces(tmp_path):
    shape = (70, 256 * 1024)
    raw = files.random_tensor("Q4_K", shape, 2)
    found = np.array(mx.load(write(tmp_path, files.file_of({"a": ("Q4_K", shape, raw)})))["a"])
    for row in (0, 63, 64, 69):
        size = len(raw) // 70
        part = files.decoded("Q4_K", shape[1:], raw[row * size : (row + 1) * size])
        np.testing.assert_array_equal(found[row], part.astype(np.float16))


@pytest.mark.parametrize("kind", [kind for kind in READ if kind in files.HALVES])
def test_numbers_past_float16_make_a_tensor_float32(tmp_path, kind):
    raw = files.random_tensor(kind, (512,), 3, scale=15000)
    arrays = mx.load(write(tmp_path, files.file_of({"a": (kind, (512,), raw)})))
    assert arrays["a.scales" if kind in files.PACKED else "a"].dtype == (mx.float16 if kind == "Q4_1" else mx.float32)
    np.testing.assert_array_equal(numbers_of(arrays, "a", kind), files.decoded(kind, (512,), raw).astype(np.float64))


def test_bfloat16_keeps_its_range(tmp_path):
    raw = np.array([1e38, -1.0], np.float32).view(np.uint32) >> 16
    arrays = mx.load(write(tmp_path, files.file_of({"a": ("BF16", (2,), raw.astype(np.uint16).tobytes())})))
    assert arrays["a"].dtype == mx.bfloat16
    assert arrays["a"].tolist() == pytest.approx([1e38, -1.0], rel=0.01)


@pytest.mark.parametrize("name", ["blk.0.weight", "embedding", "a"])
def test_the_parts_of_packed_tensors_by_name(tmp_path, name):
    raw = files.random_tensor("Q4_0", (32,), 4)
    stem = name.removesuffix(".weight")
    arrays = mx.load(write(tmp_path, files.file_of({name: ("Q4_0", (32,), raw)})))
    assert sorted(arrays) == sorted([name, f"{stem}.scales", f"{stem}.biases"])


@pytest.mark.parametrize("kind", files.PACKED)
def test_packed_tensors_multiply(tmp_path, kind):
    raw = files.random_tensor(kind, (64, 128), 5)
    arrays = mx.load(write(tmp_path, files.file_of({"l.weight": (kind, (64, 128), raw)})))
    parts = [arrays[f"l.{part}"] for part in ("weight", "scales", "biases")]
    x = mx.random.normal((3, 128), key=mx.random.key(0))
    found = mx.quantized_matmul(x, *parts, group_size=32, bits=8 if kind == "Q8_0" else 4)
    np.testing.assert_allclose(np.array(found), np.array(x) @ files.decoded(kind, (64, 128), raw).T, atol=1e-3)


@pytest.mark.parametrize("kind", READ)
def test_the_gguf_package_reads_the_same(kind):
    gguf = pytest.importorskip("gguf")
    number = gguf.GGMLQuantizationType(files.TYPES[kind][0])
    assert number.name == kind
    assert gguf.GGML_QUANT_SIZES[number] == files.TYPES[kind][1:]
    if kind in files.DECODERS or kind == "BF16":
        raw = files.random_tensor(kind, (4, 256), 6)
        wanted = gguf.dequantize(np.frombuffer(raw, np.uint8).reshape(4, -1), number)
        np.testing.assert_array_equal(files.decoded(kind, (4, 256), raw), wanted)


# --- metadata ---


def test_metadata_of_every_type(tmp_path):
    content = files.file_of({"a": ("F32", (1,), bytes(4))}, METADATA, alignment=64)
    path = write(tmp_path, content)
    _, found = mx.load(path, return_metadata=True)
    assert found.pop("general.alignment").item() == 64
    assert found.keys() == METADATA.keys()
    kinds = {"B": "uint8", "b": "int8", "H": "uint16", "h": "int16", "I": "uint32", "i": "int32", "Q": "uint64"}
    kinds |= {"q": "int64", "f": "float32", "?": "bool", "d": "float64"}
    _, flat = io.load_gguf(path)
    for key, (kind, wanted) in METADATA.items():
        name = kind[0] if isinstance(kind, list) else kind
        if name == "text":
            assert found[key] == flat[key] == wanted
        else:
            assert found[key].dtype.name == flat[key].dtype.name == kinds[name]
            assert found[key].tolist() == flat[key].tolist() == wanted


def test_a_text_with_a_nul_is_refused_by_its_key(tmp_path):
    """C would end it there."""
    path = write(tmp_path, files.file_of({}, {"words": (["text"], ["a", "b\0c"])}))
    for load in (mx.load, io.load_gguf):
        with pytest.raises(RuntimeError, match=r"metadata `words`: .* without NUL characters, got `b\?c`"):
            load(path)


def test_metadata_that_nobody_asked_for_is_not_made(tmp_path, monkeypatch):
    from mlxffi.core import _io

    path = write(tmp_path, files.file_of({"a": ("F32", (1,), bytes(4))}, METADATA))
    monkeypatch.delattr(_io, "_metadata")
    assert list(mx.load(path)) == ["a"]


# --- files that are wrong ---

GOOD = ("F32", (2, 2), bytes(16))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "starts with GGUF"),
        (b"GGUF", "starts with GGUF"),
        (b"GGML" + bytes(20), "starts with GGUF"),
        (files.file_of({}, version=1), "version 2 or 3 of the format, got 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "a big-endian file"),
        (files.file_of({"a": ("IQ2_XS", (256,), bytes(74))}), "tensor `a`: .* got the type IQ2_XS"),
        (files.file_of({"a": (77, (256,), bytes(74))}), "tensor `a`: .* got the type number 77"),
        (files.file_of({"a": ("Q4_0", (33,), bytes(36))}), "tensor `a`: type Q4_0: .* multiple of 32, got 33"),
        (files.file_of({"a": ("Q6_K", (), bytes(210))}), "tensor `a`: type Q6_K: .* multiple of 256, got 1"),
        (files.file_of({"a": GOOD}, data=b""), "tensor `a` of type F32: expected 16 bytes"),
        (files.file_of({"a": GOOD, "b": GOOD}, data=bytes(40)), "tensor `b` of type F32: expected 16 bytes"),
        (files.file_of({"a": ("F32", (2**31,), b"")}), "tensor `a`: expected axes of at most 31 bits"),
        (files.file_of({"a": ("F32", (2**30,) * 8, b"")}), "tensor `a` of type F32: expected 18446744073709551615 "),
        (files.file_of({"a": ("F32", (1,) * 9, bytes(4))}), "tensor `a`: expected at most 8 axes, got 9"),
        (files.file_of({"a\0b": GOOD}), "a name of a tensor: .* without NUL characters, got `a\\?b`"),
        (files.file_of({b"\xff%n" + b"x" * 99: ("F32", (2**31,), b"")}), r"tensor `\?%nx{61}...`"),
        (files.file_of({}, {"k": ("I", 1)})[:-30], "metadata `k`|key of the metadata"),
        (files.file_of({}, {"general.alignment": ("I", 0)}), "general.alignment`: expected a power of two"),
        (files.file_of({}, {"general.alignment": ("text", "x")}), "general.alignment`: expected a power of two"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, words):
    path = write(tmp_path, content)
    for load in (mx.load, io.load_gguf):
        with pytest.raises(RuntimeError, match=words) as error:
            load(path)
        assert path in str(error.value)


def test_names_are_given_once(tmp_path):
    content = files.file_of({"a": GOOD, "b": GOOD})
    place = content.rindex(b"b" + struct.pack("<I", 2))
    with pytest.raises(RuntimeError, match="tensor `a`: expected one of that name, got two"):
        mx.load(write(tmp_path, content[:place] + b"a" + content[place + 1 :]))


def test_tensors_share_no_data(tmp_path):
    """A file of a kilobyte could take any amount of memory."""
    infos = b"".join(files.tensor_info(f"t{i}", "F32", (64,), 0) for i in range(2))
    header = b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + infos
    content = header + bytes(-len(header) % 32) + bytes(400)
    with pytest.raises(RuntimeError, match="tensor `t1` of type F32: expected 256 bytes of its own"):
        mx.load(write(tmp_path, content))


def sample():
    tensors = {}
    for index, kind in enumerate(("F32", "Q4_K", "Q4_0", "I8", "MXFP4")):
        shape = (2, 256)
        tensors[f"layer.{index}.weight"] = (kind, shape, files.random_tensor(kind, shape, index))
    return files.file_of(tensors, METADATA), tensors


WHOLE, TENSORS = sample()
HEADER = WHOLE.index(TENSORS["layer.0.weight"][2])
SIZES = [0, 1, 2, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**60, 2**63 - 1, 2**63, 2**64 - 1]


def outcome(path):
    """The arrays of a file, or the text of what is raised for it."""
    try:
        return mx.load(path, return_metadata=True)[0]
    except (RuntimeError, ValueError) as error:
        return str(error)


@settings(max_examples=150)
@given(place=st.integers(0, HEADER), patch=st.binary(min_size=1, max_size=8) | st.sampled_from(SIZES))
def test_mangled_headers(tmp_path_factory, place, patch):
    patch = patch if isinstance(patch, bytes) else struct.pack("<Q", patch)
    content = WHOLE[:place] + patch + WHOLE[place + len(patch) :]
    found = outcome(write(tmp_path_factory.mktemp("mangled"), content))
    if isinstance(found, str):
        assert found
    else:  # which takes no more memory than the file can account for
        assert sum(array.nbytes for array in found.values()) <= 8 * len(WHOLE)
        assert all(len(repr(array)) for array in found.values())


@settings(max_examples=60)
@given(end=st.integers(0, len(WHOLE) - 1))
def test_files_that_were_cut(tmp_path_factory, end):
    path = write(tmp_path_factory.mktemp("cut"), WHOLE[:end])
    found = outcome(path)
    if isinstance(found, str):
        assert path in found
        assert end < HEADER or "of type" in found
    else:  # what fills up the last tensor is not read
        assert len(WHOLE) - end < 32
        require_all(found)


def require_all(arrays):
    for name, (kind, shape, raw) in TENSORS.items():
        if kind in files.PACKED:
            arrays[name + ".scales"], arrays[name + ".biases"] = (
                arrays[f"{name.removesuffix('.weight')}.{part}"] for part in ("scales", "biases")
            )
        require_right(arrays, name, kind, shape, raw)


def test_the_sample_is_whole(tmp_path):
    require_all(mx.load(write(tmp_path, WHOLE)))


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=40)
@given(
    tensors=st.dictionaries(
        NAMES.filter(lambda name: not name.endswith((".scales", ".biases"))),
        st.tuples(st.sampled_from(sorted(set(READ) - set(files.PACKED))), st.integers(0, 3)),
        max_size=4,
    ),
    alignment=st.sampled_from([8, 32, 256]),
)
def test_any_whole_file(tmp_path_factory, tensors, alignment):
    made = {}
    for name, (kind, rows) in tensors.items():
        shape = (rows, 256)
        made[name] = (kind, shape, files.random_tensor(kind, shape, rows))
    path = write(tmp_path_factory.mktemp("whole"), files.file_of(made, alignment=alignment))
    arrays = mx.load(path)
    assert arrays.keys() == made.keys()
    for name, (kind, shape, raw) in made.items():
        require_right(arrays, name, kind, shape, raw)


# --- saving ---

SAVED = ["float32", "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64"]


def saved_arrays():
    arrays = {name: mx.arange(6).reshape(2, 3).astype(getattr(mx, name)) for name in SAVED}
    return arrays | {"number": mx.array(2.0), "empty": mx.zeros((0, 3)), "columns": mx.arange(6.0).reshape(2, 3).T}


def saved_metadata():
    metadata = {"text": "a", "texts": ["a", "bé"], "none": [], "steps": mx.arange(6)[::2], "empty": mx.zeros((0,))}
    for name in ("bool_", "uint8", "uint64", "float32", "float64", "int64"):
        metadata[name] = mx.array(1, dtype=getattr(mx, name))
        metadata[f"{name}s"] = mx.array([1, 0], dtype=getattr(mx, name))
    return metadata


def alike(found, wanted):
    if isinstance(wanted, mx.array):
        return (found.dtype, found.shape, found.tolist()) == (wanted.dtype, wanted.shape, wanted.tolist())
    return found == wanted


@pytest.mark.parametrize("alignment", [None, 64])
def test_what_is_saved_comes_back(tmp_path, alignment):
    arrays, metadata = saved_arrays(), saved_metadata()
    if alignment:
        metadata["general.alignment"] = mx.array(alignment, mx.uint32)
    mx.save_gguf(tmp_path / "a", arrays, metadata)
    found, values = mx.load(str(tmp_path / "a.gguf"), return_metadata=True)
    assert found.keys() == arrays.keys()
    assert values.keys() == metadata.keys()
    assert all(alike(found[name], arrays[name]) for name in arrays)
    assert all(alike(values[key], metadata[key]) for key in metadata)


@pytest.mark.parametrize("alignment", [None, 64])
def test_the_gguf_package_reads_what_is_saved(tmp_path, alignment):
    gguf = pytest.importorskip("gguf")
    arrays, metadata = saved_arrays(), saved_metadata()
    del metadata["none"]  # of which the package has no type to tell
    if alignment:
        metadata["general.alignment"] = mx.array(alignment, mx.uint32)
    mx.save_gguf(tmp_path / "a", arrays, metadata)
    reader = gguf.GGUFReader(tmp_path / "a.gguf")
    for tensor in reader.tensors:
        array = arrays.pop(tensor.name)
        kind = tensor.tensor_type.name
        assert tuple(reversed(tensor.shape.tolist())) == array.shape
        raw = bytes(memoryview(tensor.data).cast("B")) if tensor.data.size else b""
        np.testing.assert_array_equal(files.decoded(kind, array.shape, raw), np.array(array.astype(mx.float64)))
    assert not arrays
    for key, value in metadata.items():
        if isinstance(value, mx.array) and value.size:
            assert reader.fields[key].contents() == value.tolist()


@pytest.mark.parametrize("dtype", ["bool_", "uint8", "uint32", "complex64"])
def test_what_the_format_cannot_hold_is_named(tmp_path, dtype):
    with pytest.raises(RuntimeError, match=f"tensor `a`: dtype {dtype.rstrip('_')} is not supported"):
        mx.save_gguf(tmp_path / "a", {"a": mx.ones(2).astype(getattr(mx, dtype))})
    with pytest.raises(RuntimeError, match="tensor `a`: expected at most 8 axes, got 9"):
        mx.save_gguf(tmp_path / "a", {"a": mx.ones((1,) * 9)})
    with pytest.raises(ValueError, match="metadata `k`: dtype float16 is not supported"):
        mx.save_gguf(tmp_path / "a", {"a": mx.ones(2)}, {"k": mx.array(1.0, mx.float16)})
    with pytest.raises(RuntimeError, match="metadata `k`: expected at most 1 axes, got 2"):
        mx.save_gguf(tmp_path / "a", {"a": mx.ones(2)}, {"k": mx.ones((2, 2))})
    assert not list(tmp_path.iterdir())


def test_a_file_is_written_over_what_is_read_from_it(tmp_path):
    path = str(tmp_path / "a.gguf")
    mx.save_gguf(path, {"a": mx.arange(4.0)})
    mx.save_gguf(path, {name: array + 1 for name, array in mx.load(path).items()})
    assert mx.load(path)["a"].tolist() == [1, 2, 3, 4]


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_is_an_error(tmp_path):
    (tmp_path / "a.gguf").symlink_to("/dev/full")
    with pytest.raises(RuntimeError, match=r"Unable to write .*a\.gguf"):
        mx.save_gguf(tmp_path / "a.gguf", {"a": mx.ones(2)})
