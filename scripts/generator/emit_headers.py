"""The C headers include/mlx/c/*.h."""

from __future__ import annotations

import re
import textwrap

from .table import Function, Header, Param, Type, handles

WIDTH = 100
STANDARD = {
    "stdbool": r"\bbool\b",
    "stddef": r"\bsize_t\b",
    "stdint": r"\bu?int(8|16|32|64)_t\b|\buintptr_t\b",
    "stdio": r"\bFILE\b",
}


def render_all(headers: list[Header], banner: str) -> dict[str, str]:
    """The text of every header, by file name."""
    owner = {type_.name: header.name for header in headers for type_ in header.types}
    owner |= {"float16_t": "half", "bfloat16_t": "half"}
    known = handles(headers)
    texts = {f"{header.name}.h": _render(header, owner, known, banner) for header in headers}
    texts["mlx.h"] = _umbrella(headers, banner)
    return texts


def _render(header: Header, owner: dict[str, str], known: set[str], banner: str) -> str:
    body = [_type(type_) for type_ in header.types] + [_function(function, known) for function in header.functions]
    text = "\n\n".join(body)
    guard = f"MLX_C_{header.name.upper()}_H"
    parts = [f"/* {banner} */", f"#ifndef {guard}\n#define {guard}", _comment(header.about, indent="")]
    parts += [block for block in (_includes(header, text, owner), _extern_c(text), header.raw.strip()) if block]
    return "\n\n".join([*parts, f"#endif /* {guard} */"]) + "\n"


def _extern_c(text: str) -> str:
    if not text:
        return ""
    return f'#ifdef __cplusplus\nextern "C" {{\n#endif\n\n{text}\n\n#ifdef __cplusplus\n}}\n#endif'


def _includes(header: Header, text: str, owner: dict[str, str]) -> str:
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    standard = [f"#include <{name}.h>" for name, pattern in STANDARD.items() if re.search(pattern, code)]
    if "std::complex" in code:
        standard.append("#ifdef __cplusplus\n#include <complex>\n#else\n#include <complex.h>\n#endif")
    used = {owner[name] for name in re.findall(r"\b\w+\b", code) if name in owner}
    ours = [f'#include "mlx/c/{name}.h"' for name in sorted(used - {header.name})]
    return "\n\n".join("\n".join(block) for block in (standard, ours) if block)


def _type(type_: Type) -> str:
    declared = type_.c
    enum = re.fullmatch(r"(typedef (?:enum|struct) \w+) \{ (.*?);? \} (\w+)", declared)
    if enum and "enum" in enum[1]:
        declared = f"{enum[1]} {{\n  " + ",\n  ".join(enum[2].split(", ")) + f"\n}} {enum[3]}"
    elif enum:
        declared = f"{enum[1]} {{\n  " + ";\n  ".join(enum[2].split("; ")) + f";\n}} {enum[3]}"
    if type_.cxx:
        declared = f"#ifdef __cplusplus\n{type_.cxx};\n#else\n{declared};\n#endif"
        return f"{_comment(type_.doc)}\n{declared}"
    return f"{_comment(type_.doc)}\n{declared};"


def _function(function: Function, known: set[str]) -> str:
    text = f"{_comment(function.doc, _notes(function, known))}\n{_prototype(function)}"
    if function.guard:
        text = f"#ifdef {function.guard}\n{text}\n#endif"
    return text


def _prototype(function: Function) -> str:
    returns = function.returns if function.returns.endswith("*") else function.returns + " "
    params = [param.text for param in function.params] or ["void"]
    line = f"{returns}{function.name}({', '.join(params)});"
    if len(line) <= WIDTH:
        return line
    return f"{returns}{function.name}(\n    " + ",\n    ".join(params) + ");"


def _notes(function: Function, known: set[str]) -> list[str]:
    """The lines on ownership and errors that follow from the signature alone."""
    notes = []
    if function.returns == "int" and function.cpp not in ("@free", "@set"):
        notes += [_slot(param) for param in function.params if param.is_writable and _handle(param) in known]
    if any(param.type == "const mlx_stream" for param in function.params):
        notes.append("The stream decides the device; the result is computed when it is evaluated.")
    notes.append(_returns(function))
    return [note for note in notes if note]


def _handle(param: Param) -> str:
    return param.type.removesuffix(" *")


def _slot(param: Param) -> str:
    return f"`{param.name}`: receives the result; the caller owns it and frees it with {_handle(param)}_free()."


def _returns(function: Function) -> str:
    condition = f": {function.errors}, or a bad argument" if function.errors else ""
    if function.returns == "int":
        return f"Returns 0, or 1 after an error{condition}."
    if function.returns == "void":
        return ""
    if function.returns.startswith("mlx_") and function.returns != "mlx_dtype":
        if function.cpp == "@new":
            return ""
        free = f"Owned by the caller: free it with {function.returns}_free()."
        return f"{free} After an error its `ctx` is NULL{condition}."
    zero = {"bool": "false", "mlx_dtype": "MLX_BOOL"}.get(function.returns, "NULL" if "*" in function.returns else "0")
    return f"Returns {zero} after an error{condition}."


def _comment(doc: str, notes: list[str] | None = None, indent: str = "") -> str:
    paragraphs = [" ".join(part.split()) for part in doc.strip().split("\n\n")]
    lines = [line for part in paragraphs for line in [*textwrap.wrap(part, WIDTH - 3, break_long_words=False), ""]]
    for note in notes or []:
        lines += textwrap.wrap(note, WIDTH - 3, break_long_words=False)
    while lines and not lines[-1]:
        lines.pop()
    body = "\n".join(f"{indent} * {line}".rstrip() for line in lines)
    return f"{indent}/**\n{body}\n{indent} */"


def _umbrella(headers: list[Header], banner: str) -> str:
    includes = "\n".join(f'#include "mlx/c/{header.name}.h"' for header in sorted(headers, key=lambda h: h.name))
    about = "/**\n * The whole C ABI of MLX: every header of this folder.\n */"
    guard = "MLX_C_MLX_H"
    return f"/* {banner} */\n\n#ifndef {guard}\n#define {guard}\n\n{about}\n\n{includes}\n\n#endif /* {guard} */\n"
