"""A child whose second call ends the process and whose fourth never comes back: the parent must tell both."""

from __future__ import annotations

import os
import time
from pathlib import Path

from . import child
from .specs import Case


def attempt(case: Case, folder: Path) -> tuple[str, str, int, str, int]:
    """Make one call, but for two of them."""
    calls = list(child.cases([case.function]))
    if case.name == calls[1].name:
        os.abort()
    if case.name == calls[3].name:
        time.sleep(3600)
    return honest(case, folder)


honest = child.attempt

if __name__ == "__main__":
    child.attempt = attempt
    child.main()
