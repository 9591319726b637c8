"""What datasets ask of a tokenizer: those of mlxffi.tuner.models, transformers and mlx_lm all answer it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ..._errors import ArgumentError


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back."""

    @property
    def eos_token_id(self) -> int | None:
        """The id of the token that ends a text, if there is one."""
        ...

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """The ids of a text, with the tokens that mark its beginning and end if the tokenizer has such.

        Args:
          text: any.
          add_special_tokens: whether to add the tokens at the beginning and the end.

        Returns:
          Ids.
        """
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids.

        Args:
          ids: tokens.

        Returns:
          Their text.
        """
        ...

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = True,
    ) -> Any:
        """The text of a conversation if not `tokenize`, else what `encode` without special tokens makes of it.

        Args:
          messages: dictionaries with `role` and `content`.
          tools: schemas of functions that the assistant may call; None for none.
          add_generation_prompt: write the beginning of the assistant's next turn after the messages.
          tokenize: give ids instead of a text.

        Returns:
          A text, or ids (perhaps in a mapping, as `input_ids`).
        """
        ...


def has_template(tokenizer: Tokenizer) -> bool:
    """Whether a tokenizer has a chat template; assumed if it does not say.

    Args:
      tokenizer: any.

    Returns:
      False where it says that there is none.
    """
    said: bool | None = getattr(tokenizer, "has_chat_template", None)
    return getattr(tokenizer, "chat_template", True) not in (None, "", {}, []) if said is None else said


def templated(
    tokenizer: Tokenizer,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
    add_generation_prompt: bool = False,
    tokenize: bool = True,
) -> Any:
    """The ids of a conversation, or its text where `tokenize` is false.

    Args:
      tokenizer: with a chat template.
      messages, tools, add_generation_prompt, tokenize: as in `Tokenizer.apply_chat_template`.

    Returns:
      A list of ids, or a text.

    Raises:
      ValueError: there is no template, or it fails on these messages.
    """
    if not has_template(tokenizer):
        raise ArgumentError("messages need a chat template, and the tokenizer has none")
    options: dict[str, Any] = {"tools": tools, "add_generation_prompt": add_generation_prompt, "tokenize": tokenize}
    try:
        found = tokenizer.apply_chat_template(messages, **options)
    except _template_errors() as error:
        raise ArgumentError(f"the chat template failed: {type(error).__name__}: {error}") from error
    # transformers gives ids among other things from version 5 on.
    return found["input_ids"] if isinstance(found, Mapping) else found


def assistant_mask(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
) -> Sequence[int] | None:
    """For each token whether it belongs to an assistant's turn, by the template's generation blocks.

    Args:
      tokenizer: with a chat template.
      messages: dictionaries with `role` and `content`.
      tools: their schemas; None for none.

    Returns:
      1 or 0 for each token; None where the template has no such blocks.
    """
    template = getattr(tokenizer, "chat_template", None)
    if not isinstance(template, str) or not re.search(r"\{%-?\s*generation\b", template):
        return None
    options: dict[str, Any] = {"tools": tools, "return_dict": True, "return_assistant_tokens_mask": True}
    found: Sequence[int] = tokenizer.apply_chat_template(messages, **options)["assistant_masks"]
    return found


class Encoding(NamedTuple):
    """A text as tokens.

    Args:
      ids: of the tokens.
      ends: where each ends in the text, in characters.
      special: which ids of the vocabulary are special.
    """

    ids: list[int]
    ends: list[int]
    special: frozenset[int]


def encoding(tokenizer: Tokenizer, text: str) -> Encoding | None:
    """The encoding of a text without special tokens around it; None if `tokenizers` cannot give it, or truncates it.

    Args:
      tokenizer: one of transformers' or ours.
      text: any.

    Returns:
      Ids, where each ends in the text, in characters, and which ids are special.
    """
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if not hasattr(backend, "get_added_tokens_decoder") or backend.truncation or backend.padding:
        return None
    found = backend.encode(text, add_special_tokens=False)
    special = frozenset(token for token, about in backend.get_added_tokens_decoder().items() if about.special)
    return Encoding(found.ids, [end for _, end in found.offsets], special)


def _template_errors() -> tuple[type[Exception], ...]:
    """What templates raise for messages they do not expect; jinja2 is there if one of its errors was raised."""
    jinja2 = sys.modules.get("jinja2")
    return (TypeError, ValueError, RecursionError, *([jinja2.TemplateError] if jinja2 else []))
