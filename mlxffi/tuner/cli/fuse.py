"""Fuse an adapter into the weights of its model, and write the model, or export the adapter for PEFT."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..._errors import ArgumentError
from .. import lora
from ..models import save_model
from ..models.load import adapted, load_parameters
from ..trees import Tree


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


def prepare(arguments: argparse.Namespace) -> Callable[[], None]:
    """Load the model and the adapter."""
    folder = Path(arguments.model)
    config, architecture, parameters = load_parameters(folder)
    architecture, parameters, adapter = adapted(architecture, parameters, Path(arguments.adapter_path))
    if arguments.export_peft:
        if adapter is None:
            raise ArgumentError(
                f"export_peft: expected an adapter, got parameters themselves: {arguments.adapter_path}"
            )
        return partial(_export, adapter, arguments.export_peft, arguments.model, architecture.tied)
    target = Path(arguments.save_path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"save_path: expected a new or empty folder, got one that has something in it: {target}")
    return partial(_fuse, config, parameters, adapter, folder, target, arguments.dequantize)


def _fuse(config: dict[str, Any], parameters: Tree, adapter: lora.Adapter | None, *places: Any) -> None:
    source, target, dequantize = places
    adapters = [] if adapter is None else [adapter]
    save_model(target, lora.fuse(parameters, *adapters, dequantize=dequantize), config, source)
    print(f"fused model in {target}")


def _export(adapter: lora.Adapter, folder: str, model: str, tied: bool) -> None:
    lora.export_peft(adapter, folder, model, tied=tied)
    print(f"PEFT adapter in {folder}")
