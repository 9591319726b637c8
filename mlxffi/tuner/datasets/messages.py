"""Messages in the form that a chat template takes, of which there are several for the same thing.

Content is a text or a list of parts, arguments of a tool are an object or the JSON text of one, instructions come from
the system or the developer. A template that does not know a form fails, or writes something else without a word: a
list as Python writes it, a text in quotes, nothing. So what it writes of a message as it was given is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ..._errors import ArgumentError

Message: TypeAlias = "Mapping[str, Any]"
Render: TypeAlias = "Callable[[Sequence[Message]], str]"


def for_template(messages: Sequence[Message], render: Render) -> Sequence[Message]:
    """Messages in a form that a template writes completely.

    Args:
      messages: as they were given.
      render: the text that the template makes of messages.

    Returns:
      The messages without fields that are None, in another form where the template would lose something of them.
    """
    # What other records have and this one lacks stands in tables as null.
    messages = [
        {key: value for key, value in message.items() if value is not None or key == "content"} for message in messages
    ]
    for change, is_lost in FORMS:
        other = [change(message) for message in messages]
        if other != messages and _is_better(messages, other, render, is_lost):
            messages = other
    return messages


def _is_better(
    given: Sequence[Message], other: Sequence[Message], render: Render, is_lost: Callable[[Message, str, str], bool]
) -> bool:
    try:
        changed = render(other)
    except ArgumentError:
        return False
    try:
        written = render(given)
    except ArgumentError:
        return True
    return any(is_lost(message, written, changed) for message in given)


# --- content ---


def _joined(message: Message) -> Message:
    """Parts of text as one text."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": "".join(str(part.get("text", "")) for part in content)}


def _parts_are_lost(message: Message, written: str, changed: str) -> bool:
    content = message.get("content")
    if not isinstance(content, list):
        return False
    texts = [str(part.get("text", "")).strip() for part in content]
    return str(content) in written or any(text not in written and text in changed for text in texts)


def _empty_for_none(message: Message) -> Message:
    return {**message, "content": ""} if message.get("content", "") is None else message


def _none_is_written(message: Message, written: str, changed: str) -> bool:
    return written.count("None") > changed.count("None")


def _from_system(message: Message) -> Message:
    return {**message, "role": "system"} if message.get("role") == "developer" else message


def _developer_is_lost(message: Message, written: str, changed: str) -> bool:
    content = message.get("content")
    if message.get("role") != "developer" or not isinstance(content, str):
        return False
    return content.strip() not in written and content.strip() in changed


# --- calls of tools ---


def _with_arguments(message: Message, change: Callable[[Any], Any]) -> Message:
    def changed(call: Any) -> Any:
        if not isinstance(call, Mapping):
            return call
        if isinstance(call.get("function"), Mapping):
            return {**call, "function": changed(call["function"])}
        return {**call, "arguments": change(call["arguments"])} if "arguments" in call else call

    calls = message.get("tool_calls")
    return {**message, "tool_calls": [changed(call) for call in calls]} if isinstance(calls, list) else message


def _arguments(message: Message) -> list[Any]:
    found: list[Any] = []
    _with_arguments(message, lambda value: found.append(value) or value)  # type: ignore[func-returns-value]
    return found


def _as_object(value: Any) -> Any:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value
    return found if isinstance(found, dict) else value


def _as_json(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def _quotes_are_quoted(message: Message, written: str, changed: str) -> bool:
    """Whether a JSON text was encoded once more."""
    texts = [value for value in _arguments(message) if isinstance(value, str) and _as_object(value) is not value]
    return any(json.dumps(text, ensure_ascii=False) in written or json.dumps(text) in written for text in texts)


def _is_python(message: Message, written: str, changed: str) -> bool:
    """Whether an object was written as Python writes it."""
    objects = [value for value in _arguments(message) if isinstance(value, dict)]
    return any(str(value) in written and str(value) != _as_json(value) for value in objects)


FORMS: list[tuple[Callable[[Message], Message], Callable[[Message, str, str], bool]]] = [
    (_joined, _parts_are_lost),
    (_empty_for_none, _none_is_written),
    (lambda message: _with_arguments(message, _as_object), _quotes_are_quoted),
    (lambda message: _with_arguments(message, _as_json), _is_python),
    (_from_system, _developer_is_lost),
]
