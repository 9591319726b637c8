"""What pickles of mlxffi.core name: functions that give arrays and constants of the library that a process uses.

That is mlx.core where that is loaded and mlxffi.core is not. After `compat.install()` pickles name mlx.core itself.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INSTALLED = "mlx.core"


def array(values: Any, number: int) -> Any:
    """An array of what `__getstate__` gives: its elements for numpy and the number of its dtype."""
    kind = _library().array
    made = kind.__new__(kind)
    made.__setstate__((values, number))
    return made


def constant(name: str) -> Any:
    """A dtype, a category of dtypes or a kind of device."""
    return getattr(_library(), name)


def reduced(value: object, name: str) -> str | tuple[Any, ...]:
    """What `__reduce__` of a constant gives."""
    return name if type(value).__module__ == INSTALLED else (constant, (name,))


def _library() -> Any:
    theirs = sys.modules.get(INSTALLED)
    if theirs is not None and "mlxffi.core" not in sys.modules:
        return theirs
    # The package knows the way up, which nothing here does.
    return sys.modules[__package__].core
