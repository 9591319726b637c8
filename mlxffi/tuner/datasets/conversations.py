"""Conversations as tokens, and which of them are targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
        return self._border(len(self._messages) - 1, self._is_assistant(-1))

    def _assistant_mask(self) -> bytes:
        """1 for what stands in the assistant's turns, their end included: what a model has to say of its own."""
        mask = bytearray(len(self.tokens))
        turns = [index for index in range(len(self._messages)) if self._is_assistant(index)]
        if not turns:
            raise ArgumentError("expected at least one message of the role 'assistant', got none")
        for turn in turns:
            start, end = self._border(turn, True), self._border(turn + 1, False)
            mask[start:end] = b"\1" * (end - start)
        return bytes(mask)

    def _is_assistant(self, index: int) -> bool:
        return bool(self._messages[index]["role"] == "assistant")

    def _border(self, count: int, reply: bool) -> int:
        """How many of the tokens are those of the first messages, and of the request to reply.

        A token that spans the border belongs to what follows.
        """
        if count == 0:
            return 0
        start = self._templated(count, reply)
        if self.tokens[: len(start)] != start:
            self._require_beginning(count, reply)
        return _common(start, self.tokens)

    def _require_beginning(self, count: int, reply: bool) -> None:
        start, text = (
            self._templated(*part, tokenize=False) for part in ((count, reply), (len(self._messages), False))
        )
        if not text.startswith(start):
            raise ArgumentError(
                f"the chat template writes the first {count} of these {len(self._messages)} messages differently where "
                "others follow, so that where turns begin and end cannot be told; mask_prompt needs a template that "
                "leaves earlier turns as they are"
            )

    def _templated(self, count: int, reply: bool, tokenize: bool = True) -> Any:
        return templated(self._tokenizer, self._messages[:count], self._tools, reply, tokenize)


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many items two sequences have in common at their beginning."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(first), len(second)))
