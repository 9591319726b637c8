"""What a bad call must come to, and which calls are no mistakes after all, each with the reason."""

from __future__ import annotations

import re

from .specs import Case
from .table import functions

# Flaws that every function refuses, whatever it computes.
REFUSED = re.compile(
    r"NULL slot|empty handle|NULL of length 1|huge length|negative length|outside the enum .*|NULL"
    r"|no such folder|a folder|without \w+|empty element|device \(.*"
)

# (function, parameter, flaw) as patterns: what is allowed all the same.
ACCEPTED = {
    (r"\w+_free", r".*", r".*"): "freeing nothing is harmless",
    (r"\w+", r"payload|dtor|desc|data", r"NULL"): "a payload may be NULL and have no destructor",
    (
        r"mlx_device_\w+|mlx_thread_local_stream_new",
        r"dev|src|lhs|rhs",
        r"device \(.*",
    ): "naming a device does not use it",
    (r"mlx_io_reader_new", r"vtable", r"without (write|free)"): "a reader does not write; free is optional",
    (
        r"mlx_io_writer_new",
        r"vtable",
        r"without (read|read_at_offset|free)",
    ): "a writer does not read; free is optional",
    (r"mlx_save(_gguf|_safetensors)?", r"file", r"a folder"): "the ending is added: a file beside the folder",
    (r"mlx_metal_set_metallib_path", r"path", r".*"): "the path is used when Metal starts",
    (r"mlx_set_error_handler", r"handler", r"NULL"): "NULL restores the default handler",
    (r"mlx_device_info_get_size", r"value", r"NULL slot"): "this device has no such property: nothing to store",
}

# What no library can notice: the caller says something untrue about memory that only the caller knows.
BEYOND = {
    (r"mlx_array_(new|set)_data\w*", r"shape", r"value \d+ at \d|all \d+"): "the data is shorter than the shape says",
    (r"_mlx_error", r"fmt", r"format"): "its format is one, as printf's is",
}


def refused(case: Case) -> bool:
    """Whether the flaw is one that every function refuses."""
    return bool(REFUSED.fullmatch(case.flaw))


def accepted(case: Case) -> bool:
    """Whether this function takes the argument in spite of it."""
    for parameter in functions()[case.function].parameters:
        if parameter.name == case.parameter and parameter.nullable:
            return True
    return _matches(case, ACCEPTED)


def beyond(case: Case) -> bool:
    """Whether no library could notice the flaw."""
    return _matches(case, BEYOND)


def _matches(case: Case, rules: dict[tuple[str, str, str], str]) -> bool:
    found = (case.function, case.parameter, case.flaw)
    return any(all(map(re.fullmatch, patterns, found)) for patterns in rules)
