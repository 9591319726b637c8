"""Functions that are computed again for the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import core as mx
from ..trees import taken_apart


def computed_again(function: Callable[[list[mx.array]], Any]) -> Callable[[list[mx.array]], Any]:
    """The same function, but it keeps only its arguments for the gradient.

    `mx.checkpoint` keeps the results as well, which what is computed again waits for; here it waits for cotangents.

    Args:
      function: of floating point arrays.

    Returns:
      A function with the same arguments and results.
    """
    run: Any = mx.custom_function(function)

    @run.vjp  # type: ignore[untyped-decorator]
    def gradients(primals: list[mx.array], cotangents: Any, _: Any) -> list[mx.array]:
        slopes = taken_apart(cotangents)[0]
        given: list[mx.array] = mx.depends(primals, slopes)
        found: list[mx.array] = mx.vjp(lambda *arrays: taken_apart(function(list(arrays)))[0], given, slopes)[1]
        return found

    again: Callable[[list[mx.array]], Any] = run
    return again
