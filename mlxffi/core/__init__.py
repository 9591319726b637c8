"""A drop-in for mlx.core: `import mlxffi.core as mx` behaves as `import mlx.core as mx` does.

Here are names only; the modules of this package say what they mean. mlx.core itself is not imported.
"""

# ruff: noqa: F403, F405

from __future__ import annotations

from . import _configuration as _configuration  # isort: skip
from . import cuda as cuda
from . import distributed as distributed
from . import fast as fast
from . import fft as fft
from . import linalg as linalg
from . import metal as metal
from . import random as random
from ._array import *
from ._array_api import *
from ._at import ArrayAt as ArrayAt
from ._compile import *
from ._creation import *
from ._custom import checkpoint as checkpoint
from ._custom import custom_function as custom_function
from ._device import *
from ._dtype import *
from ._evaluation import *
from ._export import *
from ._io import *
from ._numeric import *
from ._printing import *
from ._transforms import *
from .generated.memory import *
from .generated.ops import *

# The version of MLX whose mlx.core this stands for.
__version__ = "0.32.4"

e: float = 2.718281828459045
euler_gamma: float = 0.5772156649015329
inf: float = float("inf")
nan: float = float("nan")
newaxis: None = None
pi: float = 3.141592653589793
matrix_norm = linalg.norm

# Operations under their other names.
acos, acosh, asin, asinh, atan, atanh, atan2 = arccos, arccosh, arcsin, arcsinh, arctan, arctanh, arctan2
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift
concat, conj, permute_dims = concatenate, conjugate, transpose
cumulative_prod, cumulative_sum = cumprod, cumsum
empty, empty_like = zeros, zeros_like
pow = power
