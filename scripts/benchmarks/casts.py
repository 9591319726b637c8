"""Conversions of each type to each other, as `elementwise` measures them."""

from __future__ import annotations

from . import elementwise
from ._elements.rows import casts


def main(*rows: str) -> None:
    """Print the rows."""
    elementwise.tabulate(casts, (False,), *rows)
