"""Which layers of a model get how many bits: all the same, mlx_lm's mixed recipes, or rules by patterns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from ... import core as mx
from ..._errors import ArgumentError
from .. import checks
from ..layers import Node, Quantization, dequantized, dims, is_quantized, quantized
from ..lora.adapter import map_layers
from ..lora.targets import layers_of
from ..trees import Tree, tree_map

# How a layer is to be quantized by its path; None for not at all.
Choice: TypeAlias = Callable[[str], "Quantization | None"]

# Group size and bits where none are asked for.
DEFAULTS = {"affine": (64, 4), "mxfp4": (32, 4), "nvfp4": (16, 4), "mxfp8": (32, 8)}
# Low and high bits of mlx_lm's recipes.
RECIPES = {"mixed_2_6": (2, 6), "mixed_3_4": (3, 4), "mixed_3_6": (3, 6), "mixed_4_6": (4, 6)}


class Rule(NamedTuple):
    """How some layers are quantized.

    Args:
      pattern: found in their paths.
      scheme: None for not at all.
    """

    pattern: re.Pattern[str]
    scheme: Quantization | None


def scheme_of(mode: str = "affine", group_size: int | None = None, bits: int | None = None) -> Quantization:
    """A way to quantize, with the mode's defaults for what is not given.

    Args:
      mode: "affine", "mxfp4", "nvfp4" or "mxfp8".
      group_size: numbers that share a scale; None for the mode's own: 64, 32, 16, 32.
      bits: of a number; None for the mode's own: 4, 4, 4, 8.

    Returns:
      The way.

    Raises:
      ValueError: there is no such mode, or a number is no int of at least 1.
    """
    if mode not in DEFAULTS:
        raise ArgumentError(f"[scheme_of] mode: expected one of {', '.join(DEFAULTS)}, got {mode!r}")
    usual_group, usual_bits = DEFAULTS[mode]
    group = usual_group if group_size is None else checks.count("scheme_of", "group_size", group_size, 1)
    return Quantization(group, usual_bits if bits is None else checks.count("scheme_of", "bits", bits, 1), mode)


def rule_of(text: str, usual: Quantization) -> Rule:
    """A rule as the command line writes it.

    Args:
      text: PATTERN=BITS, PATTERN=BITS:GROUP_SIZE or PATTERN=none.
      usual: has the mode, and the group size where none is given.

    Returns:
      A pattern, and how the layers are quantized in whose path it is found: None for not at all.

    Raises:
      ValueError: it has another form.
    """
    pattern, _, wanted = text.rpartition("=")
    found = re.fullmatch(r"none|(\d+)(?::(\d+))?", wanted)
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ArgumentError(f"q_rule: {pattern!r} is no regular expression: {error}") from None
    if not pattern or found is None:
        raise ArgumentError(f"q_rule: expected PATTERN=BITS, PATTERN=BITS:GROUP_SIZE or PATTERN=none, got {text!r}")
    if wanted == "none":
        return Rule(compiled, None)
    return Rule(compiled, Quantization(int(found[2] or usual.group_size), int(found[1]), usual.mode))


def by_rules(rules: Iterable[Rule], usual: Quantization) -> Choice:
    """A choice by the first rule whose pattern is found in a path; else the usual scheme.

    Args:
      rules: the first that fits counts.
      usual: for layers that none fits.

    Returns:
      A function of a layer's path.
    """
    listed = list(rules)
    return lambda path: next((rule.scheme for rule in listed if rule.pattern.search(path)), usual)


def by_recipe(name: str, parameters: Tree, group_size: int) -> Choice:
    """One of mlx_lm's mixed recipes: more bits for the output layer and for some blocks' values and down projections.

    Args:
      name: "mixed_2_6", "mixed_3_4", "mixed_3_6" or "mixed_4_6": fewer and more bits.
      parameters: the tree, for the number of its blocks.
      group_size: numbers that share a scale.

    Returns:
      A function of a layer's path.

    Raises:
      ValueError: there is no such recipe.

    Source: mlx_lm.convert, `mixed_quant_predicate_builder`.
    """
    if name not in RECIPES:
        raise ArgumentError(f"[by_recipe] name: expected one of {', '.join(RECIPES)}, got {name!r}")
    low, high = (Quantization(group_size, bits) for bits in RECIPES[name])
    numbers = [int(found[1]) for path, _ in layers_of(parameters) if (found := re.search(r"layers\.(\d+)\.", path))]
    count = max(numbers, default=-1) + 1

    def choice(path: str) -> Quantization:
        found = re.search(r"layers\.(\d+)\.", path)
        index = int(found[1]) if found else 0
        outer = index < count // 8 or index >= 7 * count // 8
        wanted = ("v_proj" in path or "down_proj" in path) and (outer or (index - count // 8) % 3 == 2)
        return high if wanted or "lm_head" in path else low

    return choice


def quantized_parameters(parameters: Tree, choice: Choice, group_size: int) -> Tree:
    """A tree with its dense layers quantized, except those whose width is not a multiple of the group size.

    Args:
      parameters: the tree.
      choice: how, by the layer's path.
      group_size: the usual one.

    Returns:
      A new tree; layers that are quantized already stay as they are.

    Raises:
      ValueError: there is no layer that can be quantized so, or the choice is one that MLX does not have.
    """
    widths = {dims(node)[-1] for _, node in layers_of(parameters)}
    if all(width % group_size for width in widths):
        found = ", ".join(map(str, sorted(widths)))
        raise ArgumentError(f"group_size: expected one that divides the width of a layer ({found}), got {group_size}")

    def made(path: str, node: Node) -> Node:
        scheme = None if is_quantized(node) or dims(node)[-1] % group_size else choice(path)
        return node if scheme is None else quantized(node, scheme)

    return map_layers(made, parameters)


def dequantized_parameters(parameters: Tree) -> Tree:
    """A tree whose quantized layers are unpacked.

    Args:
      parameters: the tree.

    Returns:
      A new tree.
    """
    return map_layers(lambda _, node: dequantized(node), parameters)


def cast(parameters: Tree, dtype: mx.Dtype) -> Tree:
    """A tree whose floating-point arrays have another dtype.

    Args:
      parameters: the tree.
      dtype: a floating-point one.

    Returns:
      A new tree; integers, and with them packed weights, stay as they are.
    """
    return tree_map(lambda value: value.astype(dtype) if mx.issubdtype(value.dtype, mx.floating) else value, parameters)
