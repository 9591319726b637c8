"""Optimizers: pure functions from gradients, a state and parameters to the next state and parameters.

    optimizer = AdamW(1e-4)
    state = optimizer.init(params)
    params, state = optimizer.update(grads, state, params)

Names, arguments, defaults and results are those of mlx.optimizers.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ..._errors import ArgumentError
from .. import checks
from .adaptive import AdaDelta, Adafactor, Adagrad, Adam, Adamax, AdamW, RMSprop
from .base import ArrayOptimizer, LearningRate, MultiOptimizer, Optimizer, State
from .clipping import clip_grad_norm
from .momentum import SGD, Lion, Muon

__all__ = [
    "BY_NAME",
    "SGD",
    "AdaDelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LearningRate",
    "Lion",
    "MultiOptimizer",
    "Muon",
    "Optimizer",
    "RMSprop",
    "State",
    "by_name",
    "clip_grad_norm",
    "lora_plus",
]

BY_NAME: dict[str, type[ArrayOptimizer]] = {
    kind.__name__.lower(): kind
    for kind in (Adam, AdamW, Muon, SGD, Adafactor, RMSprop, Adagrad, AdaDelta, Adamax, Lion)
}


def by_name(name: str, learning_rate: LearningRate | None, **options: Any) -> Optimizer:
    """The optimizer of a name in lower case, such as "adamw".

    Args:
      name: one of `BY_NAME`.
      learning_rate: a number of at least 0, or a schedule; None for "adafactor" only.
      **options: what else its class takes.

    Returns:
      A new optimizer; its state is made by its `init`.

    Raises:
      ValueError: there is no such optimizer or option, or a value is not as the class requires.
    """
    if name not in BY_NAME:
        raise ArgumentError(f"[optimizers] name: expected one of {', '.join(BY_NAME)}, got {name!r}")
    known = [field.name for field in dataclasses.fields(BY_NAME[name])]
    for option in options:
        if option not in known[1:]:
            raise ArgumentError(f"[optimizers] {name} has no option {option!r}; it has {', '.join(known[1:])}")
    return BY_NAME[name](learning_rate, **options)


def lora_plus(name: str, learning_rate: LearningRate, ratio: float, **options: Any) -> Optimizer:
    """The optimizer of a name, in which the second factors of adapters (`lora_b`) have a learning rate of their own.

    Args:
      name, options: as in `by_name`.
      learning_rate: of all other parameters.
      ratio: by which that of second factors is larger; above 0.

    Returns:
      A `MultiOptimizer` of two optimizers of that name.

    Raises:
      ValueError: the ratio is not a number above 0; or as `by_name`.

    Source: Hayou, Ghosh and Yu 2024, LoRA+.
    """
    checks.positive("lora_plus", "ratio", ratio)
    larger = _times(learning_rate, ratio)
    both = [by_name(name, rate, **options) for rate in (learning_rate, larger)]
    return MultiOptimizer(both, [lambda path, _: not path.endswith("lora_b")])


def _times(rate: LearningRate, factor: float) -> LearningRate:
    if callable(rate):
        schedule = rate
        return lambda step: factor * schedule(step)
    return factor * rate
