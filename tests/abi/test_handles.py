"""What libmlxc's own headers promise to its code, as small C++ programs."""

import subprocess
from pathlib import Path

import build_ffi

HERE = Path(__file__).resolve().parent


def test_a_result_that_fails_leaves_its_slot_as_it_was(tmp_path):
    mlx = build_ffi.mlx_folder()
    folders = [build_ffi.ROOT / "include", build_ffi.NATIVE / "abi", build_ffi.NATIVE / "kernels"]
    flags = [*(f"-I{folder}" for folder in folders), f"-isystem{mlx / 'include'}", "-Wall", "-Wextra", "-Werror"]
    link = [f"-L{mlx / 'lib'}", "-lmlx", f"-Wl,-rpath,{mlx / 'lib'}", "-Wl,--allow-shlib-undefined"]
    command = ["c++", "-std=c++20", "-DNDEBUG", *flags, str(HERE / "cpp/put.cpp"), *link, "-o", str(tmp_path / "put")]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False)
    assert compiled.returncode == 0, compiled.stderr
    result = subprocess.run([tmp_path / "put"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "ok\n")
