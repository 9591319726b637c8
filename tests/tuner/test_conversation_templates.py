"""Targets in the chat templates that there are: families differ in what they write of the last turn, and in ends."""

import re
import time
from pathlib import Path

import pytest
from tuner_helpers import message_of

from mlxffi.tuner.datasets import ChatDataset
from mlxffi.tuner.datasets.conversations import Conversation
from mlxffi.tuner.models import Tokenizer

# Each is what its family does, on a few lines.
LAST = "{% if add_generation_prompt %}"
TEMPLATES = {
    # Thoughts before the last turn only, and calls of tools behind the content.
    "qwen": (
        "{% for m in messages %}<s>{{ m.role }}\n"
        "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}"
        "{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}<e>\n{% endfor %}"
        + LAST + "<s>assistant\n{% endif %}"
    ),
    # Thoughts asked for, which the history does not have; no line ends.
    "deepseek": (
        "<b>{% for m in messages %}{% if m.role == 'user' %}<u>{{ m.content }}{% else %}"
        "<a>{{ m.content.split('</think>')[-1] }}<e>{% endif %}{% endfor %}" + LAST + "<a><think>\n{% endif %}"
    ),
    # An end of text behind everything that does not ask for a reply.
    "phi": (
        "{% for m in messages %}<{{ m.role[0] }}>\n{{ m.content }}<e>\n{% endfor %}"
        + LAST + "<a>\n{% else %}<b>{% endif %}"
    ),
    # Another end of the last turn.
    "gpt-oss": (
        "{% for m in messages %}<s>{{ m.role }}<a>{{ m.content }}"
        "{{ '<b>' if loop.last and m.role == 'assistant' else '<e>' }}{% endfor %}" + LAST + "<s>assistant{% endif %}"
    ),
    # No end of turns at all.
    "glm": "<b>{% for m in messages %}<{{ m.role[0] }}>\n{{ m.content }}{% endfor %}" + LAST + "<a>\n{% endif %}",
    # Tools before the last question.
    "mistral": (
        "<b>{% for m in messages %}{% if m.role == 'user' %}"
        "{% if tools and m == (messages | selectattr('role', 'eq', 'user') | list)[-1] %}"
        "<t>{{ tools | tojson }}</t>{% endif %}"
        "<u>{{ m.content }}<s>{% else %}{{ m.content }}<e>{% endif %}{% endfor %}"
    ),
    # Tools in the first question, a system message of its own, and no two questions in a row.
    "llama": (
        "<b><s>{{ messages[0].content if messages[0].role == 'system' else 'Be good.' }}<e>"
        "{% set said = messages[1:] if messages[0].role == 'system' else messages %}"
        "{% for m in said %}"
        "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns') }}{% endif %}"
        "<{{ m.role[0] }}>\n{% if tools and loop.first %}{{ tools | tojson }}{% endif %}"
        "{{ m.content | trim }}<e>{% endfor %}"
        + LAST + "<a>\n{% endif %}"
    ),
    "marked": (
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        "<a>{% generation %}{{ m.content }}<e>{% endgeneration %}\n"
        "{% else %}<u>{{ m.content }}\n{% endif %}{% endfor %}"
    ),
}  # fmt: skip
REWRITES = "{% for m in messages %}{{ m.content if loop.last else m.content | upper }}<e>{% endfor %}"
SPECIAL = ["<b>", "<e>", "<s>", "<u>", "<a>", "<t>", "</t>", "<call>", "</call>"]


@pytest.fixture(scope="module")
def made():
    tokenizers = pytest.importorskip("tokenizers")
    pytest.importorskip("jinja2")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(tokenizers.models.BPE({letter: at for at, letter in enumerate(alphabet)}, []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(SPECIAL)
    return lambda name: Tokenizer(backend, {"eos_token": "<e>"}, {"default": TEMPLATES.get(name, REWRITES)})


def chat(*said):
    roles = ("user", "assistant")
    return [{"role": roles[index % 2], "content": text} for index, text in enumerate(said)]


def targets(tokenizer, messages, mask_prompt="assistant", **record):
    """The texts of the targets, run by run."""
    found = ChatDataset([], tokenizer, mask_prompt=mask_prompt).process({"messages": messages, **record})
    mask = found.mask or [index >= found.offset for index in range(len(found.tokens))]
    runs, before = [], False
    for token, wanted in zip(found.tokens, mask, strict=True):
        if wanted:
            runs += [] if before else [[]]
            runs[-1].append(token)
        before = wanted
    return [tokenizer.decode(run) for run in runs]


ENDS = {
    "qwen": ["one\ntwo<e>\n", "<think>\n\n</think>\n\nthree<e>\n"],
    "deepseek": ["one\ntwo<e>", "three<e>"],
    "phi": ["one\ntwo<e>\n", "three<e>\n<b>"],
    "gpt-oss": ["<a>one\ntwo<e>", "<a>three<b>"],
    "glm": ["one\ntwo", "three"],
    "mistral": ["one\ntwo<e>", "three<e>"],
    "llama": ["one\ntwo<e>", "three<e>"],
    "marked": ["one\ntwo<e>", "three<e>"],
}
TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize("tools", [None, TOOLS])
@pytest.mark.parametrize("name", TEMPLATES)
def test_the_assistants_turns(made, name, tools):
    messages = chat("question", "one\ntwo", "question", "three")
    assert targets(made(name), messages, tools=tools) == ENDS[name]
    if name != "marked":
        assert targets(made(name), messages, True, tools=tools) == ENDS[name][1:]
    # A question behind them changes which turn is the last.
    asked = targets(made(name), [*messages, {"role": "user", "content": "more"}], tools=tools)
    last = {"qwen": "three<e>\n", "phi": "three<e>\n", "gpt-oss": "<a>three<e>"}.get(name, ENDS[name][1])
    assert asked == [ENDS[name][0], last]


TEXT = (Path(__file__).resolve().parents[2] / "docs/tuner.md").read_text(encoding="utf-8")
HEAD, _, *ROWS = re.search(r"\| chat template like.*?(?=\n\n)", TEXT, re.S)[0].splitlines()
NAMES = {"any with marks": "marked", "any that rewrites": "rewrites"}
MASKS = {"`--mask-prompt`": True, "`--mask-assistant`": "assistant"}
CELLS = [
    (NAMES.get(family, family.lower()), mask, cell)
    for family, _, *cells in ([cell.strip() for cell in row.strip("|").split("|")] for row in ROWS)
    for mask, cell in zip([name.strip() for name in HEAD.strip("|").split("|")][2:], cells, strict=True)
]
# Without a request to reply, the prompt has no beginning of one.
LAST_MESSAGE = {name: ends[-1] for name, ends in ENDS.items()} | {"marked": "<a>three<e>"}


def test_the_table_of_masks_has_every_template():
    assert {name for name, _, _ in CELLS} == {*TEMPLATES, "rewrites"}
    assert {mask for _, mask, _ in CELLS} == MASKS.keys()


@pytest.mark.parametrize("tools", [None, TOOLS])
@pytest.mark.parametrize(("name", "mask", "cell"), CELLS)
def test_the_table_of_masks(made, name, mask, cell, tools, monkeypatch):
    rendered, start = [], Conversation._start
    monkeypatch.setattr(Conversation, "_start", lambda *given, **more: rendered.append(given) or start(*given, **more))
    messages = chat("question", "one\ntwo", "question", "three")
    if cell.startswith("refused"):
        message = message_of(lambda: targets(made(name), messages, MASKS[mask], tools=tools))
        assert message.startswith(re.fullmatch("refused: `(.+)`", cell)[1])
        return
    expected = ENDS[name] if MASKS[mask] == "assistant" else [LAST_MESSAGE[name]]
    assert targets(made(name), messages, MASKS[mask], tools=tools) == expected
    assert cell == ("by renderings" if rendered else "by `{% generation %}`")


@pytest.mark.parametrize("name", TEMPLATES)
def test_turns_that_look_like_others(made, name):
    """Texts with the template's own signs in them, and equal ones one after the other."""
    messages = chat("one\n", "one", "one\n<", "one", "thr", "one\nthree")
    found = targets(made(name), messages)
    assert len(found) == 3
    assert found[0] == found[1]
    assert all("one" in text for text in found)
    assert found[-1].count("three") == 1


@pytest.mark.parametrize("content", ["", None, "let me look"])
def test_a_call_of_a_tool_is_said_by_the_assistant(made, content):
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": content, "tool_calls": [call]},
        {"role": "tool", "content": "3"},
        {"role": "assistant", "content": "three"},
    ]
    told = f'{content or ""}<call>{{"name": "f", "arguments": {{"a": 1}}}}</call><e>\n'
    assert targets(made("qwen"), messages) == [told, "<think>\n\n</think>\n\nthree<e>\n"]


def test_a_turn_that_cannot_be_told_is_named(made):
    message = message_of(lambda: targets(made("rewrites"), chat("a", "said", "b", "c")))
    assert message.startswith("the chat template writes the first 2 of these 4 messages differently")


def test_a_tokenizer_that_would_cut_its_texts_finds_the_same(made):
    """As some tokenizer.json say; transformers takes no notice of it."""

    class Other:
        """One that encodes past what its backend says."""

        def __init__(self, tokenizer):
            self._tokenizer = tokenizer
            self.backend_tokenizer = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
            self.backend_tokenizer.enable_truncation(4)

        def __getattr__(self, name):
            return getattr(self._tokenizer, name)

    messages = chat("question", "one\ntwo", "question", "three")
    assert targets(Other(made("qwen")), messages) == targets(made("qwen"), messages) == ENDS["qwen"]


def test_long_conversations_take_the_time_of_their_length(made):
    tokenizer = made("qwen")

    def seconds(turns, mask_prompt):
        messages = chat(*(f"{turn} " * 40 for turn in range(2 * turns)))
        start = time.process_time()
        ChatDataset([], tokenizer, mask_prompt=mask_prompt).process({"messages": messages})
        return time.process_time() - start

    seconds(10, "assistant")
    plain, masked = (min(seconds(200, mode) for _ in range(3)) for mode in (False, "assistant"))
    assert masked < 2.5 * plain + 0.05
