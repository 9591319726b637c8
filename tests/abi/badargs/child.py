"""The process that makes the calls: it tells which call comes next, then how it went.

usage: python -m badargs.child FOLDER START FUNCTION...

Each line on stdout is a JSON list: ["call", number] before a call, ["done", number, outcome, evaluated, kind,
text, leaked] after it. A crash leaves the first without the second. START is the number of the first call to make.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlxffi import ffi, lib

from .mutations import FORMAT, bad_calls, valid_calls
from .native import LARGEST, Scope
from .rules import BEYOND, matches
from .specs import Array, Case, Forged, Null
from .table import Function, functions

# Enough for every call that is evaluated; more fails to be allocated instead of filling the machine.
MEMORY = 4 << 30


def cases(names: list[str]) -> Iterator[Case]:
    """All calls of some functions: the valid ones, then the bad ones."""
    for name in names:
        yield from valid_calls(functions()[name])
        yield from (case for case in bad_calls(functions()[name]) if not matches(case, BEYOND))


def main() -> None:
    folder, start, *names = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number, case in enumerate(cases(names)):
        if number >= int(start):
            tell("call", number)
            tell("done", number, *attempt(case, Path(folder)))


def tell(*words: Any) -> None:
    os.write(1, (json.dumps(words) + "\n").encode())


def attempt(case: Case, folder: Path) -> tuple[str, str, int, str, int]:
    """Make one call and evaluate what it gives."""
    function = functions()[case.function]
    before = lib.mlxffi_live_total()
    scope = Scope(folder)
    try:
        arguments = scope.arguments(function, case.arguments)
        lib.mlxffi_clear_error()
        result = getattr(lib, case.function)(*arguments)
        outcome, kind, text = judged(function, result), lib.mlxffi_last_error_kind(), error_text()
        evaluated = evaluate_results(function, case, arguments, result, scope)
    finally:
        scope.close()
        lib.glue_ignore_errors()  # Where the call was mlx_set_error_handler: its handler may end the process.
    return outcome, evaluated, kind, text, lib.mlxffi_live_total() - before


def error_text() -> str:
    return bytes(ffi.string(lib.mlxffi_last_error_text())).decode(errors="replace")


def judged(function: Function, result: Any) -> str:
    """What a call says of itself: ok, error or nothing (there is no such thing); a plain value says none of them."""
    if function.has_status:
        return {0: "ok", 1: "error", 2: "nothing"}.get(result, f"status {result}")
    if function.returns.startswith("mlx_") and function.returns != "mlx_dtype":
        return "ok" if result.ctx else "empty"
    if function.returns.endswith("*"):
        return "ok" if result else "NULL"
    return "value" if result else "zero"


# --- what comes out ---


def evaluate_results(function: Function, case: Case, arguments: list[Any], result: Any, scope: Scope) -> str:
    """Evaluate every array among the results, and free all of them."""
    told = "ok"
    for parameter, argument in zip(function.parameters, arguments, strict=True):
        if isinstance(case.arguments.get(parameter.name), Forged | Null):
            continue
        if parameter.role == "out" and parameter.type.startswith("mlx_"):
            kind = parameter.type.removesuffix("*").strip()
            if hasattr(argument[0], "ctx") and argument[0].ctx:
                told = worse(told, evaluate(kind, scope.owned(kind, argument[0]), scope))
    if function.returns.startswith("mlx_") and function.returns != "mlx_dtype" and result.ctx:
        told = worse(told, evaluate(function.returns, scope.owned(function.returns, result), scope))
    return told


def worse(first: str, second: str) -> str:
    return second if first == "ok" else first


def evaluate(kind: str, handle: Any, scope: Scope) -> str:
    """Compute a result: `ok`, `large` or the text of the error."""
    if kind == "mlx_array":
        return evaluate_array(handle)
    if kind == "mlx_vector_array":
        return evaluate_vector(handle, scope)
    if kind == "mlx_closure":
        return evaluate_closure(handle, scope)
    if kind == "mlx_closure_value_and_grad":
        return evaluate_gradient(handle, scope)
    if kind == "mlx_map_string_to_array":
        slot = scope.new("mlx_array *")
        lib.mlx_map_string_to_array_get(slot, handle, b"a")
        return evaluate_array(scope.owned("mlx_array", slot[0])) if slot[0].ctx else "ok"
    return "ok"


def evaluate_array(array: Any) -> str:
    if lib.mlx_array_nbytes(array) > LARGEST:
        return "large"
    return "ok" if lib.mlx_array_eval(array) == 0 else error_text() or "error without a text"


def evaluate_vector(vector: Any, scope: Scope) -> str:
    told = "ok"
    for index in range(min(lib.mlx_vector_array_size(vector), 100)):
        slot = scope.new("mlx_array *")
        lib.mlx_vector_array_get(slot, vector, index)
        told = worse(told, evaluate_array(scope.owned("mlx_array", slot[0])))
    return told


def evaluate_closure(closure: Any, scope: Scope) -> str:
    inputs = scope.handle("mlx_vector_array", (Array(),))
    results = scope.new("mlx_vector_array *")
    if lib.mlx_closure_apply(results, closure, inputs):
        return error_text() or "error without a text"
    return evaluate_vector(scope.owned("mlx_vector_array", results[0]), scope)


def evaluate_gradient(closure: Any, scope: Scope) -> str:
    inputs = scope.handle("mlx_vector_array", (Array(()), Array(())))
    values, gradients = scope.new("mlx_vector_array *"), scope.new("mlx_vector_array *")
    if lib.mlx_closure_value_and_grad_apply(values, gradients, closure, inputs):
        return error_text() or "error without a text"
    results = [scope.owned("mlx_vector_array", slot[0]) for slot in (values, gradients)]
    return worse(*(evaluate_vector(result, scope) for result in results))


def make_files(folder: Path) -> None:
    """The files that valid calls read, and a file of noise and a folder for each ending."""
    scope = Scope(folder)
    arrays = scope.handle("mlx_map_string_to_array", (("a", Array()),))
    strings = scope.handle("mlx_map_string_to_string", ())
    inputs = scope.handle("mlx_vector_array", (Array(),))
    statuses = [
        lib.mlx_save(scope.text("@array.npy"), scope.handle("mlx_array", Array())),
        lib.mlx_save_safetensors(scope.text("@arrays.safetensors"), arrays, strings),
        lib.mlx_save_gguf(scope.text("@arrays.gguf"), scope.handle("mlx_io_gguf", "new")),
        lib.mlx_export_function(scope.text("@function.mlxfn"), scope.handle("mlx_closure", "square"), inputs, False),
    ]
    scope.close()
    assert statuses == [0, 0, 0, 0], error_text()
    for ending in ("npy", "safetensors", "gguf", "mlxfn", "bin", "trace"):
        (folder / f"{FORMAT} noise.{ending}").write_bytes(FORMAT.encode() * 100)
        (folder / f"{FORMAT} folder.{ending}").mkdir()


if __name__ == "__main__":
    main()
