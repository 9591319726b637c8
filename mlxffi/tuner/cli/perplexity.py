"""How well a model predicts a text, or the records of a file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from ..datasets import DatasetConfig, Example, load_dataset
from ..datasets.repositories import SUFFIXES
from ..files import read_text
from ..trainer.perplexity import perplexity, require_stride
from .engine import Model
from .generate import add_model_arguments, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command; see `Command`."""
    parser.add_argument("file", help="records as for training (.jsonl, .json, .csv, .parquet), else one text")
    add_model_arguments(parser)
    parser.add_argument("--mask-prompt", action="store_true", help="count completions only, not prompts")
    parser.add_argument("--window", type=int, default=2048, help="tokens that are read at once (default: 2048)")
    about = "how far apart windows of a longer text begin (default: half of one)"
    parser.add_argument("--stride", type=int, help=about)
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def prepare(arguments: argparse.Namespace) -> Callable[[], None]:
    """Load the model and the texts; see `Command`."""
    stride = require_stride(arguments.window, arguments.stride)
    base, model = load(arguments)
    texts = _texts(arguments.file, base.tokenizer, arguments.mask_prompt)
    return partial(_tell, model, texts, arguments.window, stride, arguments.json)


def _texts(file: str, tokenizer: Any, mask_prompt: bool) -> Any:
    if file.endswith(tuple(SUFFIXES)):
        return load_dataset(file, tokenizer, DatasetConfig(mask_prompt=mask_prompt)).train
    return [Example(tokenizer.encode(read_text(file)))]


def _tell(model: Model, texts: Any, window: int, stride: int, as_json: bool) -> None:
    found = perplexity(model, texts, window=window, stride=stride)
    if as_json:
        print(json.dumps({"perplexity": found.perplexity, **found._asdict()}))
        return
    lost = f"; {found.without_targets} more have no target" if found.without_targets else ""
    texts_read = f"{found.texts} text{'s' if found.texts > 1 else ''}"
    print(f"perplexity {found.perplexity:.4f}, loss {found.loss:.4f}: {found.targets:,} tokens of {texts_read}{lost}")
