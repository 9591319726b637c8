"""Libraries that only a part of the tuner needs: where one is missed, a sentence says how to install it."""

from __future__ import annotations

import importlib
from types import ModuleType


class MissingLibraryError(ImportError):
    """A library of an extra is not installed."""


def required(name: str, extra: str) -> ModuleType:
    """An optional module.

    Args:
      name: of the module.
      extra: of mlxffi that brings it.

    Raises:
      MissingLibraryError: it is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or name.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingLibraryError(f"this needs {name}, which is not installed: pip install 'mlxffi[{extra}]'") from None
