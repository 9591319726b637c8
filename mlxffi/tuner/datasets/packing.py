"""Several short documents to a row."""

from __future__ import annotations

from collections.abc import Sequence


def first_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Rows of items, each item in the first row that has room for it; longest first, little room is left.

    Args:
      lengths: of the items, each at most `capacity`.
      capacity: of each row.

    Returns:
      The indices of the items in each row.

    Source: first-fit bin packing; Johnson et al. 1974, within 11/9 of the fewest rows where lengths descend.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for item, length in enumerate(lengths):
        row = next((row for row, left in enumerate(room) if left >= length), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(capacity)
        rows[row].append(item)
        room[row] -= length
    return rows
