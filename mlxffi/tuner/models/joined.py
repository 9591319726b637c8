"""Layers of one input as one layer, while a model is trained: queries, keys and values are one product, not three.

On a GPU, each product costs the host more time than the GPU. A joined layer has the rows of its parts' weights, one
part after the other; its first factor has the columns of theirs, its second is block-diagonal. Files, paths and models
know the parts alone: `Joints` converts between both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from ... import core as mx
from .. import layers
from ..layers import Node
from ..lora import Adapter, LoRAConfig
from ..lora.adapter import attached
from ..lora.targets import layers_of
from ..trees import Tree, flatten, merged, unflatten

Arrays = dict[str, mx.array]

# What a layer may have of which the first axis are its outputs.
ROWS = (*layers.PACKED, "bias")


class Joint(NamedTuple):
    """A joined layer.

    Args:
      path: where it stands.
      parts: the paths of the layers that it is made of.
      widths: how many outputs each part has.
      ranks: of the parts' factors; 0 without.
    """

    path: str
    parts: tuple[str, ...]
    widths: tuple[int, ...]
    ranks: tuple[int, ...]

    def joined(self, arrays: Mapping[str, mx.array]) -> Iterator[tuple[str, mx.array]]:
        """The arrays of the joined layer, of those that all parts have.

        Args:
          arrays: of the parts, by path.

        Returns:
          Pairs of a path and an array.
        """
        for name in ROWS:
            if f"{self.parts[0]}.{name}" in arrays:
                yield f"{self.path}.{name}", mx.concatenate([arrays[f"{part}.{name}"] for part in self.parts])
        carrying = [part for part in self.parts if f"{part}.lora_a" in arrays]
        if carrying:
            yield f"{self.path}.lora_a", mx.concatenate([arrays[f"{part}.lora_a"] for part in carrying], axis=1)
            yield f"{self.path}.lora_b", self._diagonal({part: arrays[f"{part}.lora_b"] for part in carrying})

    def parted(self, arrays: Mapping[str, mx.array]) -> Iterator[tuple[str, mx.array]]:
        """The inverse of `joined`.

        Args:
          arrays: of the joined layer, by path.

        Returns:
          Pairs of a path and an array.
        """
        for name in ROWS:
            if f"{self.path}.{name}" in arrays:
                pieces = split(arrays[f"{self.path}.{name}"], self.widths, 0)
                yield from ((f"{part}.{name}", piece) for part, piece in zip(self.parts, pieces, strict=True))
        if f"{self.path}.lora_a" in arrays:
            a, b = (arrays[f"{self.path}.{name}"] for name in ("lora_a", "lora_b"))
            for part, rows, columns in self._blocks():
                yield f"{part}.lora_a", a[:, rows]
                yield f"{part}.lora_b", b[rows, columns]

    def mask(self) -> mx.array:
        """Where the second factor has a part's.

        Returns:
          bool [sum of ranks, sum of widths].
        """
        blocks = {part: mx.ones((_size(rows), _size(columns))) for part, rows, columns in self._blocks()}
        return self._diagonal(blocks) > 0

    def _diagonal(self, factors: Arrays) -> mx.array:
        total = sum(self.widths)
        return mx.concatenate(
            [
                mx.pad(factors[part], ((0, 0), (columns.start, total - columns.stop)))
                for part, _, columns in self._blocks()
            ]
        )

    def _blocks(self) -> Iterator[tuple[str, slice, slice]]:
        """Of each part with factors, the path, and the rows and columns of its second factor."""
        rows, columns = (pairwise(accumulate(sizes, initial=0)) for sizes in (self.ranks, self.widths))
        for part, row, column, rank in zip(self.parts, rows, columns, self.ranks, strict=True):
            if rank:
                yield part, slice(*row), slice(*column)


def _size(span: slice) -> int:
    return int(span.stop - span.start)


def split(x: mx.array, sizes: Sequence[int], axis: int) -> list[mx.array]:
    """An array in pieces, whose gradients are put together: those of slices would be written into zeros one by one.

    Args:
      x: of any shape.
      sizes: of the pieces along the axis.
      axis: which axis is split.

    Returns:
      As many arrays as sizes.
    """

    @mx.custom_function
    def pieces(x: mx.array) -> list[mx.array]:
        found: list[mx.array] = mx.split(x, list(accumulate(sizes[:-1])), axis=axis)
        return found

    @pieces.vjp
    def together(_: mx.array, cotangents: list[mx.array], __: list[mx.array]) -> mx.array:
        return mx.concatenate(cotangents, axis=axis)

    found: list[mx.array] = pieces(x)
    return found


class Joints:
    """All joined layers of a model.

    Args:
      found: them; () where none is joined.
    """

    def __init__(self, found: Sequence[Joint] = ()):
        self._found = found
        self._masks = {(joint.widths, joint.ranks): joint.mask() for joint in found if any(joint.ranks)}
        mx.eval(self._masks)  # a compiled step would compute them each time

    def __bool__(self) -> bool:
        return bool(self._found)

    def joined(self, arrays: Mapping[str, mx.array]) -> Arrays:
        """Arrays by path, with those of joined layers in the places of their parts'.

        Args:
          arrays: by path, as the model has them.

        Returns:
          A new dictionary.
        """
        return self._exchanged(arrays, [(joint.parts, dict(joint.joined(arrays))) for joint in self._found])

    def parted(self, arrays: Mapping[str, mx.array]) -> Arrays:
        """The inverse of `joined`.

        Args:
          arrays: by path.

        Returns:
          A new dictionary, in another order than the model's.
        """
        return self._exchanged(arrays, [((joint.path,), dict(joint.parted(arrays))) for joint in self._found])

    def _exchanged(self, arrays: Mapping[str, mx.array], changes: Sequence[tuple[Sequence[str], Arrays]]) -> Arrays:
        gone = {path for paths, _ in changes for path in paths}
        kept = {path: item for path, item in arrays.items() if path.rpartition(".")[0] not in gone}
        return {**kept, **{path: item for _, made in changes for path, item in made.items()}}

    def put_into(self, base: Tree) -> Tree:
        """A tree with joined layers as well, of which the arrays of their parts become views: no more memory is taken.

        Args:
          base: the tree, evaluated.

        Returns:
          A new tree, evaluated.
        """
        known, nodes = flatten(base), dict(layers_of(base))
        made: dict[str, Any] = {}
        for joint in self._found:  # one after the other, so that only one is there twice
            arrays = dict(joint.joined(known))
            mx.eval(arrays)
            for path, view in joint.parted(arrays):
                known[path][:] = view
                mx.eval(known[path])
            made |= arrays | {f"{joint.path}.{name}": item for name, item in _about(joint, nodes)}
        return merged(base, unflatten(made))

    def multiplier(self, path: str, factor: mx.array, config: LoRAConfig) -> mx.array:
        """By what a factor is multiplied before a layer multiplies by it.

        Args:
          path: the factor's.
          factor: of a joined layer or of another.
          config: the adapter's.

        Returns:
          float32, of the factor's shape: 1 for the first of two, the scale for the second, where it has a part's.
        """
        layer, _, name = path.rpartition(".")
        if name == "lora_a":
            return mx.ones(factor.shape)
        joint = next((joint for joint in self._found if joint.path == layer), None)
        there = mx.ones(factor.shape) if joint is None else self._masks[joint.widths, joint.ranks].astype(mx.float32)
        return config.scale_of(layer) * there

    def attach(self, base: Tree, adapter: Adapter) -> Tree:
        """`lora.attach` for an adapter of joined layers.

        Args:
          base: from `put_into`.
          adapter: its parameters are joined.

        Returns:
          A new tree.
        """
        factors = adapter.layers()
        for joint in self._found:
            if joint.path in factors:
                # What is 0 stays 0: it gets no gradient.
                node, mask = factors[joint.path], self._masks[joint.widths, joint.ranks]
                factors[joint.path] = {**node, "lora_b": mx.where(mask, node["lora_b"], 0)}
        return attached(base, {path: (node,) for path, node in factors.items()}, adapter)


def _about(joint: Joint, nodes: Mapping[str, Node]) -> Iterator[tuple[str, Any]]:
    """What a joined layer's node has beside arrays."""
    yield "widths", joint.widths
    if layers.is_quantized(nodes[joint.parts[0]]):
        yield "quantization", layers.quantization_of(nodes[joint.parts[0]])


# --- what can be joined ---


def joints_of(base: Tree, factors: Tree, config: LoRAConfig, names: Mapping[str, Sequence[str]]) -> Joints:
    """The layers of a model with an adapter that can be joined: alike in all but their widths, and adapted alike.

    Args:
      base: the model's parameters.
      factors: the adapter's parameters.
      config: the adapter's.
      names: of the parts of each joined layer, which stand side by side, by its own name.

    Returns:
      The joined layers.
    """
    nodes, trained = dict(layers_of(base)), flatten(factors)
    found = []
    for path in nodes:
        parent, _, last = path.rpartition(".")
        for name, wanted in names.items():
            joint, parts = f"{parent}.{name}", tuple(f"{parent}.{part}" for part in wanted)
            if last == wanted[0] and nodes.keys() >= set(parts) and _is_plain(joint, parts, config):
                found.append(_joint(joint, parts, nodes, trained))
    return Joints([joint for joint in found if joint])


def _is_plain(path: str, parts: Sequence[str], config: LoRAConfig) -> bool:
    """Whether factors are LoRA without dropout, which would drop other inputs for each part, and of one scale."""
    scales = {config.scale_of(item) for item in (path, *parts)}
    return len(scales) == 1 and not config.use_dora and not config.dropout


def _joint(
    path: str, parts: tuple[str, ...], nodes: Mapping[str, Node], trained: Mapping[str, mx.array]
) -> Joint | None:
    factors = {part: trained[f"{part}.lora_a"] for part in parts if f"{part}.lora_a" in trained}
    alike = len({_kind(nodes[part]) for part in parts}) == 1 and len({item.dtype for item in factors.values()}) < 2
    directly = any(f"{part}.{name}" in trained for part in parts for name in ROWS)
    if not alike or directly or any(nodes[part]["weight"].ndim != 2 or "adapters" in nodes[part] for part in parts):
        return None
    ranks = tuple(factors[part].shape[1] if part in factors else 0 for part in parts)
    return Joint(path, parts, tuple(layers.dims(nodes[part])[0] for part in parts), ranks)


def _kind(node: Node) -> tuple[Any, ...]:
    """What parts must have alike: names, dtypes and inner axes of their arrays."""
    held = [name for name in ROWS if node.get(name) is not None]
    return tuple((name, node[name].dtype, node[name].shape[1:]) for name in held), node.get("quantization")
