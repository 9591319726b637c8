"""Which layers an adapter adapts: as mlx-lm chooses them, by keys and last blocks, and as PEFT does, by its patterns.

Layers are known by path and kind, so that trees of parameters and `mlx.nn` models are treated alike. A block is an item
of a list called `layers`, or as `layers_pattern` says.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ... import core as mx
from ..._errors import ArgumentError
from ..layers import Kind, Node
from ..trees import Tree
from .config import ALL_LINEAR, LoRAConfig

# What names tables of embeddings; a node whose name does not tell may say itself: {"kind": "embedding", ...}.
EMBEDDINGS = re.compile(r"embed|wte$|wpe$")
OUTPUT_LAYER = "lm_head"


class Choice(NamedTuple):
    """The layers that a configuration chooses.

    Args:
      paths: of the layers, in the model's order.
      unmatched: keys of the configuration that chose none.
    """

    paths: list[str]
    unmatched: list[str]


class Place(NamedTuple):
    """Where in a model's blocks a layer is.

    Args:
      blocks: the path of the list of blocks.
      number: of the block, from 0.
      inner: the layer's path within the block.
    """

    blocks: str
    number: int
    inner: str


# --- layers of a tree ---


def layers_of(parameters: Tree, start: str = "") -> Iterator[tuple[str, Node]]:
    """Every layer of a tree that can be adapted, with its path.

    Args:
      parameters: the model's tree.
      start: the path of the tree itself; "" for the whole model.

    Returns:
      Pairs of a path, such as "model.layers.0.self_attn.q_proj", and a node.
    """
    if isinstance(parameters, dict):
        if start and kind_of(start, parameters):
            yield start, parameters
            return
        items: Iterable[tuple[Any, Any]] = parameters.items()
    else:
        items = enumerate(parameters) if isinstance(parameters, (list, tuple)) else ()
    for key, item in items:
        yield from layers_of(item, f"{start}.{key}" if start else str(key))


def kind_of(path: str, node: Mapping[str, Any]) -> Kind | None:
    """The kind of layer that a node is, by its weight's axes and its name; None if it cannot be adapted.

    Args:
      path: of the node.
      node: its arrays by name; one that has a `kind` of its own keeps it.

    Returns:
      "linear", "embedding", "switch", or None.
    """
    weight = node.get("weight")
    if not isinstance(weight, mx.array) or "conv" in path:
        return None
    if "kind" in node:
        named: Kind = node["kind"]
        return named
    if weight.ndim == 3:
        return "switch"
    if weight.ndim != 2:
        return None
    return "embedding" if is_embedding(path) else "linear"


def is_embedding(path: str) -> bool:
    """Whether a layer's name is that of an embedding.

    Args:
      path: of the layer; only its last part counts.

    Returns:
      True for names such as "embed_tokens".
    """
    return EMBEDDINGS.search(path.rsplit(".", 1)[-1]) is not None


# --- choosing ---


def chosen(layers: Mapping[str, Kind], config: LoRAConfig, blocks: Sequence[str] = ("layers",)) -> Choice:
    """The layers that a configuration selects.

    Args:
      layers: the kind of each layer of the model by its path.
      config: says which.
      blocks: names of lists of blocks, unless the configuration has a `layers_pattern`.

    Returns:
      The chosen paths, and the keys that match no layer.
    """
    layers = {path: kind for path, kind in layers.items() if not matches(path, config.modules_to_save)}
    if config.target_modules is not None:
        return _as_peft(layers, config)
    return _as_mlx_lm(layers, config, config.layers_pattern or blocks)


def require_choice(choice: Choice, layers: Iterable[str]) -> list[str]:
    """The selected layers, after a check that there are any.

    Args:
      choice: made from a configuration.
      layers: all of the model's, by path.

    Returns:
      Their paths; at least one.

    Raises:
      ValueError: it has none, or a key matches none; the message names them.
    """
    if choice.unmatched:
        known = ", ".join(dict.fromkeys(re.sub(r"\.\d+\.", ".*.", path) for path in layers))
        raise ArgumentError(
            f"[LoRAConfig] no layer of the model matches {', '.join(choice.unmatched)}; it has: {known}"
        )
    if not choice.paths:
        raise ArgumentError("[LoRAConfig] none of the model's layers is chosen")
    return choice.paths


def _place(path: str, blocks: Iterable[str]) -> Place | None:
    """Where a layer is, if it is in a block."""
    found = re.match(rf"(.*?\b(?:{'|'.join(blocks)}))\.(\d+)\.(.+)", path)
    return Place(found[1], int(found[2]), found[3]) if found else None


def _as_mlx_lm(layers: Mapping[str, Kind], config: LoRAConfig, blocks: Sequence[str]) -> Choice:
    places = {path: place for path in layers if (place := _place(path, blocks))}
    counts: dict[str, int] = defaultdict(int)
    for place in places.values():
        counts[place.blocks] = max(counts[place.blocks], place.number + 1)
    first = {name: max(count - config.num_layers, 0) if config.num_layers > 0 else 0 for name, count in counts.items()}
    last = {path: place.inner for path, place in places.items() if place.number >= first[place.blocks]}
    if config.keys is None:
        return Choice(list(last), [])
    keys = set(config.keys)
    paths = [path for path in layers if path in keys or last.get(path) in keys]
    matched = {*paths, *(last[path] for path in paths if path in last)}
    return Choice(paths, [key for key in config.keys if key not in matched])


def _as_peft(layers: Mapping[str, Kind], config: LoRAConfig) -> Choice:
    targets, excluded = config.target_modules, config.exclude_modules
    if targets == ALL_LINEAR:
        paths = [path for path, kind in layers.items() if kind == "linear" and path.split(".")[-1] != OUTPUT_LAYER]
    else:
        paths = [path for path in layers if matches(path, targets) and _transformed(path, config)]
    unmatched = (
        [name for name in targets if not any(matches(path, (name,)) for path in layers)]
        if isinstance(targets, tuple)
        else []
    )
    return Choice([path for path in paths if not matches(path, excluded)], unmatched)


def matches(path: str, wanted: str | tuple[str, ...] | None) -> bool:
    """Whether a pattern matches a whole path, or the path is or ends with one of several names.

    Args:
      path: of a layer.
      wanted: a regular expression; a tuple of names; or None, which matches nothing.

    Returns:
      True where it matches.
    """
    if wanted is None:
        return False
    if isinstance(wanted, str):
        return re.fullmatch(wanted, path) is not None
    return any(path == name or path.endswith(f".{name}") for name in wanted)


def _transformed(path: str, config: LoRAConfig) -> bool:
    """Whether a layer is in one of the blocks that are to be transformed; one that is named by its whole path is."""
    if config.layers_to_transform is None or (
        isinstance(config.target_modules, tuple) and path in config.target_modules
    ):
        return True
    # Without names for lists of blocks, the last number in a path is the block's.
    names = "|".join(config.layers_pattern) if config.layers_pattern else r"[^.]*"
    found = re.match(rf"(?:.*\.)?(?:{names})\.(\d+)\.", path)
    return found is not None and int(found[1]) in config.layers_to_transform
