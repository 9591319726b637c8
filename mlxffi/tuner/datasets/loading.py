"""Datasets of records, in memory or in the files of this machine, as a configuration says."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from ..._errors import ArgumentError
from ..files import PathLike
from .fields import DatasetConfig, FieldCheck, Record
from .kinds import CacheDataset, ChatDataset, CompletionsDataset, TextDataset
from .preferences import LabelledDataset, PreferenceDataset
from .records import Records, place_of, placed
from .tokenizers import Tokenizer


class Splits(NamedTuple):
    """What to train on, to validate with and to test with; None where there is no such file."""

    train: CacheDataset | None
    valid: CacheDataset | None
    test: CacheDataset | None


def load_dataset(
    path: PathLike,
    tokenizer: Tokenizer,
    config: DatasetConfig | None = None,
    splits: Collection[str] = Splits._fields,
) -> Splits:
    """The datasets of a jsonl file, or of a folder with train.jsonl, valid.jsonl and test.jsonl.

    Every record is checked here, in one pass through each file, and tokenized when it is first used. Files may exceed
    the memory: records are read from them as they are needed, so they must not change meanwhile.

    Args:
      path: the file, whose records are to train on, or the folder, in which any of the three may lack.
      tokenizer: makes the tokens.
      config: which fields records have, and which tokens are targets; None: the defaults.
      splits: which of the three files to read.

    Raises:
      FileNotFoundError: there is no such file or folder, or the folder has none of the three.
      ValueError: a record is not as it should be; the message names the file, the line, and the field.
    """
    config, name = config or DatasetConfig(), os.fspath(path)
    if name.startswith("hf:"):
        raise ArgumentError(f"[load_dataset] path: expected a file or folder, got {name!r}: nothing is downloaded")
    if not os.path.exists(name):
        raise FileNotFoundError(f"{name}: expected a jsonl file or a folder of such; nothing is downloaded by its name")
    if not os.path.isdir(name):
        return Splits(_loaded(name, tokenizer, config), None, None)
    files = [Path(name, f"{split}.jsonl") for split in Splits._fields]
    if not any(map(os.path.lexists, files)):
        raise FileNotFoundError(f"{name}: expected train.jsonl, valid.jsonl or test.jsonl in it, got none of them")
    wanted = [file.stem in splits and os.path.lexists(file) for file in files]
    return Splits(
        *(
            _loaded(str(file), tokenizer, config) if is_read else None
            for file, is_read in zip(files, wanted, strict=True)
        )
    )


def _loaded(path: str, tokenizer: Tokenizer, config: DatasetConfig) -> CacheDataset:
    check = FieldCheck(config)
    records = Records(path, check, max_bytes=config.max_file_bytes, max_record_bytes=config.max_record_bytes)
    return CacheDataset(dataset_of(check.kind, records, tokenizer, config))


# --- of records ---


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
    if kind == "preference":
        return PreferenceDataset(data, tokenizer, config.prompt_feature, config.chosen_feature, config.rejected_feature)
    if kind == "labelled":
        return LabelledDataset(data, tokenizer, config.prompt_feature, config.completion_feature, config.label_feature)
    if kind == "completions":
        keys = config.prompt_feature, config.completion_feature
        return CompletionsDataset(data, tokenizer, *keys, mask_prompt=config.mask_prompt)
    if kind == "chat":
        return ChatDataset(data, tokenizer, config.chat_feature, config.mask_prompt)
    if config.mask_prompt:
        place = place_of(data, 0)
        raise ArgumentError(f"{place}: {config.text_feature}: a text has no prompt to mask, got mask_prompt")
    return TextDataset(data, tokenizer, config.text_feature)
