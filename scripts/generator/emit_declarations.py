"""include/mlxffi/mlxc.cdef: every declaration, for tools that read C and have no preprocessor."""

from __future__ import annotations

import re

from .additions import FOLDER, added
from .table import Function, Header, functions


def render_all(headers: list[Header], banner: str) -> dict[str, str]:
    """Types, then functions. No comment, no directive, and no type but of C and stdint.h, bool and size_t."""
    types = [f"{type_.c};" for header in headers for type_ in header.types]
    types.sort(key=lambda text: "enum" not in text)  # structs have members of them
    rows = [*functions(headers), *added()]
    return {"mlxc.cdef": "\n".join([f"/* {banner} */", *types, *_types(), *map(_prototype, rows)]) + "\n"}


def _types() -> list[str]:
    """The types of include/mlxffi."""
    texts = (
        re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S) for path in sorted(FOLDER.glob("*.h"))
    )
    found = [
        " ".join(one.split()) for text in texts for one in re.findall(r"^typedef \w+ \w+ \{[^}]*\}[^;]*;", text, re.M)
    ]
    return sorted(found, key=lambda text: "enum" not in text)


def _prototype(function: Function) -> str:
    """With a FILE as any pointer and the half types as their bits."""
    returns = function.returns if function.returns.endswith("*") else f"{function.returns} "
    params = ", ".join(param.text for param in function.params) or "void"
    text = f"{returns}{function.name}({params});"
    return re.sub(r"\bb?float16_t\b", "uint16_t", text).replace("FILE *", "void *")
