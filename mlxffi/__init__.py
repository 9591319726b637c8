"""mlxffi: MLX's low-level autograd API over a plain C ABI.

Functions take and return flat lists of arrays; every operation of mlx/c/ops.h stands at the top of the package,
those of linalg.h, fft.h, random.h and fast.h in modules of these names. `lib` and `ffi` reach every function of the C
ABI; the headers under include/ say what each does.
"""

import sys

__version__ = "0.1.0"

try:
    from ._api import *  # noqa: F403
    from ._api import __all__ as __all__
    from ._ops import *  # noqa: F403
except ImportError:
    # `python -m mlxffi doctor` is there to explain this very error; while it starts, argv begins with "-m".
    if sys.argv[:1] != ["-m"] or sys.orig_argv[-len(sys.argv)].removeprefix("-m") != "mlxffi":
        raise
