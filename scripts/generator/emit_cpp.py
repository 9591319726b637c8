"""The regular functions of libmlxc: mlxffi/native/abi/generated/*.cpp.

Each is its C++ expression with the C parameters converted, inside the guard that turns exceptions into a status.
"""

from __future__ import annotations

import re
from itertools import groupby

from .table import NAMESPACES, Function, Header, Param, functions

# How a C parameter of a given type reads in C++; {n} is its name.
CONVERSIONS = {
    "mlx_stream": 'resolved({n}, "{n}")',
    "const mlx_stream": 'stream_of({n}, "{n}")',
    "mlx_dtype": 'dtype_of({n}, "{n}")',
    "mlx_optional_int": "optional_of({n})",
    "mlx_optional_float": "optional_of({n})",
    "mlx_optional_bool": "optional_of({n})",
    "mlx_optional_dtype": 'optional_of({n}, "{n}")',
    "mlx_fft_norm": 'fft_norm_of({n}, "{n}")',
    "mlx_compile_mode": 'compile_mode_of({n}, "{n}")',
    "mlx_device_type": 'device_type_of({n}, "{n}")',
    "mlx_fast_math_mode": 'math_mode_of({n}, "{n}")',
    "const char *": 'text({n}, "{n}")',
}
LISTS = {"const int *": "List", "const int64_t *": "List64", "const uint64_t *": "ListU64"}
# What a function without a status gives back after an error.
FALLBACKS = {"bool": "false", "size_t": "0", "int": "0", "mlx_dtype": "MLX_BOOL"}


def render_all(headers: list[Header], banner: str) -> dict[str, str]:
    """The text of every generated C++ file, by file name."""
    regular = [function for function in functions(headers) if not function.by_hand]
    return {f"{part}.cpp": _file(list(group), banner) for part, group in groupby(regular, key=lambda f: f.part)}


def _file(group: list[Function], banner: str) -> str:
    body = "\n\n".join(_function(function) for function in group)
    return f'// {banner}\n\n#include "support.h"\n\nusing namespace mlxc;\n\n{body}\n'


def _function(function: Function) -> str:
    params = ", ".join(_cxx(param.text) for param in function.params)
    returns = _cxx(function.returns)
    # What the headers declare for some compilers only is exported for all.
    visible = '__attribute__((visibility("default"))) ' if function.guard else ""
    head = f'extern "C" {visible}{returns}{"" if returns.endswith("*") else " "}{function.name}({params})'
    return f"{head} {{\n  {_body(function)}\n}}"


def _cxx(text: str) -> str:
    """The half types are C names that only some compilers have: C++ uses MLX's own."""
    return re.sub(r"\b(b?float16_t)\b", r"mx::\1", text)


def _body(function: Function) -> str:
    names = [param.name for param in function.params]
    if function.cpp == "@new":
        return f"return {function.returns}{{}};"
    if function.cpp == "@free":
        call = f"release({names[0]})"
        return f"{call};" if function.returns == "void" else f"return {call};"
    if function.cpp == "@set":
        source = f'source({names[1]}, "{names[1]}")'
        return f"return guarded(__func__, [&] {{ put({names[0]}, {source}); }});"
    outs, inputs = _outs_and_inputs(function)
    expression = _expression(function, inputs)
    if function.evaluates:
        result = "return " if outs or function.returns != "int" else ""
        expression = f"evaluating([&] {{ {result}{expression}; }})"
    if function.returns == "int" and not function.value:
        if not outs:
            return f"return guarded(__func__, [&] {{ {expression}; }});"
        slots = ", ".join(outs)
        bound, expression = _read_once(expression, inputs)
        return f"return guarded(__func__, [&] {{ require({slots}); {bound}put({slots}, {expression}); }});"
    if function.returns.startswith("mlx_") and function.returns != "mlx_dtype":
        return f"return made<{function.returns}>(__func__, [&] {{ return {expression}; }});"
    fallback = FALLBACKS.get(function.returns, "nullptr")
    returns = _cxx(function.returns)
    return f"return value_or<{returns}>({fallback}, __func__, [&]() -> {returns} {{ return {expression}; }});"


def _read_once(expression: str, inputs: list[Param]) -> tuple[str, str]:
    """Arrays that an expression reads several times, bound to names: other threads may exchange them meanwhile."""
    bound = ""
    for param in inputs:
        text = f'get({param.name}, "{param.name}")'
        if param.type == "const mlx_array" and expression.count(text) > 1:
            bound += f"auto&& {param.name}_ = {text}; "
            expression = expression.replace(text, f"{param.name}_")
    return bound, expression


def _outs_and_inputs(function: Function) -> tuple[list[str], list[Param]]:
    """Out-parameters are the leading pointers to what is not const and that the expression does not speak of."""
    params = list(function.params)
    outs: list[str] = []
    while function.returns == "int" and params and _is_out(params[0], function.cpp):
        outs.append(params.pop(0).name)
    return outs, params


def _is_out(param: Param, expression: str) -> bool:
    return param.is_writable and not re.search(rf"(?<!\.)\b{param.name}\b", expression)


def _expression(function: Function, inputs: list[Param]) -> str:
    convert = _conversions(function, inputs)
    if function.cpp in convert:
        return convert[function.cpp]
    if re.fullmatch(r"\w*", function.cpp):
        area = NAMESPACES.get(function.header, "")
        name = function.cpp or function.name.removeprefix("mlx_").removeprefix(f"{function.header}_")
        return f"mx::{area}{name}({', '.join(text for text in convert.values() if text)})"
    identifier = r'(?<![\w.:"])[A-Za-z_]\w*(?![\w"])(?!::)'
    return re.sub(identifier, lambda found: convert.get(found[0], found[0]), function.cpp)


def _conversions(function: Function, inputs: list[Param]) -> dict[str, str]:
    """The C++ text of each input by name; the length of a list is part of the list's text."""
    texts: dict[str, str] = {}
    for index, param in enumerate(inputs):
        length = inputs[index + 1].name if index + 1 < len(inputs) else ""
        if param.type in LISTS and length in (f"{param.name}_num", "size") and "List(" not in function.cpp:
            maybe = "maybe_list" if param.name in function.nullable else LISTS[param.type]
            texts[param.name] = f'{maybe}({param.name}, {length}, "{param.name}")'
            texts[length] = ""
        elif param.name not in texts:
            texts[param.name] = _convert(param, param.name in function.nullable)
    return texts


def _convert(param: Param, nullable: bool) -> str:
    if nullable:
        return f'maybe({param.name}, "{param.name}")'
    if param.type in CONVERSIONS:
        return CONVERSIONS[param.type].format(n=param.name)
    if re.fullmatch(r"(const )?mlx_\w+", param.type):
        return f'get({param.name}, "{param.name}")'
    return param.name
