"""What a fork does to MLX."""

from __future__ import annotations

import os

from . import _loader
from ._errors import OperationError

_forked = False


def _note_fork() -> None:
    global _forked
    _forked = True


def require_no_fork(function: str) -> None:
    """Refuse to evaluate in a forked child: MLX's threads exist in the parent only, and waiting for them never ends.

    Over somebody else's mlx-c; libmlxc refuses by itself.
    """
    if _forked:
        raise OperationError(
            f"[{function}] MLX cannot compute in a forked process; start the process with the 'spawn' method "
            "(multiprocessing.get_context('spawn')) and import mlxffi there"
        )


if _loader.build_info().MLXC_PREFIX:
    os.register_at_fork(after_in_child=_note_fork)
