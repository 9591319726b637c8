"""Which tokens of a conversation are targets: all, the last message, or the assistant's turns."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuner_helpers import ByteTokenizer, chat, message_of, targets, trained_tokenizer

from mlxffi.tuner.datasets import CacheDataset, ChatDataset

BYTES = ByteTokenizer()


def example(record, mask_prompt=False, tokenizer=BYTES):
    return ChatDataset([], tokenizer, mask_prompt=mask_prompt).process(record)


@pytest.mark.parametrize(
    ("turns", "last", "assistant"),
    [
        (["ua", "ab"], "b</>", "b</>"),
        (["sx", "ua", "ab", "uc", "ad"], "d</>", "b</>|d</>"),
        (["ua", "ab", "uc"], "<user>c</>", "b</>"),
        (["ua", "ab", "ac"], "c</>", "b</>|c</>"),
        (["ab", "uc"], "<user>c</>", "<assistant>b</>"),
        (["ab"], "<assistant>b</>", "<assistant>b</>"),
    ],
)
@pytest.mark.parametrize("tools", [None, [{"name": "f"}]])
def test_targets_of_a_chat(turns, last, assistant, tools):
    record = chat(*turns, tools=tools)
    start = "<tools 1>" if tools and len(turns) == 1 else ""
    everything = BYTES.written(record["messages"], tools, False)
    assert targets(example(record)) == everything
    assert targets(example(record, True)) == start + last
    if turns[0][0] == "a" and tools:
        assistant = "<tools 1>" + assistant
    assert targets(example(record, "assistant")) == assistant


def test_a_chat_without_the_assistant_has_no_turns_of_it():
    assert message_of(lambda: example(chat("ua"), "assistant")) == (
        "expected at least one message of the role 'assistant', got none"
    )


class Thinking(ByteTokenizer):
    """Its template leaves thoughts out of all turns but the last, as that of Qwen3 does."""

    def written(self, messages, tools, add_generation_prompt):
        thoughtless = [{**message, "content": message["content"].split("}")[-1]} for message in messages[:-1]]
        return super().written([*thoughtless, *messages[-1:]], tools, add_generation_prompt)


def test_thoughts_that_a_template_leaves_out_are_no_targets():
    record = chat("ua", "a{thought}b", "uc", "a{more}d\ne")
    assert targets(example(record, "assistant", Thinking())) == "b</>|{more}d\ne</>"
    assert targets(example(record, True, Thinking())) == "{more}d\ne</>"


THINKING = (
    "{% for message in messages %}<s>{{ message.role }}\n"
    "{% if message.role == 'assistant' and loop.last and '</think>' not in message.content %}"
    "<think>\n\n</think>\n\n{% endif %}"
    "{{ message.content if loop.last else message.content.split('</think>')[-1].lstrip() }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


@pytest.mark.parametrize("thought", ["", "<think>\nso\n</think>\n\n"])
def test_thoughts_in_a_template_of_transformers(thought):
    tokenizer = trained_tokenizer(THINKING)
    turns = ["ua class", f"a{thought}A statement\nor two", "uc", f"a{thought}An object"]
    found = example(chat(*turns), "assistant", tokenizer)
    wanted = [token for token, target in zip(found.tokens, found.mask, strict=True) if target]
    empty = thought or "<think>\n\n</think>\n\n"
    assert tokenizer.decode(wanted) == f"A statement\nor two</s>\n{empty}An object</s>\n"


@settings(max_examples=100, deadline=None)
@given(
    turns=st.lists(st.tuples(st.sampled_from("sua"), st.text(max_size=8)), min_size=1, max_size=6),
    kind=st.sampled_from([ByteTokenizer, Thinking]),
)
def test_targets_are_the_assistants_turns_whatever_is_said(turns, kind):
    record = chat(*(role + text.replace("}", "") for role, text in turns))
    messages = record["messages"]
    if all(message["role"] != "assistant" for message in messages):
        assert "at least one message" in message_of(lambda: example(record, "assistant", kind()))
        return
    found = example(record, "assistant", kind())
    parts = [(f"<{m['role']}>".encode(), f"{m['content']}</>".encode(), m["role"] == "assistant") for m in messages]
    wanted = [
        (len(start) * [int(said and not i)] + len(rest) * [int(said)]) for i, (start, rest, said) in enumerate(parts)
    ]
    assert list(found.mask) == list(itertools.chain(*wanted))
    assert bytes(found.tokens) == b"".join(start + rest for start, rest, _ in parts)


class Forgetful(ByteTokenizer):
    """Its template cuts all turns but the last short."""

    def written(self, messages, tools, add_generation_prompt):
        cut = [{**message, "content": message["content"][:3]} for message in messages[:-1]]
        return super().written([*cut, *messages[-1:]], tools, add_generation_prompt)


def test_a_template_that_changes_earlier_turns_is_refused():
    data = [chat("ua", "abcdef"), chat("ua", "abcdef", "ug", "ah"), chat("ua", "abcdef", "ug")]
    dataset = CacheDataset(ChatDataset(data, Forgetful(), mask_prompt="assistant"))
    assert targets(dataset[0]) == "bcdef</>"
    message = message_of(lambda: dataset[1])
    assert message.startswith("record 1: the chat template writes the first 2 of these 4 messages differently")
    # The last turn alone is found: all that precedes it is as it was.
    assert targets(example(data[1], True, Forgetful())) == "h</>"
    message = message_of(lambda: example(data[2], True, Forgetful()))
    assert message.startswith("the chat template writes the first 2 of these 3 messages differently")


def test_a_turn_without_text_is_found_where_it_is_written_alike():
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]}
    messages = chat("uhi", "aho")["messages"]
    record = {"messages": [messages[0], call, *messages]}
    assert targets(example(record, "assistant")) == "</>|ho</>"


class Merging(ByteTokenizer):
    """Two characters ">" in a row are one token, also where one ends a prompt and the next begins an answer."""

    def encode(self, text, add_special_tokens=True):
        return list(text.encode().replace(b">>", b"\xb0"))


def test_a_token_across_the_border_belongs_to_the_answer():
    for mask_prompt in (True, "assistant"):
        assert targets(example(chat("ua", "a>b"), mask_prompt, Merging())) == "\xb0b</>"
