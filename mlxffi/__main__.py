"""`python -m mlxffi COMMAND`."""

from __future__ import annotations

import argparse
import sys

from . import _config, _doctor, _run, _trace


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
      arguments: the command and its options; those of the process where None.

    Returns:
      The exit status.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["run"]:
        return _run.run(given[1:])
    parser = argparse.ArgumentParser(prog="python -m mlxffi", description="Tools around mlxffi.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (_config, _doctor, _run, _trace):
        command.add_parser(commands)
    options = parser.parse_args(given)
    status: int = options.run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
