"""mlxffi: MLX's low-level autograd API over a plain C ABI.

`lib` and `ffi` reach every function of the C ABI; the headers under include/ say what each does.
"""

from ._ffi import ffi, lib

__version__ = "0.1.0"

__all__ = ["__version__", "ffi", "lib"]
