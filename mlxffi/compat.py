"""`mlxffi.core` in the place of `mlx.core`, for one process."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

NAME = "mlx.core"
SUBMODULES = ("cuda", "distributed", "fast", "fft", "linalg", "metal", "random")


def install() -> None:
    """Let `import mlx.core` give `mlxffi.core` from here on, also in `mlx.nn`, `mlx.optimizers` and other packages.

    Calling it again changes nothing.

    Raises:
      ImportError: the real mlx.core is loaded already.
    """
    from . import core

    if sys.modules.get(NAME, core) is not core:
        raise ImportError(
            "mlx.core is loaded already, and arrays of two libraries would meet: "
            "call mlxffi.compat.install() before anything imports mlx"
        )
    sys.modules[NAME] = core
    for kind in vars(core).values():
        if isinstance(kind, type) and kind.__module__ == core.__name__:
            kind.__module__ = NAME  # by which pickles name it
    for name in SUBMODULES:
        sys.modules[f"{NAME}.{name}"] = getattr(core, name)
    _parent().core = core  # type: ignore[attr-defined]


def _parent() -> ModuleType:
    """The package `mlx`: that of the wheels, which has no code of its own, or an empty one."""
    try:
        return importlib.import_module("mlx")
    except ModuleNotFoundError:
        made = ModuleType("mlx")
        made.__path__ = []
        sys.modules["mlx"] = made
        return made
