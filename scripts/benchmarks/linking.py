"""A float32 product of 1024 x 1024 by each way to link a program with libmlxc: all have the same BLAS."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ALLOWED = 1.2  # times of the best
ROUNDS = 5

# Prints the least processor time of 20 products in milliseconds, which other processes hardly change. Compiled with
# OPENS, it opens the library that it is given.
PROGRAM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <time.h>
#include "mlx/c/mlx.h"

#ifdef OPENS
static void *library;
#define CALL(name) (*(__typeof__(&name))dlsym(library, #name))
#else
#define CALL(name) name
#endif

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

int main(int count, char **arguments) {
  const int shape[2] = {1024, 1024};
  double least = 1e9;
#ifdef OPENS
  library = dlopen(arguments[count - 1], RTLD_NOW);
#else
  (void)count, (void)arguments;
#endif
  mlx_stream cpu = CALL(mlx_default_cpu_stream_new)();
  mlx_array a = {0}, none = {0};
  CALL(mlx_random_normal)(&a, shape, 2, MLX_FLOAT32, 0, 1, none, cpu);
  CALL(mlx_array_eval)(a);
  for (int i = 0; i < 20; i++) {
    mlx_array product = {0};
    double start = milliseconds();
    CALL(mlx_matmul)(&product, a, a, cpu);
    CALL(mlx_array_eval)(product);
    double taken = milliseconds() - start;
    least = taken < least ? taken : least;
    CALL(mlx_array_free)(product);
  }
  printf("%g\n", least);
  return 0;
}
"""
CMAKE = """
cmake_minimum_required(VERSION 3.16)
project(program C)
find_package(mlxc CONFIG REQUIRED)
add_executable(program program.c)
target_compile_options(program PRIVATE -std=gnu11)
target_link_libraries(program PRIVATE mlxc::mlxc)
"""


def output(*command: str | Path) -> str:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=True).stdout.strip()


def config(*flags: str) -> list[str]:
    return shlex.split(output(sys.executable, "-m", "mlxffi", "config", *flags))


def compiled(folder: Path, name: str, *flags: str) -> Path:
    """The program, compiled and linked with those flags."""
    program = folder / name.replace(" ", "_")
    output("cc", "-std=gnu11", folder / "program.c", *flags, "-ldl", "-o", program)
    return program


def ways(folder: Path) -> Iterator[tuple[str, list[str | Path]]]:
    """Each way's name and command."""
    (include,), (library,) = config("--includedir"), config("--libdir")
    yield "config --libs", [compiled(folder, "config", *config("--cflags", "--libs"))]
    yield "-lmlxc", [compiled(folder, "plain", f"-I{include}", f"-L{library}", "-lmlxc", f"-Wl,-rpath,{library}")]
    yield "dlopen", [compiled(folder, "opens", "-DOPENS", f"-I{include}"), f"{library}/libmlxc.so"]
    if shutil.which("pkg-config"):
        flags = output("env", f"PKG_CONFIG_PATH={library}/pkgconfig", "pkg-config", "--cflags", "--libs", "mlxc")
        yield "pkg-config", [compiled(folder, "pkg-config", *shlex.split(flags))]
    if shutil.which("cmake"):
        (folder / "CMakeLists.txt").write_text(CMAKE)
        output("cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={Path(library).parent}")
        output("cmake", "--build", folder / "build")
        yield "CMake", [folder / "build/program"]


def main() -> None:
    """Print each way's time, the ratio to the best, and whether all are near it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "program.c").write_text(PROGRAM)
        commands = dict(ways(folder))
        times: dict[str, list[float]] = {way: [] for way in commands}
        for _ in range(ROUNDS):
            for way, command in commands.items():
                times[way].append(float(output("env", "OPENBLAS_NUM_THREADS=1", *command)))
    least = {way: min(measured) for way, measured in times.items()}
    best = min(least.values())
    print(f"float32 1024 x 1024 product on one thread, ms of the processor, the least of {ROUNDS} programs in turns,")
    print("and how many times the best that is")
    for way, taken in least.items():
        print(f"{way:>14} {taken:8.2f} {taken / best:6.2f}")
    near = max(least.values()) <= ALLOWED * best
    print(f"{'all' if near else 'NOT all'} within {ALLOWED} of the best")
    if not near:
        raise SystemExit(1)
