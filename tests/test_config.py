"""What `python -m mlxffi config` prints builds programs that run; `doctor` tells what is in use and what is wrong."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from environment import MLX, Site, home

import build_ffi

ROOT = Path(__file__).resolve().parents[1]

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="for rpaths and the BLAS bridge of Linux")
CLEAN = {"PATH": "/usr/local/bin:/usr/bin:/bin"}  # no LD_LIBRARY_PATH

# Adds and multiplies; prints the sum, an element of the product and how often MLX called OpenBLAS through the bridge.
PROGRAM = r"""
#include <dlfcn.h>
#include <stdio.h>
#include "mlx/c/mlx.h"

int main(void) {
  const unsigned long none = 0, *calls = (const unsigned long *)dlsym(NULL, "mlxffi_blas_calls");
  mlx_stream cpu = mlx_default_cpu_stream_new();
  mlx_array a = mlx_array_new_float32(2), b = mlx_array_new_float32(3), sum = mlx_array_new();
  mlx_array ones = mlx_array_new(), product = mlx_array_new();
  int shape[2] = {64, 64};
  float total;
  int failed = mlx_add(&sum, a, b, cpu) || mlx_array_item_float32(&total, sum) ||
      mlx_ones(&ones, shape, 2, MLX_FLOAT32, cpu) || mlx_matmul(&product, ones, ones, cpu) || mlx_array_eval(product);
  printf("%g %g %lu\n", total, mlx_array_data_float32(product)[0], calls ? *calls : none);
  mlx_array_free(a);
  mlx_array_free(b);
  mlx_array_free(sum);
  mlx_array_free(ones);
  mlx_array_free(product);
  mlx_stream_free(cpu);
  return failed;
}
"""
LANGUAGES = {"c": ["cc", "-std=c11"], "c++": ["c++", "-std=c++17", "-x", "c++"]}


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "site")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "program.c"
    path.write_text(PROGRAM)
    return path


def config(site, *flags):
    """The words that `config` prints, on one line."""
    result = site.python("-m", "mlxffi", "config", *flags)
    assert (result.returncode, result.stderr) == (0, "")
    (line,) = result.stdout.splitlines()
    return shlex.split(line)


def output(*command, **options):
    """What a command prints that must succeed."""
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, env=CLEAN, check=False, **options)
    assert result.returncode == 0, f"{shlex.join(map(str, command))}\n{result.stdout}{result.stderr}"
    return result.stdout.strip()


# --- config ---


def test_folders_hold_what_they_are_named_for(site):
    (include,) = config(site, "--includedir")
    (library,) = config(site, "--libdir")
    assert (Path(include) / "mlx/c/mlx.h").exists()
    assert list(Path(library).glob("libmlxc.*"))


def test_version_is_that_of_mlx(site):
    assert config(site, "--version") == [MLX]


def test_answers_come_on_one_line_in_the_order_asked(site):
    flags = ["--libs", "--version", "--cflags"]
    assert config(site, *flags) == [word for flag in flags for word in config(site, flag)]


def test_nothing_asked_is_an_error(site):
    result = site.python("-m", "mlxffi", "config")
    assert result.returncode == 2
    assert (
        "expected at least one of --cflags, --libs, --includedir, --libdir, --version, --tracelib, --librarypath"
        in result.stderr
    )


def test_all_but_libs_work_without_a_backend(site):
    flags = ["--version", "--includedir", "--libdir", "--cflags"]
    expected = config(site, *flags)
    site.remove("mlx")
    site.remove("mlx_cpu-*")
    assert config(site, *flags) == expected
    result = site.python("-m", "mlxffi", "config", "--libs")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"mlxffi: no MLX backend is installed; pip install mlx-cpu=={MLX}")


def test_not_built(site):
    site.copy("mlxffi", "_build_info.py", "*.so", "lib")
    result = site.python("-m", "mlxffi", "config", "--libdir")
    assert result.returncode == 1
    assert re.fullmatch(r"mlxffi: mlxffi in \S+ has not been built; install it anew: pip install .*\n", result.stderr)


def test_a_foreign_mlxc_is_what_it_was_built_against(site):
    package = site.copy("mlxffi")
    (package / "_build_info.py").write_text('MLX_VERSION = ""\nMLXC_PREFIX = "/opt/some where"\n')
    flags = ["--includedir", "--libdir", "--cflags", "--libs"]
    system = ["-Wl,--disable-new-dtags,--allow-shlib-undefined"] if sys.platform.startswith("linux") else []
    libs = ["-L/opt/some where/lib", "-lmlxc", *system, "-Wl,-rpath,/opt/some where/lib"]
    expected = ["/opt/some where/include", "/opt/some where/lib", "-I/opt/some where/include", *libs]
    assert config(site, *flags) == expected


# --- programs ---


@pytest.mark.parametrize("language", LANGUAGES)
def test_program_runs_with_no_library_path(site, source, tmp_path, language):
    program = tmp_path / "program"
    flags = config(site, "--cflags", "--libs")
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    after = ["-x", "none"] if language == "c++" else []
    output(*LANGUAGES[language], *warnings, source, *after, *flags, "-o", program)
    assert output(program) == "5 64 1"


@linux
def test_program_finds_a_backend_that_libmlxc_does_not_find_by_itself(site, source, tmp_path):
    site.move_backend()
    output("cc", source, *config(site, "--cflags", "--libs"), "-o", tmp_path / "program")
    assert output(tmp_path / "program") == "5 64 1"


@linux
def test_program_in_an_environment_with_spaces_in_its_path(source, tmp_path):
    site = Site(tmp_path / "a site")
    result = site.python("-m", "mlxffi", "config", "--cflags", "--libs")
    assert f"'-L{site.folder}/mlxffi/lib'" in result.stdout
    output("sh", "-c", f"cc {source} {result.stdout.strip()} -o {tmp_path}/program")
    assert output(tmp_path / "program") == "5 64 1"


@linux
def test_program_keeps_the_reference_blas_on_request(site, source, tmp_path):
    site.environ["MLXFFI_BLAS"] = "reference"
    flags = config(site, "--cflags", "--libs")
    assert not any("blas" in word for word in flags)
    output("cc", source, *flags, "-o", tmp_path / "program")
    assert output("env", "MLXFFI_BLAS=reference", tmp_path / "program") == "5 64 0"


@linux
def test_program_without_openblas_installed(site, source, tmp_path):
    site.remove("scipy_openblas32")
    site.move_backend()
    result = site.python("-m", "mlxffi", "config", "--cflags", "--libs")
    assert "-lmlxffi_blas" not in result.stdout
    output("cc", source, *shlex.split(result.stdout), "-o", tmp_path / "program")
    assert output(tmp_path / "program") == "5 64 0"


@linux
def test_bridge_is_kept_where_the_linker_drops_what_is_not_called(site, source, tmp_path):
    flags = config(site, "--cflags", "--libs")
    output("cc", "-Wl,--as-needed", source, *flags, "-o", tmp_path / "program")
    assert output(tmp_path / "program") == "5 64 1"


@linux
@pytest.mark.parametrize(("blas", "calls"), [("openblas", 1), ("reference", 0)])
def test_program_that_is_linked_plainly(site, source, tmp_path, blas, calls):
    include, library = config(site, "--includedir", "--libdir")
    output("cc", source, f"-I{include}", f"-L{library}", "-lmlxc", f"-Wl,-rpath,{library}", "-o", tmp_path / "program")
    assert output("env", f"MLXFFI_BLAS={blas}", tmp_path / "program") == f"5 64 {calls}"


# The same product by a program that knows the library's path alone.
OPENS = r"""
#include <dlfcn.h>
#include <stdio.h>
#include "mlx/c/mlx.h"

static void *library;

#define CALL(name) (*(__typeof__(&name))(long)dlsym(library, #name))

int main(int count, char **arguments) {
  library = dlopen(arguments[count - 1], RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    puts(dlerror());
    return 1;
  }
  int shape[2] = {64, 64};
  mlx_stream cpu = CALL(mlx_default_cpu_stream_new)();
  mlx_array ones = {0}, product = {0};
  CALL(mlx_ones)(&ones, shape, 2, MLX_FLOAT32, cpu);
  CALL(mlx_matmul)(&product, ones, ones, cpu);
  CALL(mlx_array_eval)(product);
  printf("%g %lu\n", CALL(mlx_array_data_float32)(product)[0], *(unsigned long *)dlsym(library, "mlxffi_blas_calls"));
  return 0;
}
"""


@pytest.fixture
def opens(site, tmp_path):
    """A program that opens the library whose path it is given."""
    (tmp_path / "opens.c").write_text(OPENS)
    (include,) = config(site, "--includedir")
    output("cc", "-std=gnu11", tmp_path / "opens.c", f"-I{include}", "-ldl", "-o", tmp_path / "opens")
    return tmp_path / "opens"


@linux
@pytest.mark.parametrize(("blas", "calls"), [("openblas", 1), ("reference", 0)])
def test_program_that_opens_the_library(site, opens, blas, calls):
    (library,) = config(site, "--libdir")
    assert output("env", f"MLXFFI_BLAS={blas}", opens, f"{library}/libmlxc.so") == f"64 {calls}"


@linux
@pytest.mark.parametrize("place", [Path.symlink_to, lambda new, old: shutil.copy(old, new)], ids=["link", "copy"])
def test_library_elsewhere_finds_what_it_needs(site, opens, tmp_path, place):
    """In an editable install, whose libraries know where they were built."""
    (library,) = config(site, "--libdir")
    elsewhere = tmp_path / "elsewhere.so"
    place(elsewhere, f"{library}/libmlxc.so")
    assert output(opens, elsewhere) == "64 1"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """libmlxc and the bridge as a wheel has them: they look for others beside the folder in which they lie."""
    folder = tmp_path_factory.mktemp("wheel") / "mlxffi/lib"
    folder.mkdir(parents=True)
    build_ffi.build_blas_bridge(folder / "libmlxffi_blas.so", inplace=False)
    build_ffi.build_libmlxc(folder / "libmlxc.so", ROOT / "build/native", inplace=False)
    for package in ("mlx", "scipy_openblas32"):
        (folder.parents[1] / package).symlink_to(home(package) / package)
    return folder / "libmlxc.so"


@linux
def test_library_of_a_wheel_that_lies_elsewhere(installed, site, opens, tmp_path):
    """The dynamic linker says what it misses, and `config` what to set."""
    assert output(opens, installed) == "64 1"
    elsewhere = tmp_path / "elsewhere.so"
    elsewhere.symlink_to(installed)
    refused = subprocess.run([opens, elsewhere], capture_output=True, text=True, env=CLEAN, check=False)
    missing = r"libmlx\w*\.so: cannot open shared object file: No such file or directory\n"
    assert (refused.returncode, bool(re.fullmatch(missing, refused.stdout))) == (1, True)
    (path,) = config(site, "--librarypath")
    assert output("env", f"LD_LIBRARY_PATH={path}", opens, elsewhere) == "64 1"
    shutil.copy(installed, tmp_path / "copy.so")
    assert output("env", f"LD_LIBRARY_PATH={path}", opens, tmp_path / "copy.so") == "64 1"


needs_pkg_config = pytest.mark.skipif(not shutil.which("pkg-config"), reason="pkg-config is not installed")


@linux
@needs_pkg_config
@pytest.mark.parametrize(("package", "calls"), [("mlxc", 1), ("mlxffi_blas", 1)])
def test_program_through_pkg_config(site, source, tmp_path, package, calls):
    (library,) = config(site, "--libdir")
    ask = ["env", f"PKG_CONFIG_PATH={library}/pkgconfig", "pkg-config"]
    assert output(*ask, "--modversion", package) == MLX
    flags = shlex.split(output(*ask, "--cflags", "--libs", package))
    output("cc", source, *flags, "-o", tmp_path / "program")
    assert output(tmp_path / "program") == f"5 64 {calls}"


CMAKE = """
cmake_minimum_required(VERSION 3.16)
project(program C CXX)
find_package(mlxc VERSION CONFIG REQUIRED)
add_executable(program program.c)
target_link_libraries(program PRIVATE TARGETS)
"""


def configure(site, folder, version, targets="mlxc::mlxc", package="mlxc"):
    """Configure a CMake project that asks for a version of mlxc."""
    (library,) = config(site, "--libdir")
    text = CMAKE.replace("TARGETS", targets).replace("mlxc VERSION", f"{package} {version}")
    (folder / "CMakeLists.txt").write_text(text)
    command = ["cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={Path(library).parent}"]
    return subprocess.run(command, capture_output=True, text=True, env=CLEAN, check=False)


needs_cmake = pytest.mark.skipif(not shutil.which("cmake"), reason="CMake is not installed")


@linux
@needs_cmake
@pytest.mark.parametrize(("targets", "calls"), [("mlxc::mlxc", 1), ("mlxc::blas", 1)])
def test_program_through_cmake(site, source, targets, calls):
    configured = configure(site, source.parent, MLX, targets)
    assert configured.returncode == 0, configured.stderr
    output("cmake", "--build", source.parent / "build")
    assert output(source.parent / "build/program") == f"5 64 {calls}"


@linux
@needs_cmake
@pytest.mark.parametrize("targets", ["mlxc", "${MLXC_LIBRARIES}"])
def test_program_through_cmake_under_the_name_of_mlx_c(site, source, targets):
    configured = configure(site, source.parent, "", targets, package="MLXC")
    assert configured.returncode == 0, configured.stderr
    output("cmake", "--build", source.parent / "build")
    assert output(source.parent / "build/program") == "5 64 1"


@needs_cmake
def test_cmake_refuses_another_version(site, source):
    configured = configure(site, source.parent, "0.31")
    assert configured.returncode != 0
    assert f"mlxc-config.cmake, version: {MLX}" in configured.stderr


# --- doctor ---


def doctor(site, *python):
    """The exit status of `doctor`, its report as name -> text, and its problems."""
    result = site.python(*(python or ("-m", "mlxffi", "doctor")))
    assert not result.stderr or "Warning" in result.stderr, result.stderr
    *lines, verdict = result.stdout.splitlines()
    problems = [line.partition(": ")[2] for line in lines if line.startswith("problem: ")]
    assert verdict == f"problems found: {len(problems)}"
    return result.returncode, dict(line.split(None, 1) for line in lines), problems


def test_doctor_reports_what_is_in_use(site):
    status, report, problems = doctor(site)
    assert (status, problems) == (0, [])
    assert report["MLX"] == f"{MLX}, built for {MLX}"
    assert report["backend"] == f"mlx-cpu {MLX} in {site.folder}/mlx/lib/libmlx.so"
    assert report["device"] == "Device(cpu, 0)"
    assert report["Python"].startswith(f"CPython {sys.version.split()[0]} in /")
    assert re.match(r"\d+\.\d+", report["cffi"])
    assert "g++" in report["g++"]


@linux
def test_doctor_measures_openblas(site):
    _, report, _ = doctor(site)
    rate = re.fullmatch(r"OpenBLAS, (\d+) GFLOP/s \(float32 matrix product 1024x1024 on the CPU\)", report["BLAS"])
    assert int(rate[1]) > 0


@linux
def test_doctor_has_no_objection_to_a_reference_blas_that_was_asked_for(site):
    site.environ["MLXFFI_BLAS"] = "reference"
    status, report, problems = doctor(site)
    assert (status, problems) == (0, [])
    assert re.fullmatch(r"that of MLX, \d+ GFLOP/s \(.*\): MLXFFI_BLAS=reference", report["BLAS"])


@linux
def test_doctor_without_openblas(site):
    site.remove("scipy_openblas32")
    status, report, problems = doctor(site)
    assert status == 1
    assert report["BLAS"].startswith("that of MLX, ")
    missing = "scipy-openblas32 is not installed; pip install scipy-openblas32"
    assert problems == [f"matrix products on the CPU are slow: {missing}"]


AFTER_MLX_CORE = """
import {first}, runpy, sys
sys.argv = ["mlxffi", "doctor"]
runpy.run_module("mlxffi", run_name="__main__")
"""


@linux
def test_doctor_after_mlx_core(site):
    status, _, problems = doctor(site, "-c", AFTER_MLX_CORE.format(first="mlx.core"))
    assert status == 1
    reason = "mlx.core was imported first, and libmlx had bound its own BLAS by then; import mlxffi before mlx.core"
    assert problems == [f"matrix products on the CPU are slow: {reason}"]


@linux
def test_doctor_sees_that_the_bridge_is_not_used(site):
    """libmlx came into the process by another way than mlx.core, so the loader could not know."""
    load = f"import ctypes; ctypes.CDLL('{site.folder}/mlx/lib/libmlx.so')\n"
    _, _, problems = doctor(site, "-c", load + AFTER_MLX_CORE.format(first="ctypes"))
    reason = "libmlx was loaded before mlxffi and had bound its own BLAS by then; import mlxffi first"
    assert problems == [f"matrix products on the CPU are slow: {reason}"]


def test_doctor_without_a_backend(site):
    site.remove("mlx")
    site.remove("mlx_cpu-*")
    status, report, (problem,) = doctor(site)
    assert status == 1
    assert problem.startswith(f"no MLX backend is installed; pip install mlx-cpu=={MLX}")
    unknown = [name for name in report if report[name] == "not available"]
    assert unknown == ["MLX", "backend", "device", "BLAS", "compile"]


def test_doctor_with_a_libmlx_that_does_not_load(site):
    site.libmlx(lambda path: path.write_text("not a library"))
    status, _, (problem,) = doctor(site)
    assert status == 1
    assert problem.startswith(f"mlx-cpu {MLX} cannot be loaded (")


def test_doctor_where_nothing_was_built(site):
    site.copy("mlxffi", "_build_info.py", "*.so", "lib")
    status, _, (problem,) = doctor(site)
    assert status == 1
    assert "has not been built; install it anew" in problem


@linux
def test_doctor_without_a_compiler(site, tmp_path):
    """It says what is missing, and that compiled functions work all the same."""
    (tmp_path / "sh").symlink_to("/bin/sh")
    site.environ |= {"PATH": str(tmp_path), "TMPDIR": str(tmp_path)}
    status, report, problems = doctor(site)
    assert (status, problems) == (0, [])
    assert report["g++"].startswith("not found: functions run on the CPU as they are")
    assert report["g++"].endswith(" apt-get install g++")
    assert report["compile"] == "a function of three operations runs and gives 2"


def test_doctor_sees_an_mlx_of_another_version(site):
    site.wheel("mlx", "0.33.0")
    status, _, problems = doctor(site)
    assert status == 1
    assert problems == [f"mlx 0.33.0 does not fit MLX {MLX}, so mlx.core may fail; pip install mlx=={MLX}"]
