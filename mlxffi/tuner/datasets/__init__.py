"""Datasets: records of files, as tokens and targets, in batches.

train, valid, test = load_dataset("data", tokenizer, DatasetConfig(mask_prompt=True))
for batch in iterate_batches(train, batch_size=4, max_seq_length=2048, loop=True, seed=0): ...
"""

from .batches import Batches, iterate_batches
from .examples import Batch, Example, ExampleGroup, collated
from .fields import DatasetConfig
from .kinds import (
    CacheDataset,
    ChatDataset,
    CompletionsDataset,
    ConcatenatedDataset,
    Dataset,
    Member,
    TextDataset,
)
from .loading import Splits, create_dataset, load_dataset
from .mixtures import WeightedDataset
from .preferences import LabelledDataset, PreferenceDataset
from .records import Records
from .sources import Source, sources_of
from .tokenizers import Tokenizer

__all__ = [
    "Batch",
    "Batches",
    "CacheDataset",
    "ChatDataset",
    "CompletionsDataset",
    "ConcatenatedDataset",
    "Dataset",
    "DatasetConfig",
    "Example",
    "ExampleGroup",
    "LabelledDataset",
    "Member",
    "PreferenceDataset",
    "Records",
    "Source",
    "Splits",
    "TextDataset",
    "Tokenizer",
    "WeightedDataset",
    "collated",
    "create_dataset",
    "iterate_batches",
    "load_dataset",
    "sources_of",
]
