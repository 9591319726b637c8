"""Which MLX backend is installed, and where its libmlx lies."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

WHEELS = ("mlx-cpu", "mlx-cuda-12", "mlx-cuda-13", "mlx-metal")
LIBRARY = "libmlx.dylib" if sys.platform == "darwin" else "libmlx.so"


@dataclass(frozen=True)
class Backend:
    """An installed MLX backend.

    `name` is its wheel's name, "" where libmlx came without one; `version` likewise.
    """

    name: str
    version: str
    library: Path

    @property
    def include(self) -> Path:
        """The folder of MLX's C++ headers."""
        return self.library.parent.parent / "include"


def installed() -> list[Backend]:
    """The backend wheels of this environment, the first on sys.path first."""
    found: dict[str, Backend] = {}
    for name in WHEELS:
        for distribution in metadata.distributions(name=name):
            library = Path(str(distribution.locate_file(f"mlx/lib/{LIBRARY}")))
            found.setdefault(name, Backend(name, distribution.version, library))
    return list(found.values())


def find(built_for: str) -> Backend:
    """The one backend to load.

    Args:
      built_for: the MLX version that libmlxc was built against; "" accepts any.

    Raises:
      ImportError: none, two, a broken or an unfit backend is installed; the message says what to do.
    """
    wheels = installed()
    if len(wheels) > 1:
        raise ImportError(_two_backends(wheels, built_for))
    backend = wheels[0] if wheels else next(_without_wheel(), None)
    if backend is None:
        raise ImportError(f"no MLX backend is installed; {_install_hint(built_for)}")
    if not backend.library.exists():
        raise ImportError(
            f"{backend.name} {backend.version} is installed but {backend.library} is missing; "
            f"pip install --force-reinstall {backend.name}=={built_for or backend.version}"
        )
    check_version(backend.version, built_for, backend.name)
    return backend


def check_version(version: str, built_for: str, name: str) -> None:
    """Raise ImportError where a backend's version is known and not the one built for."""
    if version and built_for and version != built_for:
        wheel = name or "mlx-cpu"
        raise ImportError(
            f"mlxffi was built for MLX {built_for}, but {name or 'the backend'} {version} is installed; "
            f"pip install {wheel}=={built_for}"
        )


def _without_wheel() -> Iterator[Backend]:
    """A libmlx that stands in a folder `mlx` of the path, unpacked by hand."""
    spec = importlib.util.find_spec("mlx")
    for folder in spec.submodule_search_locations or () if spec else ():
        library = Path(folder) / "lib" / LIBRARY
        if library.exists():
            yield Backend("", "", library)


def _two_backends(wheels: list[Backend], built_for: str) -> str:
    names = " and ".join(f"{wheel.name} {wheel.version}" for wheel in wheels)
    keep = wheels[-1]
    others = " ".join(wheel.name for wheel in wheels[:-1])
    return (
        f"{names} are installed over each other (both write mlx/lib/{LIBRARY}); keep one, for example: "
        f"pip uninstall {others} && pip install --force-reinstall {keep.name}=={built_for or keep.version}"
    )


def _install_hint(built_for: str) -> str:
    version = f"=={built_for}" if built_for else ""
    if sys.platform == "darwin":
        return f"pip install mlx-metal{version}"
    return f"pip install mlx-cpu{version} (or mlx-cuda-12{version}, mlx-cuda-13{version} for an NVIDIA GPU)"
