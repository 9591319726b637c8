"""What holds for every derivative and map, as checks of one case: each returns what departs, or None."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from catalogue import Case, Values

import mlxffi.core as mx

Function = Callable[..., Any]
Check = Callable[[Case], "str | None"]

STEP = 2.0**-17


def arrays(case: Case) -> list[Any]:
    """The inputs as arrays of their own dtype: numpy's float64 is float64 here too."""
    return [array(value) for value in case.inputs]


def array(value: Any) -> Any:
    value = np.asarray(value)
    return mx.array(value, dtype=getattr(mx, value.dtype.name))


def numbers(found: Any) -> Values:
    return np.array(found, dtype=np.complex128 if found.dtype == mx.complex64 else np.float64)


def tolerance(case: Case) -> float:
    wide = all(value.dtype == np.float64 for value in case.inputs)
    return 1e-9 if wide else 2e-2


def departs(case: Case, found: Values, expected: Values, what: str, tol: float | None = None) -> str | None:
    """How far the one is from the other, where that is more than rounding."""
    tol = tol or tolerance(case)
    if found.shape != expected.shape:
        return f"{what}: shape {found.shape}, expected {expected.shape}"
    finite = np.isfinite(expected)
    found, expected = np.where(finite, found, 0), np.where(finite, expected, 0)
    scale = 1 + np.abs(expected).max(initial=0)
    with np.errstate(invalid="ignore"):
        error = np.abs(found - expected).max(initial=0) / scale
    return None if error <= tol else f"{what}: off by {error:.2g}"


def directions(values: tuple[Values, ...], seed: int) -> list[Values]:
    rng = np.random.default_rng(seed)

    def one(value: Values) -> Values:
        made = rng.normal(size=value.shape)
        if np.iscomplexobj(value):
            made = made + 1j * rng.normal(size=value.shape)
        return np.asarray(made).astype(value.dtype)

    return [one(value) for value in values]


def dot(one: Values, other: Values) -> float:
    """The inner product of the real and imaginary parts."""
    return float(np.real(np.sum(np.conj(one) * other)))


def shifted(values: list[Any], tangents: list[Values], step: float) -> list[Any]:
    moved = zip(values, tangents, strict=True)
    return [array((numbers(a) + step * t).astype(np.asarray(t).dtype)) for a, t in moved]


def difference(case: Case, call: Function, tangents: list[Values]) -> Values:
    """The central difference along the tangents, of the fourth order; with wide steps where numbers are narrow."""
    step = STEP * 64 if tolerance(case) < 1e-3 else 0.02

    def half(width: float) -> Values:
        ahead, behind = (numbers(call(*shifted(arrays(case), tangents, sign * width))) for sign in (1, -1))
        with np.errstate(invalid="ignore"):
            return np.asarray((ahead - behind) / (2 * width))

    return (4 * half(step) - half(2 * step)) / 3


def jvp(call: Function, inputs: list[Any], tangents: list[Values]) -> Any:
    return mx.jvp(lambda *a: [call(*a)], inputs, [array(t) for t in tangents])[1][0]


def vjp(call: Function, inputs: list[Any], cotangent: Any) -> list[Any]:
    return mx.vjp(lambda *a: [call(*a)], inputs, [cotangent])[1]


# --- first derivatives ---


def forward_against_differences(case: Case) -> str | None:
    if case.corner:
        return None
    tangents = directions(case.inputs, 1)
    found = numbers(jvp(case.call, arrays(case), tangents))
    return departs(case, found, difference(case, case.call, tangents), "jvp", max(tolerance(case), 1e-8))


def reverse_against_forward(case: Case) -> str | None:
    inputs, tangents = arrays(case), directions(case.inputs, 1)
    forward = numbers(jvp(case.call, inputs, tangents))
    output = np.array(case.call(*inputs))
    cotangent = directions((output,), 2)[0]
    gradients = vjp(case.call, inputs, array(cotangent))
    for gradient, one in zip(gradients, inputs, strict=True):
        if gradient.shape != one.shape or gradient.dtype != one.dtype:
            return f"vjp: {gradient.dtype} {gradient.shape} for {one.dtype} {one.shape}"
    found = sum(dot(numbers(g), t) for g, t in zip(gradients, tangents, strict=True))
    return departs(case, np.array(found), np.array(dot(cotangent, forward)), "vjp against jvp")


# --- second derivatives ---


def _second(case: Case, first: Function, what: str) -> str | None:
    """A first derivative's own derivatives in both modes, against its differences."""
    if case.corner:
        return None
    inputs, tangents = arrays(case), directions(case.inputs, 3)
    expected = difference(case, first, tangents)
    forward = numbers(jvp(first, inputs, tangents))
    problem = departs(case, forward, expected, f"jvp of {what}", max(tolerance(case), 1e-7))
    if problem:
        return problem
    cotangent = directions((np.array(first(*inputs)),), 4)[0]
    gradients = vjp(first, inputs, array(cotangent))
    found = sum(dot(numbers(g), t) for g, t in zip(gradients, tangents, strict=True))
    return departs(case, np.array(found), np.array(dot(cotangent, forward)), f"vjp of {what}")


def second_through_forward(case: Case) -> str | None:
    tangents = directions(case.inputs, 1)
    return _second(case, lambda *a: jvp(case.call, list(a), tangents), "jvp")


def second_through_reverse(case: Case) -> str | None:
    output = np.array(case.call(*arrays(case)))
    cotangent = directions((output,), 2)[0]

    def first(*a: Any) -> Any:
        return mx.concatenate([mx.reshape(g, (-1,)) for g in vjp(case.call, list(a), array(cotangent))])

    return _second(case, first, "vjp")


# --- maps ---


def _choices(case: Case) -> Iterator[tuple[int | None, ...]]:
    """Every choice of inputs that are mapped, in front and in the last place."""
    for chosen in itertools.product((None, 0, -1), repeat=len(case.inputs)):
        if any(axis is not None for axis in chosen):
            yield chosen


def _stacked(case: Case, value: Values, axis: int | None, count: int) -> Values:
    """Slices that differ; of matrices, such that they stay what they are."""
    if axis is None:
        return value
    turn = 0 if case.operation.startswith("linalg") else 1
    rows = [np.roll(value, k * turn).reshape(value.shape) * (1 - 0.05 * k) for k in range(count)]
    return np.stack(rows, axis=axis).astype(value.dtype)


def _map_departs(case: Case, call: Function, axes: tuple[int | None, ...], what: str) -> str | None:
    count = 3
    values = [_stacked(case, value, axis, count) for value, axis in zip(case.inputs, axes, strict=True)]
    places = [axis if axis is None else axis % value.ndim for value, axis in zip(values, axes, strict=True)]
    found = numbers(mx.vmap(call, in_axes=tuple(places))(*map(array, values)))
    rows = []
    for k in range(count):
        slices = [v if axis is None else np.take(v, k, axis=axis) for v, axis in zip(values, places, strict=True)]
        rows.append(numbers(call(*map(array, slices))))
    tol = 1e-9 if tolerance(case) < 1e-3 else 1e-5
    return departs(case, found, np.stack(rows), f"{what} over {axes}", tol)


def map_against_loop(case: Case) -> str | None:
    return next(filter(None, (_map_departs(case, case.call, axes, "vmap") for axes in _choices(case))), None)


def map_of_derivatives(case: Case) -> str | None:
    output = np.array(case.call(*arrays(case)))
    cotangent, tangents = directions((output,), 2)[0], directions(case.inputs, 1)

    def gradients(*a: Any) -> Any:
        return mx.concatenate([mx.reshape(g, (-1,)) for g in vjp(case.call, list(a), array(cotangent))])

    def forward(*a: Any) -> Any:
        return jvp(case.call, list(a), tangents)

    first, last = (0,) * len(case.inputs), (-1,) + (None,) * (len(case.inputs) - 1)
    for axes in {first, last}:
        for call, what in ((gradients, "vmap of vjp"), (forward, "vmap of jvp")):
            problem = _map_departs(case, call, axes, what)
            if problem:
                return problem
    return None


# --- other transforms ---


def transforms_against_plain(case: Case) -> str | None:
    """checkpoint and compile change neither values nor gradients."""
    inputs = arrays(case)
    output = case.call(*inputs)
    cotangent = array(directions((np.array(output),), 2)[0])
    expected = [numbers(g) for g in vjp(case.call, inputs, cotangent)]
    for name in ("checkpoint", "compile"):
        transformed = getattr(mx, name)(case.call)
        problem = departs(case, numbers(transformed(*inputs)), numbers(output), name, 1e-6)
        for found, wanted in zip(vjp(transformed, inputs, cotangent), expected, strict=True):
            problem = problem or departs(case, numbers(found), wanted, f"vjp of {name}", 1e-6)
        if problem:
            return problem
    compiled = mx.compile(lambda *a: vjp(case.call, list(a), cotangent))
    for found, wanted in zip(compiled(*inputs), expected, strict=True):
        problem = departs(case, numbers(found), wanted, "compile of vjp", 1e-6)
        if problem:
            return problem
    return None


CHECKS: dict[str, Check] = {
    "forward": forward_against_differences,
    "reverse": reverse_against_forward,
    "second of forward": second_through_forward,
    "second of reverse": second_through_reverse,
    "vmap": map_against_loop,
    "vmap of derivatives": map_of_derivatives,
    "checkpoint and compile": transforms_against_plain,
}


def checks_of(case: Case) -> Iterable[str]:
    """The names of the checks that a case is for."""
    return ["vmap"] if case.mapped_only else CHECKS


def outcome(case: Case, name: str) -> str | None:
    """What departs, or the error that was raised, or None."""
    try:
        return CHECKS[name](case)
    except Exception as error:  # every kind of failure is an outcome of the sweep
        return f"{type(error).__name__}: {error}"
