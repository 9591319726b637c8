"""Docstrings of the generated Python functions: a sentence, Args, Returns, Raises, and the C function.

The sentence and the result are those of a row's `doc`; of parameters, scripts/api/parameters.toml tells.
"""

from __future__ import annotations

import re
import textwrap
from typing import NamedTuple

from .table import Function, TableError, parameters

PREFIXES = "ops|linalg|fast|fft|random|distributed|device|memory|metal|cuda"
# What C calls otherwise than Python.
IN_PYTHON = {
    r"the `(\w+)_num` (?:axes|sizes) (?:in )?`\1`": r"`\1`",
    r"the `(\w+)_num` (\w+) (in|of) `\1`": r"the \2 \3 `\1`",
    r"The `(\w+)_num` (\w+) (in|of) `\1`": r"The \2 \3 `\1`",
    r"[Ww]ith `(\w+)_num` 0,?": r"with no `\1`",
    r"`(\w+)_num` 0 gives a scalar": r"an empty `\1` gives a scalar",
    r"`(\w+)_num` is 0": r"`\1` is empty",
    r"`(\w+)_num`": r"len(`\1`)",
    r"`(\w+)\.has_value` is false": r"`\1` is None",
    r"with a NULL `(\w+)`": r"without `\1`",
    r"\b[Aa]n empty handle": "None",
    r"\bempty handles": "None",
    r"`res` is": "the result is",
    r"\b[Aa]n empty (`\w+`)": r"no \1",
    r"`res` (?:gets|becomes) (a vector of )?": "the results are ",
    r"`res_0` gets": "the first result is",
    r"`res_1` gets": "the second is",
    r"`res_0`": "the first result",
    r"`res_1`": "the second result",
    r"The vector has": "The list has",
    rf"\bmlx_(?:(?:{PREFIXES})_)?": "",
}
OF_RESULT = re.compile(
    r"\b(results?|dtypes? (?:is|are|of)|[Ss]hape (?:is|and dtype)|[Bb]oth (?:have|are)|give float32|are kept"
    r"|gives? a scalar|list has|parts have|[Oo]utputs? (?:has|have|keeps))\b"
)

# What Args tell already.
REPEATED = re.compile(
    r"(A negative `axis` counts|Negative axes count|`keepdims` keeps|No `key` takes|A negative `kth` counts)[^;]*\."
)


def sentences(doc: str) -> list[str]:
    """The sentences of a row's description, in Python's words."""
    text = in_python(" ".join(doc.split()))
    found = re.split(r"(?<=[^.\s]\.)\s(?=[A-Za-z`])", text)
    return [(sentence[0].upper() + sentence[1:]).replace("\\", "\\\\") for sentence in found]


def in_python(text: str) -> str:
    """A text with C's names and habits replaced."""
    for c, python in IN_PYTHON.items():
        text = re.sub(c, python, text)
    return text


def result_of(row: Function) -> str:
    """What a row says of its result."""
    told = [sentence for sentence in sentences(row.doc)[1:] if OF_RESULT.search(sentence)]
    return row.returns_what or " ".join(told)


def rest_of(row: Function) -> str:
    """What a row says beyond its first sentence, its parameters and its result."""
    rest = [sentence for sentence in sentences(row.doc)[1:] if not REPEATED.fullmatch(sentence)]
    return " ".join(sentence for sentence in rest if row.returns_what or not OF_RESULT.search(sentence))


def errors_of(row: Function) -> str:
    """What makes a row's function fail."""
    return " ".join(in_python(row.errors).split())


def about_parameter(row: Function, name: str, *, core: bool = False) -> str:
    """What a parameter is; an error where nothing tells."""
    function = row.name.removeprefix("mlx_")
    keys = [f"core.{function}.{name}"] * core + [f"{function}.{name}", f"{row.header}.{name}", name]
    for key in keys:
        if key in parameters():
            return parameters()[key]
    raise TableError("parameters", f"{function}.{name}", "is not described")


class Docstring(NamedTuple):
    """The parts of a docstring; each but the sentence may be empty."""

    sentence: str
    rest: str
    arguments: list[tuple[str, str]]
    result: str
    errors: str
    source: str = ""

    def text(self, width: int) -> str:
        """The docstring, with an indent of four."""
        parts = [textwrap.wrap(f'"""{self.sentence}', width, break_long_words=False)]
        parts += [textwrap.wrap(self.rest, width, break_long_words=False)] if self.rest else []
        items = [line for name, text in self.arguments for line in _item(f"{name}: {text.rstrip('.')}.", width, "    ")]
        parts += [["Args:", *items]] if items else []
        parts += [["Returns:", *_item(self.result, width, "  ")]] if self.result else []
        parts += [["Raises:", *_item(f"Error: {self.errors}.", width, "    ")]] if self.errors else []
        parts += [[self.source]] if self.source else []
        lines = [line for part in parts for line in [*part, ""]][:-1]
        lines = [*lines, '"""'] if len(parts) > 1 else [f'{lines[0]}"""']
        return "\n".join(f"    {line}".rstrip() for line in lines)


def _item(text: str, width: int, hanging: str) -> list[str]:
    return textwrap.wrap(text, width, initial_indent="  ", subsequent_indent=hanging, break_long_words=False)
