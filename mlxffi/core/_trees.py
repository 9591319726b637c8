"""Trees of arrays: lists, tuples and dicts (and classes derived from them) in each other, arrays and other leaves.

Arrays come out of a tree in its own order, dicts in the order of their keys' insertion. A tree is built anew of plain
lists and dicts; tuples, named ones too, keep their class. A `Holder` is a leaf that owns an array which can be
exchanged in place, as the state of the random numbers does: where states are captured it counts as that array.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .._errors import ArgumentError, OperationError
from ._array import array
from ._binding import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NOT_ARRAYS = "[tree_flatten] The argument should contain only arrays"
NOT_PREFIX = "[tree_map] Additional input tree is not a valid prefix of the first tree."


class Holder:
    """The base of leaves that own one array, which `get` gives and `set` replaces."""

    __slots__ = ()

    def _get(self) -> array:
        raise TypeError(f"{type(self).__name__} holds no array")

    def _set(self, value: array) -> None:
        raise TypeError(f"{type(self).__name__} holds no array")


def not_arrays() -> ArgumentError:
    """The error for a leaf that is no array."""
    return ArgumentError(NOT_ARRAYS)


def constant(leaf: Any) -> Any:
    """What tells a constant from all others: 0.0 from -0.0, one nan from none."""
    if not isinstance(leaf, (bool, int, float, str)):
        raise ArgumentError(
            "[compile] Function arguments must be trees of arrays or constants (floats, ints, strings, or None), "
            f"but received type {type(leaf).__name__}."
        )
    if isinstance(leaf, float) and (leaf == 0 or leaf != leaf):
        return repr(leaf)
    if isinstance(leaf, int) and not -(2**63) <= leaf < 2**63:
        raise OperationError(f"[compile] an int among the arguments must fit in 64 bits, got {leaf}")
    return leaf


# In C, for they run at every call of a transform: transforms/trees.c and loans.c say what they do.
ARRAY = native.ARRAY
leaves, split, joined, key_of = native.leaves, native.split, native.joined, native.key_of
lend, take_back = native.lend, native.take_back


def arrays_only(tree: Any) -> list[array]:
    """The arrays of a tree whose leaves must all be arrays; Holders stay out.

    Raises:
      ValueError: there is another leaf.
    """
    found: list[array] = []
    split(tree, found, True)
    return found


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
        return tuple.__new__(type(tree), [exchange(item, new) for item in tree])  # a named one, too
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
