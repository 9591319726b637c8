"""Fuse an adapter into the weights of its model, and write the model, or export the adapter for PEFT."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .. import lora
from ..files import read_json
from .engine import Fused, load_base, located


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--adapter-path", default="adapters", help="folder of the adapter (default: adapters)")
    parser.add_argument(
        "--save-path", default="fused_model", help="folder for the fused model, new or empty (default: fused_model)"
    )
    parser.add_argument("--dequantize", action="store_true", help="unpack all quantized weights")
    parser.add_argument(
        "--export-peft", metavar="FOLDER", help="write the adapter as PEFT reads it into this folder, and fuse nothing"
    )
    parser.add_argument("--engine", choices=("auto", "own", "mlx_lm"), default="auto", help="whose model is fused")
    parser.add_argument("--trust-remote-code", action="store_true", help="let mlx_lm run code of a tokenizer")


def prepare(arguments: argparse.Namespace) -> Callable[[], None]:
    """Load the model and the adapter."""
    path = Path(arguments.adapter_path)
    if arguments.export_peft:
        config = read_json(located(arguments.model) / "config.json")
        return partial(_export, lora.read_adapter(path), arguments.export_peft, arguments.model, _is_tied(config))
    target = Path(arguments.save_path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"save_path: expected a new or empty folder, got one that has something in it: {target}")
    base = load_base(arguments.model, arguments.engine, arguments.trust_remote_code)
    return partial(_fuse, base.fused(path, arguments.dequantize), target)


def _is_tied(config: Any) -> bool:
    """Whether by a config.json the embedding is the output layer, too; a family may mean it where nothing is said."""
    about = config if isinstance(config, dict) else {}
    return bool(about.get("tie_word_embeddings", str(about.get("model_type")).startswith("gemma")))


def _fuse(fused: Fused, target: Path) -> None:
    fused.write(target)
    print(f"fused model in {target}")
    if fused.survival is not None:
        print(f"its weights were quantized again: {fused.survival}; --dequantize keeps all of it")


def _export(adapter: lora.Adapter, folder: str, model: str, tied: bool) -> None:
    lora.export_peft(adapter, folder, model, tied=tied)
    print(f"PEFT adapter in {folder}")
