"""What C++ code sees: libmlxc's own headers, and include/mlx/c/private for programs; as small programs."""

import subprocess
from pathlib import Path

import pytest

import build_ffi

HERE = Path(__file__).resolve().parent
LIBRARIES = build_ffi.ROOT / "mlxffi/lib"


def run(name, tmp_path, *flags):
    """Compile and run a program of tests/abi/cpp."""
    mlx = build_ffi.mlx_folder()
    compiler = ["c++", "-std=c++20", "-DNDEBUG", "-Wall", "-Wextra", "-Werror", f"-isystem{mlx / 'include'}"]
    folders = [mlx / "lib", LIBRARIES]
    link = ["-lmlx", "-Wl,--allow-shlib-undefined", *(f"-Wl,-rpath,{folder}" for folder in folders)]
    source = HERE / f"cpp/{name}.cpp"
    command = [*compiler, source, *flags, *(f"-L{folder}" for folder in folders), *link, "-o", tmp_path / name]
    compiled = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert compiled.returncode == 0, compiled.stderr
    result = subprocess.run([tmp_path / name], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "ok\n"), result.stdout + result.stderr


def test_a_result_that_fails_leaves_its_slot_as_it_was(tmp_path):
    folders = [build_ffi.ROOT / "include", build_ffi.NATIVE / "abi", build_ffi.NATIVE / "kernels"]
    run("put", tmp_path, *(f"-I{folder}" for folder in folders))


def test_helpers_in_cpp_unwrap_and_make_handles(tmp_path):
    run("private", tmp_path, f"-I{build_ffi.ROOT / 'include'}", "-lmlxc")


@pytest.mark.parametrize("threads", ["1", "4"])
def test_what_a_body_throws_comes_to_the_caller_of_the_loop(threads, tmp_path, monkeypatch):
    monkeypatch.setenv("MLXFFI_NUM_THREADS", threads)
    kernels = build_ffi.NATIVE / "kernels"
    run("pool", tmp_path, "-pthread", f"-I{kernels}", kernels / "pool.cpp")


def test_a_walk_keeps_little_and_meets_each_node_once(tmp_path):
    run("walk", tmp_path, f"-I{build_ffi.NATIVE / 'kernels'}")
