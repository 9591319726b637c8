"""Datasets of records, in memory or in local files, as a configuration describes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from ..._errors import ArgumentError
from .. import checks
from .fields import DatasetConfig, Record
from .forms import CONVERTED, FORMS, PREFERENCES, Converted, FieldCheck
from .kinds import CacheDataset, ChatDataset, CompletionsDataset, ConcatenatedDataset, Dataset, TextDataset
from .mixtures import WeightedDataset, sliced
from .preferences import LabelledDataset, PreferenceDataset
from .readers import stored
from .records import place_of, placed
from .repositories import Files
from .sources import Source, Sources, Split, files_of, sources_of
from .tokenizers import Tokenizer, has_template


class Splits(NamedTuple):
    """Datasets by split; None for a split without a file.

    Args:
      train: to train on.
      valid: to validate with.
      test: to test with.
    """

    train: CacheDataset | None
    valid: CacheDataset | None
    test: CacheDataset | None


def load_dataset(
    path: Sources,
    tokenizer: Tokenizer,
    config: DatasetConfig | None = None,
    splits: Collection[str] = Splits._fields,
) -> Splits:
    """Load the datasets in files, or in folders with a file for each split, such as train.jsonl or valid.parquet.

    Every record is checked once when the files are opened, and tokenized when it is first used. Files may be larger
    than memory: records are read as needed, either from the jsonl file itself, which must not change meanwhile, or from
    a copy in a temporary file.

    Args:
      path: a file, whose records are for training; a folder, in which splits may be missing; or several of both, with
        weights or without, as `sources_of` takes them. Weights are shares of the training data.
      tokenizer: the model's.
      config: which fields records have, and which tokens are targets; None: the defaults.
      splits: which of the three files to read.

    Returns:
      The datasets; None for a split without a file.

    Raises:
      FileNotFoundError: there is no such file or folder, or the folder has none of the three.
      ValueError: a record is not valid; the message names the file, the line and the field.
    """
    unknown = sorted(set(splits) - set(Splits._fields))
    if unknown:
        raise ArgumentError(f"[load_dataset] splits: expected {', '.join(Splits._fields)}, got {', '.join(unknown)}")
    given = [(source, files_of(source, splits)) for source in sources_of(path)]
    config = config or DatasetConfig()
    found = {name: _split(name, given, tokenizer, config) for name in Splits._fields if name in splits}
    return Splits(*(found.get(name) for name in Splits._fields))


def _split(name: str, given: list[tuple[Source, Files]], tokenizer: Tokenizer, config: DatasetConfig) -> Any:
    """A split of all sources that have it; None where none has."""
    loaded = [(source.weight, _part(source.split(name), files, tokenizer, config)) for source, files in given]
    datasets = [dataset for _, dataset in loaded if dataset is not None]
    weights = [weight for weight, dataset in loaded if dataset is not None and weight is not None]
    if not datasets:
        return None
    if name == "train" and len(datasets) == len(weights) > 1:
        return CacheDataset(WeightedDataset(datasets, weights))
    return CacheDataset(_concatenated(datasets))


def _part(split: Split, files: Files, tokenizer: Tokenizer, config: DatasetConfig) -> Dataset | None:
    if split.name not in files:
        return None
    return sliced(
        _concatenated([_loaded(file, tokenizer, config) for file in files[split.name]]), split.begin, split.end
    )


def _concatenated(datasets: list[Dataset]) -> Dataset:
    return datasets[0] if len(datasets) == 1 else ConcatenatedDataset(datasets)


def _loaded(path: str, tokenizer: Tokenizer, config: DatasetConfig) -> Dataset:
    check = FieldCheck(config)
    records = stored(path, check, config)
    return dataset_of(check.kind, records, tokenizer, config)


# --- of records ---


def create_dataset(
    data: Sequence[Record], tokenizer: Tokenizer, config: DatasetConfig | None = None
) -> TextDataset | ChatDataset | CompletionsDataset:
    """Make a dataset of records, each of which is checked.

    Args:
      data: records of one kind, that of the first.
      tokenizer: the model's.
      config: which fields records have, and which tokens are targets; None: the defaults.

    Returns:
      The dataset.

    Raises:
      ValueError: there are no records, one differs from the first, or texts are to have their prompts masked.
    """
    checks.capable("create_dataset", "data", data, "__len__", "__getitem__")
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
    """Make a dataset of records that were checked already.

    Args:
      kind: the form of the records.
      data: the records.
      tokenizer: the model's.
      config: which fields records have, and which tokens are targets.

    Returns:
      The dataset.

    Raises:
      ValueError: the records are preferences, which the configuration does not ask for, or texts that are to have their
        prompts masked.
    """
    if kind in PREFERENCES and config.kind != kind:
        raise ArgumentError(
            f"{place_of(data, 0)}: these records are {FORMS[kind].name}, which are learnt with --loss (dpo, kto, ...)"
        )
    made = _of_converted if kind in CONVERTED else _of_own
    dataset = made(kind, data, tokenizer, config)
    dataset.form = FORMS[kind].name
    return dataset


def _of_own(
    kind: str, data: Sequence[Record], tokenizer: Tokenizer, config: DatasetConfig
) -> TextDataset | ChatDataset | CompletionsDataset:
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


def _of_converted(
    kind: str, data: Sequence[Record], tokenizer: Tokenizer, config: DatasetConfig
) -> ChatDataset | CompletionsDataset:
    is_plain = kind == "alpaca" and not has_template(tokenizer)
    records = Converted(data, CONVERTED["plain alpaca" if is_plain else kind], config)
    if not is_plain:
        return ChatDataset(records, tokenizer, mask_prompt=config.mask_prompt)
    keys = config.prompt_feature, config.completion_feature
    return CompletionsDataset(records, tokenizer, *keys, mask_prompt=config.mask_prompt)
