"""The memory of arrays side by side is in pages of 2 MB where the system gives such."""

import mmap
import subprocess
import sys
from pathlib import Path

import pytest

MADV_COLLAPSE = 25
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
HOLD_MANY = """
import mlxffi.core as mx

def in_large_pages():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages"))

before = in_large_pages()
held = [mx.full((1 << 17,), 1.0) for _ in range(128)]  # of 512 KB
for one in held:
    mx.eval(one)
print(in_large_pages() - before)
"""


def _gives_large_pages():
    """Whether the system makes a large page of small ones that have been touched."""
    if not SETTING.exists() or "[never]" in SETTING.read_text():
        return False
    with mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        for place in range(0, len(memory), mmap.PAGESIZE):
            memory[place] = 1
        try:
            memory.madvise(MADV_COLLAPSE)
        except OSError:
            return False
    return True


@pytest.mark.skipif(not _gives_large_pages(), reason="this system has no pages of 2 MB, or no MADV_COLLAPSE")
def test_arrays_that_are_smaller_than_a_large_page_share_them():
    done = subprocess.run([sys.executable, "-c", HOLD_MANY], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 32 << 10  # half of 64 MB, in KB
