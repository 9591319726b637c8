"""How the parameters of a run lie while it trains: small ones of a dtype one after the other, in one array.

An adapter is hundreds of small arrays. What an update does to each of their numbers costs next to nothing, but each
operation on each array is a node of the graph, and on a GPU a kernel. Packed, an update is a few operations, and
gradients travel between processes as they are. What is differentiated are the single arrays: of slices of one, each
gradient would be written into zeros, and all added up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import accumulate

from ... import core as mx
from ..models.joined import Joints
from ..trees import Tree, flatten, taken_apart, unflatten

# Numbers of an array from which on it is left by itself: there, the copy would cost more than the operations.
LARGE = 2**20

Arrays = dict[str, mx.array]


class Packing:
    """Which arrays of a tree lie together, and where.

    Args:
      tree: of parameters.
      whole: leave every array by itself, for optimizers that look at more than a number at a time.
      joints: layers whose arrays are joined to those of one layer.
    """

    def __init__(self, tree: Tree, whole: bool = False, joints: Joints | None = None):
        self._joints, self._refilled = joints or Joints(), taken_apart(tree)[1]
        self._paths, joined = list(flatten(tree)), self._joints.joined(flatten(tree))
        self._shapes = {path: item.shape for path, item in joined.items()}
        # The paths in each array of a packed tree, by its name there.
        self._parts: dict[str, list[str]] = {}
        for path, item in joined.items():
            alone = whole or item.size >= LARGE
            self._parts.setdefault(path if alone else f"packed {item.dtype.name}", []).append(path)

    def pack(self, arrays: Arrays) -> Arrays:
        """Pack the arrays of a tree.

        Args:
          arrays: by path, as `flatten` gives them.

        Returns:
          Fewer, larger arrays by name: those that may be joined lie in one array, [numbers of all].
        """
        return self.pack_joined(self._joints.joined(arrays))

    def pack_joined(self, arrays: Arrays) -> Arrays:
        """The inverse of `joined`.

        Args:
          arrays: by path, those of joined layers in the places of their parts'.

        Returns:
          As `pack`.
        """
        return {name: self._concatenated(name, arrays) for name in self._parts}

    def unpack(self, packed: Arrays) -> Arrays:
        """The inverse of `pack`, also for what was computed elementwise from packed arrays.

        Args:
          packed: arrays by name.

        Returns:
          Arrays by path, in the tree's order and their own shapes.
        """
        found = self._joints.parted(self.joined(packed))
        return {path: found[path] for path in self._paths}

    def tree(self, packed: Arrays) -> Tree:
        """The tree of packed arrays.

        Args:
          packed: arrays by name.

        Returns:
          A tree like that which the packing was made for.
        """
        return self._refilled(list(self.unpack(packed).values()))

    def joined(self, packed: Arrays) -> Arrays:
        """Packed arrays by path, those of joined layers in the places of their parts'.

        Args:
          packed: arrays by name.

        Returns:
          Views of them.
        """
        return dict(pair for name in self._parts for pair in self._parted(name, packed[name]))

    def joined_tree(self, arrays: Arrays) -> Tree:
        """The tree that a model `with_joints` takes.

        Args:
          arrays: from `joined`.

        Returns:
          A tree of them.
        """
        return unflatten(arrays) if self._joints else self._refilled([arrays[path] for path in self._paths])

    def pack_moments(self, state: Tree) -> Tree:
        """Pack an optimizer's state, in which moments are arrays by path.

        Args:
          state: as the optimizer's `init` and `update` give it.

        Returns:
          A state with packed moments; what is no moment stays.
        """
        return self._of_moments(self.pack, state)

    def unpack_moments(self, state: Tree) -> Tree:
        """The inverse of `pack_moments`.

        Args:
          state: with packed moments.

        Returns:
          A state with moments by path.
        """
        return self._of_moments(self.unpack, state)

    def _of_moments(self, change: Callable[[Arrays], Arrays], state: Tree) -> Tree:
        if list(self._parts) == self._paths:
            return state
        return {name: item if isinstance(item, mx.array) else change(item) for name, item in state.items()}

    def _concatenated(self, name: str, arrays: Arrays) -> mx.array:
        parts = self._parts[name]
        return arrays[name] if parts == [name] else mx.concatenate([arrays[path].reshape(-1) for path in parts])

    def _parted(self, name: str, array: mx.array) -> Iterator[tuple[str, mx.array]]:
        parts = self._parts[name]
        if parts == [name]:
            return iter([(name, array)])
        ends = list(accumulate(math.prod(self._shapes[path]) for path in parts[:-1]))
        pieces = mx.split(array, ends)
        return ((path, piece.reshape(self._shapes[path])) for path, piece in zip(parts, pieces, strict=True))
