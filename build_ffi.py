"""Builds the native parts of mlxffi: libmlxc, the BLAS bridge and the Python modules over them.

setuptools calls `BuildExt` (see pyproject.toml). What it makes, in this order:

  mlxffi/lib/libmlxc.so         the C ABI over libmlx, from mlxffi/native/abi, and the losses, from native/kernels
  mlxffi/lib/libmlxffi_blas.so  the BLAS bridge, from mlxffi/native/blas (Linux)
  mlxffi/lib/trace/libmlxc.so   what MLXFFI_TRACE puts in front of libmlxc, from mlxffi/native/trace (Linux)
  mlxffi/_mlxc.abi3.so          every C function, and the calls that evaluate, wait or call back
  mlxffi/_graph.abi3.so         the calls that build graph nodes, which keep the GIL, and transforms in one call each
  mlxffi/_native.abi3.so        what mlxffi.core stands on, in plain C
  mlxffi/_dynamic.abi3.so       what loads the libraries, in plain C
  mlxffi/_build_info.py         what all of it was built against

With MLXFFI_MLXC_PREFIX=/some/prefix the cffi modules are built against that prefix's mlx-c (`include/mlx/c/mlx.h`,
`lib/libmlxc.*`), and libmlxc, _native and _dynamic are not built. MLXFFI_FLAT=1 leaves out these two modules, as PyPy
does. The cdef is what the C preprocessor leaves of the headers themselves, and of the glue the head of each function.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cffi import FFI
from setuptools import Extension
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
NATIVE = ROOT / "mlxffi" / "native"
CFFI = NATIVE / "cffi"
PYTHON = NATIVE / "python"
# What each cffi module is compiled of.
CFFI_MODULES = {
    "_mlxc": ["streams.h", "errors.c", "callbacks.c", "dlpack.c", "generated/calls.c"],
    "_graph": ["keep_gil.h", "streams.h", "extra.c", "transforms.c", "generated/graph.c", "generated/additions.c"],
}
# A function of theirs for Python, which cffi declares as it is defined.
FUNCTION = re.compile(r"^static (?!inline)([\w\s*]*\b(?:glue|mlxffi)_\w+\([^;{]*\))\s*\{", re.M)
MACOS = sys.platform == "darwin"
SUFFIX = "dylib" if MACOS else "so"
CPYTHON = sys.implementation.name == "cpython"
# Whether this Python has no GIL. The limited API does not cover it, so that it gets modules of its own.
FREE_THREADS = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
LIMITED = CPYTHON and not FREE_THREADS
CXX = shlex.split(os.environ.get("CXX", "c++"))
CC = shlex.split(os.environ.get("CC", "cc"))
# For sanitizers: MLXFFI_CFLAGS="-fsanitize=address -g".
EXTRA_FLAGS = shlex.split(os.environ.get("MLXFFI_CFLAGS", ""))
# Assertions in MLX's headers would put the paths of those into the library.
CXXFLAGS = ["-std=c++20", "-O2", "-g0", "-DNDEBUG", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", *EXTRA_FLAGS]


def prefix() -> Path | None:
    """The prefix of an installed mlx-c to build against, if one was asked for."""
    value = os.environ.get("MLXFFI_MLXC_PREFIX")
    if not value:
        return None
    path = Path(value).resolve()
    if not (path / "include/mlx/c/mlx.h").exists():
        raise SystemExit(f"MLXFFI_MLXC_PREFIX={value}: expected a prefix that holds include/mlx/c/mlx.h")
    return path


def has_native() -> bool:
    """Whether this build has mlxffi.core: it is an extension of CPython's over our own libmlxc."""
    return CPYTHON and not prefix() and not os.environ.get("MLXFFI_FLAT")


def mlx_folder() -> Path:
    """The folder `mlx` of the backend's wheel, with `include` and `lib`."""
    spec = importlib.util.find_spec("mlx")
    for place in spec.submodule_search_locations if spec and spec.submodule_search_locations else []:
        if (Path(place) / "include/mlx/mlx.h").exists():
            return Path(place)
    wheel = "mlx-metal" if MACOS else "mlx-cpu"
    raise SystemExit(f"no MLX backend to build against; pip install {wheel}==0.32.4")


def mlx_version(include: Path) -> str:
    """The MLX version that a folder's mlx/version.h declares."""
    text = (include / "mlx/version.h").read_text(encoding="utf-8")
    parts = [re.search(rf"MLX_VERSION_{part} (\d+)", text) for part in ("MAJOR", "MINOR", "PATCH")]
    return ".".join(part[1] for part in parts if part)


# --- the C declarations, for cffi ---


def include_folders() -> list[Path]:
    found = prefix()
    return [found / "include"] if found else [ROOT / "include"]


def declarations(source: str, wanted: tuple[str, ...], defines: list[str]) -> str:
    """What the C preprocessor leaves of those files (by a part of their path) that `source` includes."""
    includes = [f"-I{folder}" for folder in [*include_folders(), NATIVE, CFFI, sysconfig.get_path("include")]]
    command = [*CC, "-E", "-DMLX_NO_HALF", "-DMLX_NO_OBJECTS", *defines, *includes, "-x", "c", "-"]
    text = subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout
    kept, keep = [], False
    for line in text.splitlines():
        marker = re.match(r'# \d+ "(.*?)"', line)
        if marker:
            keep = any(part in marker[1] for part in wanted)
        elif keep and line.strip():
            kept.append(line)
    text = re.sub(r"__attribute__\s*\(\(.*?\)\)|__extension__", "", "\n".join(kept))
    return text.replace("_Bool", "bool")


def abi_cdef() -> str:
    """Every declaration of the C ABI, and of our additions where the library is ours."""
    source = '#include "mlx/c/mlx.h"\n' + ("" if prefix() else '#include "mlxffi/mlxffi.h"\n')
    return declarations(source, ("mlx/c/", "include/mlxffi/"), [])


def lacking(cdef: str) -> list[str]:
    """A define for each function that the glue uses and the headers do not declare."""
    used = {name for path in CFFI.glob("generated/*.c") for name in re.findall(r"MLXFFI_LACKS_(\w+)", path.read_text())}
    return [f"-DMLXFFI_LACKS_{name}" for name in sorted(used) if not re.search(rf"\b{name}\(", cdef)]


def builder(name: str) -> tuple[FFI, list[tuple[str, str]]]:
    """The cffi builder of `_mlxc` or `_graph`, and the macros that its C code needs."""
    cdef = abi_cdef()
    defines = lacking(cdef) + (["-DMLXFFI_PLAIN_MLXC"] if prefix() else [])
    parts = ["<stdbool.h>", "<stdint.h>", *(f'"{part}"' for part in CFFI_MODULES[name])]
    source = "".join(f"#include {part}\n" for part in parts)
    functions = FUNCTION.findall(declarations(source, ("native/cffi/",), defines))
    ffi = FFI()
    if name == "_mlxc":
        ffi.cdef(cdef)
        ffi.cdef(declarations('#include "dlpack/structures.h"', ("native/dlpack/",), []))
        ffi.cdef((CFFI / "callbacks.h").read_text(encoding="utf-8"))
    ffi.cdef("".join(f"{function};\n" for function in functions))
    ffi.set_source(f"mlxffi.{name}", source)
    return ffi, [(define.removeprefix("-D"), "1") for define in defines]


# --- libmlxc and the BLAS bridge ---


def run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{shlex.join(command)}\n{result.stdout}{result.stderr}")


def compile_cxx(source: Path, target: Path, flags: list[str], header: Path | None = None) -> None:
    """Compile one C++ file, unless its object is newer than everything that it was made of.

    With a precompiled header the compiler names that alone, without the files in it.
    """
    made_of = target.with_suffix(".d")
    if target.exists() and made_of.exists():
        parts = made_of.read_text().partition(":")[2].replace("\\\n", " ").split() + ([str(header)] if header else [])
        if all(Path(part).exists() and os.stat(part).st_mtime <= target.stat().st_mtime for part in parts):
            return
    run([*CXX, *CXXFLAGS, *flags, "-MMD", "-MF", str(made_of), "-c", str(source), "-o", str(target)])


def compile_objects(room: str, include: Path, folder: Path) -> list[str]:
    """Compile the C++ files of a room side by side, after the header that takes most of the time and that they share.
    What stands in `kernels` sees nothing of the ABI. A Mac's build and sanitized ones, which CI makes, do without that
    header: there each file must include what it uses."""
    folder = folder / room
    folder.mkdir(parents=True, exist_ok=True)
    folders = [NATIVE / "kernels"] + ([ROOT / "include", NATIVE / "abi"] if room == "abi" else [])
    flags = [*(f"-I{path}" for path in folders), f"-isystem{include}"]
    if room == "abi" and FREE_THREADS:
        flags.append("-DMLXFFI_FREE_THREADS")
    if not MACOS and not EXTRA_FLAGS:
        shared = folder / "precompiled.h"
        if not shared.exists():
            shared.write_text('#include "support.h"\n' if room == "abi" else '#include "fused.h"\n')
        header = folder / "precompiled.h.gch"
        compile_cxx(shared, header, [*flags, "-x", "c++-header"])
        return compile_room(room, folder, [f"-I{folder}", "-include", "precompiled.h", *flags], header)
    return compile_room(room, folder, flags)


def compile_room(room: str, folder: Path, flags: list[str], header: Path | None = None) -> list[str]:
    """Compile each C++ file of a room into a folder."""

    def compile_one(source: Path) -> str:
        target = folder / f"{source.parent.name}_{source.stem}.o"
        compile_cxx(source, target, flags, header)
        return str(target)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, sorted((NATIVE / room).rglob("*.cpp"))))


def rpath(*folder: str, inplace: bool) -> str:
    """Where a library in mlxffi/lib finds another package's: beside it once installed; in an editable install, in the
    environment that builds it."""
    if inplace:
        return f"-Wl,-rpath,{Path(sysconfig.get_path('purelib')).joinpath(*folder)}"
    return f"-Wl,-rpath,{'@loader_path' if MACOS else '$ORIGIN'}/../../{'/'.join(folder)}"


def build_libmlxc(target: Path, scratch: Path, inplace: bool, exports: str = "exports.map") -> None:
    """Link libmlxc over the backend's libmlx."""
    mlx = mlx_folder()
    folder = scratch / f"mlxc-{mlx_version(mlx / 'include')}"
    objects = [file for room in ("abi", "kernels") for file in compile_objects(room, mlx / "include", folder)]
    if MACOS:
        link = ["-dynamiclib", "-install_name", "@rpath/libmlxc.dylib"]
    else:
        link = ["-shared", f"-Wl,--version-script={NATIVE / 'abi' / exports}", "-Wl,-z,defs", "-Wl,-soname,libmlxc.so"]
        link += ["-Wl,--disable-new-dtags"]
    link.append(rpath("mlx", "lib", inplace=inplace))
    bridge = target.parent / "libmlxffi_blas.so"
    if bridge.exists():
        # Named before libmlx, whose calls find it first. A copy or link of the library finds it too where it can.
        link += [f"-Wl,-rpath,{place}" for place in ("$ORIGIN", *([str(target.parent)] if inplace else []))]
        link += [f"-L{target.parent}", "-Wl,--push-state,--no-as-needed", "-lmlxffi_blas", "-Wl,--pop-state"]
    # Programs may have the old library open: a new one takes its place at once and whole.
    fresh = target.with_suffix(".new")
    run([*CXX, *EXTRA_FLAGS, *objects, *link, f"-L{mlx / 'lib'}", "-lmlx", "-o", str(fresh)])
    fresh.replace(target)


def build_tracer(target: Path, scratch: Path) -> None:
    """Link what writes down each call and passes it on to libmlxc, in whose place it is loaded."""
    folder = scratch / "trace"
    for made in (folder, target.parent):
        made.mkdir(parents=True, exist_ok=True)
    objects = compile_room("trace", folder, [f"-I{ROOT / 'include'}", f"-I{NATIVE / 'trace'}", "-O0"])
    run([*CXX, *EXTRA_FLAGS, *objects, "-shared", "-Wl,-soname,libmlxc.so", "-ldl", "-o", str(target)])


def build_blas_bridge(target: Path, inplace: bool) -> None:
    """Link the bridge to OpenBLAS, which it looks for when it is loaded."""
    link = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Wl,-z,defs", "-Wl,-soname,libmlxffi_blas.so"]
    link += ["-Wl,--disable-new-dtags", rpath("scipy_openblas32", "lib", inplace=inplace)]
    sources = sorted(map(str, (NATIVE / "blas").glob("*.c")))
    run([*CC, *EXTRA_FLAGS, *link, *sources, "-ldl", "-o", str(target)])


# --- the setuptools command ---


class BuildExt(build_ext):  # type: ignore[misc]
    """Builds everything native for one wheel or one editable install."""

    def run(self) -> None:
        self.target = ROOT / "mlxffi" if self.inplace else Path(self.build_lib).resolve() / "mlxffi"
        kind = "-free-threads" if FREE_THREADS else ""
        self.scratch = ROOT / "build" / f"{'sanitized' if EXTRA_FLAGS else 'native'}{kind}"
        self.build_temp = str(self.scratch)
        if not self.inplace:
            self.forget_last_wheel()
        if not has_native():
            kept = {f"mlxffi.{name}" for name in CFFI_MODULES}
            self.extensions: list[Extension] = [ext for ext in self.extensions if ext.name in kept]
        write_build_info(self.target / "_build_info.py")
        if not prefix():
            self.build_libraries(self.target / "lib")
        super().run()

    def forget_last_wheel(self) -> None:
        """setuptools keeps what it built for the last wheel, which may have been for another mlx-c."""
        self.force = True
        for name in ("lib", "include"):
            shutil.rmtree(self.target / name, ignore_errors=True)
        for module in (*self.target.glob("_native*.so"), *self.target.glob("_dynamic*.so")):
            module.unlink()

    def build_libraries(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not MACOS:
            build_blas_bridge(folder / "libmlxffi_blas.so", bool(self.inplace))
        build_libmlxc(folder / f"libmlxc.{SUFFIX}", self.scratch, bool(self.inplace))
        if not MACOS:
            build_tracer(folder / "trace/libmlxc.so", self.scratch)
        write_package_files(self.target, folder)

    def build_extension(self, ext: Extension) -> None:
        name = ext.name.rpartition(".")[2]
        found = prefix()
        sources, macros = self.c_sources(name)
        origin = "@loader_path" if MACOS else "$ORIGIN"
        libraries = found / "lib" if found else self.target / "lib"
        ext.sources = [str(source) for source in sources]
        places = (CFFI, PYTHON, NATIVE / "dlpack", ROOT / "include")
        ext.depends = [str(path) for place in places for path in place.rglob("*.[ch]")]
        ext.depends.append(str(self.target / "_build_info.py"))
        ext.py_limited_api = LIMITED
        ext.define_macros = [*([("Py_LIMITED_API", "0x030A0000")] if LIMITED else []), *macros]
        ext.include_dirs = [str(folder) for folder in [*include_folders(), NATIVE, CFFI, PYTHON]]
        ext.libraries, ext.library_dirs = ([], []) if name == "_dynamic" else (["mlxc"], [str(libraries)])
        ext.extra_compile_args = ["-O2", "-g0", "-fvisibility=hidden", *EXTRA_FLAGS]
        rpath = str(libraries) if found else f"{origin}/lib"
        ext.extra_link_args = [f"-Wl,-rpath,{rpath}", *EXTRA_FLAGS]
        if not MACOS:
            ext.extra_link_args.append("-Wl,--allow-shlib-undefined")
        # A Python that was linked with an rpath hands it down, and it would come before ours.
        self.compiler.linker_so = [word for word in self.compiler.linker_so if not word.startswith("-Wl,-rpath")]
        super().build_extension(ext)

    def c_sources(self, name: str) -> tuple[list[Path], list[tuple[str, str]]]:
        """The C files of a module, of which cffi writes one for all but one module, and the macros that they need."""
        if name not in CFFI_MODULES:
            return sorted((PYTHON if name == "_native" else NATIVE / "dynamic").rglob("*.c")), []
        source = self.scratch / f"{name}.c"
        source.parent.mkdir(parents=True, exist_ok=True)
        ffi, macros = builder(name)
        ffi.emit_c_code(str(source))
        return [source], macros

    def get_outputs(self) -> list[str]:
        library = Path(self.build_lib) / "mlxffi"
        return [*super().get_outputs(), *(str(path) for path in library.rglob("*") if path.is_file())]


def write_build_info(target: Path) -> None:
    """Record what the native parts were built against; the loader compares it with what it finds."""
    found = prefix()
    version = "" if found else mlx_version(mlx_folder() / "include")
    text = f'"""Written by build_ffi.py."""\n\nMLX_VERSION = "{version}"\nMLXC_PREFIX = {str(found or "")!r}\n'
    # Left alone where it stays the same: the modules are built anew where it is newer than they are.
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")


def write_package_files(package: Path, library: Path) -> None:
    """What programs in other languages look for: headers, pkg-config and CMake files."""
    include = "../include"
    if package != ROOT / "mlxffi":
        include = "include"
        shutil.copytree(ROOT / "include", package / "include", dirs_exist_ok=True)
    values = {"VERSION": mlx_version(mlx_folder() / "include"), "INCLUDE": include}
    values["LINK"] = "" if MACOS else "-Wl,--allow-shlib-undefined"
    bridge = (library / f"libmlxffi_blas.{SUFFIX}").exists()
    for template in (NATIVE / "package").iterdir():
        if template.name != "mlxffi_blas.pc" or bridge:
            target = library / ("pkgconfig" if template.suffix == ".pc" else "cmake/mlxc") / template.name
            target.parent.mkdir(parents=True, exist_ok=True)
            text = re.sub(r"@(\w+)@", lambda name: values[name[1]], template.read_text(encoding="utf-8"))
            target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    print(abi_cdef())
