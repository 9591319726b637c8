"""Chat templates: Jinja programs that come with a model and make one text of messages.

They are somebody else's code, so they run in Jinja's sandbox. Beside Jinja's own they may use what transformers gives
them: raise_exception, strftime_now, a `tojson` that leaves HTML alone, break and continue, and a generation block.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import accumulate
from typing import Any

from ..._errors import ArgumentError
from ..checks import required

# What stands around generation blocks in a text until it is told where they are; nobody else's text has it.
MARK = f"\0{secrets.token_hex(8)}\0"


def rendered(template: str, variables: Mapping[str, Any]) -> tuple[str, list[tuple[int, int]]]:
    """The text that a template makes of its variables, and where its generation blocks begin and end in it.

    Args:
      template: in Jinja.
      variables: by name: `messages` and what else the template uses.

    Returns:
      (the text, the first character of each block and the one after its last).

    Raises:
      ValueError: the template is wrong, or refuses the messages; the message has its reason.
    """
    required("jinja2", "tune")
    try:
        text: str = _compiled(template).render(**variables)
    except Exception as error:  # of whatever class: a template is somebody else's program
        raise ArgumentError(f"chat template: {error}") from error
    first, *parts = text.split(MARK)
    borders = list(accumulate(map(len, parts), initial=len(first)))
    return "".join([first, *parts]), list(zip(borders[:-1:2], borders[1::2], strict=True))


@lru_cache(maxsize=8)
def _compiled(template: str) -> Any:
    return _environment().from_string(template)


@lru_cache(maxsize=1)
def _environment() -> Any:
    sandbox = required("jinja2.sandbox", "tune")
    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _generation_block()]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
    return environment


def _generation_block() -> type:
    """The tag around what an assistant says, which is that text."""
    extension, nodes = required("jinja2.ext", "tune").Extension, required("jinja2.nodes", "tune")

    class GenerationBlock(extension):  # type: ignore[misc, valid-type]
        tags = frozenset({"generation"})

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            mark = nodes.Output([nodes.TemplateData(MARK)])
            return nodes.Scope([mark, *body, mark]).set_lineno(line)

    return GenerationBlock


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise required("jinja2", "tune").TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


def chosen(templates: Mapping[str, str], tools: Sequence[Any] | None) -> str:
    """The template for messages: that for tools if there are both, else the default.

    Args:
      templates: by name.
      tools: their schemas; None for none.

    Returns:
      The template.

    Raises:
      ValueError: there is none.
    """
    if tools is not None and "tool_use" in templates:
        return templates["tool_use"]
    if "default" not in templates:
        raise ArgumentError(
            "[apply_chat_template] the tokenizer has no chat template: expected `chat_template` in "
            f"tokenizer_config.json or chat_template.jinja; got {sorted(templates) or 'neither'}"
        )
    return templates["default"]
