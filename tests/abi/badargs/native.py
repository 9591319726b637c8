"""Arguments as C values: a Scope makes them for one call and frees every handle after it."""

from __future__ import annotations

import array
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlxffi import dtype as dtypes
from mlxffi import ffi, lib

from .specs import NULL, Array, Forged, Items, Optional, VTable
from .table import Function, Parameter

DTYPES = [dtype.name for dtype in dtypes.DTYPES]
# Results above this are left unevaluated: running out of memory is not what is tested.
LARGEST = 1 << 24
PLAIN_VECTORS = {"mlx_vector_array": "mlx_array", "mlx_vector_vector_array": "mlx_vector_array"}


def default_stream() -> Any:
    return lib.mlxffi_default_stream()


def values(spec: Array) -> list[float]:
    size = 1
    for length in spec.shape:
        size *= length
    if spec.fill == "zero":
        return [0.0] * size
    if spec.fill == "eye" and len(spec.shape) >= 2:
        rows, columns = spec.shape[-2:]
        return [float(i // columns % rows == i % columns) for i in range(size)]
    return [1.0 + i % 5 for i in range(size)]


def _copy_arguments(*arguments: Any) -> int:
    """A callback of any kind: every result slot gets a copy of an argument of its type."""
    for slot in arguments:
        kind = ffi.typeof(slot) if isinstance(slot, ffi.CData) else None
        if kind is None or kind.kind != "pointer" or kind.item.kind != "struct":
            continue
        same = [value for value in arguments if isinstance(value, ffi.CData) and ffi.typeof(value) is kind.item]
        name = kind.item.cname.removeprefix("struct ").removesuffix("_")
        if same:
            getattr(lib, f"{name}_set")(slot, same[-1])
        else:
            numbers = ffi.new("int[]", [0] * 2)
            lib.mlx_vector_int_set_data(slot, numbers, 1)
    return 0


def _square(res: Any, inputs: Any) -> int:
    """The callback of the "square" closure: the first input times itself."""
    one, product = ffi.new("mlx_array *"), ffi.new("mlx_array *")
    status = lib.mlx_vector_array_get(one, inputs, 0) or lib.mlx_multiply(product, one[0], one[0], default_stream())
    status = status or lib.mlx_vector_array_set_value(res, product[0])
    lib.mlx_array_free(one[0])
    lib.mlx_array_free(product[0])
    return int(status)


def _length(parameter: Parameter, items: Items) -> int:
    """The length that a call is told, as far as it fits the C type."""
    length = len(items.values) if items.length is None else items.length
    return min(length, 2**31 - 1) if parameter.type == "int" else length % 2**64


_callbacks: dict[Any, Any] = {}


def callback(ctype: Any, function: Any = _copy_arguments) -> Any:
    """A C function pointer, made once and kept for the life of the process."""
    key = ctype, function
    if key not in _callbacks:
        void = ctype.result.kind == "void"
        _callbacks[key] = ffi.callback(ctype, (lambda *_: None) if void else function, **({} if void else {"error": 1}))
    return _callbacks[key]


class Scope:
    """The C values of one call: whatever it makes it frees, and `keep` holds buffers until then."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keep: list[Any] = []
        self.frees: list[tuple[Any, Any]] = []

    def close(self) -> None:
        for free, handle in reversed(self.frees):
            free(handle)
        self.frees.clear()

    def new(self, kind: str, initial: Any = None) -> Any:
        data = ffi.new(kind, initial)
        self.keep.append(data)
        return data

    def owned(self, kind: str, handle: Any) -> Any:
        """A handle that is freed with the scope."""
        self.frees.append((getattr(lib, f"{kind}_free"), handle))
        return handle

    def arguments(self, function: Function, given: dict[str, Any]) -> list[Any]:
        """The C arguments of a call, in order."""
        result: list[Any] = []
        for parameter in function.parameters:
            if parameter.role == "length":
                result.append(_length(parameter, given[function.parameters[len(result) - 1].name]))
            else:
                result.append(self.argument(function, parameter, given.get(parameter.name)))
        return result

    def argument(self, function: Function, parameter: Parameter, spec: Any) -> Any:
        """The C value of one argument."""
        if parameter.role == "handle":
            freed = function.name.endswith("_free") and not isinstance(spec, Forged)
            before = len(self.frees)
            handle = self.handle(parameter.type, spec)
            if freed and len(self.frees) > before:
                self.frees.pop()
            return handle
        return getattr(self, f"_{parameter.role}")(parameter, spec, function)

    def _number(self, parameter: Parameter, spec: Any, function: Function) -> Any:
        return spec

    def _enum(self, parameter: Parameter, spec: Any, function: Function) -> Any:
        return ffi.cast(parameter.type, spec)

    def _optional(self, parameter: Parameter, spec: Optional, function: Function) -> Any:
        slot = self.new(f"{parameter.type} *")
        slot.has_value = spec.value is not None
        if spec.value is not None:
            slot.value = ffi.cast("mlx_dtype", spec.value) if "dtype" in parameter.type else spec.value
        return slot[0]

    def _string(self, parameter: Parameter, spec: Any, function: Function) -> Any:
        return ffi.NULL if spec is NULL else self.text(spec)

    def text(self, spec: str) -> Any:
        """A C string; @name stands for a file in the folder of the run."""
        return self.new("char[]", spec.replace("@", f"{self.folder}/").encode())

    def _pointer(self, parameter: Parameter, spec: Any, function: Function) -> Any:
        if spec is NULL:
            return ffi.NULL
        if parameter.type == "FILE *":
            file = open("/dev/null", "rb" if spec == "read-only file" else "wb")  # noqa: SIM115
            self.keep.append(file)
            return ffi.cast("FILE *", file)
        return self.new("char[]", 1 << 20)

    def _function(self, parameter: Parameter, spec: Any, function: Function) -> Any:
        index = [other.name for other in function.parameters].index(parameter.name)
        return ffi.NULL if spec is NULL else callback(ffi.typeof(getattr(lib, function.name)).args[index])

    def _out(self, parameter: Parameter, spec: Any, function: Function) -> Any:
        if spec is NULL:
            return ffi.NULL
        slot = self.new(parameter.type)
        if isinstance(spec, Forged):
            slot[0] = self.forged(parameter.type.removesuffix("*").strip(), spec)
        return slot

    def _vtable(self, parameter: Parameter, spec: VTable, function: Function) -> Any:
        return self.vtable(spec)

    def _list(self, parameter: Parameter, spec: Items, function: Function) -> Any:
        if spec.null:
            return ffi.NULL
        element = parameter.type.removeprefix("const ").removesuffix("*").strip()
        if parameter.type == "const char *":
            return self.new("char[]", bytes(spec.values))
        if element in ("int", "int64_t", "uint64_t"):
            mask = 2**64 if element == "uint64_t" else None
            return self.new(f"{element}[]", [*(value % mask if mask else value for value in spec.values), 0])
        if parameter.type == "const char **":
            return self.new("char *[]", [ffi.NULL if item is NULL else self.text(item) for item in spec.values])
        return self.new(f"{element}[]", [self.handle(element, item) for item in spec.values])

    # --- handles ---

    def handle(self, kind: str, spec: Any) -> Any:
        """A handle of a type; what it stands for is freed with the scope."""
        if spec is NULL:
            return self.new(f"{kind} *")[0]
        if isinstance(spec, Forged):
            return self.forged(kind, spec)
        if kind == "mlx_stream":
            return default_stream()
        return self.owned(kind, self.made(kind, spec))

    def forged(self, kind: str, spec: Forged) -> Any:
        """A handle that is none."""
        slot = self.new(f"{kind} *")
        if spec.number is None:
            other = self.handle("mlx_string", "x") if kind == "mlx_array" else self.handle("mlx_array", Array())
            slot.ctx = other.ctx
        else:
            slot.ctx = ffi.cast("void *", spec.number)
        return slot[0]

    def made(self, kind: str, spec: Any) -> Any:
        """A new handle."""
        if kind.startswith("mlx_closure"):
            return self._closure(kind, spec)
        if kind in PLAIN_VECTORS:
            return self._vector(kind, spec)
        if kind.endswith("_iterator"):
            return getattr(lib, f"{kind}_new")(self.handle(kind.removesuffix("_iterator"), spec))
        make = getattr(self, f"make_{kind.removeprefix('mlx_')}", None)
        return make(spec) if make else getattr(lib, f"{kind}_new")()

    def filled(self, kind: str, function: str, *arguments: Any) -> Any:
        """The handle that a function with a status leaves in its slot."""
        slot = self.new(f"{kind} *")
        if getattr(lib, function)(slot, *arguments):
            raise AssertionError(f"{function}: {ffi.string(lib.mlxffi_last_error_text()).decode()}")
        return slot[0]

    def make_array(self, spec: Any) -> Any:
        if spec == "lazy":
            matrix = self.handle("mlx_array", Array())
            return self.filled("mlx_array", "mlx_square", matrix, default_stream())
        floats = self.owned("mlx_array", self.floats(spec))
        if spec.layout == "column":
            floats = self.owned("mlx_array", self.filled("mlx_array", "mlx_transpose", floats, default_stream()))
        elif spec.layout == "broadcast":
            shape = self.new("int[]", [*spec.shape, 0]), len(spec.shape)
            floats = self.owned(
                "mlx_array", self.filled("mlx_array", "mlx_broadcast_to", floats, *shape, default_stream())
            )
        dtype = ffi.cast("mlx_dtype", DTYPES.index(spec.dtype))
        result = self.filled("mlx_array", "mlx_astype", floats, dtype, default_stream())
        lib.mlx_array_eval(result)
        return result

    def floats(self, spec: Array) -> Any:
        """The float32 array from which a spec's array is cast, transposed or broadcast."""
        shape = {"row": spec.shape, "column": spec.shape[::-1], "broadcast": ()}[spec.layout]
        data = array.array("f", values(replace(spec, shape=shape)))
        sizes = self.new("int[]", [*shape, 0])
        return lib.mlx_array_new_data(ffi.from_buffer(data) if data else ffi.NULL, sizes, len(shape), 10)

    def make_string(self, spec: str) -> Any:
        return lib.mlx_string_new_data(self.text(spec))

    def _vector(self, kind: str, spec: tuple[Any, ...]) -> Any:
        element = PLAIN_VECTORS[kind]
        data = self.new(f"{element}[]", [self.handle(element, item) for item in spec] or 1)
        return getattr(lib, f"{kind}_new_data")(data, len(spec))

    def make_vector_int(self, spec: tuple[int, ...]) -> Any:
        return lib.mlx_vector_int_new_data(self.new("int[]", [*spec, 0]), len(spec))

    def make_vector_string(self, spec: tuple[str, ...]) -> Any:
        return lib.mlx_vector_string_new_data(self.new("char *[]", [self.text(item) for item in spec] or 1), len(spec))

    def make_map_string_to_array(self, spec: tuple[Any, ...]) -> Any:
        result = lib.mlx_map_string_to_array_new()
        for key, value in spec:
            lib.mlx_map_string_to_array_insert(result, self.text(key), self.handle("mlx_array", value))
        return result

    def make_map_string_to_string(self, spec: tuple[Any, ...]) -> Any:
        result = lib.mlx_map_string_to_string_new()
        for key, value in spec:
            lib.mlx_map_string_to_string_insert(result, self.text(key), self.text(value))
        return result

    def make_device(self, spec: Any) -> Any:
        return lib.mlx_device_new_type(*spec)

    def make_device_info(self, spec: Any) -> Any:
        return self.filled("mlx_device_info", "mlx_device_info_get", self.handle("mlx_device", (0, 0)))

    def make_thread_local_stream(self, spec: Any) -> Any:
        return lib.mlx_thread_local_stream_new(self.handle("mlx_device", (0, 0)))

    def _closure(self, kind: str, spec: str) -> Any:
        new = getattr(lib, f"{kind}_new_func")
        return new(callback(ffi.typeof(new).args[0], _square if spec == "square" else _copy_arguments))

    def make_distributed_group(self, spec: Any) -> Any:
        return self.filled("mlx_distributed_group", "mlx_distributed_init", False, ffi.NULL)

    def make_function_exporter(self, spec: Any) -> Any:
        if spec == "kwargs":
            closure = self.handle("mlx_closure_kwargs", "copy")
            return lib.mlx_function_exporter_new_kwargs(self.text("@exported.mlxfn"), closure, False, self.text(""))
        return lib.mlx_function_exporter_new(self.text("@exported.mlxfn"), self.handle("mlx_closure", "square"), False)

    def make_imported_function(self, spec: Any) -> Any:
        return lib.mlx_imported_function_new(self.text("@function.mlxfn"))

    def make_io_gguf(self, spec: Any) -> Any:
        gguf = lib.mlx_io_gguf_new()
        lib.mlx_io_gguf_set_array(gguf, self.text("a"), self.handle("mlx_array", Array()))
        lib.mlx_io_gguf_set_metadata_array(gguf, self.text("array"), self.handle("mlx_array", Array((2,), "int32")))
        lib.mlx_io_gguf_set_metadata_string(gguf, self.text("string"), self.text("b"))
        strings = self.handle("mlx_vector_string", ("a", "b"))
        lib.mlx_io_gguf_set_metadata_vector_string(gguf, self.text("strings"), strings)
        return gguf

    def make_io_reader(self, spec: VTable) -> Any:
        return lib.mlx_io_reader_new(ffi.NULL, self.vtable(spec))

    def make_io_writer(self, spec: VTable) -> Any:
        return lib.mlx_io_writer_new(ffi.NULL, self.vtable(spec))

    def vtable(self, spec: VTable) -> Any:
        """A stream over bytes in memory; what is written to it is thrown away."""
        content = streams()[spec.content]
        position = [0]
        functions = _stream_functions(content, position)
        slot = self.new("mlx_io_vtable *")
        for name, function in functions.items():
            if name != spec.missing:
                made = ffi.callback(ffi.typeof(getattr(slot, name)), function)
                _immortal.append(made)
                setattr(slot, name, made)
        return slot[0]


# Arrays that are loaded lazily call their stream's functions after the call that made them.
_immortal: list[Any] = []
_label = ffi.new("char[]", b"%s%n memory")


def _stream_functions(content: bytes, position: list[int]) -> dict[str, Any]:
    def read(_: Any, data: Any, size: int) -> None:
        chunk = content[position[0] : position[0] + size]
        ffi.memmove(data, chunk, len(chunk))
        position[0] += size

    def read_at_offset(_: Any, data: Any, size: int, offset: int) -> None:
        chunk = content[offset : offset + size]
        ffi.memmove(data, chunk, len(chunk))

    def seek(_: Any, offset: int, whence: int) -> None:
        position[0] = offset + (0, position[0], len(content))[whence]

    return {
        "is_open": lambda _: True,
        "good": lambda _: position[0] <= len(content),
        "tell": lambda _: position[0],
        "seek": seek,
        "read": read,
        "read_at_offset": read_at_offset,
        "write": lambda _, data, size: None,
        "label": lambda _: _label,
        "free": lambda _: None,
    }


def streams() -> dict[str, bytes]:
    """What the streams hold, valid or not, by name."""
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }"
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(16)
    table = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    safetensors = struct.pack("<Q", len(table)) + table + bytes(16)
    return {
        "npy": npy,
        "safetensors": safetensors,
        "empty": b"",
        "cut npy": npy[:20],
        "cut safetensors": safetensors[:20],
        "huge safetensors": struct.pack("<Q", 1 << 60) + table,
        "noise": b"%s%n%d" * 100,
    }
