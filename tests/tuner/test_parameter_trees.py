"""Parameter trees by path, and files that are whole or not there."""

import json
import os

import hypothesis.strategies as st
import pytest
from hypothesis import given

import mlxffi.core as mx
from mlxffi.tuner import files, trees

NAMES = st.text("abcxyz_", min_size=1, max_size=4)
TREES = st.recursive(
    st.integers(-5, 5).map(lambda value: ("leaf", value)),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(NAMES, inner, min_size=1, max_size=3),
    max_leaves=12,
)


def with_arrays(tree):
    if isinstance(tree, tuple):
        return mx.array(tree[1])
    if isinstance(tree, list):
        return [with_arrays(item) for item in tree]
    return {key: with_arrays(item) for key, item in tree.items()}


def numbers(tree):
    return {path: leaf.item() for path, leaf in trees.paths(tree)}


@given(st.dictionaries(NAMES, TREES, min_size=1, max_size=3))
def test_a_tree_comes_back_from_its_paths(plain):
    tree = with_arrays(plain)
    again = trees.unflatten(trees.flatten(tree))
    assert numbers(again) == numbers(tree)
    assert list(trees.flatten(again)) == list(trees.flatten(tree))


@given(st.dictionaries(NAMES, TREES, min_size=1, max_size=3), st.randoms())
def test_a_part_of_a_tree_goes_back_into_its_places(plain, random):
    tree = with_arrays(plain)
    wanted = {path for path in trees.flatten(tree) if random.random() < 0.5}
    # As a file has it: a list with gaps is a dict.
    part = trees.unflatten({path: leaf + 100 for path, leaf in trees.paths(tree) if path in wanted})
    expected = {path: value + 100 * (path in wanted) for path, value in numbers(tree).items()}
    assert numbers(trees.merged(tree, part)) == expected


def test_what_differs_is_listed():
    wanted = {"a": mx.zeros([2]), "b": mx.zeros([2]), "c": mx.zeros([2]), "d": mx.zeros([2])}
    found = {"b": mx.zeros([3]), "c": mx.zeros([2], mx.float16), "d": mx.zeros([2]), "e": mx.zeros([])}
    assert trees.differences(trees.kinds(found), trees.kinds(wanted)) == [
        "a: missing",
        "e: unknown",
        "b: expected float32 [2], got float32 [3]",
        "c: expected float32 [2], got float16 [2]",
    ]


def test_what_is_no_array_stays_where_it_is():
    tree = {"layers": [{"weight": mx.array(1), "bits": 4}, {"weight": mx.array(2), "bias": None}]}
    doubled = trees.tree_map(lambda leaf: leaf * 2, tree)
    assert numbers(doubled) == {"layers.0.weight": 2, "layers.1.weight": 4}
    assert doubled["layers"][0]["bits"] == 4
    assert doubled["layers"][1]["bias"] is None


def test_map_paths_goes_through_several_trees_at_once():
    tree, other = {"a": [mx.array(1), mx.array(2)]}, {"a": [None, mx.array(5)]}
    seen = trees.map_paths(lambda path, leaf, beside: (path, beside is None), tree, other)
    assert seen == {"a": [("a.0", True), ("a.1", False)]}


@pytest.mark.parametrize("names", [["a", "a.b"], ["a.b", "a"], ["x.0.w", "x.0"]])
def test_a_path_that_is_the_start_of_another(names):
    with pytest.raises(ValueError, match="stands for another value already"):
        trees.unflatten(dict.fromkeys(names, 1))


def test_a_file_is_replaced_only_when_all_of_it_was_written(tmp_path):
    path = tmp_path / "state.json"
    files.write_json(path, {"step": 1})

    def interrupted():
        with files.replaced(path) as beside:
            beside.write_text('{"step"')
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert json.loads(path.read_text()) == {"step": 1}
    assert os.listdir(tmp_path) == ["state.json"]


def test_arrays_are_written_with_their_texts(tmp_path):
    files.write_arrays(tmp_path / "made/later.safetensors", {"a": mx.array([1.0, 2.0])}, {"format": "mlx"})
    arrays, texts = mx.load(tmp_path / "made/later.safetensors", return_metadata=True)
    assert (arrays["a"].tolist(), texts["format"]) == ([1.0, 2.0], "mlx")


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000], ids=["cut", "bytes", "deep"])
def test_what_is_not_json_is_named(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json: expected JSON"):
        files.read_json(tmp_path / "config.json")
