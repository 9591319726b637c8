"""`python -m mlxffi COMMAND`."""

from __future__ import annotations

import argparse
import sys

from . import _config, _doctor


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
      arguments: the command and its options; those of the process where None.

    Returns:
      The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m mlxffi", description="Tools around mlxffi.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (_config, _doctor):
        command.add_parser(commands)
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
