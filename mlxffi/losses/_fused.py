"""The losses as kernels of libmlxc: mlxffi/losses.h."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import _handles
from .._containers import handle, pointer
from .._ffi import check, ffi, lib
from ._checks import REDUCTIONS

if TYPE_CHECKING:
    from .._ffi import native
    from ..array import Array
    from ..device import Stream


def cross_entropy(
    logits: Array,
    targets: Array,
    weights: Array | None,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: str,
    stream: Stream | native.StreamOwner | None,
) -> Array:
    factors = handle("mlx_array", 0 if weights is None else weights._h)
    ignored = ffi.new("mlx_optional_int *", [ignore_index or 0, ignore_index is not None])[0]
    arguments = (_array(logits), _array(targets), factors, ignored, label_smoothing, REDUCTIONS[reduction])
    return _result(lib.mlxffi_cross_entropy, *arguments, _stream(stream))


def kl_div_loss(
    logits_q: Array, logits_p: Array, temperature: float, reduction: str, teacher_gradient: bool, stream: Stream | None
) -> Array:
    arguments = (_array(logits_q), _array(logits_p), temperature, teacher_gradient, REDUCTIONS[reduction])
    return _result(lib.mlxffi_kl_div_loss, *arguments, _stream(stream))


def js_div_loss(
    logits_q: Array, logits_p: Array, temperature: float, reduction: str, teacher_gradient: bool, stream: Stream | None
) -> Array:
    arguments = (_array(logits_q), _array(logits_p), temperature, teacher_gradient, REDUCTIONS[reduction])
    return _result(lib.mlxffi_js_div_loss, *arguments, _stream(stream))


def _array(array: Array) -> Any:
    return handle("mlx_array", array._h)


def _stream(stream: Stream | native.StreamOwner | None) -> Any:
    return lib.mlxffi_default_stream() if stream is None else handle("mlx_stream", stream._h)


def _result(function: Callable[..., int], *arguments: Any) -> Array:
    result = ffi.new("mlx_array *")
    check(function(result, *arguments))
    return _handles.own_array(pointer(result))
