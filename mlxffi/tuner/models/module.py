"""Any mlx.nn.Module as a model that can be trained, thus every architecture of mlx_lm.

mlx.nn must be bound to mlxffi.core: `mlxffi.compat.install()` before anything imports mlx does that. A module keeps its
arrays in itself, so it becomes a function of them by lending it others for the time of a call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any

from ... import core as mx
from ..._errors import ArgumentError
from ..checks import required
from ..trees import Tree, flatten, merged
from .checkpointing import checkpointed
from .functional import require_same_paths

# An mlx.nn.Module; the package can be used without mlx.nn.
Module = Any


class ModuleModel:
    """A module whose call gives logits [batch, positions, vocabulary] of tokens [batch, positions].

    Args:
      module: what is trained are its `trainable_parameters()` at the time.
      ignore_segments: where several documents were packed into a row, whether to let them see those before them and
        count their positions on, since mlx_lm's models cannot keep them apart. Else such rows are refused.

    Raises:
      ValueError: the module has no arrays of mlxffi.core.
    """

    def __init__(self, module: Module, *, ignore_segments: bool = False):
        if not flatten(getattr(module, "parameters", dict)()):
            raise ArgumentError(
                "[ModuleModel] module: expected parameters of mlxffi.core; call mlxffi.compat.install() before "
                "anything imports mlx, or start the program with python -m mlxffi run"
            )
        self.module, self._ignore_segments = module, ignore_segments
        self.vocab_size: int | None = getattr(getattr(module, "args", None), "vocab_size", None)

    def trainable(self) -> Tree:
        """The parameters to train: those that are not frozen."""
        return self.module.trainable_parameters()

    def parameters(self) -> Tree:
        """All parameters."""
        return self.module.parameters()

    def update(self, trained: Tree) -> None:
        """Replace the module's trained parameters; see `Tunable`."""
        own = self.trainable()
        require_same_paths(own, trained)
        self.module.update(merged(own, trained))

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
        if segments is not None and not self._ignore_segments:
            raise ArgumentError(
                "[logits] segments: a module cannot keep packed documents apart; train without packing, or with "
                "ModuleModel(module, ignore_segments=True)"
            )
        again = _blocks_checkpointed(self.module) if checkpoint else nullcontext()
        with _lent(self.module, trained, training), again:
            found = self.module(tokens)
        if not isinstance(found, mx.array):
            raise ArgumentError(f"[logits] module: expected a call to give an array, got {type(found).__name__}")
        return found

    def __call__(self, tokens: mx.array, cache: Any = None) -> mx.array:
        """The logits for the token that follows each token, with the parameters as they are now."""
        options = {} if cache is None else {"cache": cache}
        with _lent(self.module, {}, training=False) if self.module.training else nullcontext():
            found: mx.array = self.module(tokens, **options)
        return found

    def new_cache(self) -> Any:
        """An empty cache for generation; None where the module takes none."""
        if "cache" not in inspect.signature(type(self.module).__call__).parameters:
            return None
        return required("mlx_lm.models.cache", "lm").make_prompt_cache(self.module)


@contextmanager
def _lent(module: Module, parameters: Tree, training: bool) -> Iterator[None]:
    """A module with other parameters and in a mode; afterwards it has its own again."""
    own = module.trainable_parameters()
    modes = [(part, part.training) for part in module.modules()]  # parents before their children, whom `train` takes in
    try:
        module.update(parameters)
        module.train(training)
        yield
    finally:
        module.update(own)
        for part, mode in modes:
            if part.training != mode:
                part.train(mode)


# --- checkpoints ---


@contextmanager
def _blocks_checkpointed(module: Module) -> Iterator[None]:
    """A module whose blocks are computed again for the gradient; afterwards they are as before.

    Other models with blocks of the same class have no part in it.
    """
    blocks = _blocks(module)
    classes: list[Any] = [type(block) for block in blocks]
    try:
        for block, kind in zip(blocks, classes, strict=True):
            # Past Module.__setattr__, which has ideas of its own.
            object.__setattr__(block, "__class__", _computed_again(kind))
        yield
    finally:
        for block, kind in zip(blocks, classes, strict=True):
            object.__setattr__(block, "__class__", kind)


def _blocks(module: Module) -> Sequence[Module]:
    for holder in (module, getattr(module, "model", None)):
        blocks = getattr(holder, "layers", None)
        if isinstance(blocks, (list, tuple)) and blocks:
            return blocks
    raise ArgumentError("[logits] checkpoint: expected the module's blocks in module.layers or module.model.layers")


@lru_cache(maxsize=64)
def _computed_again(kind: Any) -> Any:
    """The class of blocks of a class that are computed again."""
    call: Callable[..., Any] = kind.__call__

    class ComputedAgain(kind):  # type: ignore[misc]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            # The gradient asks for it when the module has its own parameters and mode again.
            training = self.training

            def run(parameters: Tree, *args: Any, **kwargs: Any) -> Any:
                with _lent(self, parameters, training):
                    return call(self, *args, **kwargs)

            return checkpointed(run)(self.trainable_parameters(), *args, **kwargs)

    ComputedAgain.__name__, ComputedAgain.__qualname__ = kind.__name__, kind.__qualname__
    return ComputedAgain
