"""Messages as people have them: the template gets them in a form of which it writes what they say."""

import json

import pytest
from tuner_helpers import ByteTokenizer, chat, message_of, targets, write_jsonl

from mlxffi.tuner.datasets import ChatDataset, CompletionsDataset, DatasetConfig, create_dataset, load_dataset
from mlxffi.tuner.datasets.messages import for_template
from mlxffi.tuner.datasets.tokenizers import templated
from mlxffi.tuner.models.chat_template import rendered

BYTES = ByteTokenizer()
ARGUMENTS = {"city": "Ulm", "days": [1, 2]}
AS_JSON = json.dumps(ARGUMENTS)


def called(arguments, content=""):
    call = {"type": "function", "id": "1", "function": {"name": "f", "arguments": arguments}}
    return {"role": "assistant", "content": content, "tool_calls": [call]}


def written(template, *messages):
    """What a template writes of messages once they are in its form."""

    def render(messages):
        return rendered(template, {"messages": messages})[0]

    return render(for_template(messages, render))


@pytest.mark.parametrize("arguments", [ARGUMENTS, AS_JSON], ids=["object", "text"])
@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}",
        "{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.arguments }}{% endfor %}{% endfor %}",
        "{% for m in messages %}{% for c in m.tool_calls %}{{ '' + c.function.arguments }}{% endfor %}{% endfor %}",
        "{% for m in messages %}{% for c in m.tool_calls %}{% set a = c.function.arguments %}"
        "{{ a if a is string else a | tojson }}{% endfor %}{% endfor %}",
    ],
    ids=["tojson", "plain", "concatenated", "both"],
)
def test_arguments_are_written_once_as_json(template, arguments):
    pytest.importorskip("jinja2")
    assert written(template, called(arguments)) == AS_JSON


def test_arguments_that_are_no_object_stay():
    pytest.importorskip("jinja2")
    template = "{{ messages[0].tool_calls[0].function.arguments | tojson }}"
    assert written(template, called("not json")) == '"not json"'


PARTS = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("{{ '<u>' + messages[0].content }}", "<u>one two"),
        ("<u>{{ messages[0].content }}", "<u>one two"),
        ("<u>{% for part in messages[0].content %}[{{ part.text }}]{% endfor %}", "<u>[one ][two]"),
    ],
)
def test_parts_are_given_to_a_template_that_takes_them_and_else_their_text(template, wanted):
    pytest.importorskip("jinja2")
    assert written(template, {"role": "user", "content": PARTS}) == wanted


def test_a_part_that_is_no_text_is_named():
    image = {"type": "image_url", "image_url": {"url": "x"}}
    record = {"messages": [{"role": "user", "content": [*PARTS, image]}]}
    assert message_of(lambda: create_dataset([record], BYTES)) == (
        "record 0: messages[0].content[2]: expected a part of the type 'text', got 'image_url'; nothing else is learnt"
    )


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}", "developer:be kind;user:hi;"),
        ("{% for m in messages if m.role in ('system', 'user') %}{{ m.role }}:{{ m.content }};{% endfor %}",
         "system:be kind;user:hi;"),
        ("{% for m in messages %}{% if m.role not in ('system', 'user') %}{{ raise_exception('role') }}{% endif %}"
         "{{ m.role }}:{{ m.content }};{% endfor %}", "system:be kind;user:hi;"),
    ],
)  # fmt: skip
def test_a_developer_is_the_system_where_the_template_knows_none(template, wanted):
    pytest.importorskip("jinja2")
    said = {"role": "developer", "content": "be kind"}, {"role": "user", "content": "hi"}
    assert written(template, *said) == wanted


def test_what_tables_have_as_null_is_not_there():
    pytest.importorskip("jinja2")
    template = (
        "{% for m in messages %}{% if 'tool_calls' in m %}{{ m.tool_calls | length }}{% endif %}"
        "{{ m.content }}{% endfor %}"
    )
    message = {"role": "user", "content": "hi", "tool_calls": None, "name": None}
    assert written(template, message) == "hi"
    # As long as none of a record's fields is asked for, null is no completion.
    record = {"text": "a", "prompt": None, "completion": None, "messages": None}
    assert create_dataset([record], BYTES).process(record).tokens == [97, 256]


def test_tools_may_stand_there_as_json():
    tools = [{"name": "f"}]
    data = [{**chat("uhi", "aho"), "tools": given} for given in (tools, json.dumps(tools), "", None)]
    dataset = create_dataset(data, BYTES)
    first, second, *others = (dataset.process(record).tokens for record in data)
    assert first == second
    assert others == [templated(BYTES, data[0]["messages"], None)] * 2
    message = message_of(lambda: create_dataset([{**data[0], "tools": "{f"}], BYTES))
    assert message == "record 0: tools: expected a list of objects, or the JSON of one, got '{f'"


def test_prompts_and_completions_may_be_messages():
    messages = chat("sx", "uhi", "aho", "uand", "athen")["messages"]
    record = {"prompt": messages[:2], "completion": messages[2:]}
    dataset = CompletionsDataset([record], BYTES, mask_prompt=True)
    assert dataset.process(record).tokens == ChatDataset([], BYTES).process({"messages": messages}).tokens
    assert targets(dataset.process(record)) == "ho</><user>and</><assistant>then</>"
    mixed = {"prompt": "hi", "completion": [messages[2]]}
    assert targets(dataset.process(mixed)) == "ho</>"
    message = message_of(lambda: create_dataset([{"prompt": "a", "completion": []}], BYTES))
    assert message == "record 0: completion: expected at least one message, got an empty list"


class Plain(ByteTokenizer):
    """That of a base model, without a chat template."""

    chat_template = None


@pytest.mark.parametrize(("mask_prompt", "offset"), [(False, 0), (True, 3)])
def test_without_a_template_a_completion_follows_its_prompt(mask_prompt, offset):
    record = {"prompt": "hi ", "completion": "ho"}
    example = CompletionsDataset([record], Plain(), mask_prompt=mask_prompt).process(record)
    assert (example.tokens, example.offset) == ([*b"hi ho", 256], offset)


def test_a_file_that_is_not_read_may_be_broken(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", [{"text": "a"}])
    (tmp_path / "valid.jsonl").write_text("{broken")
    assert load_dataset(tmp_path, BYTES, splits=["train"]).valid is None
    assert "valid.jsonl:1" in message_of(lambda: load_dataset(tmp_path, BYTES, DatasetConfig(), ["train", "valid"]))
