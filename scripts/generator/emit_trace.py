"""The tracing library's functions: each shows its arguments, calls the real one, and shows what came of it."""

from __future__ import annotations

import re

from .additions import added
from .table import Function, Header, Param, functions

# What asks for the last error or the counts of objects is passed on without a trace, which asks for them itself.
SILENT = ("error.h", "memory.h", "stream.h")

# What a trace says no more of than whether it is there.
GIVEN = ("const void *", "void *", "void **", "FILE *", "mlx_io_vtable")


def render_all(headers: list[Header], banner: str) -> dict[str, str]:
    """The functions of the table; one of variable arguments is written by hand."""
    calls = [_traced(row) for row in functions(headers) if all(param.name for param in row.params)]
    return {"calls.cpp": _file(calls, banner)}


def render_additions(headers: list[Header], banner: str) -> dict[str, str]:
    """The same with the functions of include/mlxffi."""
    calls = [_forwarded(row) if row.part in SILENT else _traced(row) for row in added()]
    return render_all(headers, banner) | {"additions.cpp": _file(calls, banner)}


def _file(calls: list[str], banner: str) -> str:
    return "\n\n".join([f"// {banner}", '#include "trace.h"', *calls]) + "\n"


def _traced(function: Function) -> str:
    shown = ", ".join(_shown(function))
    body = [f'  trace::Call call("{function.name}", {{{shown}}});', f"  {_result(function)}"]
    return _definition(function, body)


def _forwarded(function: Function) -> str:
    return _definition(function, [f"  {'' if function.returns == 'void' else 'return '}{_call(function)};"])


def _definition(function: Function, body: list[str]) -> str:
    params = ", ".join(_halves(param.text) for param in function.params)
    returns = _halves(function.returns)
    # What no header declares for this compiler has its visibility from nowhere else.
    export = '__attribute__((visibility("default"))) ' if function.guard else ""
    declared = f'extern "C" {export}{returns}{"" if returns.endswith("*") else " "}{function.name}({params})'
    real = f'  static const auto real = trace::find({function.name}, "{function.name}");'
    return "\n".join([f"{declared} {{", real, *body, "}"])


def _halves(text: str) -> str:
    """As the bits that they are, for compilers that have no such type."""
    return re.sub(r"\bb?float16_t\b", "uint16_t", text)


def _call(function: Function) -> str:
    return f"real({', '.join(param.name for param in function.params)})"


def _result(function: Function) -> str:
    call, returns = _call(function), function.returns
    if returns == "void":
        return f"{call};"
    if returns == "int" and not function.value:
        return f"return call.status({call});"
    if _is_handle(returns):
        return f'return call.made("{_kind(returns)}", {call});'
    return f"return call.returned({call});"


def _shown(function: Function) -> list[str]:
    shown, params = [], list(function.params)
    while params:
        param = params.pop(0)
        if params and _is_count(param, params[0]):
            shown.append(_list(param, params.pop(0)))
        else:
            shown.append(_one(param, function))
    return shown


def _is_count(param: Param, following: Param) -> bool:
    """Whether a parameter says how many elements the one before it has."""
    names = (f"{param.name}_num", f"num_{param.name}", "size", "dim")
    return param.type.endswith("*") and following.type in ("size_t", "int") and following.name in names


def _list(param: Param, count: Param) -> str:
    of = param.type.removeprefix("const ").removesuffix("*").strip()
    if of == "void":
        return f'trace::given("{param.name}", {param.name})'
    if _is_handle(of):
        return f'trace::handles("{param.name}", "{_kind(of)}", {param.name}, {count.name})'
    return f'trace::list("{param.name}", {param.name}, {count.name})'


def _one(param: Param, function: Function) -> str:
    name, type_ = param.name, param.type.removeprefix("const ")
    if type_.startswith("mlx_optional_"):
        return f'trace::optional("{name}", {name})'
    if _is_handle(type_):
        shown = "freed" if function.name.endswith("_free") else "handle"
        return f'trace::{shown}("{name}", "{_kind(type_)}", {name}.ctx)'
    if type_.endswith("*") and _is_handle(type_.removesuffix("*").strip()):
        return f'trace::slot("{name}", "{_kind(type_)}", {name})'
    if "(" in type_ or type_.endswith("_func") or param.type in GIVEN:
        return f'trace::given("{name}", {"&" if type_ == "mlx_io_vtable" else ""}{name})'
    if param.type.endswith("**") or re.fullmatch(r"(?!const ).*\*", param.type):
        return f'trace::out("{name}", {name})'
    return f'trace::value("{name}", {name})'


_PLAIN = re.compile(r"mlx_(dtype|complex64_t|optional_\w+|\w+_norm|\w+_mode|device_type|io_vtable|\w+_func)")


def _is_handle(type_: str) -> bool:
    return type_ == "mlxffi_event" or (type_.startswith("mlx_") and "*" not in type_ and not _PLAIN.fullmatch(type_))


def _kind(type_: str) -> str:
    return type_.removesuffix("*").strip().removeprefix("mlx_")
