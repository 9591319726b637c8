"""Keys and values of the tokens so far."""

from __future__ import annotations

from collections.abc import Callable

from ... import core as mx
from ...blocks import DecoderBlock
from ..trees import Tree
from .config import DecoderConfig

# Room is added in steps of this many tokens; each step copies what there is.
STEP = 256


class KVCache:
    """The keys and values of one block.

    Args:
      window: how many tokens a token sees, its own included; what lies before is dropped. None: all.
    """

    def __init__(self, window: int | None = None):
        self.window = window
        self.length = 0  # tokens so far
        self.kept = 0  # tokens whose keys are still here, the latest ones
        self._keys: mx.array | None = None  # [batch, kv_heads, at least kept, head_dim]
        self._values: mx.array | None = None
        # The block as one kernel, and the node that it was made of.
        self._block: tuple[Tree, DecoderBlock | None] | None = None

    @property
    def state(self) -> list[mx.array]:
        """What has to be evaluated before the graph behind it can be freed."""
        return [held for held in (self._keys, self._values) if held is not None]

    def is_trimmable(self) -> bool:
        """Whether the latest tokens can be taken back: none has been dropped."""
        return self.kept == self.length

    def trim(self, count: int) -> None:
        """Drop the latest tokens; the next ones take their places.

        Args:
          count: how many, 0 to the number kept; only where `is_trimmable`.
        """
        self.length, self.kept = self.length - count, self.kept - count

    def extended(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """All keys and values that the next tokens may see, theirs included.

        Args:
          keys, values: of the next tokens, floating point [batch, kv_heads, length, head_dim].

        Returns:
          (keys, values): floating point [batch, kv_heads, kept before + length, head_dim].
        """
        length = keys.shape[2]
        total = self.kept + length
        self._make_room(keys.shape, keys.dtype, total)
        assert self._keys is not None
        assert self._values is not None
        self._keys[..., self.kept : total, :] = keys
        self._values[..., self.kept : total, :] = values
        seen = self._keys[..., :total, :], self._values[..., :total, :]
        self.length, self.kept = self.length + length, total
        if self.window is not None and total >= self.window:
            self.kept = self.window - 1
            self._keys, self._values = (held[..., total - self.kept :, :] for held in seen)
        return seen

    def grows(self, length: int) -> bool:
        """Whether that many more tokens are kept and all seen by the last one.

        Args:
          length: a number of tokens.

        Returns:
          False where a token has been dropped, or would no longer be seen.
        """
        return self.is_trimmable() and (self.window is None or self.kept + length < self.window)

    def block_of(self, node: Tree, make: Callable[[], DecoderBlock | None]) -> DecoderBlock | None:
        """What `make` returns for a block's node; it is called again only for another node.

        Args:
          node: the block's parameters.
          make: makes one kernel of the block; None where that cannot be done.

        Returns:
          What `make` returned.
        """
        if self._block is None or self._block[0] is not node:
            self._block = node, make()
        return self._block[1]

    def stepped(self, block: DecoderBlock, x: mx.array, config: DecoderConfig) -> mx.array:
        """A block's output for the next tokens, whose keys and values are kept.

        Args:
          block: from `block_of`.
          x: floating point [B, T, C].
          config: the decoder.

        Returns:
          [B, T, C].
        """
        batch, length, _ = x.shape
        total = self.kept + length
        self._make_room((batch, config.num_kv_heads, length, config.head_dim), x.dtype, total)
        y, self._keys, self._values = block(x, self._keys, self._values, self.kept)
        self.length, self.kept = self.length + length, total
        found: mx.array = y
        return found

    def _make_room(self, shape: tuple[int, ...], dtype: mx.Dtype, total: int) -> None:
        """Places for a total of tokens, of which the next ones have a shape and a dtype."""
        if self._keys is None or total > self._keys.shape[2]:
            more = (self._with_room(held, shape, dtype, total) for held in (self._keys, self._values))
            self._keys, self._values = more

    def _with_room(self, held: mx.array | None, shape: tuple[int, ...], dtype: mx.Dtype, total: int) -> mx.array:
        batch, heads, _, features = shape
        wanted = total if self.window is not None else -(-total // STEP) * STEP
        more = mx.zeros((batch, heads, wanted - self.kept, features), dtype=dtype)
        return more if held is None else mx.concatenate([held[..., : self.kept, :], more], axis=2)
