"""The bad calls of a function: its valid call with one argument made bad, or all arrays at once."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .calls import BY_NAME, BY_TYPE, CALLS, VARIANTS
from .native import DTYPES
from .rules import refused
from .specs import NULL, Array, Case, Forged, Items, Optional, VTable
from .table import Function, Parameter

SHAPES = ((), (0,), (1,), (3,), (4,), (64,), (0, 0), (0, 4), (4, 0), (2, 3), (2, 4, 4), (2, 0, 4), (1, 2, 3, 4, 5))
EMPTY = ((0, 4), (4, 0), (2, 0, 4), (0, 3, 0))
WHOLE = (-1, 0, 1, 2, 3, 5, 99, 1 << 20, 2**31 - 1, -(2**31))
BIG = 1 << 40
# Results that are numbers.
NO_HANDLES = ("mlx_dtype *", "mlx_device_type *", "mlx_complex64_t *")
PAIRS = 12
HUGE = re.compile(r"\d{6}|\de\+")
FORMAT = "%s%n%d"
TEXTS = {
    "subscripts": (
        "ij",
        "ij,jk->il",
        "ij,jk->ii",
        "->",
        ",",
        "i...j,jk",
        "ij,jk,kl->il",
        "ij,jk->ik->",
        "....,...",
        "ii,jj->ij",
    ),
    "mode": ("affine", "mxfp4", "mxfp8", "nvfp4", "constant", "edge", "reflect", "symmetric"),
    "mask_mode": ("causal", "array"),
    "ord": ("nuc", "f"),
    "pad_mode": ("reflect", "edge"),
}


def valid_calls(function: Function) -> Iterator[Case]:
    """The calls of which the others are variations."""
    own = CALLS.get(function.name, {})
    for number, change in enumerate(({}, *VARIANTS.get(function.name, ()))):
        given = own | change
        arguments = {p.name: given.get(p.name, _default(p)) for p in function.parameters if p.role != "length"}
        yield Case(function.name, "", "valid", arguments, number)


def _default(parameter: Parameter) -> Any:
    if parameter.role == "out":
        return "slot"
    if parameter.role == "function":
        return "callback"
    if parameter.role == "handle" and parameter.name != "group":
        return BY_TYPE.get(parameter.type, "new")
    return BY_NAME.get(parameter.name, BY_TYPE.get(parameter.type, "new"))


def bad_calls(function: Function) -> Iterator[Case]:
    """Every bad call, in a fixed order."""
    for valid in valid_calls(function):
        single = list(_one_bad(function, valid))
        yield from single
        yield from _all_arrays(function, valid)
        yield from _two_bad(valid, [case for case in single if not refused(case) and not HUGE.search(case.flaw)])


def _one_bad(function: Function, valid: Case) -> Iterator[Case]:
    for parameter in function.parameters:
        if parameter.role != "length":
            for flaw, bad in _ROLES[parameter.role](parameter, valid.arguments[parameter.name]):
                arguments = valid.arguments | {parameter.name: bad}
                yield replace(valid, parameter=parameter.name, flaw=flaw, arguments=arguments)


def _two_bad(valid: Case, single: list[Case]) -> Iterator[Case]:
    """A sample of pairs of flaws that are no mistakes on their own, the same sample in every run."""
    chance = random.Random(f"{valid.function} {valid.variant}")
    for _ in range(PAIRS if len({case.parameter for case in single}) > 1 else 0):
        first, second = chance.sample(single, 2)
        if first.parameter != second.parameter:
            arguments = first.arguments | {second.parameter: second.arguments[second.parameter]}
            parameters, flaws = f"{first.parameter}, {second.parameter}", f"{first.flaw}, {second.flaw}"
            yield replace(valid, parameter=parameters, flaw=flaws, arguments=arguments)


def _all_arrays(function: Function, valid: Case) -> Iterator[Case]:
    names = [p.name for p in function.parameters if p.type in ("mlx_array", "mlx_vector_array") and p.role == "handle"]
    names = [name for name in names if valid.arguments[name] is not NULL]
    if len(names) < 2:
        return
    arrays = {name: _arrays(valid.arguments[name]) for name in names}
    for change in [{"shape": shape} for shape in SHAPES] + [{"dtype": dtype} for dtype in DTYPES]:
        changed = {name: spec and _changed(spec, change) for name, spec in arrays.items()}
        yield replace(valid, parameter="*", flaw=_told(change), arguments=valid.arguments | changed)


def _arrays(spec: Any) -> Any:
    return Array() if spec == "lazy" else spec


def _changed(spec: Any, change: dict[str, Any]) -> Any:
    if isinstance(spec, tuple):
        return tuple(_changed(item, change) for item in spec)
    return replace(spec, **change)


def _told(change: dict[str, Any]) -> str:
    return f"shape {list(change['shape'])}" if "shape" in change else f"dtype {change['dtype']}"


def _out(parameter: Parameter, valid: Any) -> Iterator[tuple[str, Any]]:
    yield "NULL slot", NULL
    if parameter.type.startswith("mlx_") and parameter.type not in NO_HANDLES:
        yield "slot of no handle", Forged(8)


def _handle(parameter: Parameter, valid: Any) -> Iterator[tuple[str, Any]]:
    yield "empty handle", NULL
    yield "no handle", Forged(8)
    yield "another kind", Forged()
    if valid is NULL:
        if parameter.type in BY_TYPE:
            yield "not empty", BY_TYPE[parameter.type]
    elif parameter.type in ("mlx_array", "mlx_vector_array"):
        yield from _array_flaws(valid)
    elif parameter.type in ("mlx_io_reader", "mlx_io_writer"):
        for content in ("empty", "cut npy", "cut safetensors", "huge safetensors", "noise"):
            yield f"stream: {content}", VTable(content)
    elif isinstance(valid, tuple) and parameter.type != "mlx_device":
        yield "no elements", ()
    elif parameter.type == "mlx_device":
        yield from ((f"device {device}", device) for device in ((0, -1), (0, 99), (1, 0), (1, 99)))


def _array_flaws(valid: Any) -> Iterator[tuple[str, Any]]:
    valid = _arrays(valid)
    if isinstance(valid, tuple):
        yield "no elements", ()
        yield "one element", valid[:1]
        yield "one more element", (*valid, Array())
        yield "first of shape [3]", (_changed(valid[0], {"shape": (3,)}), *valid[1:])
        yield "first of dtype complex64", (_changed(valid[0], {"dtype": "complex64"}), *valid[1:])
    if isinstance(valid, tuple) and isinstance(valid[0], tuple):
        return
    for shape in SHAPES:
        yield _told({"shape": shape}), _changed(valid, {"shape": shape})
    for dtype in DTYPES:
        yield _told({"dtype": dtype}), _changed(valid, {"dtype": dtype})

    for layout in ("column", "broadcast"):
        yield layout, _changed(valid, {"layout": layout})
        for shape in EMPTY:
            yield f"{layout} of shape {list(shape)}", _changed(valid, {"layout": layout, "shape": shape})


def _list(parameter: Parameter, valid: Items) -> Iterator[tuple[str, Any]]:
    values = valid.values
    yield "NULL of length 1", Items(values, max(len(values), 1), null=True)
    yield "huge length", Items(values, BIG)
    yield "negative length", Items(values, -1)
    yield "empty", Items(())
    yield "empty and NULL", Items((), null=True)
    yield "one less", Items(values[:-1])
    yield "one more", Items((*values, *values[-1:]))
    if parameter.type == "const char *":
        return
    if "int" in parameter.type and parameter.type != "const char **":
        for index in range(len(values)):
            for number in WHOLE:
                yield f"value {number} at {index}", Items((*values[:index], number, *values[index + 1 :]))
        for number in (*WHOLE, 4):
            yield f"all {number}", Items((number,) * len(values))
    else:
        yield "empty element", Items((*values, NULL))


def _string(parameter: Parameter, valid: Any) -> Iterator[tuple[str, Any]]:
    yield "NULL", NULL
    yield "empty text", ""
    yield "format", FORMAT
    yield "long text", "x" * 5000
    yield from ((f"text {text}", text) for text in TEXTS.get(parameter.name, ()))
    if parameter.name in ("file", "path"):
        yield "no such folder", f"@no/such/folder/{FORMAT}"
        yield "a folder", f"@{FORMAT} folder.{valid.rpartition('.')[2]}"
        yield "no such file", f"@{FORMAT}.{valid.rpartition('.')[2]}"
        if not valid.startswith("@new"):
            yield "noise", f"@{FORMAT} noise.{valid.rpartition('.')[2]}"


def _number(parameter: Parameter, valid: Any) -> Iterator[tuple[str, Any]]:
    if parameter.type == "bool":
        yield f"{not valid}", not valid
    elif parameter.type in ("float", "double"):
        for number in (math.nan, math.inf, -math.inf, 0.0, -1.0, 3e38):
            yield f"value {number}", number
    elif parameter.type in ("int", "const int"):
        for number in WHOLE:
            yield f"value {number}", number
    else:
        for number in (0, BIG, 2**64 - 1):
            yield f"value {number}", number


def _optional(parameter: Parameter, valid: Any) -> Iterator[tuple[str, Any]]:
    yield "no value", Optional()
    kind = parameter.type.rpartition("_")[2]
    choices = {"int": WHOLE, "bool": (False, True), "dtype": (*range(14), 99, -1)}
    for number in choices.get(kind, (math.nan, math.inf, 0.0, -1.0)):
        out = kind == "dtype" and number in (99, -1)
        yield f"{'outside the enum' if out else 'value'} {number}", Optional(number)


def _enum(parameter: Parameter, valid: Any) -> Iterator[tuple[str, Any]]:
    for number in (99, -1):
        yield f"outside the enum {number}", number
    for number in range({"mlx_dtype": 14, "mlx_device_type": 2, "mlx_compile_mode": 4}.get(parameter.type, 3)):
        yield f"value {number}", number


def _vtable(parameter: Parameter, valid: VTable) -> Iterator[tuple[str, Any]]:
    for name in ("is_open", "good", "tell", "seek", "read", "read_at_offset", "write", "label", "free"):
        yield f"without {name}", VTable(missing=name)


def _pointer(parameter: Parameter, valid: Any) -> Iterator[tuple[str, Any]]:
    yield "NULL", NULL
    if parameter.type == "FILE *":
        yield "read-only file", "read-only file"


def _function(parameter: Parameter, valid: Any) -> Iterator[tuple[str, Any]]:
    yield "NULL", NULL


_ROLES = {
    "out": _out,
    "handle": _handle,
    "list": _list,
    "string": _string,
    "number": _number,
    "optional": _optional,
    "enum": _enum,
    "vtable": _vtable,
    "pointer": _pointer,
    "function": _function,
}
