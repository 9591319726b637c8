"""What docs/abi.md and include/mlxffi/abi.json say is so."""

import ctypes
import json
import re
from pathlib import Path

import pytest

from mlxffi import ffi, lib

ROOT = Path(__file__).resolve().parents[2]
ABI = json.loads((ROOT / "include/mlxffi/abi.json").read_text())
FUNCTIONS = {row["name"]: row for row in ABI["functions"]}
HALF = {name for name in FUNCTIONS if "float16" in name}
PROGRAMS = [path.read_text() for path in (ROOT / "tests/abi/c").glob("*.c")]
VOID_P = ctypes.c_void_p


@pytest.fixture(scope="module")
def library():
    return ctypes.CDLL(str(ROOT / "mlxffi/lib/libmlxc.so"))


def test_every_function_is_described():
    declared = {name for name in dir(lib) if re.match(r"_?mlx(ffi)?_", name) and not name.isupper()}
    functions = {name for name in declared if ffi.typeof(getattr(lib, name)).kind == "function"}
    assert functions == set(FUNCTIONS) - HALF


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - HALF - {"_mlx_error"}))
def test_description_agrees_with_the_prototype(name):
    row, kind = FUNCTIONS[name], ffi.typeof(getattr(lib, name))
    assert len(row["parameters"]) == len(kind.args)
    assert (row["status"] != []) <= (kind.result.cname == "int")
    for parameter, given in zip(row["parameters"], kind.args, strict=True):
        assert (parameter["ownership"] == "value") <= (given.kind in ("primitive", "enum", "struct"))
        assert (parameter["ownership"] in ("result", "out")) <= (given.kind == "pointer")
        is_function = given.kind == "function" and parameter["name"] != "dtor"
        assert (parameter["ownership"] == "kept") == is_function


def test_words_are_those_that_are_explained():
    for row in ABI["functions"]:
        assert row["thread"] in ABI["threads"]
        assert {parameter["ownership"] for parameter in row["parameters"]} <= set(ABI["ownership"])


def test_each_departure_has_a_header_and_a_caller():
    departing = [row for row in ABI["functions"] if "departures" in row]
    assert len(departing) == 15
    for row in departing:
        (departure,) = row["departures"]
        assert row["name"] in (ROOT / "include" / departure["header"]).read_text()
        callers = [text for text in PROGRAMS if f'"{departure["header"]}"' in text]
        assert any(re.search(rf"\b{row['name']}\(", text) for text in callers)


def test_a_handle_is_passed_and_returned_as_a_pointer(library):
    """As a foreign function interface does it that knows no structs by value."""
    make, item = library.mlx_array_new_float, library.mlx_array_item_float32
    make.argtypes, make.restype = [ctypes.c_float], VOID_P
    item.argtypes = [ctypes.POINTER(ctypes.c_float), VOID_P]
    handle, value = make(2.5), ctypes.c_float()
    assert item(value, handle) == 0
    assert value.value == 2.5
    library.mlx_array_free(VOID_P(handle))


EMPTY = ["array", "device", "device_info", "stream", "distributed_group"]
EMPTY += [
    name.removeprefix("mlx_").removesuffix("_new")
    for name in FUNCTIONS
    if re.match(r"mlx_closure\w*_new$|mlx_closure_new$", name)
]
FULL = [
    "string",
    "vector_array",
    "vector_vector_array",
    "vector_int",
    "vector_string",
    "map_string_to_array",
    "map_string_to_string",
]


@pytest.mark.parametrize("kind", EMPTY + FULL)
def test_which_handles_are_empty(kind):
    handle = getattr(lib, f"mlx_{kind}_new")()
    assert (handle.ctx == ffi.NULL) == (kind in EMPTY)
    getattr(lib, f"mlx_{kind}_free")(handle)


def test_half_precision_is_in_the_library(library):
    for name in HALF:
        assert hasattr(library, name)
