"""Fuse an adapter into the weights of its model, and write the model, as a folder or as GGUF; or export the adapter."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from .. import lora
from ..files import read_object, require_folder, require_free, require_other, require_place
from ..lora.formats import added_tokens
from ..models.gguf.blocks import SIZES
from ..models.gguf.file import is_gguf
from ..models.gguf.model import export_adapter, require_exportable
from ..models.load import copy_companions, load_parameters
from .engine import Fused, load_base, located


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command; see `Command`."""
    parser.add_argument("--model", required=True, help="folder or GGUF file of the model")
    parser.add_argument("--adapter-path", default="adapters", help="folder of the adapter (default: adapters)")
    parser.add_argument(
        "--save-path", default="fused_model", help="folder for the fused model, new or empty (default: fused_model)"
    )
    parser.add_argument("--dequantize", action="store_true", help="unpack all quantized weights")
    parser.add_argument(
        "--export-peft", metavar="FOLDER", help="write the adapter as PEFT reads it into this folder, and fuse nothing"
    )
    parser.add_argument(
        "--export-gguf",
        metavar="FILE",
        help="write the fused model as llama.cpp reads it into this file, and no folder",
    )
    add_gguf_type(parser)
    parser.add_argument(
        "--export-gguf-lora", metavar="FILE", help="write the adapter for llama.cpp's --lora, and fuse nothing"
    )
    parser.add_argument("--engine", choices=("auto", "own", "mlx_lm"), default="auto", help="whose model is fused")
    parser.add_argument("--trust-remote-code", action="store_true", help="let mlx_lm run code of a tokenizer")


def add_gguf_type(parser: argparse.ArgumentParser) -> None:
    """The option for the type of matrices in a GGUF file.

    Args:
      parser: gets it.
    """
    parser.add_argument(
        "--gguf-type", choices=tuple(SIZES), default="F16", help="type of the matrices in a GGUF file (default: F16)"
    )


# What an adapter or a model is exported to.
PLACES = {"export_gguf_lora": require_place, "export_gguf": require_place, "export_peft": require_folder}


def prepare(arguments: argparse.Namespace) -> Callable[[], None]:
    """Load the model and the adapter; see `Command`."""
    path = Path(arguments.adapter_path)
    for name, require in PLACES.items():
        if getattr(arguments, name) is not None:
            require(name, getattr(arguments, name))
    if arguments.export_gguf_lora:
        adapter = lora.read_adapter(path)
        require_exportable(adapter)
        _, architecture, _ = load_parameters(located(arguments.model))
        return partial(_write, lambda file: export_adapter(file, adapter, architecture), arguments.export_gguf_lora)
    if arguments.export_gguf:
        require_other("export_gguf", arguments.export_gguf, located(arguments.model))
        fused = load_base(arguments.model, arguments.engine, arguments.trust_remote_code).fused(path, True)
        return partial(_export_gguf, fused, arguments.export_gguf, arguments.gguf_type)
    if arguments.export_peft:
        found = located(arguments.model, weights=False)
        config = load_parameters(found)[0] if is_gguf(found) else read_object(found / "config.json")
        return partial(_export, path, lora.read_adapter(path), arguments, _is_tied(config))
    target = Path(arguments.save_path)
    require_free("save_path", arguments.save_path)
    base = load_base(arguments.model, arguments.engine, arguments.trust_remote_code)
    return partial(_fuse, base.fused(path, arguments.dequantize), target)


def _is_tied(config: Mapping[str, Any]) -> bool:
    """Whether by a config.json the embedding is the output layer, too; a family may mean it where nothing is said."""
    return bool(config.get("tie_word_embeddings", str(config.get("model_type")).startswith("gemma")))


def _fuse(fused: Fused, target: Path) -> None:
    fused.write(target)
    print(f"fused model in {target}")
    if fused.survival is not None:
        print(f"its weights were quantized again: {fused.survival}; --dequantize keeps all of it")


def _write(export: Callable[[Path], None], file: str) -> None:
    export(Path(file))
    print(f"written: {file}")


def _export_gguf(fused: Fused, file: str, kind: str) -> None:
    survival = fused.export(Path(file), kind)
    print(f"written: {file}")
    if survival is not None:
        print(f"its weights were quantized to {kind}: {survival}; --gguf-type F16 keeps all of it")


def _export(path: Path, adapter: lora.Adapter, arguments: argparse.Namespace, tied: bool) -> None:
    folder = Path(arguments.export_peft)
    lora.export_peft(adapter, folder, arguments.model, tied=tied)
    if added_tokens(path):
        copy_companions(path, folder)
    print(f"PEFT adapter in {folder}")
