"""What the process does to MLX: forks and the end of the interpreter."""

from __future__ import annotations

import atexit
import os

from ._errors import OperationError
from ._ffi import native

_forked = False


def _note_fork() -> None:
    global _forked
    _forked = True


def require_no_fork(function: str) -> None:
    """Refuse to evaluate in a forked child: MLX's threads exist in the parent only, and waiting for them never ends."""
    if _forked:
        raise OperationError(
            f"[{function}] MLX cannot compute in a forked process; start the process with the 'spawn' method "
            "(multiprocessing.get_context('spawn')) and import mlxffi there"
        )


native.compute_with(require_no_fork)
os.register_at_fork(after_in_child=_note_fork)
atexit.register(native.stop_callbacks)
