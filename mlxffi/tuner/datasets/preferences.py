"""Datasets of preferences: two completions of which one was chosen, or one that is said to be good or bad.

A record of two completions may have no prompt of its own. What they have in common is then the prompt: messages, or
text up to a place where no word is cut.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from .conversations import common
from .examples import ExampleGroup
from .fields import Record, check_labelled, check_preference, label_of, tools_of
from .kinds import CompletionsDataset, Said, as_messages
from .tokenizers import Tokenizer


class PreferenceDataset(CompletionsDataset):
    """Pairs of a chosen and a rejected completion, as groups of two Examples whose targets are the completions.

    Texts go through the chat template as those of `CompletionsDataset` do; texts without a prompt of their own do not.

    Args:
      data: records.
      tokenizer: makes the tokens.
      prompt_key: the field of the prompt, which records need not have. If completions are lists of messages, they may
        begin with the prompt.
      chosen_key: the field of the better completion.
      rejected_key: the field of the worse one.
    """

    def __init__(
        self,
        data: Sequence[Record],
        tokenizer: Tokenizer,
        prompt_key: str = "prompt",
        chosen_key: str = "chosen",
        rejected_key: str = "rejected",
    ):
        super().__init__(data, tokenizer, prompt_key, mask_prompt=True)
        self.chosen_key, self.rejected_key = chosen_key, rejected_key

    def process(self, record: Record) -> ExampleGroup:  # type: ignore[override]
        """The tokens of either completion, each after the prompt; see `CompletionsDataset`."""
        check_preference(record, self.prompt_key, self.chosen_key, self.rejected_key)
        given = record.get(self.prompt_key)
        prompt, *completions = split(given, record[self.chosen_key], record[self.rejected_key])
        if given is None and isinstance(prompt, str):
            return ExampleGroup(tuple(self.plain(prompt, str(said)) for said in completions))
        tools = tools_of(record)
        return ExampleGroup(tuple(self.example(prompt, said, tools) for said in completions))


class LabelledDataset(CompletionsDataset):
    """Completions that are good or bad, as groups of two Examples: after its prompt, the completion and another one.

    The other is that of the last record before it with another prompt: KTO measures by it how far a model has moved on
    the whole.

    Args:
      data: records.
      tokenizer: makes the tokens.
      prompt_key: the field of the prompt.
      completion_key: the field of the completion.
      label_key: the field that is true where the completion is good.
    """

    def __init__(
        self,
        data: Sequence[Record],
        tokenizer: Tokenizer,
        prompt_key: str = "prompt",
        completion_key: str = "completion",
        label_key: str = "label",
    ):
        super().__init__(data, tokenizer, prompt_key, completion_key, mask_prompt=True)
        self.label_key = label_key

    def __getitem__(self, index: int) -> Labelled:  # type: ignore[override]
        index = range(len(self))[index]
        record = self._data[index]
        before = (self._data[(index - step) % len(self)] for step in range(1, NEARBY + 1))
        others = (other for other in before if other[self.prompt_key] != record[self.prompt_key])
        return Labelled(record, next(others, self._data[(index - 1) % len(self)]))

    def process(self, record: Labelled) -> ExampleGroup:  # type: ignore[override]
        """The tokens of its own completion and of the other one, each after its prompt; see `CompletionsDataset`."""
        own, other = record
        check_labelled(own, self.prompt_key, self.completion_key, self.label_key)
        prompt, tools = own[self.prompt_key], tools_of(own)
        said = own[self.completion_key], other[self.completion_key]
        return ExampleGroup(
            tuple(self.example(prompt, item, tools) for item in said), bool(label_of(own[self.label_key]))
        )


class Labelled(NamedTuple):
    """A record, and another whose completion is also put after its prompt.

    Args:
      record: with a label.
      other: with another prompt.
    """

    record: Record
    other: Record


# How many records are looked at for one with another prompt.
NEARBY = 4


# --- where a prompt ends ---


def split(prompt: Said | None, chosen: Said, rejected: Said) -> tuple[Said, Said, Said]:
    """A prompt and the completions without it.

    Args:
      prompt: None where it is what the completions have in common.
      chosen, rejected: both texts, or both messages. Messages may begin with those of the prompt, and are the whole
        conversation where a text is the prompt and somebody other than an assistant begins.

    Returns:
      (prompt, chosen, rejected), each in the form in which it came: a text or messages.
    """
    if isinstance(chosen, list) and isinstance(rejected, list):
        asked = [] if prompt is None else as_messages(prompt, "user")
        repeats = chosen[: len(asked)] == asked == rejected[: len(asked)]
        is_whole = not isinstance(prompt, list) and "assistant" not in (chosen[0]["role"], rejected[0]["role"])
        if prompt is not None and not repeats and not is_whole:
            return prompt, chosen, rejected
        count = len(asked) if asked and repeats and not is_whole else _common_messages(chosen, rejected)
        return chosen[:count], chosen[count:], rejected[count:]
    if prompt is None:
        count = common_text(str(chosen), str(rejected))
        return chosen[:count], chosen[count:], rejected[count:]
    return prompt, chosen, rejected


def _common_messages(chosen: list[Record], rejected: list[Record]) -> int:
    """How many messages two conversations begin with in common; one at least is left of each."""
    most = min(len(chosen), len(rejected)) - 1
    return next((index for index in range(most) if chosen[index] != rejected[index]), most)


def common_text(chosen: str, rejected: str) -> int:
    """How many characters two texts begin with in common, not counting a part of a word or spaces at the end.

    Args:
      chosen, rejected: the texts.

    Returns:
      A number of characters.
    """
    count = common(chosen, 0, rejected, 0)
    while count and any(_is_within_word(text, count) for text in (chosen, rejected)):
        count -= 1
    while count and chosen[count - 1] == " ":
        count -= 1
    return count


# Between letters or digits these are part of a word: don't, 3.14, well-known.
JOINS = frozenset("'\u2019.,-_")


def _is_within_word(text: str, place: int) -> bool:
    """Whether what stands before a place of a text and what stands after it are one word or one character."""
    before, after = text[:place][-2:], text[place : place + 2]
    if not after:
        return False
    if _is_part(after[0]) or before[-1] == "\u200d":
        return True
    if after[0] in JOINS:
        return _is_letter(before[-1]) and _is_letter(after[1:])
    if before[-1] in JOINS:
        return _is_letter(before[:-1]) and _is_letter(after[0])
    return _is_letter(before[-1]) and _is_letter(after[0])


def _is_letter(character: str) -> bool:
    return character.isalnum() or _is_part(character)


def _is_part(character: str) -> bool:
    """Whether a character belongs to the one before it: marks, joiners, colours of emoji."""
    return not character.isascii() and unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf", "Sk")
