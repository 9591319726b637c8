"""Keys and values of the tokens so far, so that generation computes each token once."""

from __future__ import annotations

from ... import core as mx

# Room is added in steps of so many tokens; each step copies what there is.
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

    @property
    def state(self) -> list[mx.array]:
        """What has to be evaluated before the graph behind it can be freed."""
        return [held for held in (self._keys, self._values) if held is not None]

    def extended(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """All keys and values that the next tokens may see, theirs included.

        Args:
          keys, values: of the next tokens, floating point [batch, kv_heads, length, head_dim].

        Returns:
          (keys, values): floating point [batch, kv_heads, kept before + length, head_dim].
        """
        length = keys.shape[2]
        total = self.kept + length
        self._keys = self._with_room(self._keys, keys, total)
        self._values = self._with_room(self._values, values, total)
        self._keys[..., self.kept : total, :] = keys
        self._values[..., self.kept : total, :] = values
        seen = self._keys[..., :total, :], self._values[..., :total, :]
        self.length, self.kept = self.length + length, total
        if self.window is not None and total >= self.window:
            self.kept = self.window - 1
            self._keys, self._values = (held[..., total - self.kept :, :] for held in seen)
        return seen

    def _with_room(self, held: mx.array | None, new: mx.array, total: int) -> mx.array:
        """What is held, in an array with places for a total of tokens."""
        batch, heads, _, features = new.shape
        room = 0 if held is None else held.shape[2]
        if held is not None and total <= room:
            return held
        wanted = total if self.window is not None else -(-total // STEP) * STEP
        more = mx.zeros((batch, heads, wanted - self.kept, features), dtype=new.dtype)
        return more if held is None else mx.concatenate([held[..., : self.kept, :], more], axis=2)
