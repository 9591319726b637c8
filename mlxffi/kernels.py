"""Custom kernels, made once from Metal or CUDA source and called often, also inside transforms.

The functions are in `mlxffi.fast`. A kernel has no derivative; give it one with `mlxffi.custom_function`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from . import _handles
from . import dtype as dtypes
from ._arguments import as_array, handles, integers, stream_of, text
from ._containers import string_list
from ._errors import ArgumentError
from ._ffi import check, graph, handle, lib
from .array import Array

if TYPE_CHECKING:
    from ._arguments import ArrayLike, DtypeLike
    from .device import Stream

__all__ = ["CUDAKernel", "MetalKernel", "cuda_kernel", "metal_kernel"]

TemplateValue = Any


class Kernel(_handles.Owner):
    """The base of CUDA and Metal kernels."""

    __slots__ = ("_kernel", "input_names", "name", "output_names")
    _slot = "_kernel"
    _kernel: int
    _backend: ClassVar[str]

    def __init__(
        self,
        name: str,
        input_names: Sequence[str],
        output_names: Sequence[str],
        source: str,
        header: str,
        ensure_row_contiguous: bool,
        *options: Any,
    ):
        self.name, self.input_names, self.output_names = name, tuple(input_names), tuple(output_names)
        if not self.output_names:
            raise ArgumentError(f"[{self._backend}_kernel] output_names: expected at least one name, got none")
        make, called = _call(self._backend, "new"), text(name, "name")
        code = text(source, "source"), text(header, "header")
        with string_list(input_names, "input_names") as inputs, string_list(output_names, "output_names") as outputs:
            made = make(called, inputs, outputs, *code, ensure_row_contiguous, *options)
        super().__init__(made)

    def __call__(
        self,
        inputs: Sequence[ArrayLike],
        output_shapes: Sequence[Sequence[int]],
        output_dtypes: Sequence[DtypeLike],
        grid: Sequence[int],
        threadgroup: Sequence[int],
        template: Mapping[str, TemplateValue] | Sequence[tuple[str, TemplateValue]] | None = None,
        init_value: float | None = None,
        verbose: bool = False,
        stream: Stream | None = None,
    ) -> list[Array]:
        """Launch the kernel.

        Args:
          inputs: one array for each input name.
          output_shapes: one shape for each output name.
          output_dtypes: one dtype for each output name.
          grid: threads in all along three dimensions.
          threadgroup: threads of one group (CUDA: block) along three dimensions.
          template: values (bool, int or dtype) of the names that stand for them in the source.
          init_value: what fills the outputs before the kernel runs; None leaves them as they are.
          verbose: print the source that is compiled.

        Returns:
          One array for each output name, computed when it is needed.

        Raises:
          ValueError: counts do not fit.
          RuntimeError: the backend is missing, or the stream is not on a GPU.
        """
        self._count("inputs", inputs, self.input_names)
        self._count("output_shapes", output_shapes, self.output_names)
        self._count("output_dtypes", output_dtypes, self.output_names)
        arrays = [as_array(value) for value in inputs]
        settings = _call(self._backend, "config_new")()

        def configure(setter: str, *values: Any) -> None:
            check(_call(self._backend, f"config_{setter}")(settings, *values))

        try:
            for shape, dtype in zip(output_shapes, output_dtypes, strict=True):
                sizes = integers(shape)
                configure("add_output_arg", sizes, len(sizes), dtypes.of(dtype).number)
            configure("set_grid", *self._three("grid", grid))
            configure("set_thread_group", *self._three("threadgroup", threadgroup))
            for name, value in dict(template or {}).items():
                configure(*_template_argument(name, value))
            if init_value is not None:
                configure("set_init_value", init_value)
            configure("set_verbose", verbose)
            options = settings, stream_of(stream)
            vector = _call(self._backend, "apply")(self._kernel, handles(arrays), len(arrays), *options)
            return _handles.take_arrays(vector)
        finally:
            _free(self._backend, "kernel_config", settings)

    @classmethod
    def _free(cls, kernel: int) -> None:
        _free(cls._backend, "kernel", kernel)

    def _count(self, what: str, values: Sequence[Any], names: Sequence[str]) -> None:
        if len(values) != len(names):
            expected = f"{len(names)} ({', '.join(names)})" if names else "0"
            raise ArgumentError(f"[{self.name}] {what}: expected {expected}, got {len(values)}")

    def _three(self, what: str, values: Sequence[int]) -> list[int]:
        numbers = integers(values)
        if len(numbers) != 3:
            raise ArgumentError(f"[{self.name}] {what}: expected 3 sizes, got {len(numbers)}")
        return numbers


class CUDAKernel(Kernel):
    """A CUDA kernel; made by `cuda_kernel`."""

    __slots__ = ()
    _backend = "cuda"


class MetalKernel(Kernel):
    """A Metal kernel; made by `metal_kernel`."""

    __slots__ = ()
    _backend = "metal"


def cuda_kernel(
    name: str,
    input_names: Sequence[str],
    output_names: Sequence[str],
    source: str,
    header: str = "",
    ensure_row_contiguous: bool = True,
    shared_memory: int = 0,
) -> CUDAKernel:
    """Make a CUDA kernel, which is compiled at its first launch.

    Args:
      name: the name of the kernel function.
      input_names: names of the inputs in the source.
      output_names: names of the outputs in the source.
      source: the body of the function; its signature is generated.
      header: code before the function.
      ensure_row_contiguous: whether to copy inputs that are not row-contiguous; otherwise the source uses their
        strides.
      shared_memory: bytes of dynamic shared memory per block.

    Returns:
      The kernel; call it to launch it.

    Raises:
      ValueError: there is no output name.
      RuntimeError: the CUDA backend is missing.

    Source: C mlx_fast_cuda_kernel_new.
    """
    return CUDAKernel(name, input_names, output_names, source, header, ensure_row_contiguous, shared_memory)


def metal_kernel(
    name: str,
    input_names: Sequence[str],
    output_names: Sequence[str],
    source: str,
    header: str = "",
    ensure_row_contiguous: bool = True,
    atomic_outputs: bool = False,
) -> MetalKernel:
    """Make a Metal kernel, which is compiled at its first launch.

    Args:
      name, input_names, output_names, source, header, ensure_row_contiguous: as in `cuda_kernel`.
      atomic_outputs: whether to declare the outputs as atomic types.

    Returns:
      The kernel; call it to launch it.

    Raises:
      ValueError: there is no output name.
      RuntimeError: the Metal backend is missing (some builds notice this only at the first launch).

    Source: C mlx_fast_metal_kernel_new.
    """
    return MetalKernel(name, input_names, output_names, source, header, ensure_row_contiguous, atomic_outputs)


def _template_argument(name: str, value: TemplateValue) -> tuple[str, bytes, Any]:
    """The setter for a template argument, and its arguments."""
    encoded = text(name, "template")
    if isinstance(value, bool):
        return "add_template_arg_bool", encoded, value
    if isinstance(value, int):
        return "add_template_arg_int", encoded, value
    return "add_template_arg_dtype", encoded, dtypes.of(value).number


def _free(backend: str, what: str, pointer: int) -> None:
    kind = f"mlx_fast_{backend}_{what}"
    getattr(lib, f"{kind}_free")(handle(kind, pointer))


def _call(backend: str, function: str) -> Callable[..., int]:
    found: Callable[..., int] = getattr(graph, f"glue_fast_{backend}_kernel_{function}")
    return found
