from collections.abc import Callable, Sequence
from typing import Any

from typing_extensions import Self

class ArrayOwner:
    __slots__ = ("__weakref__", "_h")
    _h: int
    @classmethod
    def _own(cls, handle: int, /) -> Self: ...
    @classmethod
    def _share_all(cls, vector: int, /) -> list[Self]: ...
    @classmethod
    def _pack_all(cls, arrays: Sequence[Any], /) -> int | None: ...

def raise_with(function: Callable[[], BaseException], /) -> None: ...
