"""The names of the package, gathered from its modules."""

from . import _ops, fast, fft, io, linalg, memory, random
from ._errors import Error
from ._ffi import ffi, lib
from ._ops import *  # noqa: F403
from .array import Array
from .device import (
    Device,
    Stream,
    default_device,
    default_stream,
    set_default_device,
    set_default_stream,
)
from .dtype import (
    Dtype,
    bfloat16,
    bool_,
    complex64,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from .export import export_function, exporter, import_function
from .graphs import export_to_dot, print_graph
from .losses import cross_entropy_loss, masked_cross_entropy_loss, mse_loss
from .reductions import mean_all, sum_all
from .transforms import (
    GradFn,
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

__all__ = [
    "Array",
    "Device",
    "Dtype",
    "Error",
    "GradFn",
    "Stream",
    "async_eval",
    "bfloat16",
    "bool_",
    "checkpoint",
    "compile",
    "complex64",
    "cross_entropy_loss",
    "custom_function",
    "custom_vjp",
    "default_device",
    "default_stream",
    "eval",
    "export_function",
    "export_to_dot",
    "exporter",
    "fast",
    "ffi",
    "fft",
    "float16",
    "float32",
    "float64",
    "grad",
    "import_function",
    "int8",
    "int16",
    "int32",
    "int64",
    "io",
    "jvp",
    "lib",
    "linalg",
    "masked_cross_entropy_loss",
    "mean_all",
    "memory",
    "mse_loss",
    "print_graph",
    "random",
    "set_default_device",
    "set_default_stream",
    "sum_all",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "value_and_grad",
    "vjp",
    "vmap",
]
__all__ += _ops.__all__
