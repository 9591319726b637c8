"""What is required of the fields of records, and what a configuration may say of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..._errors import ArgumentError
from .. import checks

Record: TypeAlias = "dict[str, Any]"
MaskPrompt: TypeAlias = "bool | Literal['assistant']"

KINDS = ("completions", "chat", "text", "sharegpt", "alpaca", "preference", "labelled")
MAX_FILE_BYTES = 1 << 40
MAX_RECORD_BYTES = 16 << 20


@dataclass(frozen=True)
class DatasetConfig:
    """What records look like, and which of their tokens are targets.

    Args:
      kind: the form of the records, one of `KINDS`; "auto" takes that of the first record.
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
        if self.kind not in ("auto", *KINDS):
            raise ArgumentError(f"[DatasetConfig] kind: expected auto, {', '.join(KINDS)}, got {self.kind!r}")
        require_mask_prompt("DatasetConfig", self.mask_prompt)
        for name in ("max_file_bytes", "max_record_bytes"):
            checks.count("DatasetConfig", name, getattr(self, name), 1)


def require_mask_prompt(function: str, mask_prompt: MaskPrompt) -> None:
    """Raise unless a value is one of those of `mask_prompt`.

    Args:
      function: whose argument it is, for the message.
      mask_prompt: what came.

    Raises:
      ValueError: it is not False, True or "assistant".
    """
    if mask_prompt not in (False, True, "assistant"):
        raise ArgumentError(f"[{function}] mask_prompt: expected False, True or 'assistant', got {mask_prompt!r}")


# --- the fields of each kind ---


def check_text(record: Record, text_key: str) -> None:
    """Raise unless a record has a text.

    Args:
      record: to be checked.
      text_key: the field.

    Raises:
      ValueError: it has none; the message names the field.
    """
    require_string(record, text_key)


def check_completion(record: Record, prompt_key: str, completion_key: str) -> None:
    """Raise unless a record has a prompt and its completion, each a text or a list of messages.

    Args:
      record: to be checked.
      prompt_key, completion_key: the fields.

    Raises:
      ValueError: a field is missing or something else; the message names it.
    """
    for key in (prompt_key, completion_key):
        check_said(record, key)
    tools_of(record)


def check_preference(record: Record, prompt_key: str, chosen_key: str, rejected_key: str) -> None:
    """Raise unless a record has two completions, both texts or both lists of messages, and any prompt is one, too.

    Args:
      record: to be checked.
      prompt_key, chosen_key, rejected_key: the fields; the first may be missing.

    Raises:
      ValueError: a field is missing or something else; the message names it.
    """
    for key in (*([] if record.get(prompt_key) is None else [prompt_key]), chosen_key, rejected_key):
        check_said(record, key)
    if isinstance(record[chosen_key], str) != isinstance(record[rejected_key], str):
        kinds = f"{json_name(record[chosen_key])} and {json_name(record[rejected_key])}"
        raise ArgumentError(f"{chosen_key}, {rejected_key}: expected two strings or two lists, got {kinds}")
    tools_of(record)


def check_labelled(record: Record, prompt_key: str, completion_key: str, label_key: str) -> None:
    """Raise unless a record has a prompt, its completion, and whether that is good: true or false, or 1 or 0.

    Args:
      record: to be checked.
      prompt_key, completion_key, label_key: the fields.

    Raises:
      ValueError: a field is missing or something else; the message names it.
    """
    check_completion(record, prompt_key, completion_key)
    if label_of(record.get(label_key)) is None:
        found = repr(record[label_key]) if type(record.get(label_key)) in (int, str) else _found(record, label_key)
        raise ArgumentError(f"{label_key}: expected true or false, got {found}")


def label_of(value: Any) -> bool | None:
    """Whether a completion is good, by its label.

    Args:
      value: true or false, 1 or 0, or the text of one of them, as in a table of texts.

    Returns:
      None where it is no label.
    """
    name = str(value).lower() if isinstance(value, (bool, int, str)) else ""
    return {"true": True, "false": False, "1": True, "0": False}.get(name)


def check_said(record: Record, key: str) -> None:
    """Raise unless a field has a text or a list of messages.

    Args:
      record: to be checked.
      key: the field.

    Raises:
      ValueError: it is missing or something else; the message names it.
    """
    if isinstance(record.get(key), list):
        check_messages(record, key)
    else:
        require_string(record, key)


def check_chat(record: Record, chat_key: str) -> None:
    """Raise unless a record has a conversation.

    Args:
      record: to be checked.
      chat_key: the field of its messages.

    Raises:
      ValueError: a message, or a tool, is not as it should be; the message names its place.
    """
    check_messages(record, chat_key)
    tools_of(record)


def tools_of(record: Record) -> list[Any] | None:
    """The tools of a record, which may stand there as the JSON text of a list.

    Args:
      record: perhaps with a field `tools`.

    Returns:
      The list; None where there is none.

    Raises:
      ValueError: it has other than a list of objects.
    """
    tools = record.get("tools")
    if isinstance(tools, str):
        try:
            record = {"tools": json.loads(tools) if tools.strip() else None}
        except (ValueError, RecursionError):
            raise ArgumentError(f"tools: expected a list of objects, or the JSON of one, got {tools[:80]!r}") from None
    require_objects(record, "tools", required=False)
    found: list[Any] | None = record.get("tools")
    return found


def messages_of(record: Record, key: str) -> list[Record]:
    """The messages of a record, which may stand there, as in a table of texts, as the JSON text of a list.

    Args:
      record: with messages.
      key: the field.

    Returns:
      At least one message.

    Raises:
      ValueError: it has other than a list of objects, or none in it.
    """
    text = record.get(key)
    if isinstance(text, str) and text.lstrip().startswith("["):
        try:
            record = {key: json.loads(text)}
        except (ValueError, RecursionError) as error:
            raise ArgumentError(f"{key}: expected a list of objects, or the JSON of one: {error}") from None
    require_objects(record, key)
    found: list[Record] = record[key]
    if not found:
        raise ArgumentError(f"{key}: expected at least one message, got an empty list")
    return found


def check_messages(record: Record, key: str) -> None:
    """Raise unless a record has messages, each with a role and something said.

    Args:
      record: to be checked.
      key: the field of its messages.

    Raises:
      ValueError: a message is not as it should be; the error names its place.
    """
    for index, message in enumerate(messages_of(record, key)):
        require_string(message, "role", f"{key}[{index}].")
        check_content(message, f"{key}[{index}].")


def check_content(message: Record, path: str) -> None:
    """Raise unless a message has content, a text or a list of parts that are texts, or calls of tools without any.

    Args:
      message: to be checked.
      path: its place in the record with a dot at the end, such as "messages[0].".

    Raises:
      ValueError: its content is something else; the error names its place.
    """
    content = message.get("content")
    if isinstance(content, list):
        require_objects(message, "content", path)
        for index, part in enumerate(content):
            if part.get("type", "text") != "text":
                found = f"{path}content[{index}]: expected a part of the type 'text', got {part['type']!r}"
                raise ArgumentError(f"{found}; nothing else is learnt")
            require_string(part, "text", f"{path}content[{index}].")
    elif content is not None or not message.get("tool_calls"):
        require_string(message, "content", path)


def require_string(record: Record, field: str, path: str = "") -> None:
    """Raise unless a field is a text.

    Args:
      record: to be checked.
      field: which one.
      path: what stands before the field's name in the message.

    Raises:
      ValueError: it is missing, something else, or no valid text.
    """
    if not isinstance(record.get(field), str):
        raise ArgumentError(f"{path}{field}: expected a string, got {_found(record, field)}")
    require_characters(f"{path}{field}", record[field])


def require_characters(name: str, text: Any) -> None:
    """Raise where a text has half of a surrogate pair, which JSON and Python can write and no tokenizer can read.

    Args:
      name: of the text, for the message.
      text: to be checked; what is no text passes.

    Raises:
      ValueError: it has half of a pair.
    """
    try:
        if isinstance(text, str):
            text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ArgumentError(f"{name}: {half_of_a_pair(error)}") from None


def half_of_a_pair(error: UnicodeEncodeError) -> str:
    """What is wrong with a text that cannot be encoded.

    Args:
      error: of the attempt.

    Returns:
      A text for an error, which names the half.
    """
    return f"expected characters, got half of a surrogate pair, \\u{ord(error.object[error.start]):04x}"


def require_objects(record: Record, field: str, path: str = "", required: bool = True) -> None:
    """Raise unless a field is a list of objects; one that is not required may be missing.

    Args:
      record: to be checked.
      field: which one.
      path: what stands before the field's name in the message.
      required: whether it must be there.

    Raises:
      ValueError: it is something else, or an item is no object.
    """
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
    """What JSON calls a value.

    Args:
      value: what JSON was read as.

    Returns:
      A text such as "a string".
    """
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
