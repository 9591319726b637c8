"""Parameter trees by path: dicts and lists in each other, in which `layers.0.weight` names an array.

Leaves that are no arrays (what a layer needs to know beside its arrays, or None) stay where they are and have no path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from .._errors import ArgumentError
from ..core import _trees as core_trees
from ..core import array

Tree: TypeAlias = Any


def paths(tree: Tree, start: str = "") -> list[tuple[str, array]]:
    """Every array of a tree with its path, in the tree's own order.

    Args:
      tree: dictionaries, lists and tuples of arrays; other leaves are passed over.
      start: the path of the tree itself.

    Returns:
      Pairs of a path, such as "layers.0.weight", and an array.
    """
    return _collect(tree, start, [])


def flatten(tree: Tree) -> dict[str, array]:
    """The arrays of a tree by path, in the tree's own order.

    Args:
      tree: dictionaries, lists and tuples of arrays; other leaves are passed over.

    Returns:
      A new dictionary of the arrays themselves, not of copies.
    """
    return dict(_collect(tree, "", []))


def _collect(tree: Tree, start: str, found: list[tuple[str, array]]) -> list[tuple[str, array]]:
    """`paths` as a list that grows: a generator in each branch takes three times as long."""
    if isinstance(tree, array):
        found.append((start, tree))
        return found
    for key, item in _items(tree):
        _collect(item, f"{start}.{key}" if start else str(key), found)
    return found


def unflatten(arrays: Mapping[str, Any]) -> Tree:
    """The tree of values by path; consecutive numbers from 0 as parts of paths make a list.

    Args:
      arrays: values by path, whose parts are separated by dots.

    Returns:
      Nested dictionaries and lists.

    Raises:
      ValueError: a path is the start of another.
    """
    root: dict[str, Any] = {}
    for path, value in arrays.items():
        *parents, last = path.split(".")
        node = root
        for part in parents:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                break
        if not isinstance(node, dict) or last in node:
            raise ArgumentError(f"[unflatten] {path}: this path, or its beginning, stands for another value already")
        node[last] = value
    return _with_lists(root)


def tree_map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply a function to each array of a tree, together with what other trees have at its path.

    Args:
      function: called with an array of `tree` and what each of `others` has at its path.
      tree: whose form the result has.
      others: trees that have each of its paths; None gives None everywhere.

    Returns:
      A tree of what the function returned.
    """
    return map_paths(lambda _, *values: function(*values), tree, *others)


def map_paths(function: Callable[..., Any], tree: Tree, *others: Tree, start: str = "") -> Tree:
    """`tree_map` with a function that takes the path first.

    Args:
      function: called with a path, then as in `tree_map`.
      tree, others: as in `tree_map`.
      start: the path of the tree itself.

    Returns:
      A tree of what the function returned.
    """
    if isinstance(tree, array):
        return function(start, *(tree, *others))
    inner = [
        (
            key,
            map_paths(
                function, item, *(_at(other, key) for other in others), start=f"{start}.{key}" if start else str(key)
            ),
        )
        for key, item in _items(tree)
    ]
    return _like(tree, inner)


def merged(tree: Tree, overlay: Tree) -> Tree:
    """A tree overlaid with another; what the other lacks, or has as None, stays as it is in the first.

    Args:
      tree: which is left as it is.
      overlay: a part of such a tree; its lists may be dictionaries whose keys are indices.

    Returns:
      A new tree, which shares what it did not replace.
    """
    if overlay is None or (isinstance(overlay, dict) and not overlay):
        return tree
    if isinstance(tree, dict) and isinstance(overlay, dict):
        return {**tree, **{key: merged(tree.get(key), item) for key, item in overlay.items()}}
    if isinstance(tree, list) and isinstance(overlay, (list, dict)):
        by_index = {int(key): item for key, item in _items(overlay)}
        return [merged(item, by_index.get(index)) for index, item in enumerate(tree)]
    return overlay


def refilled(tree: Tree, arrays: Mapping[str, array]) -> Tree:
    """A tree with its arrays replaced by others, given by path in the order of `flatten`.

    Args:
      tree: whose form the result has.
      arrays: by path, in the order of `flatten(tree)`.

    Returns:
      A new tree.
    """
    return taken_apart(tree)[1](list(arrays.values()))


def taken_apart(tree: Tree) -> tuple[list[array], Callable[[list[array]], Tree]]:
    """The arrays of a tree in its order, and a function that puts others in their places.

    Args:
      tree: dictionaries, lists and tuples of arrays.

    Returns:
      (the arrays, a function of as many others to a tree of the same form).
    """
    arrays: list[array] = []
    structure = core_trees.split(tree, arrays)
    return arrays, lambda others: core_trees.joined(structure, others)


# --- beside what should be there ---


def kinds(arrays: Mapping[str, array]) -> dict[str, str]:
    """The dtype and shape of each array as text.

    Args:
      arrays: by path.

    Returns:
      Texts such as "float32 [2, 3]" by path.
    """
    return {path: kind(item) for path, item in arrays.items()}


def kind(item: array) -> str:
    """The dtype and shape of an array as text.

    Args:
      item: any array.

    Returns:
      A text such as "float32 [2, 3]".
    """
    return f"{item.dtype.name} {list(item.shape)}"


def differences(found: Mapping[str, object], wanted: Mapping[str, object]) -> list[str]:
    """A line for each path that is missing, unknown, or has another value.

    Args:
      found: what there is, by path.
      wanted: what there should be, by path; compared with `==`.

    Returns:
      Lines; none where both are alike.
    """
    lines = [f"{path}: missing" for path in wanted if path not in found]
    lines += [f"{path}: unknown" for path in found if path not in wanted]
    for path, value in wanted.items():
        if path in found and found[path] != value:
            lines.append(f"{path}: expected {value}, got {found[path]}")
    return lines


def _items(tree: Tree) -> Iterable[tuple[Any, Any]]:
    if isinstance(tree, dict):
        return tree.items()
    return enumerate(tree) if isinstance(tree, (list, tuple)) else ()


def _at(tree: Tree, key: Any) -> Any:
    return None if tree is None else tree[key]


def _like(tree: Tree, items: list[tuple[Any, Any]]) -> Tree:
    if isinstance(tree, dict):
        return dict(items)
    if isinstance(tree, (list, tuple)):
        return type(tree)([item for _, item in items])
    return tree


def _with_lists(node: Any) -> Tree:
    if not isinstance(node, dict):
        return node
    inner = {key: _with_lists(item) for key, item in node.items()}
    if inner and sorted(inner) == sorted(str(index) for index in range(len(inner))):
        return [inner[str(index)] for index in range(len(inner))]
    return inner
