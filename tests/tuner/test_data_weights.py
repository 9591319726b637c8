"""Several files: all records of each, or shares of them, drawn by the seed and taken up again to the bit."""

from collections import Counter

import pytest
from end_to_end import command, options, write_random_model
from hypothesis import given
from hypothesis import strategies as st
from tuner_helpers import ByteTokenizer, message_of, write_jsonl

import mlxffi.core as mx
from mlxffi.tuner.datasets import (
    CacheDataset,
    Source,
    TextDataset,
    WeightedDataset,
    iterate_batches,
    load_dataset,
    sources_of,
)
from mlxffi.tuner.trainer.metrics import read_metrics

BYTES = ByteTokenizer()


def texts(letter, count):
    return [{"text": f"{letter}{number}"} for number in range(count)]


def mixture(counts, weights):
    return WeightedDataset([TextDataset(texts("abc"[i], count), BYTES) for i, count in enumerate(counts)], weights)


# --- draws ---


@given(
    st.lists(st.tuples(st.integers(1, 20), st.floats(0.2, 5)), min_size=1, max_size=3),
    st.none() | st.integers(0, 9),
)
def test_shares_are_kept_and_no_record_comes_again_before_all_of_its_file(parts, seed):
    counts, weights = zip(*parts, strict=True)
    total = sum(counts)
    exact = [weight / sum(weights) * total for weight in weights]
    if min(exact) < 1:
        return
    data, ends = mixture(counts, weights), [sum(counts[: i + 1]) for i in range(len(counts))]
    drawn = [[] for _ in counts]
    for epoch in range(5):
        found = list(data.draws(seed, epoch))
        assert len(found) == total
        for part, wanted in enumerate(exact):
            own = [index for index in found if ends[part] - counts[part] <= index < ends[part]]
            assert abs(len(own) - wanted) < 1
            drawn[part] += own
    for part, own in enumerate(drawn):
        for start in range(0, len(own), counts[part]):
            taken = own[start : start + counts[part]]
            assert len(set(taken)) == len(taken)


def test_the_draw_is_one_of_the_seed_and_of_the_epoch():
    data = mixture([9, 9], [1, 2])
    assert data.draws(0, 0) == mixture([9, 9], [1, 2]).draws(0, 0)
    assert data.draws(0, 0) != data.draws(1, 0)
    assert sorted(data.draws(0, 0)) != sorted(data.draws(0, 1))
    assert data.shares == [6 / 18, 12 / 18]
    assert list(mixture([2, 2], [1, 3]).draws(None, 0)) == [0, 2, 3, 2]


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ([1], "weights: expected 2, one for each dataset, got [1]"),
        ([1, 0], "weights: expected a finite number above 0, got 0"),
        ([1, float("nan")], "weights: expected a finite number above 0, got nan"),
        ([1, 1e-6], "weights: expected such that each dataset has a record in 18, got 1e-06"),
    ],
)
def test_weights_that_are_none(weights, reason):
    assert message_of(lambda: mixture([9, 9], weights)) == f"[WeightedDataset] {reason}"


@pytest.mark.parametrize("pack", [False, True])
def test_batches_go_on_where_they_stopped_in_every_place(pack):
    def batches():
        return iterate_batches(
            CacheDataset(mixture([7, 3, 2], [1, 5, 2])), 2, 16, loop=True, seed=3, pack=pack, window=2
        )

    whole, taken = batches(), []
    for _ in range(20):
        taken.append((whole.state(), next(whole).tokens.tolist()))
    for state, tokens in taken:
        again = batches()
        again.restore(state)
        assert next(again).tokens.tolist() == tokens


def test_batches_hold_the_shares_also_on_several_processes():
    found = Counter()
    data = CacheDataset(mixture([8, 8], [3, 1]))
    both = [iterate_batches(data, 4, 16, loop=True, rank=rank, world=2) for rank in range(2)]
    for _ in range(8):
        for batches in both:
            found.update(chr(row[0]) for row in next(batches).tokens.tolist())
    assert found == {"a": 24, "b": 8}


def test_a_state_is_one_of_the_weights():
    state = iterate_batches(CacheDataset(mixture([4, 4], [1, 1])), 2, 16).state()
    iterate_batches(CacheDataset(mixture([4, 4], [2, 2])), 2, 16).restore(state)
    other = iterate_batches(CacheDataset(mixture([4, 4], [1, 3])), 2, 16)
    assert "[restore] state: data: expected" in message_of(lambda: other.restore(state))


# --- sources ---


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("a", [("a", None)]),
        ("a.jsonl:0.7", [("a.jsonl", 0.7)]),
        (["a:1", "b:2e-1"], [("a", 1), ("b", 0.2)]),
        (["C:x", "y"], [("C:x", None), ("y", None)]),
        ([{"path": "a", "weight": 2}, "b:1"], [("a", 2), ("b", 1)]),
        ({"path": "a:b"}, [("a:b", None)]),
        (Source("a", 3), [("a", 3)]),
    ],
)
def test_what_names_sources(data, found):
    assert [source[:2] for source in sources_of(data)] == found


def test_a_path_with_a_colon_that_is_there(tmp_path):
    path = write_jsonl(tmp_path / "a:1", texts("a", 2))
    assert sources_of(str(path)) == [Source(str(path))]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([], "data: expected at least one file or folder, got none"),
        (["a:1", "b"], "data: expected a weight for each of 2 or for none, got none for b"),
        ("a:-1", "[data] weight of a: expected a finite number above 0, got -1.0"),
        ([{"path": "a", "weight": "x"}], "[data] weight of a: expected a finite number above 0, got 'x'"),
        ([{"path": "a", "subset": 1}], "data: subset: expected a name, got 1"),
        ([{"path": "a", "splits": "b"}], "data: splits: expected some of train, valid, test by name, got 'b'"),
        (
            [{"path": "a", "splits": {"eval": "b"}}],
            "data: splits: expected some of train, valid, test by name, got {'e",
        ),
        ([{"file": "a"}], "data: expected path, weight, subset, splits, the path at least, got {'file': 'a'}"),
    ],
)
def test_sources_that_are_none(data, reason):
    assert message_of(lambda: sources_of(data)).startswith(reason)


def test_splits_of_several_sources(tmp_path):
    for letter, name in (("a", "one"), ("b", "two")):
        (tmp_path / name).mkdir()
        write_jsonl(tmp_path / name / "train.jsonl", texts(letter, 3))
        write_jsonl(tmp_path / name / "valid.jsonl", texts(letter, 1))
    write_jsonl(tmp_path / "more.jsonl", texts("c", 2))
    paths = [tmp_path / "one", tmp_path / "two", tmp_path / "more.jsonl"]
    train, valid, test = load_dataset(paths, BYTES)
    assert (len(train), len(valid), test) == (8, 2, None)
    assert train.draws is None
    assert train.where(7) == f"{paths[2]}:2"
    weighted = load_dataset([f"{path}:{weight}" for path, weight in zip(paths, (1, 1, 2), strict=True)], BYTES)
    assert weighted.valid.draws is None
    assert sorted(weighted.train.draws(0, 0))[-4:] == [6, 6, 7, 7]
    files = [tmp_path / "one/train.jsonl", tmp_path / "two/train.jsonl", paths[2]]
    assert train.about == [f"{path}: {count} records, texts" for path, count in zip(files, (3, 3, 2), strict=True)]
    shares = ("25%", "25%", "50%")
    assert weighted.train.about == [
        f"{line}; {share} of an epoch" for line, share in zip(train.about, shares, strict=True)
    ]


def test_slices_of_splits(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", texts("a", 10))

    def loaded(**splits):
        return load_dataset({"path": str(tmp_path), "splits": splits}, BYTES)

    found = loaded(train="train[:80%]", valid="train[-2:]", test="train[50%:-2]")
    assert [len(split) for split in found] == [8, 2, 3]
    assert [found.valid.where(index)[-2:] for index in range(2)] == [":9", "10"]
    assert found.test.about == [f"{tmp_path / 'train.jsonl'}: 10 records, texts; records 6 to 8"]
    assert len({split.fingerprint for split in found}) == 3
    assert "expected records in [20:] of 10, got none" in message_of(lambda: loaded(train="train[20:]"))
    assert "train: expected a split, perhaps with a slice as in train[:80%], got 'train[x]'" in message_of(
        lambda: loaded(train="train[x]")
    )


# --- the command line ---


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    # The state of random numbers, which is made when it is first used, is no leak of the test that does.
    mx.random.seed(0)
    folder = tmp_path_factory.mktemp("weights") / "model"
    write_random_model(folder)
    return folder


def test_a_run_of_two_files_goes_on_to_the_bit(tmp_path, model):
    for letter in "ab":
        write_jsonl(tmp_path / f"{letter}.jsonl", texts(letter, 6))
    (tmp_path / "c.yaml").write_text(
        f"data:\n  - path: {tmp_path / 'a.jsonl'}\n    weight: 0.7\n  - path: {tmp_path / 'b.jsonl'}\n    weight: 0.3\n"
    )
    same = {"model": model, "train": True, "batch_size": 2, "steps_per_report": 1, "learning_rate": 0.01}
    words = {"data": [f"{tmp_path / 'a.jsonl'}:0.7", f"{tmp_path / 'b.jsonl'}:0.3"]}
    out, _ = command(*options(**same, **words, iters=8, adapter_path=tmp_path / "one"))
    assert f"{tmp_path / 'a.jsonl'}: 6 records, texts; 67% of an epoch" in out
    for iters, more in ((3, {}), (8, {"resume": True})):
        command(*options(**same, **more, config=tmp_path / "c.yaml", iters=iters, adapter_path=tmp_path / "two"))
    losses = [
        [line["train_loss"] for line in read_metrics(tmp_path / name / "metrics.jsonl") if line["event"] == "train"]
        for name in ("one", "two")
    ]
    assert losses[0] == losses[1]
    words["data"][1] = words["data"][1].replace("0.3", "0.1")
    _, err = command(*options(**same, **words, iters=8, resume=True, adapter_path=tmp_path / "two"), status=2)
    assert "resume: [restore] state: data: expected" in err
