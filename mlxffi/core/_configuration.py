"""Tells C the classes and functions of mlxffi.core: once, before anything is called."""

from __future__ import annotations

from .._errors import error_of
from . import _arguments, _device, _dtype, _trees
from ._array import array
from ._at import ArrayAt
from ._binding import native
from .distributed import Group

native.configure(
    array=array,
    array_at=ArrayAt,
    stream=_device.Stream,
    device=_device.Device,
    cpu=_device.cpu,
    gpu=_device.gpu,
    make_default=_device.make_default,
    thread_local_stream=_device.ThreadLocalStream,
    group=Group,
    dtypes=_dtype.DTYPES,
    error=error_of,
    misfit=_arguments.MisfitError,
    bounds=_arguments.BoundsError,
    as_arrays=_arguments.as_arrays,
    as_array=_arguments.as_array,
    holder=_trees.Holder,
    not_arrays=_trees.not_arrays,
    constant=_trees.constant,
)
