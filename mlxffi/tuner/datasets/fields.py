"""Which fields records have: found from the first record, then required of every one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..._errors import ArgumentError
from .. import checks

Record: TypeAlias = "dict[str, Any]"
MaskPrompt: TypeAlias = "bool | Literal['assistant']"

MAX_FILE_BYTES = 1 << 40
MAX_RECORD_BYTES = 16 << 20


@dataclass(frozen=True)
class DatasetConfig:
    """What records look like, and which of their tokens are targets.

    Args:
      kind: "text", "chat" or "completions"; "auto" takes the first of completions, chat and text whose fields the
        first record has. "preference": a chosen and a rejected completion; "labelled": one, and whether it is good.
      mask_prompt: False: every token is a target. True: only the completion, or a conversation's last message.
        "assistant": every turn of the assistant. Texts have no prompt.
      text_feature: the field of a text.
      chat_feature: the field of a conversation, a list of {"role": ..., "content": ...}.
      prompt_feature: the field of a prompt.
      completion_feature: the field of its completion.
      chosen_feature, rejected_feature: the fields of the completions of a preference.
      label_feature: the field that says whether a completion is good.
      max_file_bytes: larger files are refused. Records are read when they are needed, so files may exceed the memory.
      max_record_bytes: longer lines are refused before they are read.

    Raises:
      ValueError: an option is not as above.
    """

    kind: str = "auto"
    mask_prompt: MaskPrompt = False
    text_feature: str = "text"
    chat_feature: str = "messages"
    prompt_feature: str = "prompt"
    completion_feature: str = "completion"
    chosen_feature: str = "chosen"
    rejected_feature: str = "rejected"
    label_feature: str = "label"
    max_file_bytes: int = MAX_FILE_BYTES
    max_record_bytes: int = MAX_RECORD_BYTES

    def __post_init__(self) -> None:
        if self.kind not in ("auto", *CHECKS):
            raise ArgumentError(f"[DatasetConfig] kind: expected auto, {', '.join(CHECKS)}, got {self.kind!r}")
        require_mask_prompt("DatasetConfig", self.mask_prompt)
        for name in ("max_file_bytes", "max_record_bytes"):
            checks.count("DatasetConfig", name, getattr(self, name), 1)


def require_mask_prompt(function: str, mask_prompt: MaskPrompt) -> None:
    """Raise unless a value is one of those of `mask_prompt`."""
    if mask_prompt not in (False, True, "assistant"):
        raise ArgumentError(f"[{function}] mask_prompt: expected False, True or 'assistant', got {mask_prompt!r}")


class FieldCheck:
    """Requires of every record it is called with what the first of them had.

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
        CHECKS[self.kind](record, self._config)


def kind_of(record: Record, config: DatasetConfig) -> str:
    """What a record is: "completions", "chat" or "text".

    Raises:
      ValueError: it has the fields of none.
    """
    # Tables have null for what a record lacks.
    given = {field for field, value in record.items() if value is not None}
    if {config.prompt_feature, config.completion_feature} <= given:
        return "completions"
    if config.chat_feature in given:
        return "chat"
    if config.text_feature in given:
        return "text"
    fields = f"{config.prompt_feature} and {config.completion_feature}, {config.chat_feature}, or {config.text_feature}"
    raise ArgumentError(f"expected the fields {fields}, got {', '.join(map(repr, record)) or 'none'}")


# --- the fields of each kind ---


def check_text(record: Record, text_key: str) -> None:
    """Raise unless a record has a text."""
    _require_string(record, text_key)


def check_completion(record: Record, prompt_key: str, completion_key: str) -> None:
    """Raise unless a record has a prompt and its completion, each a text or a list of messages."""
    for key in (prompt_key, completion_key):
        _check_said(record, key)
    tools_of(record)


def check_preference(record: Record, prompt_key: str, chosen_key: str, rejected_key: str) -> None:
    """Raise unless a record has two completions, both texts or both lists of messages, and any prompt is one, too."""
    for key in (*([] if record.get(prompt_key) is None else [prompt_key]), chosen_key, rejected_key):
        _check_said(record, key)
    if isinstance(record[chosen_key], str) != isinstance(record[rejected_key], str):
        kinds = f"{json_name(record[chosen_key])} and {json_name(record[rejected_key])}"
        raise ArgumentError(f"{chosen_key}, {rejected_key}: expected two strings or two lists, got {kinds}")
    tools_of(record)


def check_labelled(record: Record, prompt_key: str, completion_key: str, label_key: str) -> None:
    """Raise unless a record has a prompt, its completion, and whether that is good: true or false, or 1 or 0."""
    check_completion(record, prompt_key, completion_key)
    if type(record.get(label_key)) not in (bool, int) or record[label_key] not in (0, 1):
        found = record[label_key] if type(record.get(label_key)) is int else _found(record, label_key)
        raise ArgumentError(f"{label_key}: expected true or false, got {found}")


def _check_said(record: Record, key: str) -> None:
    """Raise unless a field has a text or a list of messages."""
    if isinstance(record.get(key), list):
        _check_messages(record, key)
    else:
        _require_string(record, key)


def check_chat(record: Record, chat_key: str) -> None:
    """Raise unless a record has a conversation."""
    _check_messages(record, chat_key)
    tools_of(record)


def tools_of(record: Record) -> list[Any] | None:
    """The tools of a record, which may stand there as the JSON text of a list.

    Raises:
      ValueError: it has other than a list of objects.
    """
    tools = record.get("tools")
    if isinstance(tools, str):
        try:
            record = {"tools": json.loads(tools) if tools.strip() else None}
        except (ValueError, RecursionError):
            raise ArgumentError(f"tools: expected a list of objects, or the JSON of one, got {tools[:80]!r}") from None
    _require_objects(record, "tools", required=False)
    found: list[Any] | None = record.get("tools")
    return found


def _check_messages(record: Record, key: str) -> None:
    _require_objects(record, key)
    if not record[key]:
        raise ArgumentError(f"{key}: expected at least one message, got an empty list")
    for index, message in enumerate(record[key]):
        _require_string(message, "role", f"{key}[{index}].")
        _check_content(message, f"{key}[{index}].")


def _check_content(message: Record, path: str) -> None:
    """Content is a text or a list of parts that are texts; next to calls of tools there may be none."""
    content = message.get("content")
    if isinstance(content, list):
        _require_objects(message, "content", path)
        for index, part in enumerate(content):
            if part.get("type", "text") != "text":
                found = f"{path}content[{index}]: expected a part of the type 'text', got {part['type']!r}"
                raise ArgumentError(f"{found}; nothing else is learnt")
            _require_string(part, "text", f"{path}content[{index}].")
    elif content is not None or not message.get("tool_calls"):
        _require_string(message, "content", path)


CHECKS: dict[str, Callable[[Record, DatasetConfig], None]] = {
    "completions": lambda record, config: check_completion(record, config.prompt_feature, config.completion_feature),
    "chat": lambda record, config: check_chat(record, config.chat_feature),
    "text": lambda record, config: check_text(record, config.text_feature),
    "preference": lambda record, config: check_preference(
        record, config.prompt_feature, config.chosen_feature, config.rejected_feature
    ),
    "labelled": lambda record, config: check_labelled(
        record, config.prompt_feature, config.completion_feature, config.label_feature
    ),
}


def _require_string(record: Record, field: str, path: str = "") -> None:
    if not isinstance(record.get(field), str):
        raise ArgumentError(f"{path}{field}: expected a string, got {_found(record, field)}")
    require_characters(f"{path}{field}", record[field])


def require_characters(name: str, text: Any) -> None:
    """Raise where a text has half of a surrogate pair, which JSON and Python can write and no tokenizer can read."""
    try:
        if isinstance(text, str):
            text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ArgumentError(f"{name}: {half_of_a_pair(error)}") from None


def half_of_a_pair(error: UnicodeEncodeError) -> str:
    """What is wrong with a text that cannot be encoded."""
    return f"expected characters, got half of a surrogate pair, \\u{ord(error.object[error.start]):04x}"


def _require_objects(record: Record, field: str, path: str = "", required: bool = True) -> None:
    found = record.get(field)
    if found is None and not required:
        return
    if not isinstance(found, list):
        raise ArgumentError(f"{path}{field}: expected a list of objects, got {_found(record, field)}")
    for index, item in enumerate(found):
        if not isinstance(item, dict):
            raise ArgumentError(f"{path}{field}[{index}]: expected an object, got {json_name(item)}")


def _found(record: Record, field: str) -> str:
    return json_name(record[field]) if field in record else "no such field"


def json_name(value: Any) -> str:
    """What JSON calls a value."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
