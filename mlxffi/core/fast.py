"""Operations in one piece, and kernels of your own, as mlx.core.fast has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .._errors import ArgumentError
from ._arguments import ArrayLike, as_array
from ._array import array
from ._binding import abi
from ._device import StreamOrDevice
from ._dtype import Dtype
from .generated.fast import cross_entropy as cross_entropy
from .generated.fast import gated_delta_update as gated_delta_update
from .generated.fast import layer_norm as layer_norm
from .generated.fast import rms_norm as rms_norm
from .generated.fast import rope as rope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# By their numbers in C.
MATH_MODES = {"safe": 0, "relaxed": 1, "fast": 2}


def scaled_dot_product_attention(
    q: array,
    k: array,
    v: array,
    *,
    scale: float,
    mask: str | array | None = None,
    sinks: array | None = None,
    force_fused: bool = False,
    stream: StreamOrDevice = None,
) -> array:
    """Attention: softmax(`scale` * `q` @ `k`^T + mask) @ `v`.

    Args:
      q: floating point [batch, heads, positions, features].
      k, v: [batch, key heads, positions, features]; the number of key heads divides the number of heads.
      scale: the factor of the scores.
      mask: "causal", bool (True: attend) or numbers to add, which broadcast to [batch, heads, positions, positions].
      sinks: [heads], one more logit for each head's softmax.
      force_fused: whether to fail if no fused kernel fits.

    Returns:
      [batch, heads, positions, features of v].

    Source: Vaswani et al. 2017; docs/fused.md.
    """
    mode, given = "", None if isinstance(mask, str) else mask
    if isinstance(mask, str):
        if mask != "causal":
            raise ArgumentError(f"[scaled_dot_product_attention] mask: expected 'causal' or an array, got {mask!r}")
        mode = mask
    if sinks is None and not force_fused:
        return abi.attention(q, k, v, scale, mode == "causal", given, stream)
    return abi.fast_scaled_dot_product_attention_fused(q, k, v, scale, mode, given, sinks, force_fused, stream)


# --- kernels ---


class _Kernel:
    """A kernel of one backend, "cuda" or "metal"."""

    __slots__ = ("_backend", "_handle", "_input_names", "_name", "_output_names")

    def __init__(
        self,
        backend: str,
        maker: str,
        name: str,
        input_names: Sequence[str],
        output_names: Sequence[str],
        *options: Any,
    ):
        if not output_names:
            raise ArgumentError(f"[{backend}_kernel] output_names: expected at least one name, got none")
        self._backend, self._name = backend, name
        self._input_names, self._output_names = tuple(input_names), tuple(output_names)
        self._handle = _call(backend, maker)(name, input_names, output_names, *options)

    def __call__(
        self,
        *,
        inputs: Sequence[ArrayLike],
        output_shapes: Sequence[Sequence[int]],
        output_dtypes: Sequence[Dtype],
        grid: tuple[int, int, int],
        threadgroup: tuple[int, int, int],
        template: Sequence[tuple[str, bool | int | Dtype]] | None = None,
        init_value: float | None = None,
        verbose: bool = False,
        stream: StreamOrDevice = None,
    ) -> list[array]:
        """Launch the kernel.

        Args:
          inputs: one for each input name; output_shapes, output_dtypes: one for each output name.
          grid: threads in all along three dimensions; threadgroup: those of one group (CUDA: block).
          template: values of the names that stand for them in the source.
          init_value: what fills the outputs before the kernel runs; None leaves them as they are.
          verbose: print the source that is compiled.
        """
        self._require("inputs", inputs, self._input_names)
        self._require("output_shapes", output_shapes, self._output_names)
        self._require("output_dtypes", output_dtypes, self._output_names)
        launch = _Launch(self._backend, output_shapes, output_dtypes, grid, threadgroup, init_value)
        for name, value in template or ():
            launch.set(f"add_template_arg_{_kind('template', value, bool, int, Dtype)}", name, value)
        launch.set("set_verbose", verbose)
        arrays = [as_array(value) for value in inputs]
        made: list[array] = _call(self._backend, "apply")(self._handle, arrays, launch.config, stream)
        return made

    def _require(self, what: str, values: Sequence[Any], names: Sequence[str]) -> None:
        if len(values) != len(names):
            expected = f"{len(names)} ({', '.join(names)})" if names else "0"
            raise ArgumentError(f"[{self._name}] {what}: expected {expected}, got {len(values)}")


class _Launch:
    """What one launch of a kernel is told."""

    __slots__ = ("_backend", "config")

    def __init__(self, backend: str, shapes: Any, dtypes: Any, grid: Any, threadgroup: Any, init_value: float | None):
        self._backend, self.config = backend, _call(backend, "config_new")()
        for shape, dtype in zip(shapes, dtypes, strict=True):
            self.set("add_output_arg", shape, dtype)
        self.set("set_grid", *grid)
        self.set("set_thread_group", *threadgroup)
        if init_value is not None:
            self.set("set_init_value", init_value)

    def set(self, what: str, *values: Any) -> None:
        """Call a setter of C's by name."""
        _call(self._backend, f"config_{what}")(self.config, *values)


def _call(backend: str, function: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(abi, f"fast_{backend}_kernel_{function}")
    return found


def _kind(name: str, value: Any, *kinds: type) -> str:
    """What the setter for a value of one of some types ends in."""
    for kind in kinds:
        if isinstance(value, kind):
            return kind.__name__.lower()
    raise ArgumentError(f"{name}: expected one of {', '.join(kind.__name__ for kind in kinds)}, got {value!r}")


def metal_kernel(
    name: str,
    input_names: Sequence[str],
    output_names: Sequence[str],
    source: str,
    header: str = "",
    ensure_row_contiguous: bool = True,
    atomic_outputs: bool = False,
    compile_options: Any = None,
) -> Any:
    """A kernel from Metal source: the body of a function, whose signature is generated.

    Args:
      name: the kernel's name.
      input_names: names of the inputs in the source.
      output_names: names of the outputs in the source.
      source: the body of the function.
      header: what goes before the function, such as includes and helpers.
      ensure_row_contiguous: whether to copy inputs that are not row-major.
      atomic_outputs: whether outputs are atomics.
      compile_options: a dict; "math_mode" may be "safe", "relaxed" or "fast".

    Returns:
      A function that launches the kernel and returns a list of arrays.
    """
    mode = dict(compile_options or {}).get("math_mode", "safe")
    if mode not in MATH_MODES:
        raise ArgumentError(f"[metal_kernel] math_mode: expected safe, relaxed or fast, got {mode!r}")
    options = (source, header, ensure_row_contiguous, atomic_outputs, MATH_MODES[mode])
    return _Kernel("metal", "new_math_mode", name, input_names, output_names, *options)


def cuda_kernel(
    name: str,
    input_names: Sequence[str],
    output_names: Sequence[str],
    source: str,
    header: str = "",
    ensure_row_contiguous: bool = True,
    shared_memory: int = 0,
) -> Any:
    """A kernel from CUDA source: the body of a function, whose signature is generated.

    Args:
      name, input_names, output_names, source, header, ensure_row_contiguous: as in `metal_kernel`.
      shared_memory: bytes of dynamic shared memory for each block.

    Returns:
      A function that launches the kernel and returns a list of arrays.
    """
    options = (source, header, ensure_row_contiguous, shared_memory)
    return _Kernel("cuda", "new", name, input_names, output_names, *options)


def precompiled_cuda_kernel(
    *,
    name: str,
    compiled_source: bytes,
    inputs: Sequence[ArrayLike],
    output_shapes: Sequence[tuple[int, ...]],
    output_dtypes: Sequence[Dtype],
    scalars: Sequence[object],
    grid: tuple[int, int, int],
    threadgroup: tuple[int, int, int],
    shared_memory: int = 0,
    init_value: float | None = None,
    ensure_row_contiguous: bool = False,
    stream: StreamOrDevice = None,
) -> list[array]:
    """Run a kernel of PTX or cubin code.

    Args:
      name: the name of the function in the code.
      compiled_source: the code.
      inputs: the arrays it reads.
      output_shapes: one shape for each output.
      output_dtypes: one dtype for each output.
      scalars: bools, ints and floats, passed after the arrays.
      grid: the number of threads along three dimensions.
      threadgroup: threads of a block along three dimensions.
      shared_memory: bytes of dynamic shared memory for each block.
      init_value: what fills the outputs before the kernel runs; None: nothing.
      ensure_row_contiguous: whether to copy inputs that are not row-major.

    Returns:
      The outputs.
    """
    launch = _Launch("cuda", output_shapes, output_dtypes, grid, threadgroup, init_value)
    for value in scalars:
        launch.set(f"add_scalar_arg_{_kind('scalars', value, bool, int, float)}", value)
    arrays = [as_array(value) for value in inputs]
    options = (launch.config, shared_memory, ensure_row_contiguous, stream)
    return abi.fast_precompiled_cuda_kernel(name, bytes(compiled_source), arrays, *options)
