"""The names of the package, gathered from its modules."""

from . import _ops, device, dtype, fast, fft, graphs, io, linalg, losses, memory, random, transforms
from ._errors import Error
from ._ffi import ffi, lib
from ._ops import *  # noqa: F403
from .array import Array
from .device import *  # noqa: F403
from .dtype import *  # noqa: F403
from .export import export_function, exporter, import_function
from .graphs import *  # noqa: F403
from .losses import *  # noqa: F403
from .transforms import *  # noqa: F403

__all__ = ["Array", "Error", "export_function", "exporter", "ffi", "import_function", "lib"]
__all__ += ["fast", "fft", "io", "linalg", "losses", "memory", "random"]
__all__ += device.__all__
__all__ += dtype.__all__
__all__ += graphs.__all__
__all__ += losses.__all__
__all__ += transforms.__all__
__all__ += _ops.__all__
