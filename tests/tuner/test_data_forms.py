"""Forms of records: what is recognised, what is learnt of it under each mask, and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuner_helpers import TEMPLATE, ByteTokenizer, message_of, targets, trained_tokenizer, write_jsonl

from mlxffi.tuner.datasets import CacheDataset, DatasetConfig, create_dataset, load_dataset

BYTES = ByteTokenizer()
PLAIN = ByteTokenizer()
PLAIN.chat_template = None

U, A, S, T = "user", "assistant", "system", "tool"
SHAREGPT = {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "r"}]}
ALPACA = {"instruction": "q", "input": "", "output": "r"}
MESSAGES = [{"role": U, "content": "q"}, {"role": A, "content": "r"}]
FORMS = {
    "messages": {"messages": MESSAGES},
    "prompts and completions": {"prompt": "q", "completion": "r"},
    "prompts and completions, messages": {"prompt": MESSAGES[:1], "completion": MESSAGES[1:]},
    "ShareGPT": SHAREGPT,
    "ShareGPT, messages": {"conversations": MESSAGES},
    "Alpaca": ALPACA,
}
# What is learnt with each mask.
MASKS = {False: "<user>q</><assistant>r</>", True: "r</>", "assistant": "r</>"}


def learnt(record, mask=False, tokenizer=BYTES):
    return targets(CacheDataset(create_dataset([record], tokenizer, DatasetConfig(mask_prompt=mask)))[0])


def written(record, tokenizer=BYTES):
    return tokenizer.decode(CacheDataset(create_dataset([record], tokenizer))[0].tokens)


def targets_of_text(messages, template):
    tokenizer = trained_tokenizer(template)
    config = DatasetConfig(mask_prompt="assistant")
    example = CacheDataset(create_dataset([{"messages": messages}], tokenizer, config))[0]
    return tokenizer.decode([token for token, wanted in zip(example.tokens, example.mask, strict=True) if wanted])


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_learnt_alike_with_every_mask(form, mask, tmp_path):
    plain = learnt(FORMS["messages"], mask)
    assert learnt(FORMS[form], mask) == plain
    assert plain == MASKS[mask]
    path = write_jsonl(tmp_path / "a.jsonl", [FORMS[form]])
    train = load_dataset(path, BYTES, DatasetConfig(mask_prompt=mask)).train
    assert train.about == [f"{path}: 1 record, {form.partition(',')[0]}"]
    assert targets(train[0]) == plain


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_tokens_that_transformers_gives_its_messages(form):
    tokenizer = trained_tokenizer()
    wanted = tokenizer.apply_chat_template(MESSAGES, tokenize=True, return_dict=False)
    assert list(CacheDataset(create_dataset([FORMS[form]], tokenizer))[0].tokens) == list(wanted)


def test_turns_of_weight_0_are_read_and_not_learnt():
    """As in OpenAI's fine-tuning files."""
    turns = [*MESSAGES, {"role": U, "content": "s"}, {"role": A, "content": "t", "weight": 0}]
    assert learnt({"messages": turns}, "assistant") == "r</>"
    assert learnt({"messages": [{**turn, "weight": 1} for turn in turns]}, "assistant") == "r</>|t</>"
    generation = TEMPLATE.replace(
        "{{ message.content }}</s>", "{% generation %}{{ message.content }}</s>{% endgeneration %}"
    )
    assert "t</s>" not in targets_of_text(turns, generation)
    message = message_of(lambda: learnt({"messages": [{**turn, "weight": 0} for turn in turns]}, "assistant"))
    assert "expected at least one message of the role 'assistant' whose weight is not 0, got none" in message
    turns = [
        {"from": "human", "value": "q"},
        {**TURN, "value": "x", "weight": 0},
        {"from": "human", "value": "q"},
        TURN,
    ]
    assert learnt({"conversations": turns}, "assistant") == "r</>"


# --- ShareGPT ---


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *[(name, U) for name in ("human", "user", "prompter")],
        *[(name, A) for name in ("gpt", "assistant", "chatgpt", "bing", "bard", "model")],
        *[(name, T) for name in ("tool", "observation", "function_response", "function", "ipython")],
        ("system", S),
        ("developer", "developer"),
    ],
)
def test_names_of_roles(name, role):
    record = {"conversations": [{"from": name, "value": "a"}, {"from": "gpt", "value": "b"}]}
    assert written(record) == f"<{role}>a</><assistant>b</>"
    record = {"conversation": [{"role": name, "content": "a"}, {"role": "gpt", "content": "b"}]}
    assert written(record) == f"<{role}>a</><assistant>b</>"


def test_a_system_beside_turns_and_tools():
    record = {**SHAREGPT, "system": "s", "tools": json.dumps([{"name": "f"}])}
    assert written(record) == "<tools 1><system>s</><user>q</><assistant>r</>"
    assert written({**SHAREGPT, "system": None, "tools": ""}) == "<user>q</><assistant>r</>"


def test_a_call_of_a_tool_is_one_of_the_assistant():
    call = {"name": "f", "arguments": {"x": 1}}
    turns = [
        {"from": "human", "value": "q"},
        {"from": "function_call", "value": json.dumps(call)},
        {"from": "observation", "value": "2"},
        {"from": "gpt", "value": "r"},
    ]
    template = (
        "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}</s>\n{% endfor %}"
    )
    tokenizer = trained_tokenizer(template)
    text = tokenizer.decode(CacheDataset(create_dataset([{"conversations": turns}], tokenizer))[0].tokens)
    assert '<s>assistant\nf{"x": 1}</s>' in text
    for value in ("f(1)", "[]", '{"arguments": {}}', "1"):
        turns[1]["value"] = value
        message = message_of(lambda: create_dataset([{"conversations": turns}], BYTES))
        assert message.startswith(
            "record 0: conversations[1].value: expected the JSON of a call with name and argument"
        )


# --- Alpaca ---


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, "<user>q</><assistant>r</>"),
        ({"input": None}, "<user>q</><assistant>r</>"),
        ({"input": "i"}, "<user>q\ni</><assistant>r</>"),
        ({"system": "s"}, "<system>s</><user>q</><assistant>r</>"),
        ({"history": [["a", "b"]]}, "<user>a</><assistant>b</><user>q</><assistant>r</>"),
        ({"history": None, "text": "the prompt as a whole"}, "<user>q</><assistant>r</>"),
    ],
)
def test_alpaca_as_messages(more, text):
    assert written({**ALPACA, **more}) == text


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (False, "<user>a</><assistant>b</><user>q</><assistant>r</>"),
        (True, "r</>"),
        ("assistant", "b</>|r</>"),
    ],
)
def test_answers_of_a_history_are_turns_of_the_assistant(mask, text):
    assert learnt({**ALPACA, "history": [["a", "b"]]}, mask) == text


@pytest.mark.parametrize("mask", [True, "assistant"])
def test_of_prompts_and_completions_only_these_are_learnt(mask):
    turns = [*MESSAGES, {"role": U, "content": "s"}]
    assert learnt({"prompt": turns, "completion": [{"role": A, "content": "t"}]}, mask) == "t</>"


def test_alpaca_for_a_model_without_a_template():
    record = {**ALPACA, "input": "i", "system": "s", "history": [["a", "b"]]}
    before = "### Instruction:\na\n\n### Response:\nb\n\n### Instruction:\nq\n\n### Input:\ni\n\n### Response:\n"
    assert written(record, PLAIN) == f"s\n\n{before}r"
    assert learnt(record, True, PLAIN) == f"r{chr(256)}"


# --- what is refused ---

CHOSEN = {"prompt": "q", "chosen": "a", "rejected": "b"}
LABELLED = {"prompt": "q", "completion": "r", "label": True}


@pytest.mark.parametrize(
    "record",
    [
        CHOSEN,
        {"chosen": "q a", "rejected": "q b"},
        {"chosen": MESSAGES, "rejected": MESSAGES},
        {**CHOSEN, "prompt": MESSAGES[:1], "chosen": MESSAGES[1:], "rejected": MESSAGES[1:]},
        {**SHAREGPT, "chosen": "a", "rejected": "b"},
        {**ALPACA, "chosen": "a", "rejected": "b"},
    ],
)
def test_preferences_are_not_learnt_as_texts(record):
    assert message_of(lambda: create_dataset([record], BYTES)) == (
        "record 0: these records are preferences (chosen, rejected), which are learnt with --loss (dpo, kto, ...)"
    )


@pytest.mark.parametrize("label", [True, False, "true", "False"])
def test_labelled_completions_are_not_learnt_as_completions(label):
    message = message_of(lambda: create_dataset([{**LABELLED, "label": label}], BYTES))
    assert "completions with a label (KTO), which are learnt with --loss" in message


@pytest.mark.parametrize("more", [{"label": 1}, {"label": "good"}, {"label": None}, {"chosen": "a", "rejected": "b"}])
def test_other_labels_and_fields_do_no_harm(more):
    assert written({"prompt": "q", "completion": "r", **more}) == "<user>q</><assistant>r</>"
    assert written({"messages": MESSAGES, **more}) == "<user>q</><assistant>r</>"


TURN = {"from": "gpt", "value": "r"}


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (SHAREGPT, {"conversations": []}, "conversations: expected at least one message, got an empty list"),
        (SHAREGPT, {"conversations": [TURN, 1]}, "conversations[1]: expected an object, got a number"),
        (SHAREGPT, {"conversations": [{"value": "r"}]}, "conversations[0].from: expected a string, got no such field"),
        (
            SHAREGPT,
            {"conversations": [{"from": "alien", "value": "r"}]},
            "conversations[0].from: expected one of human",
        ),
        (
            SHAREGPT,
            {"conversations": [{"from": "gpt"}]},
            "conversations[0].value: expected a string, got no such field",
        ),
        (SHAREGPT, {"conversations": [{**TURN, "value": None}]}, "conversations[0].value: expected a string, got null"),
        (SHAREGPT, {"conversations": [{**TURN, "value": "\ud800"}]}, "conversations[0].value: expected characters"),
        (SHAREGPT, {**SHAREGPT, "system": 1}, "system: expected a string, got a number"),
        (SHAREGPT, {**SHAREGPT, "tools": "f"}, "tools: expected a list of objects, or the JSON of one, got 'f'"),
        (SHAREGPT, {"conversations": [{"role": U, "content": 1}]}, "conversations[0].content: expected a string"),
        (ALPACA, {"instruction": "q"}, "output: expected a string, got no such field"),
        (ALPACA, {**ALPACA, "instruction": None}, "instruction: expected a string, got null"),
        (ALPACA, {**ALPACA, "input": 1}, "input: expected a string, got a number"),
        (ALPACA, {**ALPACA, "output": "\udc00"}, "output: expected characters, got half of a surrogate pair, \\udc00"),
        (ALPACA, {**ALPACA, "history": [["a"]]}, "history[0]: expected a question and its answer, got a list"),
        (ALPACA, {**ALPACA, "history": {}}, "history[0]: expected a question and its answer, got an object"),
        (ALPACA, {**ALPACA, "history": [["a", 1]]}, "history[0][1]: expected a string, got a number"),
        (CHOSEN, {**CHOSEN, "chosen": 1}, "chosen: expected a string, got a number"),
        (CHOSEN, {"prompt": "q", "chosen": "a"}, "rejected: expected a string, got no such field"),
        (LABELLED, {**LABELLED, "label": None}, "label: expected true or false, got null"),
        (LABELLED, {**LABELLED, "label": 2}, "label: expected true or false, got 2"),
        (SHAREGPT, ALPACA, "conversations: expected a list of objects, got no such field"),
        (ALPACA, SHAREGPT, "instruction: expected a string, got no such field"),
    ],
)
def test_every_record_of_a_file_has_the_form_of_the_first(tmp_path, first, second, reason):
    path = write_jsonl(tmp_path / "a.jsonl", [first, first, second])
    lines = path.read_text().replace("\\udc00", "").replace("\\ud800", "")
    message = message_of(lambda: create_dataset([first, first, second], BYTES))
    assert message.startswith(f"record 2: {reason}")
    if lines == path.read_text():
        assert message_of(lambda: load_dataset(path, BYTES)).startswith(f"{path}:3: {reason}")


def test_a_record_of_another_form_is_told_so():
    message = message_of(lambda: create_dataset([SHAREGPT, ALPACA], BYTES))
    assert message.endswith("(expected ShareGPT, as all of a file is, and this seems to be Alpaca)")


def test_a_form_may_be_named():
    record = {**ALPACA, "text": "t", "prompt": "a", "completion": "b"}
    assert create_dataset([record], BYTES).form == "prompts and completions"
    assert written(record) == "<user>a</><assistant>b</>"
    for kind, text in {"alpaca": "<user>q</><assistant>r</>", "text": f"t{''}"}.items():
        data = CacheDataset(create_dataset([record], BYTES, DatasetConfig(kind=kind)))
        assert BYTES.decode(data[0].tokens) == text


def test_a_state_is_one_of_the_form():
    found = {
        create_dataset([record], tokenizer).fingerprint
        for record, tokenizer in ((SHAREGPT, BYTES), (ALPACA, BYTES), (ALPACA, PLAIN))
    }
    assert len(found) == 3


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.floats()
names = st.sampled_from(["from", "value", "role", "content", "tool_calls", "name", "type", "text"])
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
FIELDS = ["conversations", "messages", "instruction", "input", "output", "history", "system", "tools", "label"]
FIELDS += ["prompt", "completion", "chosen", "rejected", "text"]


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), anything), min_size=1, max_size=3))
def test_whatever_records_hold_is_learnt_or_refused_with_its_place(records):
    found = "record "
    try:
        data = CacheDataset(create_dataset(records, BYTES))
        assert all(len(data[index].tokens) for index in range(len(data)))
    except ValueError as error:
        found = str(error)
    assert found.startswith("record ")
