"""The command line: options in, an exit status out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import NoReturn

from . import files, run
from .config import Config, UsageError, option
from .job import Job, initial_state

OUTPUT = Path(__file__).resolve().parents[2] / "build" / "quickstart"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns:
      The exit status: 0, 2 for what the user has to mend, 130 for an interrupted run.
    """
    options = parser().parse_args(arguments)
    try:
        job = begin(options)
        run.run(job, options.steps, options.evaluate_every, options.sample, output_folder(options))
    except (UsageError, OSError) as error:
        print(f"quickstart: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("quickstart: interrupted; --resume CHECKPOINT goes on from where it stopped", file=sys.stderr)
        return 130
    return 0


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one sentence, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; --help lists the options\n")


def parser() -> argparse.ArgumentParser:
    """The options; a field of Config that is not given is left out of the result."""
    result = Parser(prog="quickstart", description="Train a small byte-level transformer on English prose.")
    add = result.add_argument
    add("--steps", type=count, default=800, help="train up to this step (default: %(default)s)")
    add("--evaluate-every", type=count, default=100, help="steps between two validations (default: %(default)s)")
    add("--sample", type=count, default=600, help="bytes to write at the end (default: %(default)s)")
    add("--output", type=Path, help=f"folder for the files (default: that of the checkpoint resumed, else {OUTPUT})")
    add("--resume", type=Path, metavar="CHECKPOINT", help="go on from a checkpoint, with its configuration")
    for entry in fields(Config):
        described = f"{entry.metadata['help']} (default: {entry.default})"
        add(option(entry.name), type=type(entry.default), default=argparse.SUPPRESS, help=described)
    return result


def count(text: str) -> int:
    """An int of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {number}")
    return number


def begin(options: argparse.Namespace) -> Job:
    """A fresh job, or one from a checkpoint."""
    given = {entry.name: getattr(options, entry.name) for entry in fields(Config) if entry.name in options}
    if options.resume is None:
        config = Config(**given)
        return Job(config, initial_state(config))
    config, state = files.load_checkpoint(options.resume)
    for name, value in given.items():
        kept = asdict(config)[name]
        if value != kept:
            raise UsageError(f"{option(name)} {value} differs from the checkpoint's {kept}; leave it out with --resume")
    return Job(config, state)


def output_folder(options: argparse.Namespace) -> Path:
    """Where the files go."""
    if options.output is not None:
        return Path(options.output)
    return OUTPUT if options.resume is None else Path(options.resume).parent
