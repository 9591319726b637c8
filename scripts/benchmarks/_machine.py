"""What a figure has to say of the machine that it was measured on."""

from __future__ import annotations

import os
import platform
from datetime import date
from pathlib import Path


def described() -> str:
    """The day, the CPU, how many of it this process may use, and the load of the last minute."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = names[0] if names else platform.processor()
    return f"{date.today()}, {name}, {count} CPUs, load {os.getloadavg()[0]:.1f}"
