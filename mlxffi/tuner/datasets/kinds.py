"""Datasets by what their records are: a sequence of records, and `process`, which makes an Example of one."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ..._errors import ArgumentError, RangeError
from .conversations import Conversation
from .examples import Example
from .fields import (
    DatasetConfig,
    FieldCheck,
    MaskPrompt,
    Record,
    check_chat,
    check_completion,
    check_text,
    require_mask_prompt,
)
from .places import place_of, placed
from .tokenizers import Tokenizer


@runtime_checkable
class Dataset(Protocol):
    """Records, and what makes an Example of one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...

    def process(self, record: Any, /) -> Any:
        """The Example of a record."""
        ...


class _Records:
    """What datasets over one sequence of records share."""

    def __init__(self, data: Sequence[Record], tokenizer: Tokenizer):
        self._data = data
        self.tokenizer = tokenizer

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Record:
        return self._data[index]

    def where(self, index: int) -> str:
        """Where a record came from, for errors."""
        return place_of(self._data, index)


class TextDataset(_Records):
    """Texts: every token is a target, and the tokenizer's end of text comes last.

    Args:
      data: records.
      tokenizer: makes the tokens.
      text_key: the field of the text.
    """

    def __init__(self, data: Sequence[Record], tokenizer: Tokenizer, text_key: str = "text"):
        super().__init__(data, tokenizer)
        self.text_key = text_key

    def process(self, record: Record) -> Example:
        """The tokens of a record.

        Raises:
          ValueError: there are none, or the record has no text.
        """
        check_text(record, self.text_key)
        tokens = list(self.tokenizer.encode(record[self.text_key]))
        end = self.tokenizer.eos_token_id
        if end is not None and tokens[-1:] != [end]:
            tokens.append(end)
        if not tokens:
            raise ArgumentError(f"{self.text_key}: expected a text of at least one token, got none")
        return Example(tokens)


class ChatDataset(_Records):
    """Conversations, with the tools that a record may have.

    Args:
      data: records.
      tokenizer: has the chat template.
      chat_key: the field of the messages.
      mask_prompt: False: every token is a target. True: only the last message. "assistant": the assistant's turns.
    """

    def __init__(
        self,
        data: Sequence[Record],
        tokenizer: Tokenizer,
        chat_key: str = "messages",
        mask_prompt: MaskPrompt = False,
    ):
        require_mask_prompt("ChatDataset", mask_prompt)
        super().__init__(data, tokenizer)
        self.chat_key, self.mask_prompt = chat_key, mask_prompt

    def process(self, record: Record) -> Example:
        """The tokens of a record.

        Raises:
          ValueError: the record has no conversation, the chat template fails, or it does not show where turns end.
        """
        check_chat(record, self.chat_key)
        return Conversation(self.tokenizer, record[self.chat_key], record.get("tools")).example(self.mask_prompt)


class CompletionsDataset(_Records):
    """Prompts and their completions, as conversations of two turns, with the tools that a record may have.

    Args:
      data: records.
      tokenizer: has the chat template.
      prompt_key: the field of the prompt.
      completion_key: the field of the completion.
      mask_prompt: whether only the completion's tokens are targets.
    """

    def __init__(
        self,
        data: Sequence[Record],
        tokenizer: Tokenizer,
        prompt_key: str = "prompt",
        completion_key: str = "completion",
        mask_prompt: MaskPrompt = False,
    ):
        require_mask_prompt("CompletionsDataset", mask_prompt)
        super().__init__(data, tokenizer)
        self.prompt_key, self.completion_key, self.mask_prompt = prompt_key, completion_key, mask_prompt

    def process(self, record: Record) -> Example:
        """The tokens of a record.

        Raises:
          ValueError: a field lacks, the chat template fails, or it does not show where turns end.
        """
        check_completion(record, self.prompt_key, self.completion_key)
        turns = [("user", self.prompt_key), ("assistant", self.completion_key)]
        messages = [{"role": role, "content": record[key]} for role, key in turns]
        return Conversation(self.tokenizer, messages, record.get("tools")).example(bool(self.mask_prompt))


# --- several datasets as one ---


class Member(NamedTuple):
    """A record of one of several datasets.

    Args:
      dataset: the dataset's index among them.
      record: the record, as that dataset has it.
    """

    dataset: int
    record: Any


class ConcatenatedDataset:
    """Datasets one after the other. Each record is processed by its own; none is changed.

    Args:
      data: datasets, of any kinds.

    Raises:
      ValueError: one has no `process`; a CacheDataset goes around the whole, not into it.
    """

    def __init__(self, data: Sequence[Dataset]):
        for index, dataset in enumerate(data):
            if not isinstance(dataset, Dataset):
                kind = type(dataset).__name__
                raise ArgumentError(f"[ConcatenatedDataset] data[{index}]: expected a dataset with process, got {kind}")
        self._data = list(data)
        self._ends = list(itertools.accumulate(map(len, self._data)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> Member:
        part, inner = self._found(index)
        return Member(part, self._data[part][inner])

    def process(self, record: Member) -> Any:
        """The Example that a record's own dataset makes of it."""
        return self._data[record.dataset].process(record.record)

    def where(self, index: int) -> str:
        """Where a record came from, for errors."""
        part, inner = self._found(index)
        return place_of(self._data[part], inner)

    def _found(self, index: int) -> tuple[int, int]:
        """The dataset that has a record, and its index there."""
        if not -len(self) <= index < len(self):
            raise RangeError(f"[ConcatenatedDataset] index: expected less than {len(self)} records, got {index}")
        index %= len(self)
        part = bisect_right(self._ends, index)
        return part, index - (self._ends[part - 1] if part else 0)


# --- from configuration ---


def create_dataset(
    data: Sequence[Record], tokenizer: Tokenizer, config: DatasetConfig | None = None
) -> TextDataset | ChatDataset | CompletionsDataset:
    """The dataset for records, each of which is checked.

    Args:
      data: records of one kind, which is that of the first.
      tokenizer: makes the tokens.
      config: which fields records have, and which tokens are targets; None: the defaults.

    Raises:
      ValueError: there are no records, one is not as the first, or texts are to have their prompts masked.
    """
    config = config or DatasetConfig()
    check = FieldCheck(config)
    for index, record in enumerate(data):
        with placed(place_of(data, index)):
            check(record)
    if not len(data):
        raise ArgumentError("[create_dataset] data: expected at least one record, got none")
    return dataset_of(check.kind, data, tokenizer, config)


def dataset_of(
    kind: str, data: Sequence[Record], tokenizer: Tokenizer, config: DatasetConfig
) -> TextDataset | ChatDataset | CompletionsDataset:
    """The dataset for records of a kind that were checked."""
    if kind == "completions":
        keys = config.prompt_feature, config.completion_feature
        return CompletionsDataset(data, tokenizer, *keys, mask_prompt=config.mask_prompt)
    if kind == "chat":
        return ChatDataset(data, tokenizer, config.chat_feature, config.mask_prompt)
    if config.mask_prompt:
        place = place_of(data, 0)
        raise ArgumentError(f"{place}: {config.text_feature}: a text has no prompt to mask, got mask_prompt")
    return TextDataset(data, tokenizer, config.text_feature)
