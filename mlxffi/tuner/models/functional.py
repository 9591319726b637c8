"""What the trainer asks of a model, and any function of a parameter tree as such a model."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from ... import core as mx
from ..._errors import ArgumentError
from ...losses import Head
from .. import layers, lora
from ..layers import Node
from ..trees import Tree, flatten, merged, unflatten

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
        """Put trained parameters (a tree like `trainable()`) in the places of the model's own."""
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
        """The logits for the token that follows each token, as a function of the trained parameters.

        Args:
          trained: a tree like `trainable()`.
          tokens: int32 [batch, positions].
          segments: int32 [batch, positions], where several documents were packed into a row: tokens see those of
            their own segment only, and each segment's positions begin at 0.
          training: whether dropout is active; it draws from `mlxffi.core.random`'s state.
          checkpoint: compute each block again in the backward pass, instead of keeping what it computed.

        Returns:
          floating point [batch, positions, vocabulary].
        """
        ...


class Halves(NamedTuple):
    """A model's function in two.

    Args:
      hidden: like the function itself, but gives the hidden states that the output layer gets.
      output_layer: from the parameters to the node of that layer.
    """

    hidden: Callable[..., mx.array]
    output_layer: Callable[[Tree], Node]


class FunctionalModel:
    """Parameters, and a function of them that gives logits.

    What is trained is an adapter, or a part of the parameters.

    Args:
      parameters: a tree.
      forward: `forward(parameters, tokens, *, segments, training, checkpoint, cache)` gives the logits. It may lack any
        of the keywords: without `training` it has no dropout; asking for another that it lacks is an error.
      adapter: is trained, and the parameters stay as they are.
      trainable: without an adapter, the parameters to train: a predicate over (path, array), or paths, which stand for
        everything below them, too. None: all but quantized layers.
      fused: whether `forward` gets plain parameters, unpacked and with the adapter fused into them, inside of what is
        differentiated. That suits functions which do not use `mlxffi.tuner.layers`; it costs a matrix for each weight.
      halves: the function in two, with which training never stores the logits; None where there are none.
      new_cache: gives an empty cache for generation.
      vocab_size: how many tokens the model knows; others are refused before they are computed with. None: unknown.
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

    @property
    def adapter(self) -> lora.Adapter | None:
        """The adapter, with its parameters as they are now."""
        return None if self._config is None else lora.Adapter(self._trained, self._config)

    def trainable(self) -> Tree:
        """The parameters to train."""
        return self._trained

    def parameters(self) -> Tree:
        """All parameters; those of an adapter stand in the nodes that they adapt."""
        if self._fused:
            return self._with(self._trained)
        # The same tree until an update, so that what is made of its nodes for generation lasts.
        if self._whole is None or self._whole[0] is not self._trained:
            self._whole = self._trained, self._with(self._trained)
        return self._whole[1]

    def update(self, trained: Tree) -> None:
        """Put trained parameters (a tree like `trainable()`) in the places of the model's own.

        Raises:
          ValueError: the paths are others.
        """
        require_same_paths(self._trained, trained)
        self._trained = merged(self._trained, trained)

    def logits(
        self,
        trained: Tree,
        tokens: mx.array,
        *,
        segments: mx.array | None = None,
        training: bool = False,
        checkpoint: bool = False,
    ) -> mx.array:
        """The logits for the token that follows each token, as a function of the trained parameters; see `Tunable`."""
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
        """What the output layer gets, and that layer, for losses that need no logits; see `Tunable.logits`.

        Returns:
          (floating point [batch, positions, width], the layer); None where the layer is trained itself, or unknown.
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
        """An empty cache for generation; None where the function has none."""
        return None if self._new_cache is None else self._new_cache()

    def _with(self, trained: Tree) -> Tree:
        """All parameters, with trained ones in their places."""
        if self._config is None:
            return merged(self._base, trained)
        adapter = lora.Adapter(trained, self._config)
        if self._fused:
            return lora.fuse(self._base, adapter, dequantize=True)
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
    """Check that a tree has the paths of a model's trained parameters."""
    others = flatten(own).keys() ^ flatten(trained).keys()
    if others:
        raise ArgumentError(f"[update] trained: expected the paths of trainable(); these differ: {sorted(others)}")


def last_blocks(parameters: Tree, count: int) -> list[str]:
    """The paths of the last blocks of a model: the items of lists called `layers`.

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
        raise ArgumentError("[FunctionalModel] trainable: no parameter is selected")
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
