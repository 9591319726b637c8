"""Datasets: what becomes of a record, which records are refused, and what mlx_lm makes of the same."""

import copy
import json
import subprocess
import sys

import pytest
from tuner_helpers import TEMPLATE, ByteTokenizer, Counting, chat, message_of, targets, trained_tokenizer, write_jsonl

from mlxffi.tuner.datasets import (
    CacheDataset,
    ChatDataset,
    CompletionsDataset,
    ConcatenatedDataset,
    DatasetConfig,
    Example,
    Member,
    TextDataset,
    Tokenizer,
    create_dataset,
    load_dataset,
)

BYTES = ByteTokenizer()
TEXT = {"text": "to be"}
CHAT = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}
COMPLETION = {"prompt": "hi", "completion": "ho"}
RECORDS = {"text": TEXT, "chat": CHAT, "completions": COMPLETION}
KINDS = {"text": TextDataset, "chat": ChatDataset, "completions": CompletionsDataset}


def made(record, **options):
    """The dataset of one record, and what becomes of it."""
    dataset = create_dataset([record], BYTES, DatasetConfig(**options))
    return dataset, dataset.process(dataset[0])


# --- what becomes of a record ---


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_tells_its_kind(kind):
    dataset, _ = made(RECORDS[kind])
    assert type(dataset) is KINDS[kind]
    assert (len(dataset), dataset[0], dataset.tokenizer) == (1, RECORDS[kind], BYTES)


def test_completions_come_before_chats_and_chats_before_texts():
    assert type(made({**TEXT, **CHAT, **COMPLETION})[0]) is CompletionsDataset
    assert type(made({**TEXT, **CHAT, "prompt": "a"})[0]) is ChatDataset
    assert type(made({**TEXT, **CHAT, **COMPLETION}, kind="text")[0]) is TextDataset
    assert type(made({**TEXT, **CHAT, **COMPLETION}, kind="chat")[0]) is ChatDataset


def test_fields_may_have_other_names():
    assert made({"body": "a"}, text_feature="body")[1].tokens == [97, 256]
    assert made({"turns": CHAT["messages"]}, chat_feature="turns")[1] == made(CHAT)[1]
    options = {"prompt_feature": "question", "completion_feature": "answer"}
    assert made({"question": "hi", "answer": "ho"}, **options)[1] == made(COMPLETION)[1]


def test_a_text_ends_with_the_end_of_text_once():
    assert TextDataset([TEXT], BYTES).process(TEXT) == Example([*b"to be", 256])
    assert TextDataset([TEXT], BYTES, text_key="a").process({"a": ""}) == Example([256])
    ending = ByteTokenizer()
    ending.encode = lambda text: [*text.encode(), 256]
    assert TextDataset([TEXT], ending).process(TEXT).tokens == [*b"to be", 256]


def test_a_tokenizer_without_an_end_of_text():
    endless = ByteTokenizer()
    endless.eos_token_id = None
    dataset = TextDataset([TEXT, {"text": ""}], endless)
    assert dataset.process(TEXT).tokens == [*b"to be"]
    assert message_of(lambda: CacheDataset(dataset)[1]) == (
        "record 1: text: expected a text of at least one token, got none"
    )


def test_completions_are_chats_of_two_turns():
    example = made(COMPLETION)[1]
    assert example == Example([*b"<user>hi</><assistant>ho</>"])
    assert made({**COMPLETION, "tools": [{"name": "f"}]})[1].tokens == [*b"<tools 1><user>hi</><assistant>ho</>"]
    for mask_prompt in (True, "assistant"):
        assert targets(made(COMPLETION, mask_prompt=mask_prompt)[1]) == "ho</>"


def test_a_chat_has_the_tools_of_its_record():
    assert made({**CHAT, "tools": [{}, {}]})[1].tokens == [*b"<tools 2><user>hi</><assistant>ho</>"]
    assert made({**CHAT, "tools": None})[1].tokens == [*b"<user>hi</><assistant>ho</>"]


def test_what_is_wrong_in_a_template_comes_with_the_record(tmp_path):
    data = [CHAT, {"messages": [{"role": "banned", "content": "a"}]}]
    path = write_jsonl(tmp_path / "train.jsonl", data)
    train, _, _ = load_dataset(path, trained_tokenizer())
    assert len(train[0].tokens) > 10
    assert message_of(lambda: train[1]) == f"{path}:2: the chat template failed: TemplateError: no such role"


# --- mlx_lm ---


@pytest.fixture(scope="module")
def theirs():
    from mlx_lm.tuner import datasets

    return datasets


TOOLS = [{"type": "function", "function": {"name": "f"}}]
SHARED = [
    (TEXT, {}),
    ({"text": "A class definition </s>"}, {}),
    (CHAT, {}),
    (CHAT, {"mask_prompt": True}),
    ({**CHAT, "tools": TOOLS}, {"mask_prompt": True}),
    (chat("sx", "uy", "az", "uå", "a\n\nb"), {"mask_prompt": True}),
    (chat("ua", "ab", "uc"), {"mask_prompt": True}),
    (COMPLETION, {}),
    (COMPLETION, {"mask_prompt": True}),
    ({**COMPLETION, "tools": TOOLS}, {"mask_prompt": True}),
]


@pytest.mark.parametrize(("record", "options"), SHARED)
@pytest.mark.parametrize("wrapped", [False, True])
def test_tokens_and_offsets_are_those_of_mlx_lm(theirs, record, options, wrapped):
    from mlx_lm.tokenizer_utils import TokenizerWrapper

    config = DatasetConfig(**options)
    wanted = theirs.create_dataset([record], trained_tokenizer(), config)
    tokenizer = TokenizerWrapper(trained_tokenizer()) if wrapped else trained_tokenizer()
    found = create_dataset([record], tokenizer, config)
    assert found.process(found[0]) == Example(*wanted.process(copy.deepcopy(wanted[0])))


@pytest.mark.parametrize(("record", "options"), SHARED)
def test_our_own_tokenizer_gives_the_same(record, options):
    from mlxffi.tuner.models.tokenizer import Tokenizer as Own

    special = {"bos_token": "<s>", "eos_token": "</s>"}
    own = Own(trained_tokenizer().backend_tokenizer, special, {"default": TEMPLATE})
    assert isinstance(own, Tokenizer)
    dataset = create_dataset([record], own, DatasetConfig(**options))
    wanted = create_dataset([record], trained_tokenizer(), DatasetConfig(**options))
    assert dataset.process(record) == wanted.process(record)


def test_concatenated_datasets_are_those_of_mlx_lm(theirs):
    parts = [[TEXT, {"text": "b"}], [COMPLETION], [CHAT]]
    tokenizer = trained_tokenizer()
    wanted = theirs.ConcatenatedDataset(
        [theirs.create_dataset(copy.deepcopy(part), tokenizer, DatasetConfig()) for part in parts]
    )
    found = CacheDataset(ConcatenatedDataset([create_dataset(part, tokenizer) for part in parts]))
    assert len(found) == len(wanted) == 4
    for index in range(4):
        tokens, offset = wanted.process(wanted[index])
        assert (list(found[index].tokens), found[index].offset) == (tokens, offset)


# --- several as one ---


def test_a_concatenation_changes_no_record():
    parts = [[TEXT, {"text": "b"}], [COMPLETION], [CHAT]]
    before = copy.deepcopy(parts)
    inner = ConcatenatedDataset([create_dataset(part, BYTES) for part in parts[:2]])
    dataset = ConcatenatedDataset([inner, create_dataset(parts[2], BYTES)])
    assert dataset[0] == Member(0, Member(0, TEXT))
    assert dataset[-1] == Member(1, CHAT)
    examples = [dataset.process(dataset[index]) for index in range(len(dataset))]
    assert [bytes(t for t in example.tokens if t < 256) for example in examples] == [
        b"to be",
        b"b",
        b"<user>hi</><assistant>ho</>",
        b"<user>hi</><assistant>ho</>",
    ]
    assert parts == before
    for index in (4, -5):
        with pytest.raises(IndexError, match=rf"expected less than 4 records, got {index}"):
            dataset[index]


def test_a_concatenation_is_of_datasets():
    cached = CacheDataset(create_dataset([TEXT], BYTES))
    assert "data[0]: expected a dataset with process, got CacheDataset" in message_of(
        lambda: ConcatenatedDataset([cached])
    )
    assert len(ConcatenatedDataset([])) == 0


# --- examples that are made once ---


def test_an_example_is_made_once_and_its_length_is_in_tokens():
    dataset = Counting([{"text": "a" * count, "more": 1} for count in range(20)], BYTES)
    cached = CacheDataset(dataset)
    assert [cached.itemlen(index) for index in range(20)] == list(range(1, 21))
    assert cached[3] is cached[3] is cached[-17]
    assert list(cached[3].tokens) == [97, 97, 97, 256]
    assert dataset.processed == 20
    with pytest.raises(IndexError):
        cached[20]


def test_no_more_tokens_are_kept_than_asked_for():
    dataset = Counting([{"text": "a" * 9}] * 20, BYTES)
    cached = CacheDataset(dataset, max_tokens=50)
    for index in range(20):
        assert len(cached[index].tokens) == 10
    assert dataset.processed == 20
    assert [cached.itemlen(index) for index in range(20)] == [10] * 20
    assert dataset.processed == 20
    for index in range(15, 20):
        assert cached[index] is cached[index]
    assert dataset.processed == 20
    assert len(cached[0].tokens) == 10
    assert dataset.processed == 21


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        ([], "tokens: expected at least one, got none"),
        (([1, 2], -1), "offset: expected a number from 0 on, got -1"),
        (Example([1, 2], mask=[1]), "mask: expected 2 items, one for each token, got 1"),
    ],
)
def test_an_example_that_is_none_is_refused(example, reason):
    class Own(TextDataset):
        def process(self, record):
            return example

    assert message_of(lambda: CacheDataset(Own([TEXT], BYTES))[0]) == f"record 0: {reason}"


def test_a_list_is_no_dataset():
    assert message_of(lambda: CacheDataset([[1, 2]])) == (
        "[CacheDataset] data: expected a dataset with process, got list"
    )


# --- what is refused ---


HALF = "expected characters, got half of a surrogate pair"


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (TEXT, {}, "text: expected a string, got no such field"),
        (TEXT, CHAT, "text: expected a string, got no such field"),
        (TEXT, {"text": None}, "text: expected a string, got null"),
        (TEXT, {"text": ["a"]}, "text: expected a string, got a list"),
        (COMPLETION, {"prompt": "a"}, "completion: expected a string, got no such field"),
        (COMPLETION, {"prompt": 1, "completion": "b"}, "prompt: expected a string, got a number"),
        (COMPLETION, {"prompt": True, "completion": "b"}, "prompt: expected a string, got true"),
        (COMPLETION, {**COMPLETION, "tools": {}}, "tools: expected a list of objects, got an object"),
        (CHAT, {"messages": "a"}, "messages: expected a list of objects, got a string"),
        (CHAT, {"messages": None}, "messages: expected a list of objects, got null"),
        (CHAT, {"messages": []}, "messages: expected at least one message, got an empty list"),
        (CHAT, {"messages": ["a"]}, "messages[0]: expected an object, got a string"),
        (CHAT, {"messages": [{"content": "a"}]}, "messages[0].role: expected a string, got no such field"),
        (CHAT, {"messages": [*CHAT["messages"], {"role": "user"}]}, "messages[2].content: expected a string, got no"),
        (CHAT, {"messages": [{"role": "user", "content": 1.5}]}, "messages[0].content: expected a string, got a numb"),
        (CHAT, {"messages": [{"role": "a", "content": ["a"]}]}, "messages[0].content[0]: expected an object, got a st"),
        (CHAT, {**CHAT, "tools": [None]}, "tools[0]: expected an object, got null"),
        (TEXT, {"text": "a\ud83d"}, f"text: {HALF}, \\ud83d"),
        (COMPLETION, {**COMPLETION, "prompt": "\ude00b"}, f"prompt: {HALF}, \\ude00"),
        (COMPLETION, {**COMPLETION, "completion": "\ud800"}, f"completion: {HALF}, \\ud800"),
    ],
)
def test_every_record_is_as_the_first(tmp_path, first, second, reason):
    data = [first, first, second, first]
    message = message_of(lambda: create_dataset(data, BYTES))
    assert message.startswith(f"record 2: {reason}")
    path = write_jsonl(tmp_path / "train.jsonl", data)
    assert message_of(lambda: load_dataset(path, BYTES)).startswith(f"{path}:3: {reason}")


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"role": "\ud800", "content": "a"}, "role"),
        ({"role": "user", "content": "\ud800"}, "content"),
        ({"role": "user", "content": [{"type": "text", "text": "\ud800"}]}, "content[0].text"),
    ],
)
def test_half_of_a_character_in_a_conversation_is_told_with_its_place(tmp_path, message, field):
    data = [CHAT, {"messages": [*CHAT["messages"], message]}]
    assert message_of(lambda: create_dataset(data, BYTES)) == f"record 1: messages[2].{field}: {HALF}, \\ud800"
    path = write_jsonl(tmp_path / "train.jsonl", data)
    assert message_of(lambda: load_dataset(path, BYTES)) == f"{path}:2: messages: {HALF}, \\ud800"


def test_records_that_were_never_checked_are_when_they_are_used():
    for dataset in (TextDataset, ChatDataset, CompletionsDataset):
        message = message_of(lambda dataset=dataset: CacheDataset(dataset([{}], BYTES))[0])
        assert message.startswith("record 0: ")
        assert message.endswith("got no such field")


def test_a_message_may_have_parts_or_calls_of_tools_for_content():
    calls = {"role": "assistant", "tool_calls": [{"name": "f"}]}
    parts = {"role": "user", "content": [{"type": "text", "text": "a"}]}
    create_dataset([CHAT, {"messages": [parts, calls, {**calls, "content": None}]}], BYTES)


def test_a_first_record_without_any_field_is_refused(tmp_path):
    path = write_jsonl(tmp_path / "data.jsonl", [{"Text": "a", "prompt": "b"}])
    assert message_of(lambda: load_dataset(path, BYTES)) == (
        f"{path}:1: expected the fields prompt and completion, messages, text, conversations (ShareGPT), instruction "
        "and output (Alpaca), got 'Text', 'prompt'"
    )
    assert message_of(lambda: create_dataset([{}], BYTES)).endswith("got none")
    assert message_of(lambda: create_dataset([["text"]], BYTES)) == "record 0: expected an object, got a list"
    assert "at least one record" in message_of(lambda: create_dataset([], BYTES))


@pytest.mark.parametrize("mask_prompt", [True, "assistant"])
def test_a_text_has_no_prompt(tmp_path, mask_prompt):
    path = write_jsonl(tmp_path / "data.jsonl", [TEXT])
    message = message_of(lambda: load_dataset(path, BYTES, DatasetConfig(mask_prompt=mask_prompt)))
    assert message == f"{path}:1: text: a text has no prompt to mask, got mask_prompt"


def test_a_split_of_another_name():
    message = message_of(lambda: load_dataset("data", BYTES, splits=["dev"]))
    assert message == "[load_dataset] splits: expected train, valid, test, got dev"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"kind": "json"},
            "kind: expected auto, completions, chat, text, sharegpt, alpaca, preference, labelled, got 'json'",
        ),
        ({"mask_prompt": "user"}, "mask_prompt: expected False, True or 'assistant', got 'user'"),
        ({"max_file_bytes": 0}, "max_file_bytes: expected an int of at least 1, got 0"),
        ({"max_record_bytes": -1}, "max_record_bytes: expected an int of at least 1, got -1"),
    ],
)
def test_options_that_are_none(options, reason):
    assert message_of(lambda: DatasetConfig(**options)) == f"[DatasetConfig] {reason}"
    if "mask_prompt" in options:
        assert reason in message_of(lambda: ChatDataset([], BYTES, **options))
        assert reason in message_of(lambda: CompletionsDataset([], BYTES, **options))


# --- files ---


def test_a_folder_has_three_files_of_which_some_may_lack(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", [TEXT] * 3)
    write_jsonl(tmp_path / "valid.jsonl", [CHAT] * 2)
    splits = load_dataset(tmp_path, BYTES)
    assert [split and len(split) for split in splits] == [3, 2, None]
    assert list(splits.train[2].tokens) == [*b"to be", 256]
    assert splits.valid.where(1) == f"{tmp_path / 'valid.jsonl'}:2"
    write_jsonl(tmp_path / "test.jsonl", [])
    assert message_of(lambda: load_dataset(tmp_path, BYTES)).startswith(f"{tmp_path / 'test.jsonl'}: expected at least")


def test_a_file_is_to_train_on(tmp_path):
    train, valid, test = load_dataset(str(write_jsonl(tmp_path / "any name", [CHAT] * 2)), BYTES)
    assert (len(train), valid, test) == (2, None, None)


def test_limits_reach_the_files(tmp_path):
    path = write_jsonl(tmp_path / "train.jsonl", [TEXT] * 3)
    for option in ("max_file_bytes", "max_record_bytes"):
        assert option in message_of(lambda option=option: load_dataset(path, BYTES, DatasetConfig(**{option: 10})))


def test_paths_that_lead_nowhere(tmp_path):
    assert "expected train.jsonl, valid.jsonl or test.jsonl in it" in message_of(
        lambda: load_dataset(tmp_path, BYTES), FileNotFoundError
    )
    message = message_of(lambda: load_dataset(tmp_path / "missing", BYTES), FileNotFoundError)
    assert message.startswith(f"{tmp_path / 'missing'}: expected a file of records, a folder of such, or owner/name")
    (tmp_path / "train.jsonl").symlink_to(tmp_path / "missing")
    message = message_of(lambda: load_dataset(tmp_path, BYTES), FileNotFoundError)
    assert message.endswith(f"No such file or directory: '{tmp_path / 'train.jsonl'}'")
    for name in ("hf:a", "hf://a/b"):
        message = message_of(lambda name=name: load_dataset(name, BYTES), FileNotFoundError)
        assert message.startswith(f"{name}: expected a file of records")


def test_datasets_need_no_other_library():
    program = "import json, sys, mlxffi.tuner.datasets; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout))
    assert not loaded & {"numpy", "jinja2", "tokenizers", "transformers", "mlx.core"}
