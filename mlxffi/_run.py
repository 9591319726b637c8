"""`python -m mlxffi run [-m module | script] args...`: any program with `mlxffi.core` in the place of `mlx.core`.

The program finds `sys.argv`, `sys.path` and `__main__` as Python itself makes them. What it raises ends the process as
ever: its exit status is Python's, and the traceback begins with the program's first frame.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import io
import os
import runpy
import sys
from collections.abc import Iterator
from types import CodeType, ModuleType, TracebackType

from . import compat

USAGE = "usage: python -m mlxffi run [-m module | script] [args ...]"

# What a function of nanobind says of arguments that it does not know.
FOREIGN = ("incompatible function arguments", "Invoked with types:", f"{compat.NAME}.array")
FOREIGN_HINT = (
    "mlxffi: extensions that were compiled against mlx.core know its arrays alone: "
    "run this program with mlx.core itself, or hand them numpy arrays"
)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `python -m mlxffi`, for its help: `run` takes its arguments as they are."""
    commands.add_parser("run", help="run a program with mlxffi.core in the place of mlx.core")


def run(arguments: list[str]) -> int:
    """Run a program.

    Args:
      arguments: "-m" and a module, or a script; then the program's own.

    Returns:
      The exit status where the program comes to its end.
    """
    as_module = arguments[:1] == ["-m"]
    program = arguments[1:] if as_module else arguments
    if not program or (not as_module and program[0].startswith("-")):
        asked = arguments[:1] in (["-h"], ["--help"])
        print(USAGE, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    compat.install()
    sys.argv = list(program)
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        if as_module:
            runpy._run_module_as_main(program[0])  # type: ignore[attr-defined]
        else:
            _run_script(program[0])
    except BaseException:
        _hide_own_frames()
        raise
    return 0


def _run_script(path: str) -> None:
    safe = getattr(sys.flags, "safe_path", False)
    if os.path.isdir(path) or path.endswith((".zip", ".pyz")):
        sys.path.insert(0, path)
        runpy._run_module_as_main("__main__", False)  # type: ignore[attr-defined]
        return
    if not safe:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    path = os.path.abspath(path)
    names = vars(sys.modules["__main__"])
    names.update(__file__=path, __cached__=None, __loader__=importlib.machinery.SourceFileLoader("__main__", path))
    names["__builtins__"] = sys.modules["builtins"]
    exec(_code(path), names)


def _code(path: str) -> CodeType:
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        print(f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}", file=sys.stderr)
        raise SystemExit(2) from None
    code: CodeType = compile(source, path, "exec", dont_inherit=True)
    return code


def _hide_own_frames() -> None:
    """Let whatever shows an uncaught exception see the program's frames only."""
    show = sys.excepthook

    def shown(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        own = {run.__code__, _run_script.__code__, _code.__code__}
        frames = list(_entries(traceback))
        places = [place for place, entry in enumerate(frames) if entry.tb_frame.f_code in own]
        if places:
            traceback = frames[places[-1]].tb_next
        show(kind, error.with_traceback(traceback), traceback)
        if kind is TypeError and all(part in str(error) for part in FOREIGN):
            print(FOREIGN_HINT, file=sys.stderr)

    sys.excepthook = shown


def _entries(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next
