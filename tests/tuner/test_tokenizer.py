"""The tokenizer: what transformers makes of the same files, and errors that name them."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from lm_models import tokenizer as trained
from tuner_helpers import message_of

from mlxffi.tuner.models.tokenizer import TextStream, Tokenizer

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
TEMPLATE = """
{%- for message in messages %}
    {%- if message['role'] == 'banned' %}
        {{- raise_exception('no ' + message['role']) }}
    {%- endif %}
    {%- if loop.index0 > 3 %}{% break %}{% endif %}
    {{- bos_token + message['role'] + ': ' }}
    {%- if message['role'] == 'assistant' %}
        {%- generation %}{{ message['content'] | trim }}{{ eos_token }}{% endgeneration %}
    {%- else %}
        {{- message['content'] }}
    {%- endif %}
    {{- '\\n' }}
{%- endfor %}
{%- if tools %}{{ tools | tojson(indent=2) }}{% endif %}
{%- if thinking is defined and thinking %}<think>{% endif %}
{%- if add_generation_prompt %}
    {{- 'assistant: ' }}
{%- endif %}
"""
MESSAGES = [
    {"role": "system", "content": "Be brief & <kind>."},
    {"role": "user", "content": "Hé, what is 2 + 2? \U0001f600"},
    {"role": "assistant", "content": "  Four.  "},
    {"role": "user", "content": "Thanks\n"},
    {"role": "user", "content": "never seen"},
]
TOOLS = [{"type": "function", "function": {"name": "add", "description": "a < b ü", "parameters": {}}}]


def write(folder, **changes):
    """A tokenizer's files in a folder, which is returned."""
    folder.mkdir(exist_ok=True)
    made = trained()
    made.add_special_tokens(["<pad>"])
    made.enable_truncation(4)
    made.save(str(folder / "tokenizer.json"))
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": {"content": "<s>", "lstrip": False, "__type": "AddedToken"},
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": None,
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps({**about, **changes}))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("tokenizer") / "plain")


@pytest.fixture(scope="module")
def ours(folder):
    return Tokenizer.from_directory(folder)


@pytest.fixture(scope="module")
def theirs(folder):
    import transformers

    return transformers.PreTrainedTokenizerFast.from_pretrained(folder)


@given(text=st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_tokens_and_texts_are_those_of_transformers(text, ours, theirs):
    ids = ours.encode(text)
    assert ids == theirs.encode(text)
    assert ours.encode(text, add_special_tokens=False) == theirs.encode(text, add_special_tokens=False)
    marked = [ours.bos_token_id, *ids, ours.eos_token_id]
    assert ours.decode(marked) == theirs.decode(marked)
    assert ours.decode(marked, skip_special_tokens=True) == theirs.decode(marked, skip_special_tokens=True) == text


@pytest.fixture(scope="module")
def spaced():
    """A tokenizer as Llama 2 and Gemma have: spaces are letters, unknown letters fall back to bytes."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers

    letters = ["<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", *"abcdefgh", "\u2581a", "bc"]
    vocabulary = {letter: index for index, letter in enumerate(letters)}
    made = Backend(models.BPE(vocabulary, [("\u2581", "a"), ("b", "c")], byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.add_special_tokens(["<s>", "</s>"])
    return Tokenizer(made, {"bos_token": "<s>", "eos_token": "</s>"})


LETTERS = st.sampled_from(" abch\xe9\u20ac\U0001f600\u2581") | st.characters(codec="utf-8")


@pytest.mark.parametrize("name", ["ours", "spaced"])
@given(text=st.text(LETTERS, max_size=40), data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_stream_tells_the_whole_text_in_whole_characters(name, text, data, ours, spaced):
    tokenizer = {"ours": ours, "spaced": spaced}[name]
    ids = tokenizer.encode(text)
    whole = tokenizer.decode(ids)
    cut = data.draw(st.integers(0, len(ids)))
    told = TextStream(tokenizer)
    pieces = [told.add(token) for token in ids[:cut]]
    if UNKNOWN not in text:
        assert whole.startswith("".join(pieces))
        assert UNKNOWN not in "".join(pieces)
    pieces += [told.add(token) for token in ids[cut:]]
    assert "".join(pieces) + told.finish() == whole


@pytest.mark.parametrize("half", [0xD800, 0xDFFF])
def test_half_of_a_surrogate_pair_is_no_character(ours, half):
    reason = f"[encode] text: expected characters, got half of a surrogate pair, \\u{half:04x}"
    assert message_of(lambda: ours.encode(f"a{chr(half)}b")) == reason
    messages = [{"role": "user", "content": chr(half)}]
    assert message_of(lambda: ours.apply_chat_template(messages)) == reason


def test_a_character_that_is_cut_short_is_told_at_the_end(ours):
    told = TextStream(ours)
    assert [told.add(token) for token in ours.encode("a\u20ac")[:-1]] == ["a", "", ""]
    assert told.finish() == UNKNOWN
    assert told.finish() == ""


def test_special_tokens_are_those_of_transformers(ours, theirs):
    assert (ours.bos_token_id, ours.eos_token_id, ours.pad_token_id) == (
        theirs.bos_token_id,
        theirs.eos_token_id,
        theirs.pad_token_id,
    )
    assert ours.vocab_size == len(theirs)
    assert ours.eos_token_ids == {theirs.eos_token_id}


@pytest.mark.parametrize("tools", [None, TOOLS])
@pytest.mark.parametrize("prompt", [False, True])
@pytest.mark.parametrize("variables", [{}, {"thinking": True}])
def test_chats_are_those_of_transformers(tools, prompt, variables, ours, theirs):
    options = {"tools": tools, "add_generation_prompt": prompt, **variables}
    text = ours.apply_chat_template(MESSAGES, tokenize=False, **options)
    assert text == theirs.apply_chat_template(MESSAGES, tokenize=False, **options)
    assert "never seen" not in text
    assert ours.apply_chat_template(MESSAGES, **options) == theirs.apply_chat_template(
        MESSAGES, return_dict=False, **options
    )


def test_templates_may_be_several(tmp_path):
    both = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]
    made = Tokenizer.from_directory(write(tmp_path, chat_template=both))
    assert made.apply_chat_template(MESSAGES, tokenize=False) == "plain"
    assert made.apply_chat_template(MESSAGES, TOOLS, tokenize=False) == "tools"


def test_template_files_win(tmp_path):
    folder = write(tmp_path)
    (folder / "chat_template.jinja").write_text("from a file")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("for tools")
    made = Tokenizer.from_directory(folder)
    assert made.apply_chat_template(MESSAGES, tokenize=False) == "from a file"
    assert made.apply_chat_template(MESSAGES, TOOLS, tokenize=False) == "for tools"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('no system role') }}", "no system role"),
        ("{% for m in messages %}", "Unexpected end of template"),
        ("{{ messages.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "not safely callable|unsafe|not safe"),
        ("{{ messages + 1 }}", "concatenate"),
    ],
)
def test_templates_are_refused_with_their_reason(template, reason, tmp_path):
    made = Tokenizer.from_directory(write(tmp_path, chat_template=template))
    with pytest.raises(ValueError, match=f"chat template: .*({reason})"):
        made.apply_chat_template(MESSAGES)


def test_the_time_is_there_for_templates(tmp_path):
    made = Tokenizer.from_directory(write(tmp_path, chat_template="{{ strftime_now('%Y') }}"))
    assert int(made.apply_chat_template(MESSAGES, tokenize=False)) >= 2024


def test_what_ends_a_text_stands_in_three_files(tmp_path):
    folder = write(tmp_path)
    (folder / "config.json").write_text(json.dumps({"eos_token_id": 5}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 1]}))
    made = Tokenizer.from_directory(folder)
    assert made.eos_token_id == 1
    assert made.eos_token_ids == {1, 5, 7}
    (folder / "tokenizer_config.json").unlink()
    made = Tokenizer.from_directory(folder)
    assert made.eos_token_id == 7
    assert made.bos_token_id is None


def test_a_token_that_the_vocabulary_lacks_is_none_but_for_the_end(tmp_path):
    template = "[{{ bos_token }}{{ pad_token }}]{{ eos_token }}"
    made = Tokenizer.from_directory(write(tmp_path, bos_token="<none>", pad_token="<nowhere>", chat_template=template))
    assert (made.bos_token_id, made.pad_token_id, made.eos_token_id) == (None, None, 1)
    assert made.apply_chat_template(MESSAGES, tokenize=False) == "[]</s>"


def test_special_tokens_may_stand_in_a_map_of_their_own(tmp_path):
    folder = write(tmp_path)
    about = json.loads((folder / "tokenizer_config.json").read_text())
    roles = {"bos_token": about.pop("bos_token"), "eos_token": {"content": "</s>", "lstrip": False}}
    about.pop("eos_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    (folder / "special_tokens_map.json").write_text(json.dumps(roles))
    made = Tokenizer.from_directory(folder)
    assert (made.bos_token_id, made.eos_token_id) == (0, 1)


def test_errors_name_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        Tokenizer.from_directory(tmp_path)
    folder = write(tmp_path, eos_token=None)
    with pytest.raises(ValueError, match=r"eos_token: expected it in tokenizer_config\.json"):
        Tokenizer.from_directory(folder)
    with pytest.raises(ValueError, match="eos_token: '<none>' is not in the vocabulary"):
        Tokenizer.from_directory(write(tmp_path, eos_token="<none>"))
    (folder / "config.json").write_text('{"eos_token_id": "x"}')
    with pytest.raises(ValueError, match=r"config\.json: eos_token_id: expected integers, got 'x'"):
        Tokenizer.from_directory(write(tmp_path))
    (folder / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"config\.json: expected a JSON object, got list"):
        Tokenizer.from_directory(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer\.json: expected a tokenizer"):
        Tokenizer.from_directory(folder)


def test_without_a_template_or_messages_there_is_no_chat(tmp_path, ours):
    made = Tokenizer.from_directory(write(tmp_path, chat_template=None))
    assert not made.has_chat_template
    with pytest.raises(ValueError, match="no chat template"):
        made.apply_chat_template(MESSAGES)
    with pytest.raises(ValueError, match="at least one message"):
        ours.apply_chat_template([])
