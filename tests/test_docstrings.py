"""Docstrings of public functions name each argument, and say what comes back."""

import argparse
import dataclasses
import inspect
import re
import subprocess
import sys
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages

import pytest

import mlxffi
import mlxffi.core

ROOT = Path(__file__).resolve().parents[1]
# Only a process whose mlx.nn is over mlxffi.core can import these.
OVER_MLX_NN = {"mlxffi.tuner.lora.modules", "mlxffi.tuner.lora.wrappers"}
FOUND = {module.name for module in walk_packages(mlxffi.__path__, "mlxffi.")} - OVER_MLX_NN
MODULES = ["mlxffi._ops", *sorted(name for name in FOUND if "._" not in name)]
CORE = ["fast", "fft", "linalg", "random", "distributed", "metal"]
# Every operation has it, and it means the same.
UNDERSTOOD = {"self", "cls", "stream"}
# Their constructors are the standard library's.
OF_THE_LIBRARY = (Enum, argparse.Action, BaseException)
# Types of C, whose constructors inspect cannot read.
IN_C = {f"mlxffi.core.{name}" for name in ("Device", "Stream", "StreamContext")}


def functions():
    """All by their full names."""
    found = {}
    for name in MODULES:
        found |= public(import_module(name), getattr(import_module(name), "__all__", None))
    found |= {f"mlxffi.{name}": getattr(mlxffi, name) for name in mlxffi.__all__}
    found |= of_core(mlxffi.core)
    for name in CORE:
        found |= of_core(getattr(mlxffi.core, name))
    return {name: made for name, made in found.items() if is_function(made)}


def is_function(value):
    """Also an operation of mlxffi.core, which is an object of C; no class, no instance of one."""
    return callable(value) and hasattr(value, "__name__") and not inspect.isclass(value)


def public(module, names):
    """The functions of a module, and the methods of its classes that have a docstring of their own or no base's."""
    found = {}
    for name, value in vars(module).items():
        if name.startswith("_") or (names and name not in names) or getattr(value, "__module__", "") != module.__name__:
            continue
        members = vars(value) if inspect.isclass(value) else {}
        found |= {f"{module.__name__}.{name}": value}
        # A class method is no function, but what it is made of is.
        found |= {
            f"{module.__name__}.{name}.{key}": getattr(item, "__func__", item)
            for key, item in members.items()
            if not key.startswith("_")
        }
    return found


def of_core(module):
    """What mlx.core has too: the functions that a part of mlxffi.core defines."""
    named = {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}
    return {
        f"{module.__name__}.{name}": value
        for name, value in named.items()
        if getattr(value, "__module__", "").startswith("mlxffi.core") and name != "as_array"
    }


def classes():
    """Those that users construct, by their full names; what is made by a function is described there."""
    found = {}
    for name in MODULES:
        found |= public(import_module(name), getattr(import_module(name), "__all__", None))
    return {name: made for name, made in found.items() if name not in IN_C and is_constructed(made)}


def is_constructed(value):
    """Whether it is a class that is called, and has a constructor of our own."""
    if not inspect.isclass(value) or issubclass(value, OF_THE_LIBRARY):
        return False
    return not getattr(value, "_is_protocol", False) and "made by `" not in inspect.getdoc(value)


FUNCTIONS = functions()
CLASSES = classes()


def lacks(function):
    """What a docstring does not tell."""
    text, signature = docstring(function), inspect.signature(function)
    arguments = [name for name in signature.parameters if name not in UNDERSTOOD]
    told = told_in(text)
    returns = signature.return_annotation not in ("None", "NoReturn", None, inspect.Signature.empty)
    missing = [] if text else ["a docstring"]
    missing += [name for name in arguments if name not in told]
    return missing + (["Returns"] if arguments and returns and not re.search(r"^(Returns|Yields):", text, re.M) else [])


def lacks_of_constructor(owner):
    """The arguments that neither the class, nor a base, nor the help of a field tells of."""
    texts = "\n".join(base.__doc__ or "" for base in owner.__mro__)
    fields = dataclasses.fields(owner) if dataclasses.is_dataclass(owner) else ()
    known = told_in(texts) | {field.name for field in fields if "help" in field.metadata} | UNDERSTOOD
    return [name for name in inspect.signature(owner).parameters if name not in known and name != "_"]


def told_in(text):
    """The arguments that a docstring describes."""
    return {name.strip(" *") for names in re.findall(r"^ +([\w*, ]+): ", text, re.M) for name in names.split(",")}


def docstring(function):
    """Its own; where it ends in "see `X`.", that of X, or of its function of the same name; X is beside or above it."""
    text = inspect.getdoc(function) or ""
    if found := re.search(r"[Ss]ee `(\w+)`\.$", text):
        for module in (function.__module__, function.__module__.rpartition(".")[0]):
            owner = getattr(import_module(module), found[1], None)
            if inspect.isfunction(owner):
                return docstring(owner)
            if hasattr(owner, function.__name__):
                return docstring(getattr(owner, function.__name__)) or text
    return text


def test_there_are_many():
    assert len(FUNCTIONS) > 1500


@pytest.mark.parametrize("module", ["mlxffi._ops", "mlxffi.core", "mlxffi.losses", "mlxffi.tuner.trainer.loop"])
def test_functions_are_found(module):
    assert any(name.startswith(f"{module}.") for name in FUNCTIONS)


def test_each_argument_and_result_is_described():
    found = {name: lacks(function) for name, function in FUNCTIONS.items()}
    assert {name: missing for name, missing in found.items() if missing} == {}


def test_each_argument_of_a_constructor_is_described():
    assert len(CLASSES) > 130
    found = {name: lacks_of_constructor(made) for name, made in CLASSES.items()}
    assert {name: missing for name, missing in found.items() if missing} == {}


@pytest.mark.skipif(find_spec("mlx.nn") is None, reason="mlx.nn is not installed")
def test_of_modules_over_mlx_nn_too():
    code = """
import mlxffi.compat, test_docstrings as test
mlxffi.compat.install()
found = {}
for module in map(test.import_module, sorted(test.OVER_MLX_NN)):
    found |= test.public(module, getattr(module, "__all__", None))
lacking = {name: test.lacks(made) for name, made in found.items() if test.is_function(made)}
print(len(lacking) > 10, {name: missing for name, missing in lacking.items() if missing})
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tests", capture_output=True, text=True, check=True)
    assert done.stdout == "True {}\n"


def test_a_docstring_that_lacks_something_would_be_noticed():
    def scaled(x: float, factor: float) -> float:
        """A product.

        Args:
          x: a number.
        """
        return x * factor

    assert lacks(scaled) == ["factor", "Returns"]


def test_a_docstring_that_points_at_nothing_would_be_noticed():
    def prepare(arguments: object) -> int:
        """Get ready; see `Command`."""
        return 0

    assert lacks(prepare) == ["arguments", "Returns"]
    prepare.__module__ = "mlxffi.tuner.cli.chat"
    assert lacks(prepare) == []
