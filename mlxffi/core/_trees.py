"""Trees of arrays: lists, tuples and dicts (and classes derived from them) in each other, arrays and other leaves.

Arrays come out of a tree in its own order, dicts in the order of their keys' insertion. A tree is built anew of plain
lists and dicts; tuples, named ones too, keep their class. A `Holder` is a leaf that owns an array which can be
exchanged in place, as the state of the random numbers does: where states are captured it counts as that array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .._errors import ArgumentError
from ._array import array

# Stands for an array in the structure of a tree.
ARRAY = object()

NOT_ARRAYS = "[tree_flatten] The argument should contain only arrays"
NOT_PREFIX = "[tree_map] Additional input tree is not a valid prefix of the first tree."


class Holder:
    """The base of leaves that own one array, which `get` gives and `set` replaces."""

    __slots__ = ()

    def _get(self) -> array:
        raise TypeError(f"{type(self).__name__} holds no array")

    def _set(self, value: array) -> None:
        raise TypeError(f"{type(self).__name__} holds no array")


# --- arrays out of trees ---


def leaves(tree: Any, found: list[array]) -> list[array]:
    """Append the arrays of a tree, those of Holders too, to a list, which is returned; other leaves are ignored."""
    kind = type(tree)
    if kind is array:
        found.append(tree)
    elif kind is dict:
        for item in tree.values():
            leaves(item, found)
    elif kind is list or kind is tuple or isinstance(tree, (list, tuple)):
        for item in tree:
            leaves(item, found)
    elif isinstance(tree, dict):
        for item in tree.values():
            leaves(item, found)
    elif isinstance(tree, Holder):
        found.append(tree._get())
    elif isinstance(tree, array):
        found.append(tree)
    return found


def arrays_only(tree: Any, found: list[array]) -> list[array]:
    """`leaves` of a tree whose leaves must all be arrays; Holders stay out.

    Raises:
      ValueError: there is another leaf.
    """
    kind = type(tree)
    if kind is array:
        found.append(tree)
    elif isinstance(tree, dict):
        for item in tree.values():
            arrays_only(item, found)
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            arrays_only(item, found)
    elif isinstance(tree, array):
        found.append(tree)
    elif not isinstance(tree, Holder):
        raise ArgumentError(NOT_ARRAYS)
    return found


def split(tree: Any, found: list[array], strict: bool = False) -> Any:
    """The structure of a tree, in which ARRAY stands for each array; these are appended to a list.

    Raises:
      ValueError: there is a leaf that is no array, and `strict` forbids it.
    """
    if type(tree) is array or isinstance(tree, array):
        found.append(tree)
        return ARRAY
    if isinstance(tree, dict):
        return {key: split(item, found, strict) for key, item in tree.items()}
    if isinstance(tree, list):
        return [split(item, found, strict) for item in tree]
    if isinstance(tree, tuple):
        return like(tree, [split(item, found, strict) for item in tree])
    if strict:
        raise ArgumentError(NOT_ARRAYS)
    return tree


# --- arrays into trees ---


def like(model: tuple[Any, ...], items: Sequence[Any]) -> Any:
    """A tuple of the class of another: a named one, too."""
    return tuple.__new__(type(model), items)


def joined(structure: Any, arrays: Iterator[Any]) -> Any:
    """The tree of a structure (see `split`) with the next arrays in the places of arrays."""
    if structure is ARRAY:
        return next(arrays)
    kind = type(structure)
    if kind is dict:
        return {key: joined(item, arrays) for key, item in structure.items()}
    if kind is list:
        return [joined(item, arrays) for item in structure]
    if isinstance(structure, tuple):
        return like(structure, [joined(item, arrays) for item in structure])
    return structure


def rebuilt(tree: Any, arrays: Iterator[Any]) -> Any:
    """A tree like another, with the next arrays in the places of its arrays."""
    if type(tree) is array or isinstance(tree, array):
        return next(arrays)
    if isinstance(tree, dict):
        return {key: rebuilt(item, arrays) for key, item in tree.items()}
    if isinstance(tree, list):
        return [rebuilt(item, arrays) for item in tree]
    if isinstance(tree, tuple):
        return like(tree, [rebuilt(item, arrays) for item in tree])
    return tree


# --- arrays exchanged in the lists, dicts and Holders of a tree ---


def exchange(tree: Any, new: Callable[[array], array]) -> Any:
    """The tree, in whose lists, dicts and Holders each array has been exchanged for what `new` gives for it."""
    if isinstance(tree, array):
        return new(tree)
    if isinstance(tree, dict):
        for key, item in tree.items():
            tree[key] = exchange(item, new)
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            tree[index] = exchange(item, new)
    elif isinstance(tree, tuple):
        return like(tree, [exchange(item, new) for item in tree])
    elif isinstance(tree, Holder):
        held = tree._get()
        put = new(held)
        if put is not held:
            tree._set(put)
    return tree


def fill(tree: Any, arrays: Sequence[array]) -> None:
    """Put arrays in the places of a tree's arrays, in its own lists, dicts and Holders."""
    following = iter(arrays)
    exchange(tree, lambda _: next(following))


# --- axes beside trees ---


def axes_beside(tree: Any, axes: Any, function: str = "vmap") -> list[int | None]:
    """For each array of a tree the axis that a tree of axes has for it.

    Args:
      tree: of arrays.
      axes: an int or None for all arrays, or lists, tuples and dicts as those of `tree` down to where one axis stands
        for a whole branch.

    Raises:
      ValueError: the axes do not fit the tree, or a leaf of theirs is no int and not None.
    """
    if isinstance(axes, (dict, list, tuple)):
        return [axis for item, part in _pairs(tree, axes) for axis in axes_beside(item, part, function)]
    if axes is not None and not isinstance(axes, int):
        raise ArgumentError(f"[{function}] axis must be int or None.")
    return [axes] * len(leaves(tree, []))


def _pairs(tree: Any, axes: Any) -> list[tuple[Any, Any]]:
    """The branches of a tree, each with the axes that stand for it."""
    if isinstance(axes, dict):
        if not isinstance(tree, dict) or tree.keys() != axes.keys():
            raise ArgumentError(NOT_PREFIX)
        return [(item, axes[key]) for key, item in tree.items()]
    same = isinstance(tree, list) if isinstance(axes, list) else isinstance(tree, tuple)
    if not same or len(tree) != len(axes):
        raise ArgumentError(NOT_PREFIX)
    return list(zip(tree, axes, strict=True))
