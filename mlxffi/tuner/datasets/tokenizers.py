"""What datasets ask of a tokenizer: those of mlxffi.tuner.models, transformers and mlx_lm all answer it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from ..._errors import ArgumentError


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back."""

    @property
    def eos_token_id(self) -> int | None:
        """The id of the token that ends a text, if there is one."""
        ...

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """The ids of a text, with the tokens that begin and end one where the tokenizer has such."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        ...

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = True,
    ) -> Any:
        """The text of a conversation if not `tokenize`, else what `encode` without special tokens makes of it."""
        ...


def templated(
    tokenizer: Tokenizer,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
    add_generation_prompt: bool = False,
    tokenize: bool = True,
) -> Any:
    """The ids of a conversation, or its text where `tokenize` is false.

    Raises:
      ValueError: there is no template, or it fails on these messages.
    """
    options: dict[str, Any] = {"tools": tools, "add_generation_prompt": add_generation_prompt, "tokenize": tokenize}
    try:
        found = tokenizer.apply_chat_template(messages, **options)
    except _template_errors() as error:
        raise ArgumentError(f"the chat template failed: {type(error).__name__}: {error}") from error
    # transformers gives ids among other things from version 5 on.
    return found["input_ids"] if isinstance(found, Mapping) else found


def _template_errors() -> tuple[type[Exception], ...]:
    """What templates raise for messages they do not expect; jinja2 is there if one of its errors was raised."""
    jinja2 = sys.modules.get("jinja2")
    return (TypeError, ValueError, RecursionError, *([jinja2.TemplateError] if jinja2 else []))
