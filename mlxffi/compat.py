"""`mlxffi.core` instead of `mlx.core`, for one process."""

from __future__ import annotations

import importlib
import mmap
import sys
from collections.abc import Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
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
    if _Extensions not in sys.meta_path:
        sys.meta_path.insert(sys.meta_path.index(PathFinder), _Extensions)


class _Extensions:
    """Finds modules as PathFinder does, less those that take arrays of mlx.core as C++ objects, which are not there."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a module.

        Raises:
          ImportError: it is an extension that was compiled against MLX with nanobind.
        """
        spec = PathFinder.find_spec(name, path, target)
        if spec and isinstance(spec.loader, ExtensionFileLoader) and _takes_arrays(spec.loader.path):
            raise ImportError(
                f"{name} is compiled against mlx.core's C++ arrays (nanobind), which mlxffi.core has not: "
                "run the program without mlxffi",
                name=name,
                path=spec.origin,
            )
        return spec


def _takes_arrays(file: str) -> bool:
    """Whether an extension links libmlx and nanobind."""
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return (
            any(content.find(name) >= 0 for name in (b"libmlx.so", b"libmlx.dylib"))
            and content.find(b"nb_internals") >= 0
        )


def _parent() -> ModuleType:
    """The package `mlx`: that of the wheels, which has no code of its own, or an empty one."""
    try:
        return importlib.import_module("mlx")
    except ModuleNotFoundError:
        made = ModuleType("mlx")
        made.__path__ = []
        sys.modules["mlx"] = made
        return made
