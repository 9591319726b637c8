"""Computation graphs as text: the operations that arrays still need."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TypeAlias

from ._arguments import as_own, text
from ._containers import array_list, entries_of, fresh
from ._ffi import check, handle, lib
from ._files import require
from .array import Array

__all__ = ["export_to_dot", "print_graph"]

TextFile: TypeAlias = "str | os.PathLike[str] | IO[str]"


def export_to_dot(file: TextFile, outputs: Sequence[Array], names: Mapping[str, Array] | None = None) -> None:
    """Write the graph of some arrays in Graphviz's DOT language.

    Args:
      file: a path or a text file object.
      outputs: arrays that are not evaluated yet.
      names: names for arrays of the graph; the others get letters.

    Source: C mlx_export_to_dot.
    """
    graph = _written(lib.mlx_export_to_dot, outputs, names)
    if isinstance(file, (str, os.PathLike)):
        Path(file).write_text(graph, encoding="utf-8")
    else:
        _write(file, graph)


def print_graph(
    outputs: Sequence[Array], names: Mapping[str, Array] | None = None, file: IO[str] | None = None
) -> None:
    """Print the graph of some arrays: its inputs, its outputs, and one line for each operation.

    Args:
      outputs: arrays that are not evaluated yet.
      names: names for arrays of the graph; the others get letters.
      file: where to print; None: standard output.

    Source: C mlx_print_graph.
    """
    _write(sys.stdout if file is None else file, _written(lib.mlx_print_graph, outputs, names))


def _write(file: IO[str], graph: str) -> None:
    require(file, "write", "a text file")
    file.write(graph)


def _written(write: Callable[..., int], outputs: Sequence[Array], names: Mapping[str, Array] | None) -> str:
    """What a C function writes about a graph."""
    with fresh("mlx_node_namer") as namer, array_list(outputs) as arrays:
        for name, named in entries_of(names, "names"):
            array = as_own(named)
            check(lib.mlx_node_namer_set_name(namer, handle("mlx_array", array._h), text(name, "names")))
        with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
            check(write(file, namer, arrays))
            file.seek(0)
            return file.read()
