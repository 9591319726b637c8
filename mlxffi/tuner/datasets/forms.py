"""Forms of records: which of them a record has, what it has to hold then, and the one that datasets take it in.

ShareGPT and Alpaca become messages. Preferences are recognised, so that nobody learns one half of them for all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..._errors import ArgumentError
from .fields import (
    DatasetConfig,
    Record,
    check_chat,
    check_completion,
    check_content,
    check_labelled,
    check_preference,
    check_text,
    json_name,
    messages_of,
    require_string,
    tools_of,
)
from .records import fingerprint_of, place_of


class Form(NamedTuple):
    """A form of records.

    Args:
      name: what users call it.
      fits: whether a record seems to have it, by the fields that are not null.
      check: raises unless a record is one of it; the message begins with the field.
    """

    name: str
    fits: Callable[[Record, DatasetConfig], bool]
    check: Callable[[Record, DatasetConfig], None]


class FieldCheck:
    """Requires of every record it is called with the form that the first of them had.

    Args:
      config: names the fields, and perhaps the form.

    Raises:
      ValueError: a record lacks a field, or has another type in it; the message begins with the field.
    """

    def __init__(self, config: DatasetConfig):
        self._config = config
        self.kind = config.kind

    def __call__(self, record: Any) -> None:
        if not isinstance(record, dict):
            raise ArgumentError(f"expected an object, got {json_name(record)}")
        if self.kind == "auto":
            self.kind = kind_of(record, self._config)
        try:
            FORMS[self.kind].check(record, self._config)
        except ArgumentError as error:
            raise self._explained(record, error) from None

    def _explained(self, record: Record, error: ArgumentError) -> ArgumentError:
        other = _first_fit(record, self._config)
        if other in (None, self.kind) or self._config.kind != "auto":
            return error
        wanted = FORMS[self.kind].name
        return ArgumentError(
            f"{error} (expected {wanted}, as all of a file is, and this seems to be {FORMS[other].name})"
        )


def kind_of(record: Record, config: DatasetConfig) -> str:
    """The form of a record, a key of `FORMS`.

    Args:
      record: a dictionary.
      config: names the fields.

    Returns:
      The first form whose fields it has.

    Raises:
      ValueError: it has the fields of none.
    """
    found = _first_fit(record, config)
    if found is None:
        fields = f"{config.prompt_feature} and {config.completion_feature}, {config.chat_feature}"
        others = "conversations (ShareGPT), instruction and output (Alpaca)"
        got = ", ".join(map(repr, record)) or "none"
        raise ArgumentError(f"expected the fields {fields}, {config.text_feature}, {others}, got {got}")
    return found


def _first_fit(record: Record, config: DatasetConfig) -> str | None:
    return next((kind for kind, form in FORMS.items() if form.fits(record, config)), None)


def _has(record: Record, *fields: str) -> bool:
    # Tables have null for what a record lacks.
    return all(record.get(field) is not None for field in fields)


# --- ShareGPT ---

ROLES = {
    **dict.fromkeys(["human", "user", "prompter"], "user"),
    **dict.fromkeys(["gpt", "assistant", "chatgpt", "bing", "bard", "model", "function_call"], "assistant"),
    **dict.fromkeys(["tool", "observation", "function_response", "function", "ipython"], "tool"),
    **{role: role for role in ("system", "developer")},
}
TURNS = ("conversations", "conversation")


def turns_key(record: Record, config: DatasetConfig) -> str | None:
    """The field of a record that has turns with `from` and `value`, or messages under ShareGPT's name.

    Args:
      record: a dictionary.
      config: names the field of messages.

    Returns:
      The field's name; None where there is none.
    """
    given = [key for key in (config.chat_feature, *TURNS) if _has(record, key)]
    return next((key for key in given if key in TURNS or _is_turn(record[key])), None)


def _is_turn(found: Any) -> bool:
    first = found[0] if isinstance(found, list) and found else None
    return isinstance(first, dict) and "from" in first and "role" not in first


def _check_sharegpt(record: Record, config: DatasetConfig) -> None:
    key = turns_key(record, config) or TURNS[0]
    for index, turn in enumerate(messages_of(record, key)):
        path = f"{key}[{index}]."
        who, what = ("role", "content") if "role" in turn else ("from", "value")
        require_string(turn, who, path)
        if turn[who] not in ROLES:
            raise ArgumentError(f"{path}{who}: expected one of {', '.join(ROLES)}, got {turn[who]!r}")
        if what == "value":
            require_string(turn, what, path)
        else:
            check_content(turn, path)
        if turn[who] == "function_call":
            _calls(turn[what], f"{path}{what}")
    _check_system(record)
    tools_of(record)


def _check_system(record: Record) -> None:
    if record.get("system") is not None:
        require_string(record, "system")


def _from_sharegpt(record: Record, config: DatasetConfig) -> Record:
    turns = messages_of(record, turns_key(record, config) or TURNS[0])
    return {"messages": [*_system(record), *map(_message, turns)], "tools": tools_of(record)}


def _system(record: Record) -> list[Record]:
    return [{"role": "system", "content": record["system"]}] if record.get("system") else []


def _message(turn: Record) -> Record:
    if "role" in turn:
        return {**turn, "role": ROLES[turn["role"]]}
    said, more = turn["value"], {"weight": turn["weight"]} if "weight" in turn else {}
    if turn["from"] == "function_call":
        more["tool_calls"], said = _calls(said, "value"), ""
    return {"role": ROLES[turn["from"]], "content": said, **more}


def _calls(text: str, path: str) -> list[Record]:
    """The calls of tools in a text: an object with `name` and `arguments`, or several in a list."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    calls = found if isinstance(found, list) else [found]
    if not calls or not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls):
        raise ArgumentError(f"{path}: expected the JSON of a call with name and arguments, got {text[:80]!r}")
    return [{"type": "function", "function": call} for call in calls]


# --- Alpaca ---


def _check_alpaca(record: Record, config: DatasetConfig) -> None:
    require_string(record, "instruction")
    require_string(record, "output")
    if record.get("input") is not None:
        require_string(record, "input")
    _check_system(record)
    history = record.get("history")
    pairs = history if isinstance(history, list) else [history] * (history is not None)
    for index, pair in enumerate(pairs):
        if not isinstance(pair, list) or len(pair) != 2:
            raise ArgumentError(f"history[{index}]: expected a question and its answer, got {json_name(pair)}")
        for place, text in enumerate(pair):
            require_string({f"[{place}]": text}, f"[{place}]", f"history[{index}]")


def _from_alpaca(record: Record, config: DatasetConfig) -> Record:
    """Messages: an input stands below its instruction."""
    asked = "\n".join(filter(None, [record["instruction"], record.get("input")]))
    pairs = [*(record.get("history") or []), [asked, record["output"]]]
    turns = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in pairs]
    return {"messages": [*_system(record), *(message for turn in turns for message in turn)]}


def _from_alpaca_plainly(record: Record, config: DatasetConfig) -> Record:
    """Prompt and completion, for models without a chat template."""
    turns = [_section("Instruction", q) + _section("Response", a) for q, a in record.get("history") or []]
    asked = _section("Instruction", record["instruction"]) + _section("Input", record.get("input"))
    before = f"{record['system']}\n\n" if record.get("system") else ""
    prompt = f"{before}{''.join(turns)}{asked}### Response:\n"
    return {config.prompt_feature: prompt, config.completion_feature: record["output"]}


def _section(title: str, text: str | None) -> str:
    return f"### {title}:\n{text}\n\n" if text else ""


# --- preferences ---


def _is_labelled(record: Record, config: DatasetConfig) -> bool:
    # A number may mean anything.
    label = str(record.get(config.label_feature)).lower()
    return _has(record, config.prompt_feature, config.completion_feature) and label in ("true", "false")


# --- the table ---

# In this order: the first that fits.
FORMS: dict[str, Form] = {
    "labelled": Form(
        "completions with a label (KTO)",
        _is_labelled,
        lambda record, config: check_labelled(
            record, config.prompt_feature, config.completion_feature, config.label_feature
        ),
    ),
    "completions": Form(
        "prompts and completions",
        lambda record, config: _has(record, config.prompt_feature, config.completion_feature),
        lambda record, config: check_completion(record, config.prompt_feature, config.completion_feature),
    ),
    "chat": Form(
        "messages",
        lambda record, config: _has(record, config.chat_feature) and not _is_turn(record[config.chat_feature]),
        lambda record, config: check_chat(record, config.chat_feature),
    ),
    "preference": Form(
        "preferences (chosen, rejected)",
        lambda record, config: _has(record, config.chosen_feature, config.rejected_feature),
        lambda record, config: check_preference(
            record, config.prompt_feature, config.chosen_feature, config.rejected_feature
        ),
    ),
    "sharegpt": Form(
        "ShareGPT",
        lambda record, config: turns_key(record, config) is not None,
        _check_sharegpt,
    ),
    "alpaca": Form("Alpaca", lambda record, config: _has(record, "instruction", "output"), _check_alpaca),
    "text": Form(
        "texts",
        lambda record, config: _has(record, config.text_feature),
        lambda record, config: check_text(record, config.text_feature),
    ),
}
PREFERENCES = ("preference", "labelled")


def counted(records: int) -> str:
    """A number of records as text.

    Args:
      records: how many.

    Returns:
      A text such as "1,000 records".
    """
    return f"{records:,} record{'s' * (records != 1)}"


# --- other forms as those that datasets know ---


class Converted(Sequence[Record]):
    """Records in another form.

    Args:
      data: as they stand in their file.
      convert: makes the other of one that was checked.
      config: for `convert`.
    """

    def __init__(
        self, data: Sequence[Record], convert: Callable[[Record, DatasetConfig], Record], config: DatasetConfig
    ):
        self._data, self._convert, self._config = data, convert, config

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: Any) -> Any:
        return self._convert(self._data[index], self._config)

    def where(self, index: int) -> str:
        """Where a record came from, for errors; see `place_of`."""
        return place_of(self._data, index)

    @property
    def path(self) -> str:
        """The file of the records."""
        return str(getattr(self._data, "path", "records"))

    @property
    def fingerprint(self) -> str:
        """That of the records as they stand."""
        return f"{self._convert.__name__.strip('_')} {fingerprint_of(self._data)}"


CONVERTED: dict[str, Callable[[Record, DatasetConfig], Record]] = {
    "sharegpt": _from_sharegpt,
    "alpaca": _from_alpaca,
    "plain alpaca": _from_alpaca_plainly,
}
