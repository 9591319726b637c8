"""Show what is understood of data: their form, how long records are, and which tokens of the first are learnt."""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from ..._errors import ArgumentError
from .. import checks
from ..datasets import CacheDataset, DatasetConfig, Example
from ..datasets.examples import sequences_of, targets_of
from ..datasets.fields import MaskPrompt, label_of
from ..datasets.forms import FORMS, PREFERENCES, FieldCheck, counted
from ..datasets.loading import dataset_of
from ..datasets.readers import stored
from ..datasets.sources import files_of, sources_of
from ..models import Tokenizer
from .engine import located

BAR = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command; see `Command`."""
    parser.add_argument("data", nargs="+", metavar="DATA", help="files, folders or names on the Hub")
    parser.add_argument("--model", help="folder, GGUF file or name of a model, whose tokenizer counts and shows tokens")
    parser.add_argument("--max-seq-length", type=int, default=2048, help="where records are cut (default: 2048)")
    parser.add_argument("--mask-prompt", action="store_true", help="learn completions only")
    parser.add_argument("--mask-assistant", action="store_true", help="learn the assistant's turns only")
    parser.add_argument("--add-tokens", nargs="+", default=[], help="new tokens, as the model would be trained with")


def prepare(arguments: argparse.Namespace) -> Callable[[], None]:
    """Check all records, and load the tokenizer; see `Command`."""
    if arguments.mask_prompt and arguments.mask_assistant:
        raise ArgumentError("mask_prompt, mask_assistant: expected one of them, got both")
    checks.count("data", "max_seq_length", arguments.max_seq_length, 2)
    mask: MaskPrompt = "assistant" if arguments.mask_assistant else arguments.mask_prompt
    config = DatasetConfig(mask_prompt=mask)
    tokenizer = _tokenizer(arguments.model, arguments.add_tokens)
    splits = [files_of(source, ("train", "valid", "test")) for source in sources_of(arguments.data)]
    files = [file for found in splits for paths in found.values() for file in paths]
    return partial(_show, [_understood(file, config, tokenizer) for file in files], arguments.max_seq_length)


def _tokenizer(model: str | None, added: list[str]) -> Tokenizer | None:
    if model is None:
        if added:
            raise ArgumentError("add_tokens: expected with model, whose tokenizer gets them, got no model")
        return None
    found = Tokenizer.from_directory(located(model, weights=False))
    if added:
        found.add_tokens(added)
    return found


class Understood(NamedTuple):
    """What is understood of a file.

    Args:
      about: lines on its records.
      titles: of the sequences of a record to show; "" for the only one.
      dataset: what is learnt, where there is a tokenizer.
    """

    about: list[str]
    titles: list[str]
    dataset: CacheDataset | None


def _understood(path: str, config: DatasetConfig, tokenizer: Tokenizer | None) -> Understood:
    check = FieldCheck(config)
    records = stored(path, check, config)
    about = [f"{path}: {counted(len(records))}, {FORMS[check.kind].name}"]
    if check.kind == "labelled":
        good = sum(bool(label_of(record[config.label_feature])) for record in records)
        about.append(f"labels: {good:,} true, {len(records) - good:,} false")
    if tokenizer is None:
        return Understood(about, [], None)
    # Preferences are shown as the losses for them learn them.
    asked = replace(config, kind=check.kind) if check.kind in PREFERENCES else config
    return Understood(
        about, _titles(check.kind, config), CacheDataset(dataset_of(check.kind, records, tokenizer, asked))
    )


def _titles(kind: str, config: DatasetConfig) -> list[str]:
    """Of the sequences of a record to show. The second of a labelled one is another record's completion."""
    if kind == "preference":
        return [config.chosen_feature, config.rejected_feature]
    return [config.completion_feature if kind == "labelled" else ""]


def _show(found: list[Understood], most: int) -> None:
    for about, titles, dataset in found:
        print("\n".join(about))
        for place, title in enumerate(titles):
            assert dataset is not None
            _show_tokens(title, place, dataset, most)


def _show_tokens(title: str, place: int, dataset: CacheDataset, most: int) -> None:
    """Show what is learnt of the sequences that stand at one place in their records."""
    lengths, learnt = [], 0
    for index in range(len(dataset)):
        example = sequences_of(dataset[index])[place]
        lengths.append(len(example.tokens))
        learnt += sum(targets_of(example, min(len(example.tokens), most)))
    if title:
        print(f"{title}:")
    cut = sum(length > most for length in lengths)
    print(
        f"{sum(lengths):,} tokens, {learnt:,} of them learnt; {min(lengths):,} to {max(lengths):,} a record, median "
        f"{statistics.median_low(lengths):,}; {counted(cut)} cut at {most:,} (--max-seq-length)"
    )
    print("\n".join(histogram(lengths)))
    first = sequences_of(dataset[0])[place]
    print(f"first record, {dataset.where(0)}: {len(first.tokens):,} tokens, what is not learnt {_how_marked()}")
    _print_parts(list(_parts(first, dataset.tokenizer, most)))
    print()


def histogram(lengths: list[int]) -> list[str]:
    """A chart of how many lengths lie between consecutive powers of 2.

    Args:
      lengths: at least one, each above 0.

    Returns:
      its lines.
    """
    powers = [length.bit_length() for length in lengths]
    counts = {power: powers.count(power) for power in range(min(powers), max(powers) + 1)}
    width = len(f"{2 ** max(powers) - 1:,}")
    bars = {power: "#" * -(-count * BAR // max(counts.values())) + " " * (count > 0) for power, count in counts.items()}
    return [
        f"  {2 ** (power - 1):>{width},} to {2**power - 1:>{width},} | {bars[power]}{count:,}"
        for power, count in counts.items()
    ]


# --- a record ---


def _parts(example: Example, tokenizer: Any, most: int) -> Iterator[tuple[bool, str]]:
    """The text of a record in pieces, and whether each is learnt."""
    length = min(len(example.tokens), most)
    pairs = zip(targets_of(example, length), example.tokens, strict=False)
    for is_learnt, group in groupby(pairs, key=lambda pair: pair[0]):
        yield bool(is_learnt), tokenizer.decode([token for _, token in group])


def _is_rich() -> bool:
    return sys.stdout.isatty() and importlib.util.find_spec("rich") is not None


def _how_marked() -> str:
    return "is dim" if _is_rich() else "stands in [[ ]]"


def _print_parts(parts: list[tuple[bool, str]]) -> None:
    if not _is_rich():
        print("".join(text if is_learnt else f"[[{text}]]" for is_learnt, text in parts))
        return
    from rich.console import Console
    from rich.text import Text

    Console().print(
        Text.assemble(*((text, "bold" if is_learnt else "dim") for is_learnt, text in parts)), soft_wrap=True
    )
