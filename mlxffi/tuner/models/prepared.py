"""Factors as layers multiply by them, made of all at once: scaled, in the dtype of activations, 0 where there are none.

On a GPU, an operation on a small array costs the host as much as one on a large array, and each layer has several for
each factor, forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable

from ... import core as mx
from .. import layers
from ..layers import Scaling
from ..lora import Adapter
from ..lora.adapter import attached
from ..lora.targets import is_embedding, layers_of
from ..trees import Tree, flatten
from .joined import Joints

Arrays = dict[str, mx.array]


class Preparation:
    """What is done to packed factors before, and to their gradients after.

    Args:
      multipliers: of packed factors, by name; {}: nothing is done.
      dtype: of what layers multiply by.
    """

    def __init__(self, multipliers: Arrays, dtype: mx.Dtype):
        self._multipliers, self._dtype = multipliers, dtype
        mx.eval(multipliers)  # a compiled step would compute them each time

    def __call__(self, packed: Arrays) -> Arrays:
        """Prepared factors.

        Args:
          packed: float32 arrays by name.

        Returns:
          Arrays of the same shapes.
        """
        if not self._multipliers:
            return packed
        return {name: (item * self._multipliers[name]).astype(self._dtype) for name, item in packed.items()}

    def gradients(self, of_prepared: Arrays) -> Arrays:
        """The gradients of factors.

        Args:
          of_prepared: the gradients of prepared factors, by name.

        Returns:
          float32 arrays of the same shapes.
        """
        if not self._multipliers:
            return of_prepared
        found = {name: item.astype(mx.float32) * self._multipliers[name] for name, item in of_prepared.items()}
        # What a joined layer does not have stays 0 also where its gradient would not be finite.
        return {name: mx.where(self._multipliers[name] == 0, 0, item) for name, item in found.items()}


def preparation_of(model: object, packed: Callable[[Arrays], Arrays]) -> Preparation:
    """What is done to a model's packed factors.

    Args:
      model: one that may have `multipliers`.
      packed: packs arrays by path.

    Returns:
      Nothing is done for a model without.
    """
    found: Multipliers | None = getattr(model, "multipliers", None)
    return Preparation(packed(found.arrays), found.dtype) if found else Preparation({}, mx.float32)


class Multipliers:
    """What prepares the factors of a model, and how prepared ones are attached.

    Args:
      arrays: of each factor, by path; float32, of its shape.
      dtype: of activations.
    """

    def __init__(self, arrays: Arrays, dtype: mx.Dtype):
        self.arrays, self.dtype = arrays, dtype

    def attach(self, base: Tree, adapter: Adapter) -> Tree:
        """`lora.attach` for an adapter of prepared factors.

        Args:
          base: the parameters, with joined layers.
          adapter: its parameters are joined and prepared.

        Returns:
          A new tree.
        """
        factors = adapter.layers()
        whole = {path: {**node, "scaling": Scaling(1.0, node["scaling"].dropout)} for path, node in factors.items()}
        return attached(base, {path: (node,) for path, node in whole.items()}, adapter)


def multipliers_of(base: Tree, adapter: Adapter, joints: Joints) -> Multipliers | None:
    """What prepares a model's factors.

    Args:
      base: the parameters, with joined layers.
      adapter: the model's, as its files have it.
      joints: the joined layers.

    Returns:
      None on CPUs, whose kernels do it themselves, and where other things are trained than factors of linear layers of
      one dtype.
    """
    trained, nodes = joints.joined(flatten(adapter.parameters)), dict(layers_of(base))
    paths = {path.rpartition(".")[0] for path in trained}
    plain = not adapter.config.use_dora and not adapter.whole() and not any(is_embedding(path) for path in paths)
    if layers.on_cpu() or not plain or any(item.ndim != 2 or item.dtype != mx.float32 for item in trained.values()):
        return None
    dtypes = {layers.dtype_of(nodes[path]) for path in paths}
    if len(dtypes) > 1:
        return None
    made = {path: joints.multiplier(path, item, adapter.config) for path, item in trained.items()}
    return Multipliers(made, dtypes.pop())
