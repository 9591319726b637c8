"""The CUDA backend."""

from .generated.cuda import is_available as is_available
