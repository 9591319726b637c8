"""Shared libraries by their path.

Where the extension of this name is built (native/dynamic), CPython takes that in the place of this file: it does the
same without ctypes, which costs an import half a megabyte.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any


def open_library(path: str, mode: int) -> Any:
    """Load a shared library, or get the one that is loaded already.

    Args:
      path: its path.
      mode: flags of dlopen.

    Returns:
      What the functions below take; the extension has an int.

    Raises:
      OSError: the dynamic linker refuses, for the reason in the message.
    """
    return ctypes.CDLL(path, mode)


def text_of(library: Any, name: str) -> str:
    """What a function without parameters returns, as a str.

    Raises:
      AttributeError: the library has no function of that name.
    """
    function = library[name]
    function.restype = ctypes.c_char_p
    text: bytes = function()
    return text.decode()


def tell(library: Any, name: str, path: str) -> None:
    """Call a function with a path.

    Raises:
      AttributeError: the library has no function of that name.
    """
    library[name](os.fsencode(path))
