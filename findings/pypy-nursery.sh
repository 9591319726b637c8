#!/usr/bin/env bash
# PyPy 7.3.19 makes its nursery half as large as the processor's largest cache, which is 240 MB on a server with 480 MB.
# Until it is full, no dead object is found: objects with __del__ pile up by the million, weak references to dead
# objects stay, and so does everything that they own outside of PyPy's heap. __pypy__.add_memory_pressure() hardly
# helps, because it only hastens the collection that follows when the nursery is full. gc.collect() does help.
#
# usage: findings/pypy-nursery.sh [pypy3]      (default: pypy3 on the path); exits with 1 if this has changed
# (PYPY_GC_NURSERY stands in for the large cache, so that every machine shows the same.)
set -euo pipefail
pypy=${1:-pypy3}
command -v "$pypy" >/dev/null || { echo "needs PyPy 3.11, and $pypy is not here; name one" >&2; exit 2; }
PYPY_GC_NURSERY=240MB "$pypy" - <<'PROGRAM'
import gc
import platform
import sys
import weakref

from __pypy__ import add_memory_pressure


class Owner:
    freed = 0

    def __del__(self):
        Owner.freed += 1


print(platform.python_implementation(), ".".join(map(str, sys.pypy_version_info[:3])))
COUNT = 300_000
references = []
for number in range(COUNT):
    owner = Owner()
    add_memory_pressure(400)
    if number % 1000 == 0:
        references.append(weakref.ref(owner))
del owner
waiting, alive = COUNT - Owner.freed, sum(reference() is not None for reference in references)
print(f"of {COUNT} dead objects, each with 400 bytes announced, {waiting} wait; {alive} of {len(references)} weak references live")
gc.collect()
gc.collect()
print(f"after gc.collect(): {COUNT - Owner.freed} (the last one may still be on the stack)")
sys.exit(0 if waiting > COUNT * 0.9 and alive > 0.9 * len(references) and Owner.freed >= COUNT - 1 else 1)
PROGRAM
