"""Datasets from the files of this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from ..._errors import ArgumentError
from .._files import PathLike
from .caching import CacheDataset
from .fields import DatasetConfig, FieldCheck
from .kinds import dataset_of
from .records import Records
from .tokenizers import Tokenizer


class Splits(NamedTuple):
    """What to train on, to validate with and to test with; None where there is no such file."""

    train: CacheDataset | None
    valid: CacheDataset | None
    test: CacheDataset | None


def load_dataset(path: PathLike, tokenizer: Tokenizer, config: DatasetConfig | None = None) -> Splits:
    """The datasets of a jsonl file, or of a folder with train.jsonl, valid.jsonl and test.jsonl.

    Every record is checked here, in one pass through each file, and tokenized when it is first used. Files may exceed
    the memory: records are read from them as they are needed, so they must not change meanwhile.

    Args:
      path: the file, whose records are to train on, or the folder, in which any of the three may lack.
      tokenizer: makes the tokens.
      config: which fields records have, and which tokens are targets; None: the defaults.

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
    return Splits(*(_loaded(str(file), tokenizer, config) if os.path.lexists(file) else None for file in files))


def _loaded(path: str, tokenizer: Tokenizer, config: DatasetConfig) -> CacheDataset:
    check = FieldCheck(config)
    records = Records(path, check, max_bytes=config.max_file_bytes, max_record_bytes=config.max_record_bytes)
    return CacheDataset(dataset_of(check.kind, records, tokenizer, config))
