"""Learning rate schedules: functions from a step, counted from 0, to the learning rate of that step.

Schedules take a Python int or an array of any real dtype and return float32 of its shape. They are pure and can be
compiled.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from .. import core as mx
from .._errors import ArgumentError
from ..core import array
from . import checks

__all__ = [
    "Schedule",
    "build_schedule",
    "constant",
    "cosine_decay",
    "exponential_decay",
    "join_schedules",
    "linear_schedule",
    "step_decay",
    "warm_up",
]

Schedule: TypeAlias = "Callable[[array], array]"


def constant(value: float) -> Schedule:
    """A schedule with the same rate at every step.

    Args:
      value: the rate.

    Returns:
      The schedule.
    """
    rate = checks.finite("constant", "value", value)
    return lambda step: mx.full(_at(step).shape, rate, mx.float32)


def exponential_decay(init: float, decay_rate: float) -> Schedule:
    """A schedule of init * decay_rate^step.

    Args:
      init: the rate of step 0.
      decay_rate: the factor per step, at least 0.

    Returns:
      The schedule.
    """
    checks.finite("exponential_decay", "init", init)
    checks.non_negative("exponential_decay", "decay_rate", decay_rate)
    return lambda step: _rate(init * decay_rate ** _at(step))


def step_decay(init: float, decay_rate: float, step_size: int) -> Schedule:
    """A schedule of init * decay_rate^floor(step / step_size).

    Args:
      init: the rate of the first `step_size` steps.
      decay_rate: the factor from one stair to the next, at least 0.
      step_size: steps per stair, at least 1.

    Returns:
      The schedule.
    """
    checks.finite("step_decay", "init", init)
    checks.non_negative("step_decay", "decay_rate", decay_rate)
    checks.count("step_decay", "step_size", step_size, 1)
    return lambda step: _rate(init * decay_rate ** (_at(step) // step_size))


def cosine_decay(init: float, decay_steps: int, end: float = 0.0) -> Schedule:
    """A schedule of end + (init - end) (1 + cos(pi step / decay_steps)) / 2, and `end` after `decay_steps`.

    Args:
      init: the rate of step 0.
      decay_steps: steps from `init` to `end`, at least 1.
      end: the rate after that.

    Returns:
      The schedule.

    Source: Loshchilov and Hutter 2017, SGDR, without restarts.
    """
    checks.finite("cosine_decay", "init", init)
    checks.count("cosine_decay", "decay_steps", decay_steps, 1)
    checks.finite("cosine_decay", "end", end)

    def schedule(step: array) -> array:
        turn = (math.pi / decay_steps) * mx.minimum(_at(step), decay_steps)
        return _rate(end + (init - end) * (0.5 * (1.0 + mx.cos(turn))))

    return schedule


def linear_schedule(init: float, end: float, steps: int) -> Schedule:
    """A schedule that is linear from `init` at step 0 to `end` at step `steps`, and then stays at `end`.

    Args:
      init: the rate of step 0.
      end: the rate of step `steps`.
      steps: at least 1.

    Returns:
      The schedule.
    """
    checks.finite("linear_schedule", "init", init)
    checks.finite("linear_schedule", "end", end)
    checks.count("linear_schedule", "steps", steps, 1)
    return lambda step: _rate(init + mx.minimum(_at(step), steps) * ((end - init) / steps))


def join_schedules(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """One schedule after another; each starts with its own step 0 at its boundary.

    Args:
      schedules: at least one.
      boundaries: the steps at which the second, third, ... schedule starts.

    Returns:
      The schedule.
    """
    parts, starts = list(schedules), list(boundaries)
    if not parts or len(parts) != len(starts) + 1:
        found = f"got {len(starts)} boundaries for {len(parts)} schedules"
        raise ArgumentError(f"[join_schedules] boundaries: expected one fewer than there are schedules, {found}")
    for index, boundary in enumerate(starts):
        checks.count("join_schedules", f"boundaries[{index}]", boundary, 0)

    def schedule(step: array) -> array:
        now = _at(step)
        rate = parts[0](now)
        for start, following in zip(starts, parts[1:], strict=True):
            # Steps are unsigned: a difference below 0 would be a step in the far future.
            rate = mx.where(now < start, rate, following(mx.maximum(now, start) - start))
        return rate

    return schedule


def warm_up(schedule: Schedule, steps: int, init: float = 0.0) -> Schedule:
    """A linear warm-up from `init` at step 0 to the schedule's first rate at step `steps`, followed by the schedule.

    As in mlx-lm, the schedule's step 0 is step `steps + 1`, so that its first rate holds for two steps.

    Args:
      schedule: what follows the warm-up.
      steps: at least 1.
      init: the rate of step 0.

    Returns:
      The schedule.
    """
    checks.count("warm_up", "steps", steps, 1)
    checks.finite("warm_up", "init", init)

    def rise(step: array) -> array:
        return _rate(init + (schedule(mx.array(0)) - init) * (mx.minimum(step, steps) / steps))

    return join_schedules([rise, schedule], [steps + 1])


def _at(step: array | int) -> array:
    return step if isinstance(step, array) else mx.array(step)


def _rate(value: array) -> array:
    return value.astype(mx.float32)


# --- from a configuration ---

BY_NAME: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "cosine_decay": cosine_decay,
    "exponential_decay": exponential_decay,
    "linear_schedule": linear_schedule,
    "step_decay": step_decay,
}
KEYS = ("name", "arguments", "warmup", "warmup_init")


def build_schedule(config: Mapping[str, Any]) -> Schedule:
    """The schedule described by a configuration in mlx-lm's form.

    Args:
      config: `name`, one of those in this module; `arguments`, the list of that function's arguments; `warmup`, the
        steps of a warm-up before it (0: none); `warmup_init`, where the warm-up starts (0).

    Returns:
      The schedule.

    Raises:
      ValueError: a key is missing or unknown, or its value is not as above; the message names it.
    """
    _require_keys(config)
    make, arguments = _named(config["name"]), config["arguments"]
    if not isinstance(arguments, (list, tuple)):
        raise ArgumentError(f"[build_schedule] arguments: expected a list of numbers, got {arguments!r}")
    schedule = _applied(config["name"], make, arguments)
    warmup = checks.count("build_schedule", "warmup", config.get("warmup", 0), 0)
    start = checks.finite("build_schedule", "warmup_init", config.get("warmup_init", 0.0))
    return warm_up(schedule, warmup, start) if warmup else schedule


def _require_keys(config: Any) -> None:
    if not isinstance(config, Mapping):
        raise ArgumentError(f"[build_schedule] config: expected a mapping, got {type(config).__name__}")
    for key in config:
        if key not in KEYS:
            raise ArgumentError(f"[build_schedule] {key}: expected one of the keys {', '.join(KEYS)}")
    for key in KEYS[:2]:
        if key not in config:
            raise ArgumentError(f"[build_schedule] {key}: expected this key in the configuration, got none")


def _named(name: Any) -> Callable[..., Schedule]:
    if not isinstance(name, str) or name not in BY_NAME:
        raise ArgumentError(f"[build_schedule] name: expected one of {', '.join(BY_NAME)}, got {name!r}")
    return BY_NAME[name]


def _applied(name: str, make: Callable[..., Schedule], arguments: Sequence[Any]) -> Schedule:
    signature = inspect.signature(make)
    try:
        bound = signature.bind(*arguments)
    except TypeError:
        wanted = ", ".join(signature.parameters)
        raise ArgumentError(f"[build_schedule] arguments: {name} takes ({wanted}), got {list(arguments)}") from None
    return make(*bound.args)
