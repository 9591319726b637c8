"""What mlxffi.core stands on: `native`, a module of C over libmlxc, and in it `abi`, every function of the C ABI.

A function of the ABI takes arrays, a Stream, Device or None for a stream, a Dtype, lists of ints and arrays, strs and
dicts by position, and gives an array, a list or a tuple. It raises TypeError for anything else, and what error_of makes
of a failure. Arguments at the end that may be None can be left out.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable

from .. import _bindings, _loader

__all__ = ["abi", "methods", "native", "operation", "operations", "signature"]

_loader.load()
try:
    from .. import _native as native
except ImportError as error:
    raise _loader.unloadable(error) from error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from .. import _abi as abi

    Class = TypeVar("Class", bound=type)
    Function = TypeVar("Function", bound=Callable[..., Any])
else:
    abi = native.abi

atexit.register(native.stop_callbacks)
_bindings.counters.append(native.living_functions)


def _rows_wanted() -> bool:
    choice = os.environ.get("MLXFFI_ROWS") or "on"
    if choice not in ("on", "off"):
        raise ImportError(f"MLXFFI_ROWS: expected 'on' or 'off', got {choice!r}")
    return choice == "on"


ROWS = _rows_wanted()


def _operation(name: str, function: Any, read_as: Any, reads: bool, converts: bool) -> Any:
    """An operation: C may read arguments as they lie, and convert all others; else the function is called."""
    code, given = read_as.__code__, read_as.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    by_name = read_as.__kwdefaults__ or {}
    required = (...,) * (code.co_argcount - len(given))
    defaults = required + given + tuple(by_name.get(name, ...) for name in names[code.co_argcount :])
    counts = code.co_posonlyargcount, code.co_argcount
    return native.operation(name, function, ",".join(names), defaults, *counts, reads, converts)


def operation(name: str, read_as: Callable[..., Any] | None = None) -> Callable[[Function], Function]:
    """A decorator for a function which C calls itself where the arguments are the usual ones.

    With MLXFFI_ROWS=off the functions stay as they are, which is for tests.

    Args:
      name: of the row that says how, in mlxffi/native/python: generated/operations.c or ops/*.c.
      read_as: a function with the parameters that C reads; None: it is the decorated one.
    """
    if not ROWS:
        return lambda function: function
    return lambda function: _operation(name, function, read_as or function, True, False)


def signature(name: str) -> Callable[[Function], Function]:
    """A decorator for a function of which all but the signature is C: arguments that are not the usual ones, too.

    With MLXFFI_ROWS=off all arguments are taken for such, which is for tests.

    Args:
      name: of the row that says how.
    """
    return lambda function: _operation(name, function, function, ROWS, True)


def operations(module: str, rows: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """The operations of a generated module.

    Their signatures and documentation are those of the functions in the module of that name in `documented`, which
    takes memory and time, and is loaded when somebody asks for these.

    Args:
      module: its name.
      rows: by name the row, the parameters between commas, their defaults (`...` for none), how many are
        positional-only, and how many positional.
    """
    documented = module.replace(".generated.", ".generated.documented.")
    return {
        name: native.operation(row, (documented, name, module), parameters, defaults, first, positional, ROWS, True)
        for name, (row, parameters, defaults, first, positional) in rows.items()
    }


def methods(owner: Class) -> Class:
    """A decorator for a class whose operations are its methods: bound to its objects, as functions are not."""
    for name, value in list(vars(owner).items()):
        method = native.method(value)
        if method is not value:
            setattr(owner, name, method)
    return owner
