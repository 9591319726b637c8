"""The command line, `mlxffi-lora`: which command was asked for, and what becomes of its errors.

What goes wrong while a command prepares is the user's to mend: one sentence and exit status 2, and nothing has been
written. What goes wrong in the work has status 1.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from ..._errors import Error
from ..checks import MissingLibraryError
from . import chat, convert, data, fuse, generate, lora, merge, perplexity, report


class Command(Protocol):
    """What a module has to be a command; its docstring is the help's first line."""

    __name__: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The options of the command.

        Args:
          parser: gets them.
        """
        ...

    def prepare(self, arguments: argparse.Namespace) -> Callable[[], None]:
        """Check and load all that the command needs.

        Args:
          arguments: what the parser made of the command line.

        Returns:
          what does the work.

        Raises:
          OSError: a file or a folder is missing.
          ValueError: an option, or what a file holds, is wrong; the message names it.
        """
        ...


PROGRAM = "mlxffi-lora"
MODULES: tuple[Command, ...] = (chat, convert, data, fuse, generate, merge, perplexity, report)
COMMANDS = {module.__name__.rpartition(".")[2]: module for module in MODULES}
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
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f"{parser.prog}: warning: {message}", file=sys.stderr)
        return _run(parser.prog, partial((command or lora).prepare, given))


def _run(program: str, prepare: Callable[[], Callable[[], None]]) -> int:
    failure = 2
    try:
        work = prepare()
        failure = 1
        work()
    except TOLD as error:
        return _tell(program, error, failure)
    except KeyboardInterrupt as error:
        return _tell(program, str(error) or "interrupted", 130)
    return 0


def _parser(command: Command | None, name: str) -> argparse.ArgumentParser:
    others = "" if command else f"other commands: {', '.join(f'{PROGRAM} {name} --help' for name in COMMANDS)}"
    found = (command or lora).__doc__ or ""
    parser = argparse.ArgumentParser(f"{PROGRAM} {name}".strip(), description=found, epilog=others, allow_abbrev=False)
    parser.register("action", None, StoreOnce)
    (command or lora).add_arguments(parser)
    return parser


class StoreOnce(argparse.Action):
    """Stores the value of an option, which may be given once: of two, one would be lost."""

    is_given = False

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        if self.is_given:
            raise argparse.ArgumentError(self, f"expected once, got twice, with {values!r} at last")
        self.is_given = True
        setattr(namespace, self.dest, values)


def _tell(program: str, what: object, status: int = 0) -> int:
    print(f"{program}: {what}", file=sys.stderr)
    return status
