"""mlxffi: MLX's low-level autograd API over a plain C ABI.

Functions take and return flat lists of arrays; every operation of mlx/c/ops.h stands at the top of the package,
those of linalg.h, fft.h, random.h and fast.h in modules of these names. `lib` and `ffi` reach every function of the C
ABI; the headers under include/ say what each does.

Importing the package loads MLX and libmlxc. Its names come with the first use of one, and cffi with them:
`mlxffi.core`, which stands on the same library, needs neither.
"""

from __future__ import annotations

import importlib.util
import sys

from . import _loader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._api import *  # noqa: F403
    from ._api import __all__ as __all__
    from ._ops import *  # noqa: F403
    from .losses import *  # noqa: F403
    from .transforms import *  # noqa: F403

__version__ = "0.1.0"

try:
    _loader.load()
except ImportError:
    # `python -m mlxffi doctor` is there to explain this very error; while it starts, argv begins with "-m".
    if sys.argv[:1] != ["-m"] or sys.orig_argv[-len(sys.argv)].removeprefix("-m") != "mlxffi":
        raise


def __getattr__(name: str) -> Any:
    if name.startswith("__") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # `from . import dtype` asks here first: a module is to come alone, and not with all names.
    # (The folder lib/ is none.)
    spec = importlib.util.find_spec(f"{__name__}.{name}")
    if spec and spec.origin:
        return importlib.import_module(f"{__name__}.{name}")
    from . import _api

    try:
        value = globals()[name] = getattr(_api, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})
