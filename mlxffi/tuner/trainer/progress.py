"""How far a run is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..._errors import ArgumentError

TYPES: dict[str, Any] = {
    "int": int,
    "float": float,
    "float | None": (float, type(None)),
    "int | None": (int, type(None)),
}


@dataclass
class Progress:
    """How far a run is, and what it will report next.

    Args:
      iteration: iterations done.
      trained_tokens: targets up to the last report, in all processes.
      loss, targets: sums since the last report, in this process.
      batches, skipped: iterations, and updates left out, since the last report.
      seconds: spent on iterations since the last report.
      grad_norm: of the last update.
      val_loss: of the last validation.
      best_val_loss, best_iteration: of the best one.
      worse: validations since the best one.
    """

    iteration: int = 0
    trained_tokens: int = 0
    loss: float = 0.0
    targets: float = 0.0
    batches: int = 0
    skipped: int = 0
    seconds: float = 0.0
    grad_norm: float = 0.0
    val_loss: float | None = None
    best_val_loss: float | None = None
    best_iteration: int | None = None
    worse: int = 0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Progress:
        """The progress of which `values` has the fields.

        Raises:
          ValueError: a field is missing, unknown, or of another type; the message names it.
        """
        kinds = {field.name: str(field.type) for field in fields(cls)}
        for name in sorted(kinds.keys() ^ values.keys()):
            raise ArgumentError(f"progress.{name}: {'expected a number, got none' if name in kinds else 'unknown'}")
        for name, kind in kinds.items():
            if not isinstance(values[name], TYPES[kind]) or isinstance(values[name], bool):
                raise ArgumentError(f"progress.{name}: expected {kind}, got {values[name]!r}")
        return cls(**values)
