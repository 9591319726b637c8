"""Programs that are measured in a process of their own, and print what they measured as JSON in their last line."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parents[1]


def measured(command: Sequence[str], folder: Path, **environment: str) -> Any:
    """What a program printed; None where it needs a library that is not installed.

    Args:
      command: the program, which may be a module of these scripts.
      folder: where it runs: in a checkout that was not built, `-m` would take that for an installed mlxffi.
      environment: variables that it gets besides.
    """
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "PYTHONPATH": str(SCRIPTS)}
    variables: Mapping[str, str] = {**os.environ, **quiet, **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables, cwd=folder)
    if done.returncode and "ModuleNotFoundError" in done.stderr:
        return None
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
