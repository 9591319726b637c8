"""Datasets by what their records are: a sequence of records, and `process`, which makes an Example of one."""

from __future__ import annotations

import itertools
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from ..._errors import ArgumentError, RangeError
from .conversations import Conversation
from .examples import Example, ExampleGroup, as_example, sequences_of
from .fields import (
    MaskPrompt,
    Record,
    check_chat,
    check_completion,
    check_text,
    messages_of,
    require_mask_prompt,
    tools_of,
)
from .forms import counted
from .records import fingerprint_of, place_of, placed
from .tokenizers import Tokenizer, has_template

# A text, or messages.
Said: TypeAlias = "str | list[Record]"


@runtime_checkable
class Dataset(Protocol):
    """Records, and what makes an Example of one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...

    def process(self, record: Any, /) -> Any:
        """The Example of a record.

        Args:
          record: one of this dataset.

        Returns:
          Its tokens and targets, or a group of such.

        Raises:
          ValueError: the record cannot be used; the message names the field.
        """
        ...


def about(dataset: object) -> list[str]:
    """What a dataset says about its files, one line for each.

    Args:
      dataset: one with a list `about`, or without.

    Returns:
      The lines; empty without.
    """
    return list(getattr(dataset, "about", []))


class _Records:
    """What datasets over one sequence of records share."""

    # What users call the form of the records.
    form = "records"

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

    @property
    def about(self) -> list[str]:
        """What was understood of the file: its records and their form."""
        return [f"{getattr(self._data, 'path', 'data')}: {counted(len(self))}, {self.form}"]

    @property
    def fingerprint(self) -> str:
        """A text that differs for other records, or if something else is learnt of them."""
        own = [
            f"{name}={value}" for name, value in vars(self).items() if name.endswith("_key") or name == "mask_prompt"
        ]
        return " ".join([*own, fingerprint_of(self._data)])


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
        """The tokens of a record with a text; see `Dataset`."""
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
        """The tokens of a record with a conversation; see `Dataset`."""
        check_chat(record, self.chat_key)
        conversation = Conversation(self.tokenizer, messages_of(record, self.chat_key), tools_of(record))
        return conversation.example(self.mask_prompt)


class CompletionsDataset(_Records):
    """Prompts and their completions, texts or lists of messages, as conversations with the tools of their records.

    Where the tokenizer has no chat template, texts follow each other, and the end of text comes last.

    Args:
      data: records.
      tokenizer: makes the tokens.
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
        """The tokens of a record with a prompt and its completion; see `Dataset`."""
        check_completion(record, self.prompt_key, self.completion_key)
        return self.example(record[self.prompt_key], record[self.completion_key], tools_of(record))

    def example(self, prompt: Said, completion: Said, tools: list[Any] | None) -> Example:
        """The tokens of a prompt and its completion.

        Args:
          prompt, completion: texts or messages; two texts need no chat template.
          tools: their schemas, which the template writes; None for none.

        Returns:
          The tokens, with the targets that `mask_prompt` leaves.
        """
        if isinstance(prompt, str) and isinstance(completion, str) and not has_template(self.tokenizer):
            return self.plain(prompt, completion)
        asked, said = as_messages(prompt, "user"), as_messages(completion, "assistant")
        conversation = Conversation(self.tokenizer, [*asked, *said], tools)
        return conversation.example(bool(self.mask_prompt), len(asked))

    def plain(self, prompt: str, completion: str) -> Example:
        """The tokens of texts, one after the other, without a chat template.

        Args:
          prompt, completion: texts; nothing is put between them.

        Returns:
          The tokens, with the end of text after them if the tokenizer has one.
        """
        tokens, before = list(self.tokenizer.encode(prompt + completion)), self.tokenizer.encode(prompt)
        end = self.tokenizer.eos_token_id
        if end is not None and tokens[-1:] != [end]:
            tokens.append(end)
        # The end is a target, though a tokenizer may write one after the prompt alone, too.
        most = min(len(before), len(tokens) - (end is not None))
        common = next((index for index in range(most) if tokens[index] != before[index]), most)
        return Example(tokens, common if self.mask_prompt else 0)


def as_messages(said: Said, role: str) -> list[Record]:
    """Messages, or a text as a single message of a role.

    Args:
      said: a text, or messages.
      role: "user" or "assistant".

    Returns:
      A list with one message for a text; messages as they came.
    """
    return [{"role": role, "content": said}] if isinstance(said, str) else said


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
        """The Example that a record's own dataset makes of it; see `Dataset`."""
        return self._data[record.dataset].process(record.record)

    def where(self, index: int) -> str:
        """Where a record came from, for errors; see `place_of`."""
        part, inner = self._found(index)
        return place_of(self._data[part], inner)

    @property
    def about(self) -> list[str]:
        """A line for each file."""
        return [line for dataset in self._data for line in about(dataset)]

    @property
    def fingerprint(self) -> str:
        """As the datasets have it."""
        return "; ".join(map(fingerprint_of, self._data))

    def _found(self, index: int) -> tuple[int, int]:
        """The dataset that has a record, and its index there."""
        if not -len(self) <= index < len(self):
            raise RangeError(f"[ConcatenatedDataset] index: expected less than {len(self)} records, got {index}")
        index %= len(self)
        part = bisect_right(self._ends, index)
        return part, index - (self._ends[part - 1] if part else 0)


# --- Examples that are made once ---


# 1 GiB of int32.
MAX_TOKENS = 1 << 28


class CacheDataset:
    """The Examples of a dataset, each made when it is first asked for.

    Args:
      data: a dataset.
      max_tokens: as many are kept; beyond, those that were made first are dropped, and made anew when needed. Numbers
        of tokens are always kept.

    Raises:
      ValueError: `data` is no dataset. When an Example is made: a record cannot be processed; the message names it.
    """

    def __init__(self, data: Dataset, max_tokens: int = MAX_TOKENS):
        if not isinstance(data, Dataset):
            raise ArgumentError(f"[CacheDataset] data: expected a dataset with process, got {type(data).__name__}")
        self._data = data
        self._max_tokens = max_tokens
        self._kept: dict[int, Example | ExampleGroup] = {}
        self._kept_tokens = 0
        self._lengths = array("q", [-1]) * len(data)

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Example | ExampleGroup:
        index = range(len(self))[index]
        found = self._kept.get(index)
        return self._made(index) if found is None else found

    def itemlen(self, index: int) -> int:
        """How many tokens an Example has; for a group, its longest.

        Args:
          index: 0 to the number of records - 1.

        Returns:
          A number of tokens; the Example is made for that if it has not been made yet.
        """
        if self._lengths[index] < 0:
            self[index]
        return self._lengths[index]

    def where(self, index: int) -> str:
        """Where a record came from, for errors; see `place_of`."""
        return place_of(self._data, index)

    @property
    def fingerprint(self) -> str:
        """That of the dataset."""
        return fingerprint_of(self._data)

    @property
    def tokenizer(self) -> Any:
        """That of the dataset, None where it has none of its own."""
        return getattr(self._data, "tokenizer", None)

    @property
    def draws(self) -> Any:
        """Which records an epoch has, where the dataset says so (`WeightedDataset`); None: each of them once."""
        return getattr(self._data, "draws", None)

    @property
    def about(self) -> list[str]:
        """A line for each file."""
        return about(self._data)

    def _made(self, index: int) -> Example | ExampleGroup:
        with placed(self.where(index)):
            made = _compact(self._data.process(self._data[index]))
        self._lengths[index] = max(_lengths(made))
        self._kept[index] = made
        self._kept_tokens += sum(_lengths(made))
        while self._kept_tokens > self._max_tokens:
            self._kept_tokens -= sum(_lengths(self._kept.pop(next(iter(self._kept)))))
        return made


def _lengths(item: Example | ExampleGroup) -> list[int]:
    return [len(example.tokens) for example in sequences_of(item)]


def _compact(item: Any) -> Example | ExampleGroup:
    """An Example in a few bytes a token, which batches can copy as they are."""
    found = as_example(item)
    if isinstance(found, ExampleGroup):
        return found._replace(sequences=tuple(_compact(example) for example in found.sequences))  # type: ignore[misc]
    return found._replace(tokens=array("i", found.tokens))
