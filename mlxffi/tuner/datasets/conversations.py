"""Conversations as tokens, and which of them are targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn

from ..._errors import ArgumentError
from .examples import Example
from .fields import MaskPrompt
from .tokenizers import Tokenizer, templated


class Conversation:
    """Messages in a tokenizer's chat template.

    Args:
      tokenizer: has the template.
      messages: {"role": ..., "content": ...}, at least one.
      tools: functions that the template tells the model of.

    Raises:
      ValueError: the template fails, or gives no tokens.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
    ):
        self._tokenizer, self._messages, self._tools = tokenizer, messages, tools
        self.tokens: list[int] = templated(tokenizer, messages, tools)
        if not self.tokens:
            raise ArgumentError("expected a conversation of at least one token, got none from the chat template")

    def example(self, mask_prompt: MaskPrompt) -> Example:
        """The tokens, with all, those of the last message, or those of the assistant's turns as targets."""
        if mask_prompt == "assistant":
            return Example(self.tokens, mask=self._assistant_mask())
        return Example(self.tokens, self._prompt_length() if mask_prompt else 0)

    def _prompt_length(self) -> int:
        """How many tokens precede the last message; what asks an assistant to speak is part of them."""
        last = len(self._messages) - 1
        return self._border(self._beginning(last, self._is_assistant(last)))

    def _assistant_mask(self) -> bytes:
        """1 for what stands in the assistant's turns, their end included: what a model has to say of its own."""
        turns = [index for index in range(len(self._messages)) if self._is_assistant(index)]
        if not turns:
            raise ArgumentError("expected at least one message of the role 'assistant', got none")
        mask = bytearray(len(self.tokens))
        for turn in turns:
            before = self._beginning(turn, True)
            start, end = self._border(before), self._border(before + self._said(turn, before))
            mask[start:end] = b"\1" * (end - start)
        return bytes(mask)

    def _is_assistant(self, index: int) -> bool:
        return bool(self._messages[index]["role"] == "assistant")

    # --- where turns begin and end ---

    @cached_property
    def _text(self) -> str:
        return self._written(len(self._messages), False)

    def _written(self, count: int, reply: bool) -> str:
        """The first messages as the template writes them, with the request to reply if asked for; "" for none."""
        if count == 0:
            return ""
        text: str = templated(self._tokenizer, self._messages[:count], self._tools, reply, tokenize=False)
        return text

    def _beginning(self, count: int, reply: bool) -> str:
        """The first messages, with which the text of all must begin."""
        found = self._written(count, reply)
        if not self._text.startswith(found):
            self._refuse(count)
        return found

    def _said(self, turn: int, before: str) -> str:
        """What follows `before` of an assistant's turn.

        Templates may write more of the last turn than of earlier ones, at its beginning: thoughts. So it is the longest
        end of the turn, written as the last one, that stands there in the text; with something of the message in it.
        """
        alone = self._written(turn + 1, False).removeprefix(before)
        at = len(before)
        matching = (
            alone[cut:]
            for cut in range(len(alone))
            # Most are told by a few characters.
            if self._text.startswith(alone[cut : cut + 32], at) and self._text.startswith(alone[cut:], at)
        )
        said = next(matching, "")
        if said != alone and len(said) <= len(_after(self._messages[turn], alone)):
            self._refuse(turn + 1)
        return said

    def _refuse(self, count: int) -> NoReturn:
        raise ArgumentError(
            f"the chat template writes the first {count} of these {len(self._messages)} messages differently where "
            "others follow, so that where turns begin and end cannot be told; mask_prompt needs a template that leaves "
            "earlier turns as they are"
        )

    def _border(self, beginning: str) -> int:
        """How many of the tokens are those of the text's beginning; one that spans its end belongs to what follows."""
        tokens = self._tokenizer.encode(beginning, add_special_tokens=False)
        pairs = enumerate(zip(tokens, self.tokens, strict=False))
        return next((index for index, (a, b) in pairs if a != b), min(len(tokens), len(self.tokens)))


def _after(message: Mapping[str, Any], text: str) -> str:
    """What a text has after the last line of a message; all of it where that is not in it, or there is none."""
    content = message.get("content")
    lines = content.strip().splitlines() if isinstance(content, str) else []
    return text.rpartition(lines[-1])[2] if lines else text
