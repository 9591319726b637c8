"""Fourier transforms, as mlx.core.fft has them."""

from .generated.fft import *  # noqa: F403
