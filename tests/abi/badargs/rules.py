"""What a bad call must come to, and which calls are no mistakes after all, each with the reason.

A rule is three patterns: for the function, the parameter and the flaw.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .specs import Case
from .table import functions

Rule = tuple[str, str, str]

ANY = r".*"
NEGATIVE = r"(value|all) -\d+( at \d)?"
SIZES = (
    r"shape|slice_sizes?|\w+_pad_size|pad_width|n|m|M|num|num_\w+|repeats|reps|size|width|block_size|group_size|bits"
    r"|groups|(stride|dilation)(_\d)?|\w+_dilation|dims|\w+_length|length|n_fft|grid\d|thread\d"
)

# What every function refuses, or all that have such a parameter.
REFUSED: tuple[Rule, ...] = (
    (ANY, ANY, r"NULL|NULL slot|NULL of length 1|empty handle|empty element|(slot of )?no handle|another kind"),
    (ANY, ANY, r"huge length|negative length|outside the enum .*|device \(.*|without \w+"),
    (ANY, r"file|path", r"no such folder|a folder"),
    (r"mlx_load\w*|mlx_imported_function_new", r"file", r"no such file|noise"),
    (r"mlx_load\w*_reader", r"in_stream", r"stream: .*"),
    (ANY, SIZES, NEGATIVE),
    (r"mlx_topk\w*", r"k", NEGATIVE),
)

# What is allowed all the same.
ACCEPTED: dict[Rule, str] = {
    (r"\w+_free", ANY, r"empty handle"): "freeing nothing is harmless",
    (r"mlx_device_free", ANY, r"device \(.*"): "a device's name is freed",
    (r"\w+", r"payload|dtor|desc", r"NULL"): "a payload may be NULL and have no destructor",
    (r"mlx_set_error_handler", r"data", r"NULL"): "a handler may need no data",
    (r"mlx_set_error_handler", r"handler", r"NULL"): "NULL restores the default handler",
    (r"_mlx_error", ANY, r"NULL"): "it reports an error, whatever it is given",
    (r"mlx_device_(set|tostring|equal|get_\w+|is_available)", ANY, r"device \(.*"): "naming a device does not use it",
    (r"mlx_thread_local_stream_new", r"dev", r"device \(.*"): "the stream is made when a thread first asks for it",
    (r"mlx_device_info_get_size", r"value", r"NULL slot"): "a CPU has no such property: nothing to store",
    (r"mlx_io_reader_new", r"vtable", r"without (write|free)"): "a reader does not write; free is optional",
    (r"mlx_io_writer_new", r"vtable", r"without (read\w*|free)"): "a writer does not read; free is optional",
    (r"mlx_metal_set_metallib_path", r"path", ANY): "the path is used when Metal starts",
    (r"mlx_(bartlett|blackman|hamming|hanning)", r"M", NEGATIVE): "a window of fewer than one value is empty",
    (r"mlx_(reshape|unflatten)", r"shape", r"value -1 at \d"): "-1 stands for the size that the others leave",
    (r"mlx_fast_\w+_config_set_\w+", ANY, NEGATIVE): "the sizes of a launch are checked at the launch",
    (r"mlx_fft_i?stft", r"win_length", NEGATIVE): "where a window is given its length is not looked at",
}

# Never called: no library can notice that the caller says something untrue about its own memory.
BEYOND: dict[Rule, str] = {
    (r"mlx_array_(new|set)_data\w*", r"shape", r"(value|all) \d{7,}( at \d)?"): "the data is shorter than the shape",
    (r"_mlx_error", r".*\bfmt\b.*", r".*\bformat\b.*"): "its format is one, as printf's is",
}

# Valid calls that cannot succeed, on a CPU or in a process by itself.
UNAVAILABLE: dict[Rule, str] = {
    (r"_mlx_error", ANY, ANY): "reports an error, that is what it is for",
    (r"mlx_fast_\w*(cuda|metal)_kernel\w*", ANY, ANY): "needs a GPU's backend",
    (r"mlx_metal_\w+|mlx_default_gpu_stream_new", ANY, ANY): "needs a GPU's backend",
    (r"mlx_distributed_(send|recv|recv_like|group_split)", ANY, ANY): "needs a group of several processes",
    (r"mlx_detail_vmap_trace", ANY, ANY): "its results are placeholders, which cannot be evaluated",
}

# Errors that cannot name the parameter at fault.
UNNAMED: dict[Rule, str] = {
    (ANY, r"file|path|in_stream", r"(?!NULL|(empty|no) handle|another kind).*"): "what is wrong is the file, it says",
    (r"mlx_fast_\w*kernel\w*", ANY, ANY): "without the backend nothing is looked at",
    (r"mlx_distributed_(send|recv\w*|group_split)", r"res", r"slot of no handle"): "the group comes first",
    (r"\w+_free", ANY, r"no handle|another kind"): "there is but one",
}

# Functions whose documentation speaks of dtypes, but not of a dtype that they refuse.
DTYPES_IN_PASSING: dict[Rule, str] = {
    (r"mlx_function_exporter_apply\w*", ANY, ANY): "refuses a second trace of the same dtypes",
}


def refused(case: Case) -> bool:
    """Whether the flaw is one that the function must refuse."""
    return matches(case, REFUSED) and not accepted(case)


def accepted(case: Case) -> bool:
    """Whether this function takes the argument in spite of its flaw."""
    nullable = {parameter.name for parameter in functions()[case.function].parameters if parameter.nullable}
    left_out = case.parameter in nullable and case.flaw in ("empty handle", "NULL", "NULL of length 1")
    return left_out or matches(case, ACCEPTED)


def matches(case: Case, rules: Iterable[Rule]) -> bool:
    """Whether a rule fits a call."""
    found = (case.function, case.parameter, case.flaw)
    return any(all(map(re.fullmatch, rule, found)) for rule in rules)
