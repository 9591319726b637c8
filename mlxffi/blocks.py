"""A decoder's block for the next few tokens of a text, as one kernel on a CPU: mlxffi_decoder_block (fused.h)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._arguments import as_array, kind_of, owner_in
from ._errors import ArgumentError
from ._ffi import graph, plain_mlxc
from ._handles import take_arrays
from ._structs import Struct

if TYPE_CHECKING:
    from ._arguments import ArrayLike

__all__ = ["DecoderBlock", "Linear"]

LAYERS = ("query", "key", "value", "output", "gate", "up", "down")
NORMS = ("attention_norm", "mlp_norm", "query_norm", "key_norm")


@dataclass(frozen=True)
class Linear:
    """A linear layer: x weight^T + bias + scale (x a) b.

    Args:
      weight: floating point [out, in]; or uint32, packed as `quantize` does it.
      scales, biases: of a packed weight; `biases` in mode "affine" only.
      bias: floating point [out].
      a, b: floating point [in, rank] and [rank, out], both or none.
      scale: of what they add.
      group_size, bits, mode: of a packed weight.
    """

    weight: ArrayLike
    scales: ArrayLike | None = None
    biases: ArrayLike | None = None
    bias: ArrayLike | None = None
    a: ArrayLike | None = None
    b: ArrayLike | None = None
    scale: float = 1.0
    group_size: int = 64
    bits: int = 4
    mode: str = "affine"


class DecoderBlock:
    """A block of a decoder of Llama's kind: attention and a gated network, each after a norm and added to x.

    Args:
      layers: a `Linear` for each of query, key, value, output, gate, up and down.
      norms: the weights [C] of attention_norm and mlp_norm, and, where heads are normalized, [D] of query_norm and
        key_norm.
      heads, key_heads: of queries, and of keys and values: a divisor of those.
      eps: of the norms.
      attention_scale: of scores.
      rope_base, rope_scale, rope_freqs: as `fused.rope` takes them, for all features of a head; `rope_freqs`
        [D / 2] in the place of powers of the base.

    Raises:
      ValueError: a layer or a norm is missing or unknown, or libmlxc is somebody else's, which has no such function.

    Source: Touvron et al. 2023. C: mlxffi_decoder_block.
    """

    def __init__(
        self,
        layers: Mapping[str, Linear],
        norms: Mapping[str, ArrayLike],
        *,
        heads: int,
        key_heads: int,
        eps: float,
        attention_scale: float,
        rope_base: float = 10000.0,
        rope_scale: float = 1.0,
        rope_freqs: ArrayLike | None = None,
    ):
        if plain_mlxc:
            raise ArgumentError("[DecoderBlock] this build's libmlxc is not mlxffi's own, and has no decoder block")
        _require_names("layers", layers, LAYERS, LAYERS)
        _require_names("norms", norms, NORMS[:2], NORMS)
        numbers = {"heads": heads, "key_heads": key_heads, "eps": eps, "attention_scale": attention_scale}
        rope = {"rope_base": rope_base, "rope_scale": rope_scale, "rope_freqs": rope_freqs}
        self._struct = Struct("mlxffi_block", {**layers, **norms, **numbers, **rope})

    def __call__(self, x: ArrayLike, keys: ArrayLike, values: ArrayLike, first: int) -> tuple[Any, Any, Any]:
        """The block's result for the next positions, each of which sees all before it and itself.

        Args:
          x: floating point [batch, positions, C].
          keys, values: [batch, key_heads, room, D], of the dtype of x.
          first: how many positions they hold; there is room for those of x.

        Returns:
          (result [batch, positions, C], keys and values with those of x), in the class of x. Memory of `keys` and
          `values` that nobody else holds is used again.

        Raises:
          ValueError: shapes or dtypes do not fit the block.
        """
        own, x, keys, values = owner_in(kind_of(x)), as_array(x), as_array(keys), as_array(values)
        found = graph.glue_mlxffi_decoder_block(x._h, self._struct.address, keys._h, values._h, first, 0)
        y, keys, values = take_arrays(found, own)
        return y, keys, values


def _require_names(argument: str, found: Mapping[str, Any], needed: tuple[str, ...], known: tuple[str, ...]) -> None:
    if not set(needed) <= found.keys() <= set(known):
        raise ArgumentError(f"[DecoderBlock] {argument}: expected {', '.join(known)}, got {', '.join(found)}")
