"""What the trainer needs from a model, and a model made from any function of a parameter tree."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from ... import core as mx
from ..._errors import ArgumentError
from ...losses import Head
from .. import layers, lora
from ..layers import Node
from ..trees import Tree, flatten, merged, unflatten
from .joined import Joints, joints_of
from .prepared import Multipliers, multipliers_of

Wanted: TypeAlias = "Callable[[str, mx.array], bool] | Iterable[str]"


@runtime_checkable
class Tunable(Protocol):
    """A model that can be trained: `FunctionalModel` over a (parameters, forward) pair, `ModuleModel` over mlx.nn."""

    def trainable(self) -> Tree:
        """The parameters to train, as a tree whose paths are those in adapter files."""
        ...

    def parameters(self) -> Tree:
        """All parameters."""
        ...

    def update(self, trained: Tree) -> None:
        """Replace the model's trained parameters.

        Args:
          trained: a tree like `trainable()`.
        """
        ...

    def logits(
        self,
        trained: Tree,
        tokens: mx.array,
        *,
        segments: mx.array | None = None,
        training: bool = False,
        checkpoint: bool = False,
    ) -> mx.array:
        """Logits of the next token at each position, as a function of the trained parameters.

        Args:
          trained: a tree like `trainable()`.
          tokens: int32 [batch, positions].
          segments: int32 [batch, positions], if rows contain several packed documents: tokens attend only to their own
            segment, and positions start at 0 in each.
          training: whether dropout is active; it draws from `mlxffi.core.random`'s state.
          checkpoint: whether to recompute each block in the backward pass instead of keeping its intermediate values.

        Returns:
          floating point [batch, positions, vocabulary].
        """
        ...


class Halves(NamedTuple):
    """A model's function in two halves.

    Args:
      hidden: like the function itself, but returns the input of the output layer.
      output_layer: from the parameters to the node of that layer.
    """

    hidden: Callable[..., mx.array]
    output_layer: Callable[[Tree], Node]


class FunctionalModel:
    """Parameters, and a function of them that returns logits.

    Either an adapter or a part of the parameters is trained.

    Args:
      parameters: a tree.
      forward: `forward(parameters, tokens, *, segments, training, checkpoint, cache)` returns logits. Any of the
        keywords may be missing: without `training` there is no dropout, and using another one that is missing is an
        error.
      adapter: if given, the adapter is trained and the parameters do not change.
      trainable: without an adapter, the parameters to train: a predicate over (path, array), or paths, which include
        everything below them. None: all except quantized layers.
      fused: whether `forward` gets plain parameters, dequantized and with the adapter merged into them, inside the
        gradient. This is for functions that do not use `mlxffi.tuner.layers`; it costs a matrix per weight.
      halves: the function in two halves, with which training never stores the logits; None if there are none.
      new_cache: returns an empty cache for generation.
      vocab_size: how many tokens the model knows; others are refused. None: unknown.
      joined: names of layers of one input, by the name under which the function looks first for one in their place,
        with their `widths`.
    """

    def __init__(
        self,
        parameters: Tree,
        forward: Callable[..., mx.array],
        adapter: lora.Adapter | None = None,
        trainable: Wanted | None = None,
        *,
        fused: bool = False,
        halves: Halves | None = None,
        new_cache: Callable[[], Any] | None = None,
        vocab_size: int | None = None,
        joined: Mapping[str, Sequence[str]] | None = None,
    ):
        if adapter is not None and trainable is not None:
            raise ArgumentError("[FunctionalModel] trainable: with an adapter, it alone is trained; got both")
        self._base, self._forward, self._fused, self._new_cache = parameters, forward, fused, new_cache
        self._halves = halves
        self.vocab_size = vocab_size
        self._config = None if adapter is None else adapter.config
        self._trained: Tree = _chosen(parameters, trainable) if adapter is None else adapter.parameters
        self._keywords = _keywords(forward)
        self._whole: tuple[Tree, Tree] | None = None
        self._joined, self.joints = joined or {}, Joints()
        self.multipliers: Multipliers | None = None
        self._with_joints: FunctionalModel | None = None

    @property
    def adapter(self) -> lora.Adapter | None:
        """The adapter, with its parameters as they are now."""
        return None if self._config is None else lora.Adapter(self._trained, self._config)

    def trainable(self) -> Tree:
        """The parameters to train."""
        return self._trained

    def parameters(self) -> Tree:
        """All parameters; those of an adapter are in the nodes that it adapts."""
        if self._fused:
            return self._with(self._trained)
        # The same tree until an update, so that what is made of its nodes for generation lasts.
        if self._whole is None or self._whole[0] is not self._trained:
            self._whole = self._trained, self._with(self._trained)
        return self._whole[1]

    def update(self, trained: Tree) -> None:
        """Replace the model's trained parameters; see `Tunable`."""
        require_same_paths(self._trained, trained)
        self._trained = merged(self._trained, trained)

    def with_joints(self) -> FunctionalModel:
        """This model for training steps: beside an adapter, layers of one input are joined where they can be.

        Returns:
          The model itself, or one whose `joints` and `multipliers` say in what form it takes trained parameters.
        """
        if self._config is None or self._fused:
            return self
        if self._with_joints is None:
            joints = joints_of(self._base, self._trained, self._config, self._joined)
            self._with_joints = copy.copy(self)
            self._with_joints._base, self._with_joints.joints = joints.put_into(self._base), joints
            adapter = lora.Adapter(self._trained, self._config)
            self._with_joints.multipliers = multipliers_of(self._with_joints._base, adapter, joints)
        return self._with_joints

    def logits(
        self,
        trained: Tree,
        tokens: mx.array,
        *,
        segments: mx.array | None = None,
        training: bool = False,
        checkpoint: bool = False,
    ) -> mx.array:
        """Logits of the next token at each position, as a function of the trained parameters; see `Tunable`."""
        options = self._options(segments, training, checkpoint)
        return self._run(self._forward, self._with(trained), tokens, options)

    def hidden(
        self,
        trained: Tree,
        tokens: mx.array,
        *,
        segments: mx.array | None = None,
        training: bool = False,
        checkpoint: bool = False,
    ) -> tuple[mx.array, Head] | None:
        """The input of the output layer, and that layer, for losses that do not need logits.

        Args:
          trained: a tree like `trainable()`.
          tokens: int32 [batch, positions].
          segments: int32 [batch, positions]; None: one document per row.
          training: whether dropout is active.
          checkpoint: whether to recompute blocks in the backward pass.

        Returns:
          Floating point [batch, positions, width] and the layer; None if the layer itself is trained, or unknown.
        """
        if self._halves is None or self._fused:
            return None
        parameters = self._with(trained)
        node = self._halves.output_layer(parameters)
        head = layers.head(node)
        if head is None or _share_arrays(node, trained):
            return None
        options = self._options(segments, training, checkpoint)
        return self._run(self._halves.hidden, parameters, tokens, options), head

    def _options(self, segments: mx.array | None, training: bool, checkpoint: bool) -> dict[str, Any]:
        options: dict[str, Any] = {"segments": segments} if segments is not None else {}
        if checkpoint:
            options["checkpoint"] = True
        if training and "training" in self._keywords:
            options["training"] = True
        return options

    def __call__(self, tokens: mx.array, cache: Any = None) -> mx.array:
        """The logits for the token that follows each token, with the parameters as they are now."""
        return self._run(self._forward, self.parameters(), tokens, {} if cache is None else {"cache": cache})

    def new_cache(self) -> Any:
        """An empty cache for generation; None if the function has none."""
        return None if self._new_cache is None else self._new_cache()

    def _with(self, trained: Tree) -> Tree:
        """All parameters, with trained ones in their places."""
        if self._config is None:
            return merged(self._base, trained)
        adapter = lora.Adapter(trained, self._config)
        if self._fused:
            return lora.fuse(self._base, adapter, dequantize=True)
        if self.multipliers:
            return self.multipliers.attach(self._base, adapter)
        if self.joints:
            return self.joints.attach(self._base, adapter)
        return lora.attach(self._base, adapter)

    def _run(
        self, forward: Callable[..., mx.array], parameters: Tree, tokens: mx.array, options: dict[str, Any]
    ) -> mx.array:
        for name in options:
            if name not in self._keywords:
                raise ArgumentError(f"[logits] {name}: the model's function takes no such argument")
        return forward(parameters, tokens, **options)


def _share_arrays(tree: Tree, other: Tree) -> bool:
    known = {id(item) for item in flatten(other).values()}
    return any(id(item) in known for item in flatten(tree).values())


def require_same_paths(own: Tree, trained: Tree) -> None:
    """Check that a tree has the paths of a model's trained parameters.

    Args:
      own: the model's.
      trained: the tree to check.

    Raises:
      ValueError: the paths differ.
    """
    others = flatten(own).keys() ^ flatten(trained).keys()
    if others:
        raise ArgumentError(f"[update] trained: expected the paths of trainable(); these differ: {sorted(others)}")


def last_blocks(parameters: Tree, count: int) -> list[str]:
    """The paths of a model's last blocks, which are the items of its lists called `layers`.

    Args:
      parameters: the tree.
      count: how many blocks, at least 1.

    Returns:
      Paths.

    Raises:
      ValueError: there are fewer.
    """
    matches = (re.match(r"(.*?\blayers)\.(\d+)\.", path) for path in flatten(parameters))
    found = {(match[1], int(match[2])) for match in matches if match}
    if not 0 < count <= len(found):
        raise ArgumentError(f"[last_blocks] count: expected 1 to {len(found)}, the number of blocks; got {count}")
    return [f"{start}.{index}" for start, index in sorted(found)[-count:]]


def _keywords(forward: Callable[..., Any]) -> set[str]:
    """Which of the keywords a function takes."""
    taken = inspect.signature(forward).parameters
    known = {"segments", "training", "checkpoint", "cache"}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return known
    return known & taken.keys()


def _chosen(parameters: Tree, trainable: Wanted | None) -> Tree:
    """The part of the parameters to train."""
    wanted = _is_floating if trainable is None else trainable if callable(trainable) else _below(trainable)
    if trainable is None:
        parameters = _unquantized(parameters)
    found = {path: value for path, value in flatten(parameters).items() if wanted(path, value)}
    if not found and trainable is not None:
        raise ArgumentError("[FunctionalModel] trainable: expected at least one parameter, got none")
    return unflatten(found)


def _is_floating(_: str, value: mx.array) -> bool:
    return mx.issubdtype(value.dtype, mx.floating)


def _below(paths: Iterable[str]) -> Callable[[str, mx.array], bool]:
    if isinstance(paths, str):
        raise ArgumentError(f"[FunctionalModel] trainable: expected a predicate or several paths, got {paths!r}")
    starts = tuple(paths)
    return lambda path, _: any(path == start or path.startswith(f"{start}.") for start in starts)


def _unquantized(tree: Tree) -> Tree:
    """A tree without the layers whose weights are integers."""
    if isinstance(tree, dict):
        return {} if "quantization" in tree else {key: _unquantized(item) for key, item in tree.items()}
    return [_unquantized(item) for item in tree] if isinstance(tree, (list, tuple)) else tree
