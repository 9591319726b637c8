#!/usr/bin/env bash
# CPython 3.12 and newer: a generator under contextlib.contextmanager that turns one exception into another leaves a
# reference cycle behind (the first exception, its traceback, the generator's frame, whose f_back is the frame of
# __exit__, whose local is that exception). Everything that the frames of the block hold, including large arrays, stays
# alive until the garbage collector runs. CPython 3.11 and older free it immediately, and so does every version if a
# class with __exit__ is used instead.
#
# usage: findings/contextmanager-keeps-frames.sh [python...]      (default: python3); exits with 1 if this has changed
set -euo pipefail
[ $# -gt 0 ] || set -- python3
for python; do
  "$python" - <<'PY'
import contextlib, gc, sys, weakref

class Big: pass

@contextlib.contextmanager
def generator():
    try:
        yield
    except ValueError:
        raise KeyError from None

class Class:
    def __enter__(self): pass
    def __exit__(self, kind, error, traceback):
        if isinstance(error, ValueError):
            raise KeyError from None

def freed(manager):
    def use():
        big = Big()
        try:
            with manager():
                raise ValueError
        except KeyError:
            return weakref.ref(big)
    return use()() is None

gc.disable()
found = freed(generator), freed(Class)
print(f"CPython {sys.version.split()[0]}: a local of the block is freed at once: generator {found[0]}, class {found[1]}")
sys.exit(found != (sys.version_info < (3, 12), True))
PY
done
