"""The settings of a training run. The help of the command line is made from the fields."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..._errors import ArgumentError

Bytes: TypeAlias = int

NAN_GUARDS = ("raise", "skip")


def setting(default: Any, about: str, **more: Any) -> Any:
    """A field with its default, help text and constraints.

    Args:
      default: the default value.
      about: the help text.
      more: `choices`, the smallest value (`least`), bounds (`above`, `below`), or `short`, a second option of the
        command line.

    Returns:
      The dataclass field.
    """
    return field(default=default, metadata={"help": about, **more})


@dataclass(frozen=True)
class TrainingArgs:
    """How to train. Iterations and intervals count batches, of which several may make one update.

    Raises:
      ValueError: a value is out of range; the message names the field.
    """

    batch_size: int = setting(4, "records in a batch, in all processes together", least=1)
    iters: int = setting(100, "iterations: batches to train on", least=1)
    epochs: int | None = setting(None, "passes over the training records, in the place of iters", least=1)
    val_batches: int = setting(25, "batches of the validation set to evaluate; -1 for all, 0 for none", least=-1)
    steps_per_report: int = setting(10, "iterations between reports of the loss", least=1)
    steps_per_eval: int = setting(200, "iterations between validations", least=1)
    steps_per_save: int = setting(100, "iterations between saves", least=1)
    max_seq_length: int = setting(2048, "longest sequence in tokens; the rest of a record is cut off", least=2)
    grad_checkpoint: bool = setting(False, "compute blocks again in the backward pass, which takes less memory")
    grad_accumulation_steps: int = setting(1, "batches whose gradients make one update", least=1)
    clear_cache_threshold: Bytes = field(
        default=0, metadata={"help": "free memory kept for reuse where it exceeds this; 0 never", "least": 0}
    )
    max_grad_norm: float | None = setting(None, "norm to which larger gradients are scaled down", above=0)
    nan_guard: str = setting(
        "raise", "after leaving out an update that is not finite: stop with an error, or go on", choices=NAN_GUARDS
    )
    early_stop: int = setting(0, "validations without a better loss after which to stop; 0 never", least=0)
    early_stop_delta: float = setting(0.0, "by how much, in nats per token, a better loss is lower", least=0)
    save_best: bool = setting(False, "end with the parameters of the best validation instead of the last ones")
    seed: int = setting(0, "seed of the order of records and of dropout", least=0, below=2**64)
    pack: bool = setting(False, "pack several records into a row, where each sees only itself")
    compile: bool = setting(True, "trace the training step once for each width of batches and run it as one graph")

    def __post_init__(self) -> None:
        for entry in self.__dataclass_fields__.values():
            _require(entry.name, getattr(self, entry.name), str(entry.type), entry.metadata)


def _require(name: str, value: Any, kind: str, limits: Any) -> None:
    """Check a value against the type and the limits of its field."""
    if value is None and kind.endswith(" | None"):
        return
    kind = kind.removesuffix(" | None").replace("Bytes", "int")
    types: Any = {"int": int, "float": (int, float), "bool": bool, "str": str}[kind]
    if not isinstance(value, types) or (isinstance(value, bool) and kind != "bool"):
        raise ArgumentError(f"{name}: expected {kind}, got {value!r}")
    if "choices" in limits and value not in limits["choices"]:
        raise ArgumentError(f"{name}: expected one of {', '.join(limits['choices'])}, got {value!r}")
    if kind == "float" and not math.isfinite(value):
        raise ArgumentError(f"{name}: expected a finite number, got {value!r}")
    if "least" in limits and value < limits["least"]:
        raise ArgumentError(f"{name}: expected at least {limits['least']}, got {value!r}")
    if "above" in limits and value <= limits["above"]:
        raise ArgumentError(f"{name}: expected a number above {limits['above']}, got {value!r}")
    if "below" in limits and value >= limits["below"]:
        raise ArgumentError(f"{name}: expected a number below {limits['below']}, got {value!r}")
