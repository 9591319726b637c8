"""Files: written by one library and read by the other."""

import io
import pathlib
import zipfile

import mlx.core as theirs
import numpy as np
import pytest
from both import plain, same

import mlxffi.core as ours
from mlxffi.dtype import NAMES

DTYPES = [name for name in NAMES if name not in ("bool", "float64")]
PAIRS = [(ours, theirs), (theirs, ours), (ours, ours)]
IDS = ["ours-theirs", "theirs-ours", "ours-ours"]


def arrays(mx):
    return [mx.array([[1, 0, 3], [4, 5, 6]]).astype(getattr(mx, name)) for name in DTYPES] + [
        mx.array(2.0),
        mx.zeros((0, 3)),
    ]


def by_name(mx):
    return {f"layer.{index}.weight": array for index, array in enumerate(arrays(mx))}


@pytest.mark.parametrize(("writer", "reader"), PAIRS, ids=IDS)
def test_npy(writer, reader, tmp_path):
    for index, (array, wanted) in enumerate(zip(arrays(writer), arrays(reader), strict=True)):
        writer.save(str(tmp_path / f"{index}"), array)
        assert plain(reader.load(str(tmp_path / f"{index}.npy"))) == plain(wanted)
        assert plain(reader.load(tmp_path / f"{index}.npy", format="npy", stream=reader.cpu)) == plain(wanted)
        file = io.BytesIO()
        writer.save(file, array)
        file.seek(0)
        assert plain(reader.load(file, "npy")) == plain(wanted)


@pytest.mark.parametrize(("writer", "reader"), PAIRS, ids=IDS)
@pytest.mark.parametrize("name", ["savez", "savez_compressed"])
def test_npz(name, writer, reader, tmp_path):
    for target in (str(tmp_path / "a"), tmp_path / "b.npz"):
        getattr(writer, name)(target, *arrays(writer), key=writer.ones(3))
        found = reader.load(tmp_path / pathlib.Path(target).with_suffix(".npz").name)
        wanted = {f"arr_{index}": array for index, array in enumerate(arrays(reader))} | {"key": reader.ones(3)}
        assert plain(found) == plain(wanted)
    file = io.BytesIO()
    getattr(writer, name)(file, key=writer.ones(3))
    file.seek(0)
    assert plain(reader.load(file, format="npz")) == plain({"key": reader.ones(3)})


def test_npz_of_numpy(tmp_path):
    np.savez(tmp_path / "n.npz", a=np.arange(6.0).reshape(2, 3), b=np.asfortranarray(np.arange(6).reshape(2, 3)))
    same(lambda mx: mx.load(str(tmp_path / "n.npz")))
    ours.savez_compressed(tmp_path / "o.npz", a=ours.arange(6.0))
    assert np.load(tmp_path / "o.npz")["a"].tolist() == [0, 1, 2, 3, 4, 5]
    assert zipfile.ZipFile(tmp_path / "o.npz").infolist()[0].compress_type == zipfile.ZIP_DEFLATED


@pytest.mark.parametrize(("writer", "reader"), PAIRS, ids=IDS)
def test_safetensors(writer, reader, tmp_path):
    path = str(tmp_path / "m.safetensors")
    writer.save_safetensors(path, by_name(writer), {"format": "mlx"})
    assert plain(reader.load(path)) == plain(by_name(reader))
    assert reader.load(path, return_metadata=True)[1] == {"format": "mlx"}
    with open(tmp_path / "f.safetensors", "wb") as file:
        writer.save_safetensors(file, by_name(writer))
    with open(tmp_path / "f.safetensors", "rb") as file:
        assert plain(reader.load(file)) == plain(by_name(reader))


@pytest.mark.parametrize(("writer", "reader"), PAIRS, ids=IDS)
def test_gguf(writer, reader, tmp_path):
    def tensors(mx):
        return {"a": mx.array([[1.0, 2.0]]), "b": mx.array([1, 2], dtype=mx.int32)}

    def metadata(mx):
        return {"text": "a", "list": ["a", "b"], "number": mx.array(3), "vector": mx.array([1.0, 2.0])}

    writer.save_gguf(tmp_path / "g", tensors(writer), metadata(writer))
    assert plain(reader.load(tmp_path / "g.gguf")) == plain(tensors(reader))
    found = reader.load(str(tmp_path / "g.gguf"), return_metadata=True)
    assert plain(list(found)) == plain([tensors(reader), metadata(reader)])


def test_loading_is_lazy_and_outlives_the_file(tmp_path):
    ours.savez(tmp_path / "a.npz", a=ours.arange(10))
    found = ours.load(tmp_path / "a.npz")
    (tmp_path / "a.npz").unlink()
    assert found["a"].tolist() == list(range(10))


class Broken(io.BytesIO):
    def write(self, data):
        raise ZeroDivisionError("mine")

    def read(self, size=-1):
        raise ZeroDivisionError("mine")


def test_errors_of_file_objects():
    same(lambda mx: mx.save(Broken(), mx.ones(2)))
    with pytest.raises(ZeroDivisionError):
        ours.load(Broken(), format="npy")


BAD = [
    lambda mx: mx.save("l", [1, 2]),
    lambda mx: mx.save("l", np.ones(2)),
    lambda mx: mx.save(3, mx.ones(2)),
    lambda mx: mx.save("/nowhere/x", mx.ones(2)),
    lambda mx: mx.load("/nowhere/x.npy"),
    lambda mx: mx.load("/nowhere/x.npz"),
    lambda mx: mx.load("/nowhere/x.safetensors"),
    lambda mx: mx.load("/nowhere/x.gguf"),
    lambda mx: mx.load("noext"),
    lambda mx: mx.load("foo.txt"),
    lambda mx: mx.load("a.npy", format="zzz"),
    lambda mx: mx.load("a.npy", return_metadata=True),
    lambda mx: mx.load("a.npz", return_metadata=True),
    lambda mx: mx.load(3),
    lambda mx: mx.load(None),
    lambda mx: mx.load(io.StringIO("text")),
    lambda mx: mx.load(io.BytesIO(b"text")),
    lambda mx: mx.load(io.BytesIO(b"text"), format="npy"),
    lambda mx: mx.load(io.BytesIO(b"text"), format="npz"),
    lambda mx: mx.load(io.BytesIO(b"text"), format="safetensors"),
    lambda mx: mx.load(io.BytesIO(b"text"), format="gguf"),
    lambda mx: mx.savez("z.npz", mx.ones(2), arr_0=mx.ones(2)),
    lambda mx: mx.savez("z.npz", [mx.ones(2)]),
    lambda mx: mx.savez("z.npz", a=3),
    lambda mx: mx.save_safetensors("s", {"a": mx.ones(2)}, {"a": 1}),
    lambda mx: mx.save_safetensors("s", {"a": 3}),
    lambda mx: mx.save_safetensors("s", {3: mx.ones(2)}),
    lambda mx: mx.save_safetensors("s", [mx.ones(2)]),
    lambda mx: mx.save_safetensors(3, {"a": mx.ones(2)}),
    lambda mx: mx.save_gguf("g", {"a": mx.ones(2)}, {"a": 3}),
    lambda mx: mx.save_gguf("g", {"a": mx.ones(2)}, {"a": [3]}),
    lambda mx: mx.save_gguf(io.BytesIO(), {"a": mx.ones(2)}, {}),
    lambda mx: mx.save_gguf("g", {"a": 3}, {}),
]


@pytest.mark.parametrize("work", BAD)
def test_bad_arguments(work, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    same(work)


# --- traced functions and graphs in files ---


def test_exported_functions(tmp_path):
    path = str(tmp_path / "f.mlxfn")
    for writer, reader in PAIRS:
        a, b = writer.array([1.0, 2.0]), writer.array([3.0, 4.0])
        writer.export_function(path, lambda a, b: (a * b, a + b), a, b=b, metadata="note")
        function, note = reader.import_function(path, return_metadata=True)
        c, d = reader.array([1.0, 2.0]), reader.array([3.0, 4.0])
        wanted = plain((reader.array([3.0, 8.0]), reader.array([4.0, 6.0])))
        assert note == "note"
        for found in (function(c, b=d), function((c,), {"b": d}), function([c], {"b": d})):
            assert plain(found) == wanted
        with pytest.raises(ValueError, match="import_function::call"):
            function(c, d, d)


EXPORTS = [
    lambda mx, a, path: mx.export_function(path, lambda x, y: x * y, (a, a)),
    lambda mx, a, path: mx.export_function(path, lambda x, y: x * y, (a,), {"y": a}),
    lambda mx, a, path: mx.export_function(path, lambda x, y: x * y, [a, a]),
    lambda mx, a, path: mx.export_function(path, lambda x, y: x * y, {"x": a, "y": a}),
    lambda mx, a, path: mx.export_function(path, lambda x, y: x * y, a, {"y": a}),
    lambda mx, a, path: mx.export_function(path, lambda x, y: x * y, a, 2.0),
    lambda mx, a, path: mx.export_function(path, lambda x: [x, x], a),
    lambda mx, a, path: mx.export_function(path, lambda x: {"a": x}, a),
    lambda mx, a, path: mx.export_function(path, lambda x: (x, [x]), a),
    lambda mx, a, path: mx.export_function(path, lambda x: 3.0, a),
    lambda mx, a, path: mx.export_function(path, lambda x: None, a),
    lambda mx, a, path: mx.export_function(path, lambda x: 1 / 0, a),
    lambda mx, a, path: mx.export_function(path, 3, a),
    lambda mx, a, path: mx.export_function("/nowhere/f", lambda x: x, a),
    lambda mx, a, path: mx.import_function("/nowhere/f"),
    lambda mx, a, path: mx.import_function(3),
    lambda mx, a, path: mx.exporter(path, 3),
]


@pytest.mark.parametrize("work", EXPORTS)
def test_exports(work, tmp_path):
    path = str(tmp_path / "f.mlxfn")
    same(lambda mx: work(mx, mx.array([1.0, 2.0]), path))


def test_exporter(tmp_path):
    path = str(tmp_path / "f.mlxfn")

    def written(mx):
        a = mx.array([1.0, 2.0])
        with mx.exporter(path, lambda *arrays: sum(arrays), metadata="note") as export:
            export(a)
            export((a, a))
        function, note = mx.import_function(path, True)
        return function(a), function(a, a), note

    same(written)
    with ours.exporter(path, lambda a: a) as export:
        export(ours.ones(2))
        with pytest.raises(RuntimeError, match="twice"):
            export(ours.ones(2))
    with pytest.raises(RuntimeError, match="closed"):
        export(ours.ones(3))


def test_shapeless_export(tmp_path):
    path = str(tmp_path / "f.mlxfn")
    ours.export_function(path, lambda a: a * 2, ours.ones(2), shapeless=True)
    same(lambda mx: mx.import_function(path)(mx.ones(5)))


def parts_of(mx, *args, **kwargs):
    """The parts of a trace, as `export_function` tells them."""
    told = []

    def known(value):
        if isinstance(value, mx.Dtype):
            return str(value).rpartition(".")[2]
        if isinstance(value, (list, tuple)):
            return (type(value).__name__, [known(item) for item in value])
        return plain(value)

    def callback(part):
        assert type(part) is dict
        told.append({key: known(value) for key, value in part.items()})

    mx.export_function(callback, *args, **kwargs)
    return told


def test_export_to_a_callback():
    def many(mx):
        def function(x, y):
            attended = mx.fast.scaled_dot_product_attention(x[None, None], x[None, None], x[None, None], scale=0.5)
            drawn = mx.random.normal((2,), key=mx.random.key(3))
            return (
                mx.pad(x, 1),
                mx.clip(x, 0.5, None),
                mx.where(y > 0, y, -float("inf")),
                x.astype(mx.int8),
                attended,
                drawn,
            )

        return parts_of(mx, function, mx.ones((2, 4)), y=mx.ones(3))

    assert len(same(many)[1]) > 20
    same(lambda mx: parts_of(mx, lambda x: x.reshape(-1, 1), mx.ones(2), shapeless=True))
    same(lambda mx: parts_of(mx, lambda x: 1 / 0, mx.ones(2)))
    same(lambda mx: mx.export_function(lambda part: 1 / 0, lambda x: x * 2, mx.ones(2)))
    same(lambda mx: mx.export_function(len, lambda x: x, mx.ones(2), metadata="a"))


def test_graphs(tmp_path):
    def drawn(mx):
        a, b = mx.array([1.0]), mx.array([2.0])
        file = io.StringIO()
        mx.export_to_dot(file, a + b, a=a)
        mx.export_to_dot(str(tmp_path / "d.dot"), [a + b])
        return [('"a"' in file.getvalue(), '"Add"' in (tmp_path / "d.dot").read_text())]

    same(drawn)
    for bad in (3, pathlib.Path("d.dot"), None):
        same(lambda mx, bad=bad: mx.export_to_dot(bad, mx.ones(2)))
    same(lambda mx: mx.export_to_dot(io.StringIO(), 3))
    same(lambda mx: mx.export_to_dot(io.StringIO(), mx.ones(2), x=3))


# --- memory, backends, processes ---


def test_memory():
    for name in ("get_active_memory", "get_peak_memory", "get_cache_memory"):
        assert getattr(ours, name)() >= 0
    for name in ("set_memory_limit", "set_cache_limit", "set_wired_limit"):
        before = getattr(ours, name)(10**9)
        getattr(ours, name)(before)
        for bad in (-1, 1.5, "a", None):
            same(lambda mx, name=name, bad=bad: getattr(mx, name)(bad))
    ours.reset_peak_memory()
    ours.clear_cache()
    assert ours.get_cache_memory() == 0


def test_backends(capfd):
    for name in ("metal", "cuda"):
        same(lambda mx, name=name: getattr(mx, name).is_available())
    same(lambda mx: mx.metal.device_info())
    same(lambda mx: (mx.metal.start_capture("a.gputrace"), mx.metal.stop_capture()))
    ours.metal.get_active_memory()
    assert "deprecated" in capfd.readouterr().err


def test_processes():
    for backend in ("any", "mpi", "ring", "nccl", "jaccl", "zzz"):
        same(lambda mx, backend=backend: mx.distributed.is_available(backend))
        same(lambda mx, backend=backend: mx.distributed.init(backend=backend).size())
    same(lambda mx: mx.distributed.init(strict=True, backend="ring"))
    same(lambda mx: mx.distributed.init(all_gather_factory=3))
    same(lambda mx: mx.distributed.init(all_gather_factory=len))
    same(lambda mx: (mx.distributed.init().rank(), mx.distributed.init().size()))
    same(lambda mx: mx.distributed.init().split(0))
    same(lambda mx: mx.distributed.Group())
    for name in ("all_sum", "all_max", "all_min", "all_gather", "sum_scatter"):
        same(lambda mx, name=name: getattr(mx.distributed, name)(mx.array([1.0, 2.0])))
        same(lambda mx, name=name: getattr(mx.distributed, name)(3.0))
        same(lambda mx, name=name: getattr(mx.distributed, name)(mx.ones(2), group=mx.distributed.init()))
        same(lambda mx, name=name: getattr(mx.distributed, name)(mx.ones(2), mx.distributed.init()))
    same(lambda mx: mx.distributed.send(mx.ones(2), 0))
    same(lambda mx: mx.distributed.recv((2,), mx.float32, 0))
    same(lambda mx: mx.distributed.recv_like(mx.ones(2), 0))


def test_a_group_may_be_given():
    for name in ("all_sum", "all_max", "all_gather"):
        for mx in (ours, theirs):
            call, group = getattr(mx.distributed, name), mx.distributed.init()
            assert call(mx.array([1.0, 2.0]), group=group).tolist() == [1, 2]
            with pytest.raises(TypeError):
                call(mx.array([1.0]), group=3)
