"""mlxffi: MLX's low-level autograd API over a plain C ABI.

`lib` and `ffi` reach every function of the C ABI; the headers under include/ say what each does.
"""

from ._errors import Error
from ._ffi import ffi, lib
from ._ops import *  # noqa: F403
from ._ops import __all__ as _operations
from .array import Array
from .transforms import (
    async_eval,
    checkpoint,
    compile,
    custom_function,
    custom_vjp,
    eval,
    grad,
    jvp,
    value_and_grad,
    vjp,
    vmap,
)

__version__ = "0.1.0"
