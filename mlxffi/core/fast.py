"""Operations in one piece, and kernels of your own, as mlx.core.fast has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._arguments import text
from .._errors import ArgumentError
from .._ffi import graph, plain_mlxc
from ..kernels import CUDAKernel, Kernel, MetalKernel, _configured
from ..losses import _fused
from ._arguments import as_array, taken
from ._binding import operation
from ._array import array
from ._checks import ArrayLike, dtype_number, require_array, sizes, take_list
from ._device import DeviceType, StreamOrDevice, default_device, stream_handle, stream_of
from ._dtype import Dtype, float32, int64
from .generated import fast as generated
from .generated.fast import layer_norm as layer_norm

own = array._own
MATH_MODES = {"safe": 0, "relaxed": 1, "fast": 2}


@operation("fused cross entropy")
def cross_entropy(logits: array, targets: array, *, stream: StreamOrDevice = None) -> array:
    """Cross-entropies of class indices, in one read of the logits on CPUs and float32 throughout.

    Args:
      logits: floating point [..., classes].
      targets: integers [...]; negative ones count from the last class.

    Returns:
      float32 [...], in nats.

    Source: docs/losses.md.
    """
    logits, targets = require_array(logits, "logits"), require_array(targets, "targets")
    fit = logits.dtype.kind == "f" and targets.dtype.kind in "iu" and targets.shape == logits.shape[:-1]
    if plain_mlxc or not fit or not logits.ndim or not _on_cpu(stream):
        return generated.cross_entropy(logits, targets, stream=stream)
    where = None if stream is None else stream_of(stream)
    if targets.dtype.kind == "i":
        targets = _from_zero(targets.astype(int64, stream=where), logits.shape[-1], stream_handle(where))
    losses = taken(_fused.cross_entropy(logits, targets, None, None, 0.0, "none", where))
    return losses if losses.dtype.name == "float32" else losses.astype(float32, stream=where)


def _from_zero(targets: array, classes: int, where: int) -> array:
    """Targets of which negative ones counted from the last class."""
    count = array(classes, int64)
    return own(graph.glue_remainder(targets._h, count._h, where))


def _on_cpu(stream: StreamOrDevice) -> bool:
    device = default_device() if stream is None else stream_of(stream).device
    return device.type is DeviceType.cpu


def rms_norm(x: array, weight: array | None, eps: float, *, stream: StreamOrDevice = None) -> array:
    """Divide `x` along its last axis by its root mean square: x / sqrt(mean(x^2) + `eps`), times `weight`.

    Source: docs/fused.md.
    """
    if type(x) is not array:
        x = require_array(x, "x")
    if weight is not None and type(weight) is not array:
        weight = require_array(weight, "weight")
    where = 0 if stream is None else stream_handle(stream)
    return own(graph.glue_fused_rms_norm(x._h, 0 if weight is None else weight._h, eps, where))


def rope(
    a: array,
    dims: int,
    *,
    traditional: bool,
    base: float | None,
    scale: float,
    offset: int | array,
    freqs: array | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """`a` with pairs of its first `dims` features rotated by angles that grow with the position on axis -2.

    Args:
      traditional: pair neighbours, not those `dims`/2 apart.
      base: of the frequencies, or None where `freqs` gives them.
      scale: of the positions; offset: the first position, or an array of one for each element of axis 0.
    """
    if type(a) is not array:
        a = require_array(a, "a")
    where = 0 if stream is None else stream_handle(stream)
    given = None if freqs is None else require_array(freqs, "freqs")
    options = (dims, traditional, 0.0 if base is None else base, base is not None, scale)
    handle = 0 if given is None else given._h
    first = as_array(offset)
    return own(graph.glue_fused_rope(a._h, *options, first._h, handle, where))


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
    """softmax(`scale` * `q` @ `k`^T + mask) @ `v`, all of shape (batch, heads, positions, features).

    Args:
      mask: "causal", booleans (True takes part) or numbers to add; it is broadcast.
      sinks: one logit for each head, which takes part in the softmax alone.
      force_fused: fail where no fused kernel can do it.
    """
    q, k, v = require_array(q, "q"), require_array(k, "k"), require_array(v, "v")
    mode, values = _mask(mask)
    sink = None if sinks is None else require_array(sinks, "sinks")
    where = 0 if stream is None else stream_handle(stream)
    if sink is None and not force_fused:
        hidden = 0 if values is None else values._h
        return own(graph.glue_fused_attention(q._h, k._h, v._h, scale, mode == b"causal", hidden, where))
    handles = (0 if values is None else values._h, 0 if sink is None else sink._h)
    return own(
        graph.glue_fast_scaled_dot_product_attention_fused(q._h, k._h, v._h, scale, mode, *handles, force_fused, where)
    )


def _mask(mask: Any) -> tuple[bytes, array | None]:
    if mask is None:
        return b"", None
    if isinstance(mask, str):
        if mask != "causal":
            raise ArgumentError(f"[scaled_dot_product_attention] mask: expected 'causal' or an array, got {mask!r}")
        return b"causal", None
    return b"", require_array(mask, "mask")


def gated_delta_update(
    q: array,
    k: array,
    v: array,
    gamma: array,
    beta: array,
    initial_state: array | None = None,
    mask: array | None = None,
    stream: StreamOrDevice = None,
) -> list[array]:
    """Linear attention by the gated delta rule: the outputs, and the state after the last position.

    Args:
      gamma: how much of the state stays at each position; beta: how strongly each position is written.
      mask: booleans; where False a position changes nothing.
    """
    for name, value in (("q", q), ("k", k), ("v", v), ("gamma", gamma), ("beta", beta)):
        require_array(value, name)
    for name, given in (("initial_state", initial_state), ("mask", mask)):
        if given is not None:
            require_array(given, name)
    state, chosen = 0 if initial_state is None else initial_state._h, 0 if mask is None else mask._h
    where = 0 if stream is None else stream_handle(stream)
    return take_list(graph.glue_fast_gated_delta_update(q._h, k._h, v._h, gamma._h, beta._h, state, chosen, where))


# --- kernels ---


class _Launch:
    """What kernels of both backends share: arguments by keyword, and arrays of this layer as results."""

    __slots__ = ()

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
        """Launch the kernel; see mlxffi.kernels for what the arguments mean."""
        arrays = [as_array(value) for value in inputs]
        where = None if stream is None else stream_of(stream)
        options = (grid, threadgroup, _template(template), init_value, verbose, where)
        assert isinstance(self, Kernel)
        return take_list(self._launch(arrays, output_shapes, output_dtypes, *options))


def _template(given: Any) -> Mapping[str, Any]:
    names = dict(given or ())
    for name, value in names.items():
        if not isinstance(value, (bool, int, Dtype)):
            raise ArgumentError(f"template: expected a bool, an int or a Dtype for {name}, got {value!r}")
    return names


class _Metal(_Launch, MetalKernel):  # type: ignore[misc]
    __slots__ = ()


class _CUDA(_Launch, CUDAKernel):  # type: ignore[misc]
    __slots__ = ()


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
    """A kernel of Metal source: the body of a function, whose signature is generated.

    Args:
      compile_options: a dict; "math_mode" may be "safe", "relaxed" or "fast".
    """
    mode = dict(compile_options or {}).get("math_mode", "safe")
    if mode not in MATH_MODES:
        raise ArgumentError(f"[metal_kernel] math_mode: expected safe, relaxed or fast, got {mode!r}")
    options = (header, ensure_row_contiguous, atomic_outputs, MATH_MODES[mode])
    return _Metal(name, input_names, output_names, source, *options, maker="new_math_mode")


def cuda_kernel(
    name: str,
    input_names: Sequence[str],
    output_names: Sequence[str],
    source: str,
    header: str = "",
    ensure_row_contiguous: bool = True,
    shared_memory: int = 0,
) -> Any:
    """A kernel of CUDA source: the body of a function, whose signature is generated.

    Args:
      shared_memory: bytes of dynamic shared memory for each block.
    """
    return _CUDA(name, input_names, output_names, source, header, ensure_row_contiguous, shared_memory)


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
    """Run a kernel of PTX or cubin code on arrays and `scalars` (bools, ints, floats)."""
    arrays = [as_array(value) for value in inputs]
    code, where = bytes(compiled_source), 0 if stream is None else stream_handle(stream)
    with _configured("cuda") as configure:
        for shape, dtype in zip(output_shapes, output_dtypes, strict=True):
            shape = tuple(sizes(shape))
            configure("add_output_arg", shape, len(shape), dtype_number(dtype))
        configure("set_grid", *grid)
        configure("set_thread_group", *threadgroup)
        for value in scalars:
            configure(*_scalar(value))
        if init_value is not None:
            configure("set_init_value", init_value)
        handles = [one._h for one in arrays]
        options = (configure.settings, shared_memory, ensure_row_contiguous, where)
        called = text(name, "name")
        return take_list(
            graph.glue_fast_precompiled_cuda_kernel(called, code, len(code), handles, len(handles), *options)
        )


def _scalar(value: Any) -> tuple[str, Any]:
    """The setter for a scalar argument, and the argument."""
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float")):
        if isinstance(value, kind):
            return f"add_scalar_arg_{name}", value
    raise ArgumentError(f"scalars: expected bools, ints and floats, got {value!r}")
