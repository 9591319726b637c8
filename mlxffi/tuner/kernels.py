"""The losses and the fused layers of the flat layer, over arrays of `mlxffi.core`: docs/losses.md, docs/fused.md."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from .. import fused, losses
from ..core import array
from ..core._arguments import taken

__all__ = ["cross_entropy", "geglu", "js_div_loss", "kl_div_loss", "lora_linear", "swiglu"]


def _over_core(function: Callable[..., Any]) -> Callable[..., array]:
    """The same function, which gives arrays of `mlxffi.core`."""

    @wraps(function)
    def called(*args: Any, **options: Any) -> array:
        return taken(function(*args, **options))

    return called


cross_entropy = _over_core(losses.cross_entropy)
kl_div_loss = _over_core(losses.kl_div_loss)
js_div_loss = _over_core(losses.js_div_loss)
swiglu = _over_core(fused.swiglu)
geglu = _over_core(fused.geglu)
lora_linear = _over_core(fused.lora_linear)
