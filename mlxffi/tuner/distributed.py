"""The processes that train together, as `mlx.launch` starts them: one where nothing was launched.

Each works on its own part of every batch. What they must agree on are sums: of gradients and of counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from .. import core as mx

# Bytes that travel at once: enough to hide that each message takes a while to start.
BUCKET = 32 * 2**20


class World:
    """All processes of this run, and which of them this one is."""

    __slots__ = ("_group", "rank", "size")

    def __init__(self) -> None:
        self._group = mx.distributed.init()
        self.rank = self._group.rank()
        self.size = self._group.size()

    @property
    def is_writer(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def summed(self, arrays: Mapping[str, mx.array]) -> dict[str, mx.array]:
        """The sums of all processes' arrays by name, lazy.

        Args:
          arrays: this process's by name, with the same names and shapes in all.

        Returns:
          Arrays by name, the same in all processes.
        """
        if self.size == 1:
            return dict(arrays)
        found = {name: summed for bucket in _buckets(arrays) for name, summed in self._bucket_sums(arrays, bucket)}
        return {name: found[name] for name in arrays}

    def _bucket_sums(self, arrays: Mapping[str, mx.array], bucket: Sequence[str]) -> Iterator[tuple[str, mx.array]]:
        joined = mx.concatenate([arrays[name].reshape(-1) for name in bucket])
        rest = mx.distributed.all_sum(joined, group=self._group)
        for name in bucket:
            part, rest = rest[: arrays[name].size], rest[arrays[name].size :]
            yield name, part.reshape(arrays[name].shape)

    def from_writer(self, arrays: Mapping[str, mx.array]) -> dict[str, mx.array]:
        """The arrays of the process that writes files, for every process.

        Args:
          arrays: this process's by name, with the same names and shapes in all.

        Returns:
          Arrays by name, the same in all processes.
        """
        if self.size == 1:
            return dict(arrays)
        mine = arrays if self.is_writer else {name: mx.zeros_like(item) for name, item in arrays.items()}
        return self.summed(mine)

    def gathered(self, item: mx.array) -> mx.array:
        """The arrays of all processes, [size, ...].

        Args:
          item: this process's array, of the same shape and dtype in all.

        Returns:
          An array of the item's dtype, in the order of ranks.
        """
        return mx.distributed.all_gather(item[None], group=self._group) if self.size > 1 else item[None]

    def totals(self, numbers: Iterable[float]) -> list[float]:
        """The sums of all processes' numbers, for which they wait for each other; float32 if there are several.

        Args:
          numbers: this process's, as many in all.

        Returns:
          As many numbers, the same in all processes.
        """
        mine = list(numbers)
        if self.size == 1:
            return mine
        found: list[float] = mx.distributed.all_sum(mx.array(mine, mx.float32), group=self._group).tolist()
        return found

    def any(self, here: bool) -> bool:
        """Whether something is true in any process; all wait for each other.

        Args:
          here: whether it is so in this process.

        Returns:
          The same in all processes.
        """
        return self.totals([here])[0] > 0


def _buckets(arrays: Mapping[str, mx.array]) -> Iterator[list[str]]:
    """Names of arrays of one dtype that travel together, in the arrays' order."""
    by_dtype: dict[mx.Dtype, list[str]] = {}
    for name, item in arrays.items():
        by_dtype.setdefault(item.dtype, []).append(name)
    for names in by_dtype.values():
        bucket: list[str] = []
        size = 0
        for name in names:
            if bucket and size + arrays[name].nbytes > BUCKET:
                yield bucket
                bucket, size = [], 0
            bucket.append(name)
            size += arrays[name].nbytes
        yield bucket
