"""Models and data by their names on the Hub: from the cache, or fetched from a server on this machine into it."""

import gzip
import importlib.util
import io
import json
import os
import sys
from pathlib import Path

import pytest
from end_to_end import command, options
from hub_server import COMMIT, serving
from tuner_helpers import ByteTokenizer, message_of

from mlxffi import Error
from mlxffi.tuner import hub
from mlxffi.tuner.cli.engine import load_base, located
from mlxffi.tuner.datasets import load_dataset
from mlxffi.tuner.datasets.sources import source_of_mlx_lm

BYTES = ByteTokenizer()
needs_library = pytest.mark.skipif(not importlib.util.find_spec("huggingface_hub"), reason="needs huggingface_hub")


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, from which nothing may be fetched."""
    for name in ("HF_HOME", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


def cached(cache, kind, name, files, revision="main"):
    """A repository in the cache, as huggingface_hub leaves it: links from a snapshot to blobs."""
    root = cache / f"{kind}s--{name.replace('/', '--')}"
    (root / "refs" / revision).parent.mkdir(parents=True, exist_ok=True)
    (root / "refs" / revision).write_text(COMMIT)
    (root / "blobs").mkdir(exist_ok=True)
    for number, (file, content) in enumerate(files.items()):
        (root / f"blobs/{number}").write_bytes(content)
        place = root / "snapshots" / COMMIT / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(root / f"blobs/{number}", place.parent))
    return root / "snapshots" / COMMIT


def lines(*words):
    return "".join(f"{json.dumps({'text': word})}\n" for word in words).encode()


# --- names and the cache ---


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a/b", ("a/b", "main")),
        ("a-b.c/D_e.1@v1", ("a-b.c/D_e.1", "v1")),
        ("a/b@refs/pr/3", ("a/b", "refs/pr/3")),
        *[
            (text, None)
            for text in ("a", "a/b/c", "/a/b", "a/../b", "../b", "a/b@", "a/b@../x", "a/b@x/../y", "a /b", "")
        ],
        *[(text, None) for text in ("a/b@-x", "é/b", "a--b/c", "a/b\n", "./b")],
    ],
)
def test_names(text, found):
    repo = hub.repo_of(text, "model")
    assert (repo and repo[1:]) == found


def test_where_the_cache_is(monkeypatch, tmp_path):
    names = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/h")
    assert hub.cache() == Path("/h/.cache/huggingface/hub")
    for name, below in zip(names[::-1], ("huggingface/hub", "hub", "", ""), strict=True):
        monkeypatch.setenv(name, f"/{name}")
        assert hub.cache() == Path(f"/{name}", below)


def test_a_model_in_the_cache_is_read_without_the_library(folder, cache, monkeypatch):
    place = cached(cache, "model", "org/name", files_in(folder / "model"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert located("org/name") == place
    assert located(f"org/name@{COMMIT}") == place
    assert load_base("org/name").vocabulary == load_base(str(folder / "model")).vocabulary


def test_a_folder_comes_before_a_name(folder, cache, monkeypatch):
    cached(cache, "model", "hub/model", files_in(folder / "model"))
    monkeypatch.chdir(folder.parent)
    assert located(f"{folder.name}/model") == Path(folder.name, "model")


def test_a_model_of_several_parts(folder, cache):
    files = files_in(folder / "model")
    weights = files.pop("model.safetensors")
    index = {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
    files |= {"model.safetensors.index.json": json.dumps(index).encode(), "model-1-of-2.safetensors": weights}
    place = cached(cache, "model", "org/parts", files)
    assert hub.missing_of_model(place) == ["model-2-of-2.safetensors"]
    message = message_of(lambda: located("org/parts"), FileNotFoundError)
    assert message == (
        f"org/parts: the cache of huggingface_hub in {cache} lacks model-2-of-2.safetensors, and HF_HUB_OFFLINE "
        "forbids fetching it"
    )


@pytest.mark.parametrize(("kind", "call"), [("model", located), ("data", lambda name: load_dataset(name, BYTES))])
def test_what_is_not_there_offline_is_one_sentence(cache, kind, call):
    message = message_of(lambda: call("org/name@v1"), FileNotFoundError)
    assert message == (
        f"org/name@v1: the cache of huggingface_hub in {cache} lacks all of it, and HF_HUB_OFFLINE forbids fetching it"
    )


def test_what_is_not_there_without_the_library_is_one_sentence(cache, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    message = message_of(lambda: located("org/name"), FileNotFoundError)
    assert message.endswith(
        "to fetch it, this needs huggingface_hub, which is not installed: pip install 'mlxffi[hub]'"
    )


def test_code_of_the_hub_is_never_run(folder, cache):
    cached(cache, "model", "org/name", files_in(folder / "model"))
    message = message_of(lambda: load_base("org/name", trust_remote_code=True))
    assert message == "trust_remote_code: code of the Hub is never run, got it for org/name"


def test_a_reference_that_leads_out_of_the_cache(folder, cache):
    place = cached(cache, "model", "org/name", files_in(folder / "model"))
    for text in ("../../outside", "/etc", ""):
        (place.parents[1] / "refs/main").write_text(text)
        assert hub.snapshot(hub.Repo("model", "org/name")) is None


# --- datasets ---


def split_counts(name, **about):
    found = load_dataset({"path": name, **about}, BYTES)
    return [split and len(split) for split in found]


def parquet_file(*words):
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    file = io.BytesIO()
    parquet.write_table(arrow.table({"text": list(words)}), file)
    return file.getvalue()


LAYOUTS = {
    "files": {"train.jsonl": lines("a", "b"), "test.jsonl.gz": gzip.compress(lines("c"))},
    "data": {"data/train.jsonl": lines("a", "b"), "data/test.csv": b"text\na\n", "other/notes.csv": b"x"},
    "folders": {"train/0.jsonl": lines("a"), "train/1.jsonl": lines("b"), "test/0.jsonl": lines("c")},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_datasets(cache, layout):
    cached(cache, "dataset", "org/data", {**LAYOUTS[layout], "README.md": b"# Words\n"})
    assert split_counts("org/data") == [2, None, 1]
    assert split_counts("hf:org/data") == [2, None, 1]


def test_parts_of_a_parquet_dataset(cache):
    part = "data/train-0000{}-of-00002.parquet"
    place = cached(cache, "dataset", "org/data", {part.format(i): parquet_file(str(i), "x") for i in range(2)})
    assert split_counts("org/data") == [4, None, None]
    (place / part.format(1)).unlink()
    assert f"lacks parts of {part.format(0)}, and" in message_of(lambda: split_counts("org/data"), FileNotFoundError)


README = b"""---
configs:
- config_name: small
  data_files:
  - split: train
    path: "s/a*"
  - split: validation
    path: ["s/b.jsonl"]
- config_name: large
  default: true
  data_files:
    train_sft: l/*.jsonl
- config_name: bare
  data_files: s/a.jsonl
---
# Words
"""


def test_a_readme_says_which_files_a_subset_has(cache):
    files = {"s/a.jsonl": lines("a"), "s/b.jsonl": lines("b", "c"), "l/1.jsonl": lines("d", "e", "f")}
    cached(cache, "dataset", "org/data", {**files, "README.md": README})
    assert split_counts("org/data", subset="small") == [1, 2, None]
    assert split_counts("org/data", subset="bare") == [1, None, None]
    assert split_counts("org/data", splits={"train": "train_sft[1:]"}) == [2, None, None]
    assert split_counts("org/data", subset="large", splits={"test": "train_sft"})[2] == 3


def test_several_subsets_of_which_none_is_named(cache):
    place = cached(cache, "dataset", "org/data", {"x/train.jsonl": lines("a"), "y/train.jsonl": lines("b", "c")})
    assert split_counts("org/data", subset="y") == [2, None, None]
    assert "lacks files of records" in message_of(lambda: split_counts("org/data"), FileNotFoundError)
    assert place.is_dir()


def test_hf_dataset_as_mlx_lm_has_it(cache):
    cached(cache, "dataset", "org/data", {"train.jsonl": lines(*"abcdefghij"), "test.jsonl": lines("k")})
    for about, counts in (
        ({}, [8, 1, 1]),
        ({"train_split": "train[:3]", "valid_split": "train[-2:]", "test_split": "train"}, [3, 2, 10]),
    ):
        found = load_dataset(source_of_mlx_lm({"path": "org/data", **about}), BYTES)
        assert [len(split) for split in found] == counts
    source = source_of_mlx_lm({"path": "org/data", "config": {"name": "en", "revision": "v1"}, "text_feature": "t"})
    assert (source.path, source.subset) == ("org/data@v1", "en")
    for about in ({"path": 1}, {"path": "a/b", "split": "c"}):
        assert message_of(lambda about=about: source_of_mlx_lm(about)).startswith("hf_dataset: expected chat_feature")
    assert "hf_dataset.config: expected name and revision" in message_of(
        lambda: source_of_mlx_lm({"path": "a/b", "config": {"streaming": True}})
    )


# --- fetching ---


@pytest.fixture
def server(folder, cache, monkeypatch):
    model = {**files_in(folder / "model"), "pytorch_model.bin": b"a pickle", "modeling.py": b"raise SystemExit"}
    model |= {"onnx/model.onnx": b"x", "original/model.safetensors": b"x", "README.md": b"# Model"}
    data = {
        "README.md": README,
        "s/a.jsonl": lines("a"),
        "s/b.jsonl": lines("b", "c"),
        "l/1.jsonl": lines("d"),
        "x.pkl": b"",
    }
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_TOKEN", "")
    with serving({"models/org/name": model, "models/org/empty": {"a.bin": b"x"}, "datasets/org/data": data}) as found:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{found.server_address[1]}")
        yield found


@needs_library
def test_only_what_is_needed_of_a_model_is_fetched(folder, cache, server, monkeypatch):
    place = located("org/name")
    assert place == cache / "models--org--name/snapshots" / COMMIT
    assert files_in(place) == files_in(folder / "model")
    assert (cache / "models--org--name/refs/main").read_text() == COMMIT
    asked = len(server.asked)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert located("org/name") == place
    assert len(server.asked) == asked


@needs_library
def test_what_is_missing_is_fetched(folder, cache, server):
    files = files_in(folder / "model")
    files.pop("tokenizer.json")
    place = cached(cache, "model", "org/name", files)
    assert located("org/name") == place
    assert (place / "tokenizer.json").is_file()


@needs_library
def test_only_the_splits_and_the_subset_that_are_needed_are_fetched(cache, server):
    place = cache / "datasets--org--data/snapshots" / COMMIT
    train = load_dataset({"path": "org/data@v1", "subset": "small"}, BYTES, splits=["train"]).train
    assert len(train) == 1
    assert sorted(path.relative_to(place).as_posix() for path in place.rglob("*.*")) == ["README.md", "s/a.jsonl"]
    assert (cache / "datasets--org--data/refs/v1").read_text() == COMMIT
    assert split_counts("org/data", subset="small") == [1, 2, None]


@needs_library
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("org/nothing", "org/nothing: cannot be fetched: "),
        ("org/name@v2", "org/name@v2: cannot be fetched: "),
        ("org/empty", "org/empty: this repository has no file that a model is read from"),
    ],
)
def test_what_the_server_does_not_have_is_one_sentence(server, name, reason):
    message = message_of(lambda: located(name), (Error, FileNotFoundError))
    assert message.startswith(reason)
    assert "\n" not in message


@needs_library
def test_a_server_that_is_not_there_is_one_sentence(cache, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert message_of(lambda: located("org/name"), (Error, OSError)).startswith("org/name: cannot be fetched: ")


@needs_library
def test_a_subset_that_is_not_there_is_named(server):
    message = message_of(lambda: split_counts("org/data", subset="huge"))
    assert message == "org/data: subset: expected one of bare, default, large, small, got 'huge'"


@needs_library
def test_the_command_line_takes_names(cache, server, tmp_path):
    _, err = command("data", "org/data", "--model", "org/name", status=2)
    assert err.endswith("mlxffi-lora data: org/data: expected one of test, train, valid, got train_sft\n")
    where = {"model": "org/name", "adapter_path": tmp_path / "adapters", "iters": 1, "batch_size": 1}
    (tmp_path / "c.yaml").write_text("data:\n  - {path: org/data, subset: small}\n")
    out, _ = command(*options(train=True, config=tmp_path / "c.yaml", **where))
    assert "s/a.jsonl: 1 record, texts" in out
    command("fuse", *options(model="org/name", adapter_path=tmp_path / "adapters", save_path=tmp_path / "fused"))
    command("generate", *options(model="org/name", prompt="a", max_tokens=1))
