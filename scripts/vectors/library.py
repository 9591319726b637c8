"""What the library gives for a case: its calls through mlxffi.lib, the plain C functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import mlxffi
from mlxffi import Array as Handle
from mlxffi import ffi as ffi
from mlxffi import lib as lib
from mlxffi._handles import own_array

from .program import Case, Program
from .tensors import Array, dtype_of

DTYPES = {name: getattr(lib, f"MLX_{name.upper()}") for name in (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
    "bfloat16", "complex64",
)}  # fmt: skip
Function = Callable[[Sequence[Handle]], Sequence[Handle]]


def outputs(case: Case) -> list[Array]:
    """The outputs of a case as numpy arrays; an error of the library is an exception."""
    captured = [to_library(each) for each in case.program.captured]

    def function(arrays: Sequence[Handle]) -> list[Handle]:
        return run(case.program, [*arrays, *captured])

    for transform in case.transforms:
        function = TRANSFORMS[transform["kind"]](function, transform)
    return [to_numpy(each) for each in function([to_library(each) for each in case.program.inputs])]


def to_library(value: Array) -> Handle:
    data = np.ascontiguousarray(value).tobytes() or b"\0"
    shape = ffi.new("int[]", list(value.shape) or [0])
    return _own(lib.mlx_array_new_data(ffi.from_buffer(data), shape, value.ndim, DTYPES[value.dtype.name]))


def to_numpy(array: Handle) -> Array:
    flat = mlxffi.contiguous(array).eval()
    name = next(name for name, number in DTYPES.items() if number == lib.mlx_array_dtype(_c(flat)))
    data = lib.mlx_array_data_uint8(_c(flat))
    raw = bytes(ffi.buffer(data, flat.nbytes)) if flat.nbytes else b""
    return np.frombuffer(raw, dtype_of(name)).reshape(flat.shape)


def _own(handle: Any) -> Handle:
    return own_array(int(ffi.cast("intptr_t", handle.ctx)))


def _c(array: Handle | None) -> Any:
    return ffi.new("mlx_array *", [ffi.cast("void *", array._h) if array is not None else ffi.NULL])[0]


# --- calls ---


def run(program: Program, values: list[Handle]) -> list[Handle]:
    for step in program.steps:
        values += call(step.call, step.letters, step.args, values)
    return [values[place] for place in program.outputs]


def call(name: str, letters: str, args: Sequence[Any], values: Sequence[Handle]) -> list[Handle]:
    """One call: the arrays that it gives."""
    given = iter(args)
    passed: list[Any] = []
    results: list[Any] = []
    keep: list[Any] = []
    for letter in letters:
        if letter in "AV":
            kind = "mlx_array *" if letter == "A" else "mlx_vector_array *"
            results.append(ffi.new(kind))
            passed.append(results[-1])
        elif letter == "s":
            passed.append(lib.mlx_default_cpu_stream_new())
        else:
            passed += _passed(letter, next(given), values, keep)
    mlxffi._closures.check(getattr(lib, name)(*passed))
    return [array for letter, result in zip(letters, results, strict=False) for array in _taken(letter, result[0])]


def _passed(letter: str, arg: Any, values: Sequence[Handle], keep: list[Any]) -> list[Any]:
    if letter == "a":
        return [_c(None if arg is None else values[arg])]
    if letter == "v":
        keep.append(vector := ffi.gc(ffi.new("mlx_vector_array *", lib.mlx_vector_array_new()), _free_vector))
        for place in arg:
            lib.mlx_vector_array_append_value(vector[0], _c(values[place]))
        return [vector[0]]
    if letter in "nq":
        kind = "int[]" if letter == "n" else "int64_t[]"
        keep.append(numbers := ffi.NULL if arg is None else ffi.new(kind, list(arg) or [0]))
        return [numbers, len(arg or [])]
    if letter in "IFBT":
        kind = {"I": "int", "F": "float", "B": "bool", "T": "dtype"}[letter]
        value = DTYPES[arg or "bool"] if letter == "T" else arg or 0
        return [ffi.new(f"mlx_optional_{kind} *", [value, arg is not None])[0]]
    keep.append(value := _scalar(letter, arg))
    return [value]


def _scalar(letter: str, arg: Any) -> Any:
    if letter == "t":
        return ffi.new("char[]", arg.encode())
    if letter == "D":
        return DTYPES[arg]
    return float(arg) if letter in "fd" else arg


def _free_vector(vector: Any) -> None:
    lib.mlx_vector_array_free(vector[0])


def _taken(letter: str, result: Any) -> list[Handle]:
    if letter == "A":
        return [_own(result)]
    arrays = []
    for place in range(lib.mlx_vector_array_size(result)):
        slot = ffi.new("mlx_array *")
        lib.mlx_vector_array_get(slot, result, place)
        arrays.append(_own(slot[0]))
    lib.mlx_vector_array_free(result)
    return arrays


# --- transforms ---


def joined(lists: tuple[Sequence[Handle], Sequence[Handle]]) -> list[Handle]:
    return [*lists[0], *lists[1]]


def _vjp(function: Function, transform: dict[str, Any]) -> Function:
    cotangents = [to_library(each) for each in transform["cotangents"]]
    return lambda arrays: joined(mlxffi.vjp(function, arrays, cotangents))


def _jvp(function: Function, transform: dict[str, Any]) -> Function:
    tangents = [to_library(each) for each in transform["tangents"]]
    return lambda arrays: joined(mlxffi.jvp(function, arrays, tangents))


def _value_and_grad(function: Function, transform: dict[str, Any]) -> Function:
    return lambda arrays: joined(mlxffi.value_and_grad(function, *transform["argnums"])(*arrays))


def _grad(function: Function, transform: dict[str, Any]) -> Function:
    return lambda arrays: list(mlxffi.value_and_grad(function, *transform["argnums"])(*arrays)[1])


TRANSFORMS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "vjp": _vjp, "jvp": _jvp, "value_and_grad": _value_and_grad, "grad": _grad,
    "vmap": lambda function, transform: mlxffi.vmap(function, transform["in_axes"], transform["out_axes"]),
    "checkpoint": lambda function, _: mlxffi.checkpoint(function),
    "compile": lambda function, transform: mlxffi.compile(function, transform["shapeless"]),
}  # fmt: skip
