"""Whether factors fit the layers that they are for: all that does not is told in one error, by name."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from ... import core as mx
from ..._errors import ArgumentError
from .. import layers
from ..layers import Kind, Node
from .config import LoRAConfig
from .targets import kind_of

FACTORS = ("lora_a", "lora_b")
MAGNITUDES = "m"
PARTS = (*FACTORS, MAGNITUDES)

# The axis that is the rank, by how many axes a factor has: expert layers have theirs the other way round.
RANK_AXES = {"lora_a": {2: 1, 3: 1}, "lora_b": {2: 0, 3: 2}}


def shapes(dims: tuple[int, ...], kind: Kind, rank: int, use_dora: bool) -> dict[str, tuple[int, ...]]:
    """The shape of each part of an adapter for a layer.

    Args:
      dims: of its weight, unpacked: [..., out, in].
      kind: of the layer.
      rank: of the factors.
      use_dora: whether it has magnitudes.

    Returns:
      The shape of `lora_a`, `lora_b` and, with DoRA, `m`, by name.
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
    """Raise one error that lists everything that is wrong, if anything is; sorted, because files have no order.

    Args:
      where: the function that the error names.
      found: lines, one for each problem.

    Raises:
      ValueError: there is at least one line.
    """
    lines = sorted(found)
    if lines:
        raise ArgumentError("\n  ".join([f"[{where}] the adapter does not fit:", *lines]))


def problems(
    factors: Mapping[str, Mapping[str, Any]], dims: Mapping[str, tuple[tuple[int, ...], Kind]], config: LoRAConfig
) -> Iterator[str]:
    """What is wrong with the parts of an adapter, one line each.

    Args:
      factors: parts by name by the layer's path.
      dims: the shape of the weight, unpacked, and the kind of each layer of the model.
      config: the adapter's.

    Returns:
      Lines that name the layer or part and what was expected; none where all fit.
    """
    for path, parts in factors.items():
        if path not in dims:
            yield f"{path}: the model has no such layer"
            continue
        wanted = shapes(*dims[path], config.rank_of(path), config.use_dora)
        yield from _name_problems(path, parts, wanted)
        yield from _shape_problems(path, parts, wanted, config.rank_of(path))


def _name_problems(path: str, parts: Mapping[str, Any], wanted: Iterable[str]) -> Iterator[str]:
    for name in parts:
        if name not in wanted and name != "scaling":
            about = "magnitudes, but the configuration says LoRA" if name == MAGNITUDES else "not a part of an adapter"
            yield f"{path}.{name}: {about}"
    for name in wanted:
        if name not in parts:
            yield f"{path}.{name}: missing"
        elif not _floating(parts[name]):
            yield f"{path}.{name}: expected floating point, got {_named(parts[name].dtype)}"


def _shape_problems(
    path: str, parts: Mapping[str, Any], wanted: Mapping[str, tuple[int, ...]], rank: int
) -> Iterator[str]:
    for name, shape in wanted.items():
        if name in parts and parts[name].shape != shape:
            yield f"{path}.{name}: expected shape {shape} (rank {rank}), got {parts[name].shape}"


def problems_within(factors: Mapping[str, Mapping[str, Any]], config: LoRAConfig) -> Iterator[str]:
    """The `problems` that show without a model: missing or unknown parts, and wrong ranks.

    Args:
      factors: parts by name by the layer's path.
      config: the adapter's.

    Returns:
      Lines as those of `problems`.
    """
    for path, parts in factors.items():
        rank = config.rank_of(path)
        wanted = (*FACTORS, MAGNITUDES) if config.use_dora else FACTORS
        yield from _name_problems(path, parts, wanted)
        for name, axes in RANK_AXES.items():
            shape = parts[name].shape if name in parts else ()
            if name in parts and (len(shape) not in axes or shape[axes[len(shape)]] != rank):
                yield f"{path}.{name}: expected rank {rank}, got shape {shape}"


def differences(arrays: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """A line for each array that is not wanted, has another shape or dtype, or is missing.

    Args:
      arrays: what was found, by path.
      wanted: what should be there, by path: anything with a shape and a dtype.

    Returns:
      Lines that name the path and what was expected; none where both are alike.
    """
    yield from misplaced(arrays, wanted)
    for path in wanted:
        if path not in arrays:
            yield f"{path}: missing"


def known(path: str, paths: Container[str]) -> str:
    """A layer's path as the model has it; in the Go port's files, `model.` at the beginning is optional.

    Args:
      path: of a layer, with or without `model.`.
      paths: the model's.

    Returns:
      The one of `paths` that it means; `path` itself where none does.
    """
    names = (path, f"model.{path}", path.removeprefix("model."))
    return next((name for name in names if name in paths), path)


def misplaced(arrays: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str]:
    """A line for each array whose path is not known, or that has another shape or dtype there.

    Args:
      arrays: what was found, by path.
      known: what the model has, by path: anything with a shape and a dtype.

    Returns:
      Lines that name the path and what was expected. Dtypes differ where only one of the two is a float.
    """
    for path, value in arrays.items():
        if path not in known:
            yield f"{path}: the model has no such parameter"
        elif value.shape != known[path].shape:
            yield f"{path}: expected shape {known[path].shape}, got {value.shape}"
        elif _floating(value) is not _floating(known[path]):
            yield f"{path}: expected {_named(known[path].dtype)}, got {_named(value.dtype)}"


def _floating(value: Any) -> bool:
    return mx.issubdtype(value.dtype, mx.floating)


def _named(dtype: mx.Dtype) -> str:
    return str(dtype).rpartition(".")[2]
