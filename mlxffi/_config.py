"""`python -m mlxffi config`: what a compiler needs to build a program over the C ABI."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from . import _backend, _loader

ABOUT = "Print what a compiler needs to build a program over the C ABI; what is asked for comes on one line."
# Old dtags make the rpaths serve what libmlxc depends on; what that lacks here (a GPU driver) need not stop the linker.
DEPENDENCIES = ["-Wl,--disable-new-dtags,--allow-shlib-undefined"]
RPATH = "-Wl,-rpath,"
EXAMPLE = """
example: gcc program.c $(python -m mlxffi config --cflags --libs) -o program
pkg-config and CMake find their files in pkgconfig and cmake/mlxc of --libdir.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `python -m mlxffi`."""
    parser = commands.add_parser(
        "config",
        help="print compiler flags for programs in other languages",
        description=ABOUT,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, answer in ANSWERS.items():
        parser.add_argument(f"--{name}", dest="asked", action="append_const", const=name, help=answer.__doc__)
    parser.set_defaults(run=run, usage_error=parser.error)


def run(options: argparse.Namespace) -> int:
    """Print the answers, quoted for a shell where that is needed."""
    if not options.asked:
        options.usage_error(f"expected at least one of {', '.join(f'--{name}' for name in ANSWERS)}")
    try:
        print(shlex.join(word for name in options.asked for word in ANSWERS[name]()))
    except ImportError as error:
        print(f"mlxffi: {error}", file=sys.stderr)
        return 1
    return 0


def cflags() -> list[str]:
    """Flags for compiling: where the headers are."""
    return [f"-I{folder}" for folder in includedir()]


def libs() -> list[str]:
    """Flags for linking, with the rpaths that let a program run as it is."""
    info, folders = _loader.build_info(), libdir()
    flags = [f"-L{folders[0]}", "-lmlxc", *(DEPENDENCIES if _loader.LINUX else [])]
    if not info.MLXC_PREFIX:
        folders.append(os.path.dirname(_backend.find(info.MLX_VERSION).library))
        openblas = _loader.openblas()
        if openblas and _loader.bridge_wanted():
            folders.append(os.path.dirname(openblas))
    return [*flags, *(f"{RPATH}{folder}" for folder in folders)]


def includedir() -> list[str]:
    """The folder that holds mlx/c/mlx.h."""
    prefix = _loader.build_info().MLXC_PREFIX
    in_wheel = os.path.join(_loader.PACKAGE, "include")
    if prefix or os.path.exists(in_wheel):
        return [os.path.join(prefix, "include") if prefix else in_wheel]
    return [os.path.join(os.path.dirname(os.path.realpath(_loader.PACKAGE)), "include")]


def libdir() -> list[str]:
    """The folder that holds libmlxc."""
    prefix = _loader.build_info().MLXC_PREFIX
    return [os.path.join(prefix, "lib") if prefix else _loader.LIBRARIES]


def tracelib() -> list[str]:
    """The library to preload (LD_PRELOAD) for a trace of a program's calls, in the file that MLXFFI_TRACE names."""
    if not os.path.exists(_loader.TRACER):
        raise ImportError("calls are traced on Linux alone, over mlxffi's own libmlxc")
    return [_loader.TRACER]


def librarypath() -> list[str]:
    """What LD_LIBRARY_PATH is to hold for a copy of libmlxc, or a link to it, that lies elsewhere."""
    return [":".join(flag.removeprefix(RPATH) for flag in libs() if flag.startswith(RPATH))]


def version() -> list[str]:
    """The version of MLX that libmlxc was built for."""
    return [_loader.build_info().MLX_VERSION or _loaded_version()]


ANSWERS = {answer.__name__: answer for answer in (cflags, libs, includedir, libdir, version, tracelib, librarypath)}


def _loaded_version() -> str:
    """A foreign mlx-c does not say in its headers which MLX it stands on: ask the one that is loaded."""
    from ._ffi import mlx_version

    return mlx_version()
