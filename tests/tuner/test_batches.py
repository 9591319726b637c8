"""Batches: each record once an epoch, targets where they belong, in an order that can be taken up anywhere."""

import itertools
import json
import random
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuner_helpers import ByteTokenizer, Counting, message_of

import mlxffi.core as mx
from mlxffi.tuner.datasets import CacheDataset, Example, TextDataset, iterate_batches
from mlxffi.tuner.datasets.plans import first_fit


def numbered(lengths, offset=0):
    """Examples of which each has its own number for all its tokens, from 1 on."""
    return [Example([number] * length, offset) for number, length in enumerate(lengths, 1)]


def rows(batch):
    """The rows of a batch without their padding."""
    return [[token for token in row if token] for row in batch.tokens.tolist()]


def contents(batches):
    return [
        (batch.tokens.tolist(), batch.weights.tolist(), None if batch.segments is None else batch.segments.tolist())
        for batch in batches
    ]


def records_of(batches):
    """The numbers of the Examples in batches, in their order."""
    return [number for batch in batches for row in rows(batch) for number, _ in itertools.groupby(row)]


FIRST_OF_SEED_3 = [14, 19, 33, 42, 92, 89, 86, 51]


LENGTHS = random.Random(5).choices(range(2, 90), k=103)


# --- arrays ---


@pytest.mark.parametrize(("offset", "length", "targets"), [(0, 2, 1), (0, 4, 3), (1, 3, 2)])
def test_targets_are_those_of_mlxrs(offset, length, targets):
    (batch,) = iterate_batches([([1, 2, 3, 9][:length], offset)], 1, 4)
    assert batch.weights.tolist() == [[1.0] * targets + [0.0] * (3 - targets)]


@pytest.mark.parametrize(("longest", "width"), [(1, 33), (31, 33), (32, 33), (33, 65), (64, 65), (99, 100), (150, 100)])
@pytest.mark.filterwarnings("ignore:.*cut off")
def test_widths(longest, width):
    (batch,) = iterate_batches(numbered([1, longest]), 2, 100)
    assert batch.tokens.shape == (2, width)
    assert batch.weights.shape == (2, width - 1)
    assert (batch.tokens.dtype, batch.weights.dtype, batch.segments) == (mx.int32, mx.float32, None)


@pytest.mark.filterwarnings("ignore:.*cut off")
@pytest.mark.parametrize("lengths", [[3, 9, 40, 41], [1, 1, 1, 2], [64, 64, 65, 66], [90, 100, 101, 300]])
def test_tokens_are_those_of_mlx_lm(lengths):
    from mlx_lm.tuner import trainer as theirs

    examples = [(list(range(1, length + 1)), length // 2) for length in lengths]
    ((tokens, bounds),) = theirs.iterate_batches(examples, 4, 100)
    (batch,) = iterate_batches(examples, 4, 100, seed=None)
    assert batch.tokens.tolist() == tokens.tolist()
    steps, bounds = np.arange(1, tokens.shape[1]), np.array(bounds)
    assert batch.weights.tolist() == ((steps >= bounds[:, :1]) & (steps < bounds[:, 1:])).astype(float).tolist()


examples = (st.integers(1, 9) | st.integers(1, 70)).flatmap(
    lambda length: st.builds(
        Example,
        st.lists(st.integers(1, 2**31 - 1), min_size=length, max_size=length),
        st.just(0) | st.integers(0, 80),
        st.none() | st.lists(st.booleans(), min_size=length, max_size=length),
    )
)


def is_target(example, place):
    return place >= max(example.offset, 1) and (example.mask is None or example.mask[place])


@pytest.mark.filterwarnings("ignore:.*cut off")
@settings(max_examples=100, deadline=None)
@given(data=st.lists(examples, min_size=1, max_size=6), most=st.integers(2, 80))
def test_weights_are_1_for_targets_alone(data, most):
    (batch,) = iterate_batches(data, len(data), most, seed=None)
    tokens, weights = batch.tokens.tolist(), batch.weights.tolist()
    for example, row, row_weights in zip(data, tokens, weights, strict=True):
        length = min(len(example.tokens), most)
        assert row == [*example.tokens[:length], *[0] * (len(row) - length)]
        wanted = [float(place < length and is_target(example, place)) for place in range(1, len(row))]
        assert row_weights == wanted


def test_cut_off_examples_are_warned_of_once_and_counted():
    batches = iterate_batches([([1] * 30, 25), ([2] * 30, 5), ([3] * 20, 0)], 1, 20, seed=None)
    with pytest.warns(UserWarning, match="record 0: 30 tokens are cut off at max_seq_length=20") as caught:
        found = list(batches)
    assert [str(item.message) for item in caught] == [
        "record 0: no target is left of what max_seq_length=20 cuts off",
        "record 0: 30 tokens are cut off at max_seq_length=20, as are all longer records",
    ]
    assert {item.filename for item in caught} == {__file__}
    assert batches.without_targets == 1
    assert batches.truncated == 2
    # The prompt of the first alone is longer: it has no targets left.
    assert [batch.weights.sum().item() for batch in found] == [0, 15, 19]


def test_what_can_stand_for_an_example():
    data = [[1, 2], (1, 2), ([1, 2], 1), Example([1, 2]), np.array([1, 2], np.int32), (np.array([1, 2]), 1)]
    for batch in iterate_batches(data, 1, 8, seed=None):
        assert rows(batch) == [[1, 2]]
    assert message_of(lambda: next(iterate_batches([[]], 1, 8))) == "record 0: tokens: expected at least one, got none"


# --- order ---


@pytest.mark.parametrize("seed", [None, 0, 7])
@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("window", [1, 3, 64])
def test_every_record_is_in_one_batch(seed, pack, window):
    found = records_of(iterate_batches(numbered(LENGTHS), 4, 100, seed=seed, pack=pack, window=window))
    assert sorted(found) == list(range(1, 104))
    if seed is None and not pack:
        assert found == sorted(found)


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("window", [1, 3, 64])
def test_batches_that_loop_are_full_and_leave_nothing_out(pack, window):
    batches = iterate_batches(numbered(LENGTHS), 4, 100, loop=True, pack=pack, window=window)
    found = []
    while batches.epoch < 12:
        batch = next(batches)
        assert len(rows(batch)) == 4
        found.append(batch)
    counts = np.bincount(records_of(found), minlength=104)[1:]
    assert counts.sum() == pytest.approx(12 * 103, abs=103)
    # What is left over is in the next window, so that no record falls behind for long.
    assert counts.max() - counts.min() <= 2


def test_epochs_that_divide_are_told_apart():
    batches = iterate_batches(numbered(LENGTHS[:100]), 4, 100, loop=True)
    for epoch in range(3):
        found = list(itertools.islice(batches, 25))
        assert batches.epoch == epoch
        assert sorted(records_of(found)) == list(range(1, 101))


def test_the_last_batch_may_be_dropped():
    found = list(iterate_batches(numbered(LENGTHS), 4, 100, drop_last=True))
    assert [batch.tokens.shape[0] for batch in found] == [4] * 25
    kept = list(iterate_batches(numbered(LENGTHS), 4, 100))
    assert [batch.tokens.shape[0] for batch in kept] == [4] * 25 + [3]


def test_what_is_dropped_depends_on_the_seed_not_on_the_length():
    dropped = set()
    for seed in range(20):
        found = records_of(iterate_batches(numbered(LENGTHS), 4, 100, seed=seed, drop_last=True))
        dropped |= set(range(1, 104)) - set(found)
    assert len(dropped) > 20


def test_fewer_records_than_a_batch_has():
    assert [rows(batch) for batch in iterate_batches(numbered([2, 2]), 4, 8, seed=None)] == [[[1, 1], [2, 2]]]
    for options in ({"loop": True}, {"drop_last": True}):
        message = message_of(lambda options=options: iterate_batches(numbered([2, 2]), 4, 8, **options))
        assert message == "[iterate_batches] dataset: expected 4 or more records for batch_size=4, got 2"
    assert "expected 1 or more records for batch_size=4, got 0" in message_of(lambda: iterate_batches([], 4, 8))


def test_records_of_one_length_share_a_batch():
    def padding(seed):
        found = list(iterate_batches(numbered(LENGTHS), 4, 100, seed=seed))
        return sum(batch.tokens.size for batch in found) - sum(LENGTHS)

    assert padding(0) < 0.5 * padding(None)
    widths = [batch.tokens.shape[1] for batch in iterate_batches(numbered(LENGTHS), 4, 100)]
    assert widths != sorted(widths)


def test_lengths_are_those_of_tokens_also_through_a_cache():
    texts = [{"text": "a" * length} for length in (40, 1, 41, 2)]
    found = iterate_batches(CacheDataset(TextDataset(texts, ByteTokenizer())), 2, 100)
    assert sorted(batch.tokens.shape[1] for batch in found) == [33, 65]
    assert contents(iterate_batches(TextDataset(texts, ByteTokenizer()), 2, 100)) == contents(
        iterate_batches(CacheDataset(TextDataset(texts, ByteTokenizer())), 2, 100)
    )


def test_the_order_depends_on_the_seed_and_nothing_else():
    def order(seed):
        return records_of(iterate_batches(numbered(LENGTHS), 4, 100, seed=seed))

    random.seed(1)
    np.random.seed(1)
    before = random.getstate()
    first = order(3)
    assert random.getstate() == before
    assert np.random.random() == np.random.RandomState(1).random()
    random.seed(2)
    assert order(3) == first
    assert order(4) != first
    # What 3 gave when this was written: a run resumed by a later version goes on as it began.
    assert first[:8] == FIRST_OF_SEED_3


def test_epochs_have_their_own_orders():
    batches = iterate_batches(numbered(LENGTHS[:100]), 4, 100, loop=True)
    first, second = ([records_of([batch]) for batch in itertools.islice(batches, 25)] for _ in range(2))
    assert first != second
    assert sorted(map(sorted, first)) != sorted(map(sorted, second))


def test_no_more_is_tokenized_than_a_window():
    dataset = Counting([{"text": "a"}] * 1000, ByteTokenizer())
    batches = iterate_batches(dataset, 4, 32, window=8)
    assert dataset.processed == 0
    for _ in range(8):
        next(batches)
    assert dataset.processed == 32
    next(batches)
    assert dataset.processed == 64


# --- processes ---


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_each_batch(pack, world):
    options = {"pack": pack, "window": 3}
    whole = list(iterate_batches(numbered(LENGTHS), 4, 100, **options))
    shares = [list(iterate_batches(numbered(LENGTHS), 4, 100, rank=r, world=world, **options)) for r in range(world)]
    assert {len(share) for share in shares} == {len(whole)}
    for batch, *parts in zip(whole, *shares, strict=True):
        assert len({part.tokens.shape[0] for part in parts}) == 1
        wanted = rows(batch)
        taken = [rows(part) for part in parts]
        assert [row for turn in zip(*taken, strict=True) for row in turn if row] == wanted
        assert sum(part.weights.sum().item() for part in parts) == batch.weights.sum().item()


def test_a_process_without_a_record_has_a_row_without_targets():
    (batch,) = iterate_batches(numbered([5]), 2, 8, rank=1, world=2)
    assert batch.tokens.tolist() == [[0] * 8]
    assert batch.weights.tolist() == [[0.0] * 7]


# --- packing ---


@settings(max_examples=200, deadline=None)
@given(data=st.data(), capacity=st.integers(1, 60))
def test_first_fit_puts_every_item_in_one_row(data, capacity):
    lengths = data.draw(st.lists(st.integers(1, capacity), max_size=40))
    found = first_fit(lengths, capacity)
    assert sorted(itertools.chain(*found)) == list(range(len(lengths)))
    filled = [sum(lengths[item] for item in row) for row in found]
    assert all(0 < row <= capacity for row in filled)
    # No two rows would fit into one, so that all but one are more than half full.
    assert sum(2 * row <= capacity for row in filled) <= 1


@pytest.mark.filterwarnings("ignore:.*cut off")
@settings(max_examples=100, deadline=None)
@given(
    data=st.lists(examples, min_size=1, max_size=12),
    most=st.integers(2, 80),
    size=st.integers(1, 3),
    seed=st.none() | st.integers(0, 9),
    window=st.integers(1, 4),
)
def test_packing_loses_no_token_and_keeps_documents_apart(data, most, size, seed, window):
    wanted = [
        (list(e.tokens[:most]), [float(is_target(e, place)) for place in range(len(e.tokens[:most]))]) for e in data
    ]
    found = []
    for batch in iterate_batches(data, size, most, pack=True, seed=seed, window=window):
        arrays = (batch.tokens.tolist(), batch.segments.tolist(), batch.weights.tolist())
        for tokens, segments, weights in zip(*arrays, strict=True):
            assert len(tokens) <= most
            entries = zip(segments, tokens, [0.0, *weights], strict=True)
            documents = [(number, list(group)) for number, group in itertools.groupby(entries, lambda entry: entry[0])]
            padding = documents.pop()[1] if documents[-1][0] == 0 else []
            assert not any(token or weight for _, token, weight in padding)
            assert [number for number, _ in documents] == list(range(1, len(documents) + 1))
            found += [([e[1] for e in group], [e[2] for e in group]) for _, group in documents]
    assert sorted(found) == sorted(wanted)


def test_a_packed_row():
    data = [([1, 2, 3], 2), [4, 5], Example([6, 7, 8], mask=[1, 0, 1])]
    (batch,) = iterate_batches(data, 1, 10, pack=True, seed=None)
    assert batch.tokens.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 0, 0]]
    assert batch.segments.tolist() == [[1, 1, 1, 2, 2, 3, 3, 3, 0, 0]]
    assert batch.weights.tolist() == [[0, 1, 0, 1, 0, 0, 1, 0, 0]]


def test_packed_rows_are_nearly_full():
    lengths = random.Random(2).choices(range(5, 60), k=400)
    found = list(iterate_batches(numbered(lengths), 4, 65, pack=True))
    assert sum(lengths) > 0.95 * sum(batch.tokens.size for batch in found)


# --- states ---


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(4, 40),
    options=st.fixed_dictionaries(
        {
            "loop": st.booleans(),
            "seed": st.none() | st.integers(0, 3),
            "pack": st.booleans(),
            "drop_last": st.booleans(),
            "window": st.integers(1, 5),
        }
    ),
    stop=st.integers(0, 40),
)
def test_a_restored_state_goes_on_with_the_same_batches(count, options, stop):
    def fresh():
        return iterate_batches(numbered(LENGTHS[:count]), 4, 100, **options)

    batches = fresh()
    for _ in itertools.islice(batches, stop):
        pass
    state = json.loads(json.dumps(batches.state()))
    rest = contents(itertools.islice(batches, 30))
    resumed = fresh()
    next(resumed, None)
    resumed.restore(state)
    assert resumed.state() == state
    assert contents(itertools.islice(resumed, 30)) == rest


def test_a_state_holds_for_any_number_of_processes():
    batches = iterate_batches(numbered(LENGTHS), 4, 100, loop=True, rank=1, world=2)
    for _ in range(30):
        next(batches)
    alone = iterate_batches(numbered(LENGTHS), 4, 100, loop=True)
    alone.restore(batches.state())
    assert rows(next(alone))[1::2] == rows(next(batches))


def test_only_one_window_is_tokenized_to_go_on():
    records = [{"text": str(count)} for count in range(1000)]
    batches = iterate_batches(TextDataset(records, ByteTokenizer()), 4, 32, window=2, loop=True)
    for _ in range(701):
        next(batches)
    dataset = Counting(records, ByteTokenizer())
    resumed = iterate_batches(dataset, 4, 32, window=2, loop=True)
    resumed.restore(batches.state())
    assert contents([next(resumed)]) == contents([next(batches)])
    assert dataset.processed == 8


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"settings": None}, "settings: expected those of the batches, got None"),
        ({"epoch": -1}, "epoch: expected a number from 0 on, got -1"),
        ({"window": "1"}, "window: expected a number from 0 on, got '1'"),
        ({"given": None}, "given: expected a number from 0 on, got None"),
        ({"given": 65}, "given: expected at most"),
        ({"carried": [103]}, "carried: expected a list of numbers in 0..102, got [103]"),
        ({"carried": 3}, "carried: expected a list of numbers in 0..102, got 3"),
    ],
)
def test_a_state_that_is_none_changes_nothing(change, reason):
    batches = iterate_batches(numbered(LENGTHS), 4, 100)
    next(batches)
    before = batches.state()
    message = message_of(lambda: batches.restore({**before, **change}))
    assert message.startswith(f"[restore] state: {reason}")
    assert "settings: expected" in message_of(lambda: batches.restore([before]))
    assert batches.state() == before


@pytest.mark.parametrize(
    ("count", "options", "key"),
    [
        (102, {}, "records"),
        (103, {"seed": 1}, "seed"),
        (103, {"pack": True}, "pack"),
        (103, {"loop": True}, "loop"),
        (103, {"window": 3}, "window"),
        (103, {"drop_last": True}, "drop_last"),
    ],
)
def test_a_state_of_other_batches_is_refused(count, options, key):
    state = iterate_batches(numbered(LENGTHS), 4, 100).state()
    other = iterate_batches(numbered(LENGTHS[:count]), 4, 100, **options)
    assert message_of(lambda: other.restore(state)).startswith(f"[restore] state: {key}: expected ")


# --- arguments, speed ---


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"batch_size": 0}, "batch_size: expected an int of at least 1, got 0"),
        ({"batch_size": 3, "world": 2}, "batch_size: expected a multiple of the number of processes, 2, got 3"),
        ({"max_seq_length": 1}, "max_seq_length: expected an int of at least 2, got 1"),
        ({"world": 0}, "world: expected an int of at least 1, got 0"),
        ({"rank": 2, "world": 2}, "rank: expected 0..1, got 2"),
        ({"rank": -1}, "rank: expected an int of at least 0, got -1"),
        ({"window": 0}, "window: expected an int of at least 1, got 0"),
        ({"seed": 1.5}, "seed: expected an int of at least 0, got 1.5"),
    ],
)
def test_bad_arguments_are_named(options, reason):
    arguments = {"batch_size": 4, "max_seq_length": 8, **options}
    assert message_of(lambda: iterate_batches(numbered(LENGTHS), **arguments)) == f"[iterate_batches] {reason}"


def test_an_exhausted_iterator_stays_so():
    batches = iterate_batches(numbered([2, 2]), 1, 8)
    assert len(list(batches)) == 2
    assert list(batches) == []
    assert batches.epoch == 0


@pytest.mark.parametrize("pack", [False, True])
def test_a_batch_takes_well_under_a_millisecond(pack):
    texts = [{"text": "a" * 2047}] * 64
    batches = iterate_batches(TextDataset(texts, ByteTokenizer()), 4, 2048, loop=True, pack=pack)
    seconds = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(100):
            start = time.perf_counter()
            next(batches)
            seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.0005
