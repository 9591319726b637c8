"""Make one LoRA adapter of several, each with a weight: ADAPTER:WEIGHT."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ... import core as mx
from ..._errors import ArgumentError
from .. import lora
from ..files import require_free
from ..lora.merging import METHODS
from ..trees import flatten


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command; see `Command`."""
    about = "folder of an adapter, and after a colon its weight (without one: 1)"
    parser.add_argument("adapters", nargs="+", metavar="ADAPTER:WEIGHT", help=about)
    parser.add_argument("--save-path", required=True, help="folder for the adapter, new or empty")
    about = "add the updates (default), or keep the largest entries of each that agree in sign"
    parser.add_argument("--method", choices=METHODS, default="linear", help=about)
    parser.add_argument("--density", type=float, default=0.2, help="the part of entries that ties keeps (default: 0.2)")
    parser.add_argument("--rank", type=int, help="rank of the result (default: the sum of the adapters' ranks)")


def prepare(arguments: argparse.Namespace) -> Callable[[], None]:
    """Read the adapters and merge them; see `Command`."""
    target = Path(arguments.save_path)
    require_free("save_path", arguments.save_path)
    parts = [_part(text) for text in arguments.adapters]
    adapters, weights = [lora.read_adapter(path) for path, _ in parts], [weight for _, weight in parts]
    merged = lora.merge(adapters, weights, arguments.method, density=arguments.density, rank=arguments.rank)
    mx.eval(flatten(merged.adapter.parameters))
    return partial(_save, merged, target)


def _part(text: str) -> tuple[str, float]:
    """The folder and the weight; a folder that is there may have a colon in its name."""
    path, colon, weight = text.rpartition(":")
    if not colon or Path(text).exists():
        return text, 1.0
    try:
        return path, float(weight)
    except ValueError:
        raise ArgumentError(f"{text}: expected a folder, or a folder, a colon and a weight; got neither") from None


def _save(merged: lora.Merged, target: Path) -> None:
    lora.save_adapter(target, merged.adapter)
    print(f"adapter of rank {merged.adapter.config.rank} in {target}")
    if merged.kept < 1:
        print(f"{merged.kept:.1%} of what the adapters change is left in this rank; --rank gives it another")
