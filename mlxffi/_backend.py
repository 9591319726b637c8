"""Which MLX backend is installed, and where its libmlx lies."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator

WHEELS = ("mlx-cpu", "mlx-cuda-12", "mlx-cuda-13", "mlx-metal")
MACOS = sys.platform == "darwin"
LIBRARY = "libmlx.dylib" if MACOS else "libmlx.so"
DEFAULT_WHEEL = "mlx-metal" if MACOS else "mlx-cpu"


class Backend:
    """An installed MLX backend.

    Args:
      name: of its wheel; "" where libmlx came without one.
      version: that of the wheel, likewise.
      library: the path of libmlx.
    """

    def __init__(self, name: str, version: str, library: str):
        self.name, self.version, self.library = name, version, library

    @property
    def cuda(self) -> bool:
        """Whether this is one of the wheels for NVIDIA GPUs."""
        return self.name.startswith("mlx-cuda")

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.name else self.library


def installed() -> list[Backend]:
    """The backend wheels of this environment, those of one name in the order of sys.path."""
    from importlib import metadata  # takes as long to import as all else; nothing but an error needs it

    return [
        Backend(name, distribution.version, str(distribution.locate_file(f"mlx/lib/{LIBRARY}")))
        for name in WHEELS
        for distribution in metadata.distributions(name=name)
    ]


def find(built_for: str) -> Backend:
    """The one backend to load: that of the first folder `mlx` on the path that holds a libmlx.

    Args:
      built_for: the MLX version that libmlxc was built against; "" accepts any.

    Raises:
      ImportError: none, two, a broken or an unfit backend is installed; the message says what to do.
    """
    library = next(filter(os.path.exists, _libraries()), None)
    if library is None:
        raise ImportError(_no_library(installed(), built_for))
    owners = list(_owners(library))
    if len(owners) > 1:
        raise ImportError(_two_backends(owners, built_for))
    backend = owners[0] if owners else Backend("", "", library)
    check_version(backend, backend.version, built_for)
    return backend


def _owners(library: str) -> Iterator[Backend]:
    """The wheels that wrote a libmlx: their records lie beside the folder `mlx`."""
    for record in sorted(os.listdir(os.path.normpath(f"{library}/../../.."))):
        name, _, version = record.removesuffix(".dist-info").replace("_", "-").rpartition("-")
        if name in WHEELS and record.endswith(".dist-info"):
            yield Backend(name, version, library)


def check_version(backend: Backend, version: str, built_for: str) -> None:
    """Raise ImportError where a version is known and not the one built for."""
    if version and built_for and version != built_for:
        raise ImportError(
            f"mlxffi was built for MLX {built_for}, but {backend.name or backend.library} {version} is installed; "
            f"pip install {_pin(backend.name or DEFAULT_WHEEL, built_for)}"
        )


def unloadable(backend: Backend, reason: str) -> str:
    """The sentence for a libmlx that the dynamic linker refuses for that reason."""
    text = f"{backend} cannot be loaded ({reason})"
    wheel = _pin(backend.name or DEFAULT_WHEEL, backend.version)
    if "libcuda." in reason:
        return f"{text}: it needs NVIDIA's driver; install the driver, or {_use_cpu(backend)}"
    if backend.cuda:
        return f"{text}: pip install {wheel} (without --no-deps) brings NVIDIA's libraries, or {_use_cpu(backend)}"
    return f"{text}; pip install --force-reinstall {wheel}"


def without_gpu(backend: Backend) -> str:
    """The sentence for a CUDA backend on a machine without a GPU."""
    return f"{backend} keeps every array in a GPU's memory and finds no NVIDIA GPU here; {_use_cpu(backend)}"


def _libraries() -> Iterator[str]:
    """Where libmlx may lie. The folder of an imported mlx.core comes first, for its libmlx is loaded already."""
    core = getattr(sys.modules.get("mlx.core"), "__file__", None)
    if core:
        yield os.path.join(os.path.dirname(os.path.abspath(core)), "lib", LIBRARY)
    spec = importlib.util.find_spec("mlx")
    for folder in (spec and spec.submodule_search_locations) or ():
        yield os.path.join(os.path.abspath(folder), "lib", LIBRARY)


def _no_library(wheels: list[Backend], built_for: str) -> str:
    if wheels:
        wheel = wheels[0]
        pinned = _pin(wheel.name, built_for or wheel.version)
        return f"{wheel} is installed but {wheel.library} is missing; pip install --force-reinstall {pinned}"
    cuda = [_pin(name, built_for) for name in WHEELS if "cuda" in name]
    gpu = "" if MACOS else f" (or {' or '.join(cuda)} for an NVIDIA GPU)"
    return f"no MLX backend is installed; pip install {_pin(DEFAULT_WHEEL, built_for)}{gpu}"


def _two_backends(wheels: list[Backend], built_for: str) -> str:
    *others, keep = wheels
    remove = f"pip uninstall -y {' '.join(wheel.name for wheel in others)}"
    return (
        f"{' and '.join(map(str, wheels))} are installed over each other (both write mlx/lib/{LIBRARY}); keep one, "
        f"for example: {remove} && pip install --force-reinstall {_pin(keep.name, built_for or keep.version)}"
    )


def _use_cpu(backend: Backend) -> str:
    remove = f"pip uninstall -y {backend.name} && " if backend.name else ""
    return f"to run on the CPU: {remove}pip install --force-reinstall {_pin('mlx-cpu', backend.version)}"


def _pin(name: str, version: str) -> str:
    return f"{name}=={version}" if version else name
