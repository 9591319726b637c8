"""The command line, `mlxffi-lora`: which command was asked for, and what becomes of its errors.

A command has two functions: `add_arguments(parser)`, and `prepare(arguments)`, which checks and loads all that it
needs and gives back the function that does the work. What goes wrong while it prepares is the user's to mend: one
sentence and exit status 2, and nothing has been written. What goes wrong in the work has status 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

from ..._errors import Error
from ..checks import MissingLibraryError
from . import fuse, generate, lora, report

PROGRAM = "mlxffi-lora"
COMMANDS: dict[str, ModuleType] = {"fuse": fuse, "generate": generate, "report": report}
# What tells in a sentence what is wrong; anything else is a defect, and its traceback is wanted.
TOLD = (Error, OSError, MissingLibraryError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
      arguments: in the place of the process's own.

    Returns:
      The exit status: 0; 1 after a failure of the work; 2 where an option, a file or a folder is wrong.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = COMMANDS.get(words[0]) if words else None
    parser = _parser(command, words[0] if command else "")
    given = parser.parse_args(words[1:] if command else words)
    try:
        work: Callable[[], None] = (command or lora).prepare(given)
    except TOLD as error:
        return _fail(parser.prog, error, 2)
    try:
        work()
    except TOLD as error:
        return _fail(parser.prog, error, 1)
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser(command: ModuleType | None, name: str) -> argparse.ArgumentParser:
    others = "" if command else f"other commands: {', '.join(f'{PROGRAM} {name} --help' for name in COMMANDS)}"
    found = (command or lora).__doc__ or ""
    parser = argparse.ArgumentParser(f"{PROGRAM} {name}".strip(), description=found, epilog=others, allow_abbrev=False)
    (command or lora).add_arguments(parser)
    return parser


def _fail(program: str, error: BaseException, status: int) -> int:
    print(f"{program}: {error}", file=sys.stderr)
    return status
