"""Convert a model: quantize it, unpack it, change its dtype; from a folder or GGUF file to a folder or GGUF file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ... import core as mx
from ..._errors import ArgumentError
from ..files import require_other, require_place
from ..layers import Quantization
from ..lora.targets import layers_of
from ..models import Tokenizer, quantizing
from ..models.config import text_part
from ..models.gguf.file import SUFFIX
from ..models.gguf.model import export_model
from ..models.load import config_of, load_parameters, save_model
from ..trees import Tree
from .engine import located
from .fuse import add_gguf_type

DTYPES = {"float16": mx.float16, "bfloat16": mx.bfloat16, "float32": mx.float32}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command: those of mlx_lm.convert, rules, and the types of GGUF; see `Command`."""
    parser.add_argument(
        "--model", "--hf-path", required=True, help="folder or GGUF file of the model, or its name on the Hub"
    )
    parser.add_argument(
        "--mlx-path",
        default="mlx_model",
        help="folder for the result, or a file that ends in .gguf (default: mlx_model)",
    )
    parser.add_argument("-q", "--quantize", action="store_true", help="quantize the layers")
    parser.add_argument("--q-group-size", type=int, help="group size (default: 64; 32 or 16 in other modes)")
    parser.add_argument("--q-bits", type=int, help="bits for each weight (default: 4; 8 for mxfp8)")
    parser.add_argument("--q-mode", choices=tuple(quantizing.DEFAULTS), default="affine", help="default: affine")
    parser.add_argument("--quant-predicate", choices=tuple(quantizing.RECIPES), help="a recipe that mixes bits")
    parser.add_argument(
        "--q-rule", action="append", default=[], metavar="PATTERN=BITS[:GROUP]",
        help="bits of layers whose path has this regular expression, or none; the first that fits counts; any number",
    )  # fmt: skip
    parser.add_argument("--dtype", choices=tuple(DTYPES), help="dtype of what is not packed (default: config.json's)")
    parser.add_argument("-d", "--dequantize", action="store_true", help="unpack quantized layers")
    add_gguf_type(parser)


def prepare(arguments: argparse.Namespace) -> Callable[[], None]:
    """Load the model, and convert it; see `Command`."""
    target = Path(arguments.mlx_path)
    require_place("mlx_path", arguments.mlx_path)
    if target.exists() and target.suffix != SUFFIX:
        raise FileExistsError(f"mlx_path: expected a new folder, got one that is there already: {target}")
    if target.suffix == SUFFIX and arguments.quantize:
        raise ArgumentError("quantize: a GGUF file is quantized by --gguf-type")
    convert = _conversion(arguments)
    model = located(arguments.model)
    require_other("mlx_path", target, model)
    config, _, parameters = load_parameters(model)
    dtype = arguments.dtype or config.get("torch_dtype") or text_part(config).get("dtype")
    if dtype in DTYPES:
        parameters = quantizing.cast(parameters, DTYPES[dtype])
    found = convert(parameters)
    if target.suffix == SUFFIX:
        tokenizer = Tokenizer.from_directory(model)
        return partial(_export, target, found, config_of(config, found), tokenizer, arguments.gguf_type)
    return partial(_save, target, found, config, model)


def _conversion(arguments: argparse.Namespace) -> Callable[[Tree], Tree]:
    """What becomes of the parameters."""
    if arguments.quantize and arguments.dequantize:
        raise ArgumentError("quantize, dequantize: expected one of them, got both")
    for name in () if arguments.quantize else ("q_bits", "q_group_size", "quant_predicate", "q_rule"):
        if getattr(arguments, name) not in (None, []):
            raise ArgumentError(f"{name}: it says how to quantize, and --quantize is missing")
    if arguments.dequantize:
        return quantizing.dequantized_parameters
    return partial(_quantized, arguments) if arguments.quantize else lambda parameters: parameters


def _quantized(arguments: argparse.Namespace, parameters: Tree) -> Tree:
    recipe, rules = arguments.quant_predicate, arguments.q_rule
    if recipe and (rules or arguments.q_mode != "affine"):
        raise ArgumentError("quant_predicate: expected no rule beside a recipe, and mode affine")
    usual = quantizing.scheme_of(arguments.q_mode, arguments.q_group_size, arguments.q_bits)
    if recipe:
        choice = quantizing.by_recipe(recipe, parameters, usual.group_size)
    else:
        choice = quantizing.by_rules([_rule(text, usual, parameters) for text in rules], usual)
    return quantizing.quantized_parameters(parameters, choice, usual.group_size)


def _rule(text: str, usual: Quantization, parameters: Tree) -> quantizing.Rule:
    """A rule, which must be about something."""
    rule = quantizing.rule_of(text, usual)
    if not any(rule.pattern.search(path) for path, _ in layers_of(parameters)):
        raise ArgumentError(f"q_rule: expected a pattern that is found in the path of a layer, got {text!r}")
    return rule


def _save(target: Path, parameters: Tree, config: Mapping[str, Any], source: Path) -> None:
    save_model(target, parameters, config, source)
    print(f"model in {target}")


def _export(target: Path, parameters: Tree, config: Mapping[str, Any], tokenizer: Tokenizer, kind: str) -> None:
    export_model(target, parameters, config, tokenizer, kind)
    print(f"model in {target}, {kind}")
