"""Conversations as tokens, and which of them are targets.

Where turns begin and end is found in the text: renderings of a few messages at a time are laid against that of all.
Templates write the last turn otherwise than earlier ones (thoughts before it, another end, tools before its question),
so what counts is what stands in the text of all; that it is the turn which is looked for is checked.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

from ..._errors import ArgumentError
from .examples import Example
from .fields import MaskPrompt
from .messages import Message, for_template
from .tokenizers import Encoding, Tokenizer, assistant_mask, encoding, templated


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
        self, tokenizer: Tokenizer, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None
    ):
        self._tokenizer, self._tools = tokenizer, tools
        self._messages = for_template(messages, lambda messages: self._written(messages, False))
        if not self.tokens:
            raise ArgumentError("expected a conversation of at least one token, got none from the chat template")

    def example(self, mask_prompt: MaskPrompt, prompt: int | None = None) -> Example:
        """The tokens and the targets: all, those after the prompt, or those of the assistant's turns.

        Args:
          mask_prompt: as datasets have it.
          prompt: how many messages the prompt has; None: all but the last.

        Returns:
          The tokens, with an offset or a mask of the targets.
        """
        if mask_prompt == "assistant":
            return Example(self.tokens, mask=self._assistant_mask())
        return Example(self.tokens, self._prompt_length(prompt) if mask_prompt else 0)

    def _prompt_length(self, prompt: int | None) -> int:
        """How many tokens precede the messages after the prompt; what asks an assistant to speak is part of them."""
        count = len(self._messages) - 1 if prompt is None else prompt
        if count == 0:
            written = self._written(self._messages[:1], False)
            asked = written.partition(str(self._messages[0].get("content") or written))[0]
            return self._border(0 if prompt is None else self._overlap(asked, 0).length)
        before = self._written(self._messages[:count], self._is_assistant(count))
        start = self._start(self._messages[:count], before, 0, loosely=True)
        if start is None:
            self._refuse(count)
        return self._border(start)

    def _assistant_mask(self) -> bytes:
        """1 for what stands in the assistant's turns, their end included, less those of weight 0 (as OpenAI has it)."""
        turns = [index for index in range(len(self._messages)) if self._is_assistant(index)]
        learnt = {index for index in turns if self._messages[index].get("weight") != 0}
        if not learnt:
            which = " whose weight is not 0" if turns else ""
            raise ArgumentError(f"expected at least one message of the role 'assistant'{which}, got none")
        told = assistant_mask(self._tokenizer, self._messages, self._tools)
        if told is not None and any(told) and len(told) == len(self.tokens) and len(learnt) == len(turns):
            return bytes(told)
        mask, ends = bytearray(len(self.tokens)), {-1: 0}
        for turn in turns:
            start, ends[turn], last = self._turn(turn, ends)
            first = self._border(start)
            mask[first:last] = bytes([turn in learnt]) * (last - first)
        return bytes(mask)

    def _is_assistant(self, index: int) -> bool:
        return bool(self._messages[index]["role"] == "assistant")

    # --- where turns begin and end ---

    def _turn(self, turn: int, ends: Mapping[int, int]) -> tuple[int, int, int]:
        """Where a turn begins and ends in the text, and how many tokens there are up to its end.

        The messages from the last question on are enough where the template writes them as it does among all, else it
        has to be all so far.

        Args:
          turn: its index.
          ends: where the assistant's turns before it end in the text, by index; a question can begin there.
        """
        questions = (i for i in range(max(ends) + 1, 0, -1) if i - 1 in ends and self._messages[i]["role"] == "user")
        first = next(questions, 0)
        for loosely in (False, True):
            for begin, place in ((first, ends[first - 1]), (0, 0)):
                found = self._laid(turn, begin, place, loosely)
                if found is not None:
                    return found
        self._refuse(turn + 1)

    def _laid(self, turn: int, first: int, end: int, loosely: bool = False) -> tuple[int, int, int] | None:
        """`_turn` by the renderings of messages from the first of them on; None where they do not stand in the text.

        Loosely, what a question begins with may be another: tools, which a template tells before one of them only.
        """
        messages = self._messages[first:turn]
        try:
            before, replied = self._written(messages, True), [*messages, self._messages[turn]]
            alone = self._written(replied, False)
        except ArgumentError:
            if not first:
                raise
            return None
        start = self._start(messages, before, end, loosely)
        if start is None:
            return None
        cut = common(alone, 0, before, 0) if messages else 0
        said = self._overlap(alone[cut:], start)
        if said.covers(alone[cut:]):
            return start, start + said.length, self._border(start + said.length)
        spoken = self._spoken(replied, alone) - cut
        if not said.holds(spoken):
            return None
        last = self._border(start + said.length)
        if said.cut + said.length < len(alone) - cut:
            last += self._ends_with(last, start + spoken - said.cut)
        return start, start + said.length, last

    def _start(self, messages: Sequence[Message], before: str, end: int, loosely: bool) -> int | None:
        """Where what is said begins after messages that ask for it, which stand in the text from a place on."""
        asked = self._overlap(before, end)
        if not messages or asked.covers(before):
            return end + asked.length
        spoken = self._spoken(messages, self._written(messages, False))
        if asked.holds(spoken):
            return end + asked.length
        content = messages[-1].get("content")
        tail = before[spoken - len(content) :] if loosely and isinstance(content, str) and content else ""
        place = self._text.find(tail, end) if tail else -1
        return None if place < 0 else place + len(tail)

    def _spoken(self, messages: Sequence[Message], written: str) -> int:
        """Where the last of some messages has said its content and its calls of tools, in what is written of them."""
        last = messages[-1]
        content, calls = last.get("content"), last.get("tool_calls") or ()
        end = 0
        if isinstance(content, str) and content:
            # Where something more said makes a difference.
            more = self._written([*messages[:-1], {**last, "content": f"{content.rstrip()}\N{BLACK SQUARE}"}], False)
            end = common(written, 0, more, 0)
        called = [call.get("function", call) for call in calls if isinstance(call, Mapping)]
        names = [str(call.get("name")) for call in called if isinstance(call, Mapping)]
        return max([end, *(written.rfind(name) + len(name) for name in names if name in written)])

    def _ends_with(self, last: int, spoken: int) -> bool:
        """Whether a token ends a turn, which the template writes as the last one with another end: a special one."""
        if self._encoding is None or not 0 < last < len(self.tokens):
            return False
        return self._encoding.ends[last - 1] <= spoken and self.tokens[last] in self._encoding.special

    def _overlap(self, piece: str, at: int) -> Overlap:
        """The longest part of a piece that stands at a place of the text; one that ends the piece comes first."""
        best = Overlap(0, common(piece, 0, self._text, at))
        for size in (32, 4, 1):
            probe = self._text[at : at + size]
            cut = piece.find(probe) if probe else -1
            while cut >= 0:
                if self._text.startswith(piece[cut:], at):
                    return Overlap(cut, len(piece) - cut)
                length = common(piece, cut, self._text, at)
                best = max(best, Overlap(cut, length), key=lambda found: found.length)
                cut = piece.find(probe, cut + 1)
        return best

    @cached_property
    def tokens(self) -> list[int]:
        """The ids of all of it."""
        if self._encoding is not None:
            return self._encoding.ids
        found: list[int] = templated(self._tokenizer, self._messages, self._tools)
        return found

    @cached_property
    def _text(self) -> str:
        return self._written(self._messages, False)

    def _written(self, messages: Sequence[Message], reply: bool) -> str:
        """Messages as the template writes them, with the request to reply if asked for; "" for none."""
        if not messages:
            return ""
        text: str = templated(self._tokenizer, messages, self._tools, reply, tokenize=False)
        return text

    def _refuse(self, count: int) -> NoReturn:
        raise ArgumentError(
            f"the chat template writes the first {count} of these {len(self._messages)} messages differently where "
            "others follow, so that where turns begin and end cannot be told; mask_prompt needs a template that leaves "
            "earlier turns as they are, or one that marks what the assistant says ({% generation %})"
        )

    # --- from text to tokens ---

    @cached_property
    def _encoding(self) -> Encoding | None:
        return encoding(self._tokenizer, self._text)

    def _border(self, place: int) -> int:
        """How many of the tokens end before a place in the text; one that spans it belongs to what follows."""
        if self._encoding is not None:
            return bisect_right(self._encoding.ends, place)
        tokens = self._tokenizer.encode(self._text[:place], add_special_tokens=False)
        pairs = enumerate(zip(tokens, self.tokens, strict=False))
        return next((index for index, (a, b) in pairs if a != b), min(len(tokens), len(self.tokens)))


class Overlap(NamedTuple):
    """A part of a piece of text that stands at some place.

    Args:
      cut: characters of the piece before the part.
      length: of the part, in characters.
    """

    cut: int
    length: int

    def covers(self, piece: str) -> bool:
        """Whether the part is all of the piece.

        Args:
          piece: the text of which this is a part.

        Returns:
          True if nothing is cut off at either end.
        """
        return self.cut == 0 and self.length == len(piece)

    def holds(self, spoken: int) -> bool:
        """Whether the part contains the place in the piece where a message ends, and something before that.

        Args:
          spoken: characters of the piece up to that place.

        Returns:
          True if it does.
        """
        return self.cut < spoken <= self.cut + self.length


def common(a: str, i: int, b: str, j: int) -> int:
    """How many characters two texts have in common from given positions on.

    Args:
      a, b: the texts.
      i, j: where to begin in each.

    Returns:
      A number of characters; 0 where already the first differ.
    """
    low, high = 0, min(len(a) - i, len(b) - j)
    while low < high:
        middle = (low + high + 1) // 2
        if a[i + low : i + middle] == b[j + low : j + middle]:
            low = middle
        else:
            high = middle - 1
    return low
