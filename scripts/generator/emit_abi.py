"""The functions of the ABI for Python: native/python/generated/abi.c, and their types in mlxffi/_abi.pyi.

Each function for whose parameters and results Python has objects gives a row for native/python/dispatch/arguments.h:
the letters of its parameters, and a C function that calls it. What waits, evaluates or calls back gives up the GIL, and
gets handles of its own.
"""

from __future__ import annotations

import re

from . import table
from .additions import added
from .emit_core import CoreFunction
from .table import Function, Header, Param

HEADERS = {"ops", "fft", "linalg", "random", "fast", "memory", "metal", "cuda", "device", "stream", "io", "io_types"}
HEADERS |= {"distributed", "distributed_group", "export", "compile", "version"}
# Of arrays, the objects in objects/array.c know most themselves.
ARRAY = {"mlx_array_tostring", "mlx_array_eval"}
OUR_HEADERS = {"array.h", "export.h", "fused.h", "losses.h", "random.h"}
# These build graph nodes only, or read what lies there; the others give up the GIL.
GRAPH = {"ops", "fft", "linalg", "random", "fast", "distributed", "device", "stream", "ours", "io_types"}
AT_ONCE = {"mlx_disable_compile", "mlx_enable_compile", "mlx_get_array_buffer_size"}
WAITING = {"mlx_synchronize", "mlx_synchronize_default", "mlxffi_export_describe"}

# By C type: the letter that reads it, and what the call gets.
READ = {
    "const mlx_array": ("a", "{v}.array"),
    "mlx_array": ("a", "{v}.array"),
    "const mlx_vector_array": ("v", "{v}.vector"),
    "const mlx_stream": ("s", "{v}.stream"),
    "mlx_stream": ("w", "{v}.stream"),
    "const int *": ("n", "{v}.ints"),
    "const int64_t *": ("q", "{v}.longs"),
    "const uint64_t *": ("q", "(const uint64_t *){v}.longs"),
    "int": ("i", "(int){v}.integer"),
    "size_t": ("u", "(size_t){v}.integer"),
    "uint64_t": ("u", "(uint64_t){v}.integer"),
    "uintptr_t": ("u", "(uintptr_t){v}.integer"),
    "bool": ("b", "{v}.flag"),
    "float": ("f", "(float){v}.number"),
    "double": ("f", "{v}.number"),
    "const char *": ("t", "{v}.text"),
    "mlx_dtype": ("d", "(mlx_dtype){v}.integer"),
    "mlx_device_type": ("T", "(mlx_device_type){v}.integer"),
    "mlx_fft_norm": ("i", "(mlx_fft_norm){v}.integer"),
    "mlx_fast_math_mode": ("i", "(mlx_fast_math_mode){v}.integer"),
    "mlx_compile_mode": ("i", "(mlx_compile_mode){v}.integer"),
    "mlxffi_reduction": ("i", "(mlxffi_reduction){v}.integer"),
    "mlx_optional_int": ("I", "(mlx_optional_int){{(int){v}.integer, {v}.given}}"),
    "mlx_optional_float": ("F", "(mlx_optional_float){{(float){v}.number, {v}.given}}"),
    "mlx_optional_bool": ("B", "(mlx_optional_bool){{{v}.flag, {v}.given}}"),
    "mlx_optional_dtype": ("D", "(mlx_optional_dtype){{(mlx_dtype){v}.integer, {v}.given}}"),
}
# Those that are a handle of a kind of its own.
HANDLES = {
    "mlx_device": "p", "mlx_distributed_group": "g", "mlx_vector_string": "V", "mlx_map_string_to_array": "M",
    "mlx_map_string_to_string": "S", "mlx_closure": "C", "mlx_closure_kwargs": "K", "mlx_closure_value_and_grad": "W",
    "mlx_function_exporter": "E", "mlx_imported_function": "P", "mlx_fast_metal_kernel_config": "H",
    "mlx_fast_metal_kernel": "J", "mlx_fast_cuda_kernel_config": "Q", "mlx_fast_cuda_kernel": "U",
    "mlx_thread_local_stream": "L", "mlx_device_info": "X", "mlx_io_gguf": "Y",
}  # fmt: skip
NULLABLE = {"a": "A", "t": "y", "n": "x", "g": "G"}

# By C type: what Python gets of it.
GIVE = {
    "mlx_array": "one({v})",
    "mlx_vector_array": "listed({v})",
    "mlx_vector_string": "texts_of({v})",
    "mlx_vector_int": "ints_in({v})",
    "mlx_string": "text_of({v})",
    "mlx_map_string_to_array": "arrays_by_name({v})",
    "mlx_map_string_to_string": "texts_by_name({v})",
    "mlx_stream": "new_stream({v})",
    "mlx_device": "new_device({v})",
    "mlx_device_type": "device_type_object({v})",
    "int": "PyLong_FromLong({v})",
    "size_t": "PyLong_FromSize_t({v})",
    "bool": "PyBool_FromLong({v})",
    "const char *": "PyUnicode_FromString({v})",
}
GIVE |= {kind: f"new_handle('{letter}', {{v}}.ctx)" for kind, letter in HANDLES.items() if letter not in "pVMS"}
# An empty one of these stands for an error, as what raises it says.
EMPTY_IS_ERROR = {kind for kind, give in GIVE.items() if not give.startswith(("Py", "device_type"))}

PYTHON = {
    "a": "ArrayOwner", "A": "ArrayOwner | None", "l": "Any", "v": "Sequence[ArrayOwner]", "s": "StreamOrDevice",
    "w": "Stream",
    "n": "Sequence[int]",
    "N": "int | Sequence[int]", "q": "Sequence[int]", "i": "int", "u": "int", "b": "bool", "f": "float", "t": "str",
    "y": "str | None", "d": "Dtype", "T": "DeviceType", "I": "int | None", "F": "float | None", "B": "bool | None",
    "D": "Dtype | None", "p": "Device | DeviceType", "g": "Group", "G": "Group | None", "V": "Sequence[str]",
    "M": "Mapping[str, ArrayOwner]", "S": "Mapping[str, str]", "x": "int | Sequence[int] | None", "k": "bytes",
}  # fmt: skip
RESULTS = {
    "mlx_array": "array", "mlx_vector_array": "list[array]", "mlx_vector_string": "list[str]",
    "mlx_vector_int": "list[int]",
    "mlx_string": "str", "mlx_map_string_to_array": "dict[str, array]", "mlx_map_string_to_string": "dict[str, str]",
    "mlx_stream": "Stream", "mlx_device": "Device", "mlx_device_type": "DeviceType",
    "int": "int", "size_t": "int", "bool": "bool", "const char *": "str", "mlx_distributed_group": "Group",
}  # fmt: skip

C_HEAD = """/* The functions of the ABI: see dispatch/arguments.h.
 *
 * {banner} */

#include "dispatch/conversions.h"
#include "objects/handle.h"
"""

STUB_HEAD = '''"""The functions of the C ABI that mlxffi.core calls: `_native.abi`.

{banner}
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ._native import ArrayOwner, Handle
from .core._array import array
from .core._device import Device, DeviceType, Stream, StreamOrDevice
from .core._dtype import Dtype
from .core.distributed import Group

'''


def render_all(headers: list[Header], banner: str) -> dict[str, str]:
    """The C file with all rows."""
    rows = _rows(headers)
    calls = "\n\n".join(row.definition() for row in rows)
    entries = "\n".join(row.entry() for row in rows)
    table_of_rows = f"const AbiRow abi_rows[] = {{\n{entries}\n  {{{{NULL, NULL, NULL}}, NULL}},\n}};"
    return {"abi.c": f"{C_HEAD.format(banner=banner)}\n{calls}\n\n{table_of_rows}\n"}


def render_stub(headers: list[Header], banner: str) -> dict[str, str]:
    """The types of the functions."""
    return {"_abi.pyi": STUB_HEAD.format(banner=banner) + "\n".join(row.stub() for row in _rows(headers)) + "\n"}


def _rows(headers: list[Header]) -> list[AbiRow]:
    found = [row for row in table.functions(headers) if row.header in HEADERS or row.name in ARRAY]
    rows = [AbiRow(row) for row in found + [row for row in added() if row.part in OUR_HEADERS]]
    rows = [row for row in rows if row.possible]
    names = [row.name for row in rows]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SystemExit(f"two functions of the ABI would have one name: {sorted(twice)}")
    return rows


class AbiRow:
    """One function: the letters of its parameters, and the C that calls it."""

    def __init__(self, row: Function):
        self.row = row
        self.name = re.sub(r"^_?mlx(ffi)?_", "", row.name)
        self.outs = [param for param in row.params if param.result in GIVE]
        self.letters = ""
        self.names: list[str] = []
        self.arguments: list[str] = []
        # Objects free what they own, and every result is a new one.
        self.possible = not row.name.endswith(("_free", "_set"))
        # A row that is one call takes what mlxffi.core's function does.
        marks = CoreFunction(row, {}).marks() if row.core and not row.composed else {}
        for param in row.params:
            if param in self.outs:
                self.arguments.append(f"&{param.name}")
            elif self.arguments and param.type == "size_t" and self._counts(param):
                self.arguments.append(f"ints_of(&v[{len(self.letters) - 1}])")
            elif self.names and param.name == f"{self.names[-1]}_size":
                # The characters before it are bytes, which may be any.
                self.letters = self.letters[:-1] + "k"
                self.arguments.append(f"(size_t)v[{len(self.letters) - 1}].integer")
            else:
                self._take(param, marks.get(param.name, ""))
        if row.returns not in ("int", "void") or row.value:
            self.possible = self.possible and row.returns in GIVE

    def _counts(self, param: Param) -> bool:
        """Whether a parameter tells how many numbers the one before it has."""
        counts = param.name.endswith("_num") or param.name in ("size", "dim")
        return counts and self.letters[-1:] in ("n", "N", "q", "x")

    def _take(self, param: Param, mark: str) -> None:
        kind = param.type.removeprefix("const ")
        value = f"v[{len(self.letters)}]"
        if kind in HANDLES:
            letter, argument = HANDLES[kind], f"({kind}){{{value}.handle}}"
        elif param.type in READ:
            letter, text = READ[param.type]
            argument = text.format(v=value)
        else:
            self.possible = False
            return
        if param.name in self.row.nullable:
            letter = NULLABLE.get(letter, letter)
            argument = f"{value}.given ? {value}.ints : NULL" if letter == "x" else argument
        letter = {"like": "l", "ints": "N"}.get(mark, letter)
        self.letters += letter
        self.names.append(param.name.rstrip("_"))
        self.arguments.append(argument)

    # --- the C ---

    @property
    def waits(self) -> bool:
        waiting = self.row.waits or self.row.evaluates or self.row.name in WAITING
        return waiting or (self.row.header not in GRAPH and self.row.name not in AT_ONCE)

    def entry(self) -> str:
        return f'  {{{{"{self.name}", "{self.letters}", abi_{self.name}}}, "{",".join(self.names)}"}},'

    def definition(self) -> str:
        lines = [*self._before(), *self._call(), *self._after()]
        head = f"static PyObject *abi_{self.name}(Value *v) {{"
        return "\n".join([head, *(f"  {line}" for line in lines), "}"])

    def _before(self) -> list[str]:
        lines: list[str] = []
        for out in self.outs:
            space, nothing = ("", "NULL") if out.result.endswith("*") else (" ", "{0}")
            lines.append(f"{out.result}{space}{out.name} = {nothing};")
        owned = [f"own(&v[{place}])" for place, letter in enumerate(self.letters) if letter in "aA"]
        if self.waits and owned:
            lines += [f"if (!({' && '.join(owned)})) {{", "  return NULL;", "}"]
        return lines

    @property
    def _is_status(self) -> bool:
        return self.row.returns in ("int", "void") and not self.row.value

    def _call(self) -> list[str]:
        call = f"{self.row.name}({', '.join(self.arguments)})"
        target = "" if self.row.returns == "void" else "failed = " if self._is_status else "result = "
        if not self.waits:
            # An empty result tells of the failure, too.
            alone = len(self.outs) == 1 and self.outs[0].result in EMPTY_IS_ERROR
            if self._is_status and alone:
                return [f"{call};"]
            kind = "" if not target else "int " if self._is_status else f"{self.row.returns} "
            return [f"{kind}{target}{call};"]
        kind = "int failed = 0;" if self._is_status else f"{self.row.returns} result;"
        without_gil = ["Py_BEGIN_ALLOW_THREADS", f"{target}{call};", "Py_END_ALLOW_THREADS"]
        return [kind, "forget_exception();", *without_gil, "release_dropped();"]

    def _after(self) -> list[str]:
        if not self._is_status:
            return [f"return {GIVE[self.row.returns].format(v='result')};"]
        gives = [GIVE[out.result].format(v=out.name) for out in self.outs]
        if not gives:
            return ["return none_after(failed);"] if self.row.returns == "int" else ["return none_after(0);"]
        alone = len(self.outs) == 1 and self.outs[0].result in EMPTY_IS_ERROR
        check = [] if alone and not self.waits else ["if (failed) {", "  return raise_failure();", "}"]
        if len(gives) == 1:
            return [*check, f"return {gives[0]};"]
        return [*check, f'return Py_BuildValue("({"N" * len(gives)})", {", ".join(gives)});']

    # --- the types ---

    def stub(self) -> str:
        optional = len(self.letters.rstrip("sAIBFDyG"))
        params = []
        for place, (letter, name) in enumerate(zip(self.letters, self.names, strict=True)):
            default = " = None" if place >= optional else ""
            params.append(f"{name}: {PYTHON.get(letter, 'Handle')}{default}")
        gives = [RESULTS.get(out.result, "Handle") for out in self.outs]
        if not self._is_status:
            gives = [RESULTS.get(self.row.returns, "Handle")]
        result = "None" if not gives else gives[0] if len(gives) == 1 else f"tuple[{', '.join(gives)}]"
        return f"def {self.name}({', '.join([*params, *(['/'] if params else [])])}) -> {result}: ..."
