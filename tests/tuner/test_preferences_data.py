"""Records of preferences: their forms, where prompts end, and batches of them."""

import json

import numpy as np
import pytest
from helpers import error_of
from tuner_helpers import ByteTokenizer, targets, write_jsonl

from mlxffi.tuner.datasets import (
    CacheDataset,
    DatasetConfig,
    Example,
    ExampleGroup,
    LabelledDataset,
    PreferenceDataset,
    create_dataset,
    iterate_batches,
    load_dataset,
)
from mlxffi.tuner.datasets.preferences import common_text

PLAIN = type("Plain", (ByteTokenizer,), {"chat_template": None})()
CHAT = ByteTokenizer()
END = chr(256)


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def texts(group):
    """The prompt and the targets of each sequence."""
    return [("".join(map(chr, e.tokens[: e.offset])), targets(e)) for e in group.sequences]


def processed(record, tokenizer=PLAIN):
    return texts(PreferenceDataset([record], tokenizer).process(record))


# --- where a prompt ends ---


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        ("Human: hi\n\nAssistant: Yes", "Human: hi\n\nAssistant: No", "Human: hi\n\nAssistant:"),
        ("the cat sat", "the car sat", "the"),
        ("the cat", "the cats", "the"),
        ("say: don't", "say: done", "say:"),
        ("say: don't", "say: don", "say:"),
        ("pi is 3.14", "pi is 3.15", "pi is"),
        ("a well-known b", "a well-kept b", "a"),
        ("Q:yes", "Q:no", "Q:"),
        ("end. Next", "end, next", "end"),
        ("a  b", "a  c", "a"),
        ("\u0915\u093f x", "\u0915\u0940 x", ""),
        ("e\u0301 x", "e x", ""),
        ("ok \U0001f44d\U0001f3fd", "ok \U0001f44d", "ok"),
        ("same text", "same text", "same text"),
        ("", "x", ""),
    ],
)
def test_a_common_prompt_cuts_no_word(chosen, rejected, prompt):
    assert chosen[: common_text(chosen, rejected)] == prompt
    assert common_text(rejected, chosen) == len(prompt)


def test_texts_without_a_prompt():
    found = processed({"chosen": "Q: two? A: four", "rejected": "Q: two? A: five"})
    assert found == [("Q: two? A:", " four" + END), ("Q: two? A:", " five" + END)]


def test_texts_with_a_prompt_and_no_template():
    found = processed({"prompt": "two?", "chosen": " four", "rejected": " five"})
    assert found == [("two?", " four" + END), ("two?", " five" + END)]


def test_no_second_end():
    class Ending(ByteTokenizer):
        chat_template = None

        def encode(self, text, add_special_tokens=True):
            return [*super().encode(text), 256]

    found = processed({"prompt": "two?", "chosen": " four", "rejected": ""}, Ending())
    assert found == [("two?", " four" + END), ("two?", END)]


CHATS = {
    "texts": {"prompt": "two?", "chosen": "four", "rejected": "five"},
    "a prompt of messages and texts": {"prompt": [user("two?")], "chosen": "four", "rejected": "five"},
    "messages": {"prompt": [user("two?")], "chosen": [assistant("four")], "rejected": [assistant("five")]},
    "a text and messages": {"prompt": "two?", "chosen": [assistant("four")], "rejected": [assistant("five")]},
    "no prompt": {"chosen": [user("two?"), assistant("four")], "rejected": [user("two?"), assistant("five")]},
    "null for the prompt": {
        "prompt": None,
        "chosen": [user("two?"), assistant("four")],
        "rejected": [user("two?"), assistant("five")],
    },
    "a prompt that is repeated": {
        "prompt": "two?",
        "chosen": [user("two?"), assistant("four")],
        "rejected": [user("two?"), assistant("five")],
    },
    "messages of a prompt that are repeated": {
        "prompt": [user("two?")],
        "chosen": [user("two?"), assistant("four")],
        "rejected": [user("two?"), assistant("five")],
    },
}


@pytest.mark.parametrize("name", CHATS)
def test_forms_of_chats(name):
    asked = "<user>two?</><assistant>"
    assert processed(CHATS[name], CHAT) == [(asked, "four</>"), (asked, "five</>")]


def test_whole_conversations_beside_a_text():
    system = {"role": "system", "content": "be kind"}
    record = {"prompt": "two?", "chosen": [system, user("two?"), assistant("four")]}
    record["rejected"] = [system, user("two?"), assistant("five")]
    asked = "<system>be kind</><user>two?</><assistant>"
    assert processed(record, CHAT) == [(asked, "four</>"), (asked, "five</>")]


def test_conversations_that_are_the_same():
    same = [user("two?"), assistant("four")]
    asked = "<user>two?</><assistant>"
    assert processed({"chosen": same, "rejected": same}, CHAT) == [(asked, "four</>")] * 2


def test_conversations_that_part_early():
    record = {"chosen": [user("a"), assistant("b"), user("c"), assistant("d")], "rejected": [user("a"), assistant("e")]}
    found = processed(record, CHAT)
    assert found == [("<user>a</><assistant>", "b</><user>c</><assistant>d</>"), ("<user>a</><assistant>", "e</>")]


def test_tools_reach_the_template():
    record = {**CHATS["messages"], "tools": [{"name": "f"}]}
    assert processed(record, CHAT)[0] == ("<tools 1><user>two?</><assistant>", "four</>")


# --- labels ---


def test_messages_without_a_template_are_told(tmp_path):
    pair = {"prompt": [{"role": "user", "content": "a"}], "chosen": [assistant("b")], "rejected": [assistant("c")]}
    path = write_jsonl(tmp_path / "train.jsonl", [pair])
    data = load_dataset(path, PLAIN, DatasetConfig(kind="preference")).train
    error = error_of(lambda: data[0], ValueError)
    assert str(error) == f"{path}:1: messages need a chat template, and the tokenizer has none"


def labelled(*prompts):
    return [{"prompt": p, "completion": f"c{i}", "label": i % 2 == 0} for i, p in enumerate(prompts)]


def test_a_labelled_completion_has_that_of_another_prompt_beside_it():
    data = LabelledDataset(labelled("p", "q", "q", "r"), PLAIN)
    found = [data.process(data[index]) for index in range(4)]
    assert [group.label for group in found] == [True, False, True, False]
    assert [[said for _, said in texts(group)] for group in found] == [
        ["c0" + END, "c3" + END],
        ["c1" + END, "c0" + END],
        ["c2" + END, "c0" + END],
        ["c3" + END, "c2" + END],
    ]
    assert {asked for asked, _ in texts(found[1])} == {"q"}


@pytest.mark.parametrize(("label", "is_good"), [(0, False), (1, True), ("0", False), ("1", True), ("FALSE", False)])
def test_labels_may_be_numbers_and_in_tables_texts(label, is_good):
    data = create_dataset([{"prompt": "p", "completion": "c", "label": label}], PLAIN, DatasetConfig(kind="labelled"))
    assert data.process(data[0]).label is is_good


# --- what is refused ---


@pytest.mark.parametrize(
    ("kind", "record", "message"),
    [
        ("preference", {"chosen": "a"}, "rejected: expected a string, got no such field"),
        ("preference", {"chosen": "a", "rejected": None}, "rejected: expected a string, got null"),
        ("preference", {"prompt": 3, "chosen": "a", "rejected": "b"}, "prompt: expected a string, got a number"),
        ("preference", {"chosen": [], "rejected": []}, "chosen: expected at least one message, got an empty list"),
        (
            "preference",
            {"chosen": "a", "rejected": [assistant("b")]},
            "chosen, rejected: expected two strings or two lists, got a string and a list",
        ),
        ("labelled", {"prompt": "p", "completion": "c"}, "label: expected true or false, got no such field"),
        ("labelled", {"prompt": "p", "completion": "c", "label": "yes"}, "label: expected true or false, got 'yes'"),
        ("labelled", {"prompt": "p", "completion": "c", "label": 2}, "label: expected true or false, got 2"),
        ("labelled", {"completion": "c", "label": True}, "prompt: expected a string, got no such field"),
    ],
)
def test_a_record_that_will_not_do_is_named(tmp_path, kind, record, message):
    path = write_jsonl(tmp_path / "train.jsonl", [record])
    error = error_of(lambda: load_dataset(path, PLAIN, DatasetConfig(kind=kind)), ValueError)
    assert str(error).startswith(f"{path}:1: {message}")


# --- batches ---


def groups(*lengths):
    return [ExampleGroup((Example(list(range(1, a + 1)), 2), Example(list(range(1, b + 1)), 2))) for a, b in lengths]


def test_first_sequences_stand_before_second_ones():
    batch = next(iterate_batches(groups((3, 5), (4, 2)), 2, 64, seed=None))
    assert np.array(batch.tokens)[:, :6].tolist() == [
        [1, 2, 3, 0, 0, 0],
        [1, 2, 3, 4, 0, 0],
        [1, 2, 3, 4, 5, 0],
        [1, 2, 0, 0, 0, 0],
    ]
    assert batch.weights.sum(axis=1).tolist() == [1, 2, 3, 0]
    assert batch.groups.lengths.tolist() == [3, 4, 5, 2]
    assert batch.groups.labels.tolist() == [1, 1]


def test_processes_share_a_batch_of_groups():
    """Where records do not go round, the last process has an empty group of as many sequences."""
    parts = [list(iterate_batches(groups((3, 5), (4, 4), (6, 3)), 2, 64, rank=r, world=2, seed=None)) for r in (0, 1)]
    assert [[batch.tokens.shape[0] for batch in part] for part in parts] == [[2, 2], [2, 2]]
    assert parts[1][1].groups.lengths.tolist() == [0, 0]
    assert parts[1][1].groups.labels.tolist() == [0]


def test_what_is_cut_is_told_and_counted():
    found = iterate_batches(groups((3, 5), (9, 20)), 1, 8, seed=None)
    next(found)
    with pytest.warns(UserWarning, match="record 1: 20 tokens are cut off at max_seq_length=8"):
        next(found)
    assert (found.truncated, found.without_targets) == (1, 0)
    long = ExampleGroup((Example([1] * 9, 8), Example([1] * 5, 2)))
    found = iterate_batches([long], 1, 8, seed=None)
    with pytest.warns(UserWarning, match="record 0: no target is left"):
        next(found)
    assert found.without_targets == 1


def test_groups_are_not_packed():
    with pytest.raises(ValueError, match="pack: expected single sequences, got records of several to compare"):
        next(iterate_batches(groups((3, 5)), 1, 64, pack=True))


def test_records_have_as_many_sequences():
    mixed = [*groups((2, 2)), Example([1, 2, 3])]
    with pytest.raises(ValueError, match="dataset: expected 2 sequences in each record"):
        next(iterate_batches(mixed, 2, 64))


def test_ids_of_both_sequences_are_looked_at():
    wrong = ExampleGroup((Example([1, 2], 1), Example([1, 99], 1)))
    with pytest.raises(ValueError, match="record 0: tokens: the tokenizer gives the id 99"):
        next(iterate_batches([wrong], 1, 64, vocab_size=50))


def test_groups_are_kept_like_examples(tmp_path):
    records = [{"prompt": "p", "chosen": "c" * i, "rejected": "r"} for i in range(1, 5)]
    path = write_jsonl(tmp_path / "train.jsonl", records)
    data = load_dataset(path, PLAIN, DatasetConfig(kind="preference")).train
    assert [data.itemlen(index) for index in range(4)] == [3, 4, 5, 6]
    small = CacheDataset(PreferenceDataset(records, PLAIN), max_tokens=8)
    assert [texts(small[index]) for index in (0, 3, 0)] == [texts(data[index]) for index in (0, 3, 0)]
    assert json.dumps(iterate_batches(data, 2, 64).state())
    other = PreferenceDataset(records, PLAIN, chosen_key="rejected", rejected_key="chosen")
    assert other.fingerprint != PreferenceDataset(records, PLAIN).fingerprint
