"""Whether factors fit the layers that they are for: all that does not is told in one error, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..._errors import ArgumentError
from .. import layers
from ..layers import Kind, Node
from .config import LoRAConfig
from .targets import kind_of

FACTORS = ("lora_a", "lora_b")
MAGNITUDES = "m"


def shapes(dims: tuple[int, ...], kind: Kind, rank: int, use_dora: bool) -> dict[str, tuple[int, ...]]:
    """The shape of each part of an adapter for a layer.

    Args:
      dims: of its weight, unpacked: [..., out, in].
      kind: of the layer.
      rank: of the factors.
      use_dora: whether it has magnitudes.
    """
    *experts, out, into = dims
    if kind == "switch":
        a, b = (*experts, rank, into), (*experts, out, rank)
    else:
        a, b = ((out, rank), (rank, into)) if kind == "embedding" else ((into, rank), (rank, out))
    return {"lora_a": a, "lora_b": b, **({MAGNITUDES: (*experts, out)} if use_dora else {})}


def require(where: str, factors: Mapping[str, Node], nodes: Mapping[str, Node], config: LoRAConfig) -> None:
    """Check the parts of an adapter against the layers of a tree.

    Args:
      where: begins the message.
      factors: parts by name by the layer's path.
      nodes: the layers of the tree.
      config: the adapter's.

    Raises:
      ValueError: something does not fit; the message names each.
    """
    dims = {path: (layers.dims(node), kind_of(path, node) or "linear") for path, node in nodes.items()}
    raise_all(where, problems(factors, dims, config))


def raise_all(where: str, found: Iterable[str]) -> None:
    """Raise one error that lists what is wrong, if anything is."""
    lines = list(found)
    if lines:
        raise ArgumentError("\n  ".join([f"[{where}] the adapter does not fit:", *lines]))


def problems(
    factors: Mapping[str, Mapping[str, Any]], dims: Mapping[str, tuple[tuple[int, ...], Kind]], config: LoRAConfig
) -> Iterator[str]:
    """What is wrong with the parts of an adapter, a line for each.

    Args:
      factors: parts by name by the layer's path.
      dims: the shape of the weight, unpacked, and the kind of each layer of the model.
      config: the adapter's.
    """
    for path, parts in factors.items():
        if path not in dims:
            yield f"{path}: the model has no such layer"
            continue
        wanted = shapes(*dims[path], config.rank_of(path), config.use_dora)
        yield from _part_problems(path, {name: part for name, part in parts.items() if name != "scaling"}, wanted)


def _part_problems(path: str, parts: Mapping[str, Any], wanted: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    for name in parts.keys() - wanted.keys():
        about = "magnitudes, but the configuration says LoRA" if name == MAGNITUDES else "not a part of an adapter"
        yield f"{path}.{name}: {about}"
    for name, shape in wanted.items():
        if name not in parts:
            yield f"{path}.{name}: missing"
        elif parts[name].shape != shape:
            yield f"{path}.{name}: expected shape {shape}, got {parts[name].shape}"
