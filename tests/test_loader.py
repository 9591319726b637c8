"""The loader finds the backend and the BLAS, or says in one sentence what is wrong and what to do."""

import subprocess
import sys

import pytest
from environment import MLX, Site

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="macOS has Accelerate, and .dylib files")

# Sums 2 + 3 through the C ABI and says what the loader found.
SUM = """
def total(lib, ffi):
    stream, result, value = lib.mlx_default_cpu_stream_new(), ffi.new("mlx_array *"), ffi.new("float *")
    a, b = lib.mlx_array_new_float32(2), lib.mlx_array_new_float32(3)
    assert lib.mlx_add(result, a, b, stream) == 0
    assert lib.mlx_array_item_float32(value, result[0]) == 0
    return value[0]
"""
# A 64 by 64 product of ones through the C ABI, its first value, and the number of calls that went through the bridge.
PRODUCT = """
import ctypes
def product(lib, ffi):
    stream, ones, result = lib.mlx_default_cpu_stream_new(), ffi.new("mlx_array *"), ffi.new("mlx_array *")
    assert lib.mlx_ones(ones, [64, 64], 2, lib.MLX_FLOAT32, stream) == 0
    assert lib.mlx_matmul(result, ones[0], ones[0], stream) == 0
    assert lib.mlx_array_eval(result[0]) == 0
    return lib.mlx_array_data_float32(result[0])[0]
def bridge_calls():
    from mlxffi import _loader
    bridge = ctypes.CDLL(str(_loader.BRIDGE), mode=ctypes.RTLD_GLOBAL)
    return ctypes.c_ulong.in_dll(bridge, "mlxffi_blas_calls").value
"""


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "site")


# --- what works ---


def test_loads_the_installed_backend(site):
    code = "import mlxffi; from mlxffi import _loader; print(total(mlxffi.lib, mlxffi.ffi), _loader.backend)"
    assert site.output(SUM + code) == f"5.0 mlx-cpu {MLX}"


def test_loads_a_libmlx_that_came_without_a_wheel(site):
    site.remove("mlx_cpu-*")
    found = site.output("import mlxffi; from mlxffi import _loader; print(_loader.backend.library)")
    assert found == str(site.folder / "mlx/lib/libmlx.so")


@linux
def test_loads_a_backend_that_libmlxc_does_not_find_by_itself(site):
    site.move_backend()
    assert site.output(SUM + "import mlxffi; print(total(mlxffi.lib, mlxffi.ffi))") == "5.0"


def test_works_in_a_folder_with_spaces_and_percent_signs(tmp_path):
    site = Site(tmp_path / "site with %s spaces")
    assert site.output(SUM + "import mlxffi; print(total(mlxffi.lib, mlxffi.ffi))") == "5.0"


@linux
@pytest.mark.parametrize("first", ["mlx.core", "mlxffi"])
def test_shares_one_libmlx_with_mlx_core(site, first):
    site.environ["MLXFFI_BLAS"] = "reference"
    second = {"mlx.core": "mlxffi", "mlxffi": "mlx.core"}[first]
    code = f"import {first}\nimport {second}\nimport mlx.core as mx, mlxffi\n{SUM}" + (
        "maps = {line.split()[-1] for line in open('/proc/self/maps') if line.rstrip().endswith('libmlx.so')}\n"
        "print(total(mlxffi.lib, mlxffi.ffi), (mx.array(2.0) + 3).item(), len(maps))"
    )
    assert site.output(code) == "5.0 5.0 1"


def test_takes_the_libmlx_of_an_imported_mlx_core(site, tmp_path):
    """Two environments on one path: the one whose libmlx is in the process already wins."""
    other = Site(tmp_path / "other")
    other.libmlx(lambda path: path.write_text("not a library"))
    code = (
        f"import sys, mlx.core; sys.path.insert(0, {str(other.folder)!r})\n"
        "import mlxffi; from mlxffi import _loader; print(_loader.backend.library)"
    )
    assert site.output(code) == str(site.folder / "mlx/lib/libmlx.so")


@linux
def test_ctypes_loads_where_the_extension_is_not_built(site):
    for extension in site.copy("mlxffi").glob("_dynamic.*.so"):
        extension.unlink()
    code = f"import sys, mlxffi\n{PRODUCT}\nprint(product(mlxffi.lib, mlxffi.ffi), bridge_calls())"
    assert site.output(f"{code}\nfrom mlxffi import _dynamic\nprint(_dynamic.__file__)").split() == [
        "64.0", "1", str(site.folder / "mlxffi/_dynamic.py")
    ]  # fmt: skip


@linux
def test_extension_and_ctypes_load_alike(site):
    code = """
import importlib.util, os
from mlxffi import _dynamic, _loader
spec = importlib.util.spec_from_file_location("twin", _loader.PACKAGE + "/_dynamic.py")
twin = importlib.util.module_from_spec(spec)
spec.loader.exec_module(twin)
def outcome(function, *arguments):
    try:
        found = function(*arguments)
        return getattr(found, "_handle", found)  # ctypes' object, and the number in it
    except Exception as error:
        return type(error), str(error)
mode = os.RTLD_NOW | os.RTLD_NODELETE
for path in (_loader.backend.library, "/nowhere/new.so", os.devnull):
    print(outcome(_dynamic.open_library, path, mode) == outcome(twin.open_library, path, mode))
libmlx, its_twin = (module.open_library(_loader.backend.library, mode) for module in (_dynamic, twin))
for name in ("_ZN3mlx4core7versionEv", "no_such_function"):
    print(outcome(_dynamic.text_of, libmlx, name) == outcome(twin.text_of, its_twin, name))
print(outcome(_dynamic.tell, libmlx, "no_such_function", "/") == outcome(twin.tell, its_twin, "no_such_function", "/"))
print(_dynamic.__file__.endswith(".so"))
"""
    assert site.output(code).split() == ["True"] * 7


# --- the backend ---


def test_no_backend(site):
    site.remove("mlx")
    site.remove("mlx_cpu-*")
    message = site.refusal()
    assert message == (
        f"no MLX backend is installed; pip install mlx-cpu=={MLX} "
        f"(or mlx-cuda-12=={MLX} or mlx-cuda-13=={MLX} for an NVIDIA GPU)"
    )


def unfit(version):
    return f"mlxffi was built for MLX {MLX}, but mlx-cpu {version} is installed; pip install mlx-cpu=={MLX}"


def test_backend_of_another_version(site):
    site.remove("mlx_cpu-*")
    site.wheel("mlx-cpu", "0.31.2")
    assert site.refusal() == unfit("0.31.2")


@linux
def test_libmlx_that_is_of_another_version_than_its_wheel_says(site, tmp_path):
    source = tmp_path / "version.cpp"
    source.write_text('namespace mlx::core { const char *version() { return "0.33.0.dev1"; } }')
    site.libmlx(lambda path: subprocess.run(["c++", "-shared", "-fPIC", source, "-o", path], check=True))
    assert site.refusal() == unfit("0.33.0.dev1")


def test_two_backends_over_each_other(site):
    site.wheel("mlx-cuda-13", "0.31.0")
    assert site.refusal() == (
        f"mlx-cpu {MLX} and mlx-cuda-13 0.31.0 are installed over each other (both write mlx/lib/libmlx.so); "
        f"keep one, for example: pip uninstall -y mlx-cpu && pip install --force-reinstall mlx-cuda-13=={MLX}"
    )


def test_of_two_backends_side_by_side_the_first_on_the_path_counts(site, tmp_path):
    other = Site(tmp_path / "other")
    other.remove("mlx_cpu-*")
    other.wheel("mlx-cuda-12", "0.30.0")
    other.libmlx(lambda path: path.write_text("never loaded"))
    site.environ["PYTHONPATH"] = f"{site.folder}:{other.folder}"
    assert site.output("import mlxffi; from mlxffi import _loader; print(_loader.backend)") == f"mlx-cpu {MLX}"
    site.environ["PYTHONPATH"] = f"{other.folder}:{site.folder}"
    assert "but mlx-cuda-12 0.30.0 is installed" in site.refusal()


def test_wheel_without_its_libmlx(site):
    site.remove("mlx")
    library = site.folder / "mlx/lib/libmlx.so"
    assert site.refusal() == (
        f"mlx-cpu {MLX} is installed but {library} is missing; pip install --force-reinstall mlx-cpu=={MLX}"
    )


def test_libmlx_that_does_not_load(site):
    site.libmlx(lambda path: path.write_text("not a library"))
    message = site.refusal()
    assert message.startswith(f"mlx-cpu {MLX} cannot be loaded ({site.folder}/mlx/lib/libmlx.so: ")
    assert message.endswith(f"); pip install --force-reinstall mlx-cpu=={MLX}")


def needs(library, tmp_path):
    """Writes a libmlx that needs a library of that name, which is nowhere."""

    def write(path):
        lacking = tmp_path / library
        subprocess.run(["cc", "-shared", "-x", "c", "/dev/null", f"-Wl,-soname,{library}", "-o", lacking], check=True)
        command = ["cc", "-shared", "-x", "c", "/dev/null", "-x", "none", "-Wl,--no-as-needed", lacking, "-o", path]
        subprocess.run(command, check=True)
        lacking.unlink()

    return write


@linux
@pytest.mark.parametrize(
    ("library", "remedy"),
    [
        ("libcuda.so.1", "it needs NVIDIA's driver; install the driver, or "),
        ("libcudnn.so.9", f"pip install mlx-cuda-13=={MLX} (without --no-deps) brings NVIDIA's libraries, or "),
    ],
)
def test_cuda_backend_on_a_machine_that_lacks_what_it_needs(site, tmp_path, library, remedy):
    site.remove("mlx_cpu-*")
    site.wheel("mlx-cuda-13", MLX)
    site.libmlx(needs(library, tmp_path))
    assert site.refusal() == (
        f"mlx-cuda-13 {MLX} cannot be loaded ({library}: cannot open shared object file: No such file or directory): "
        f"{remedy}to run on the CPU: pip uninstall -y mlx-cuda-13 && pip install --force-reinstall mlx-cpu=={MLX}"
    )


def test_cuda_backend_without_a_gpu(site):
    """mlx-cpu's libmlx, which has no GPU, under the name of the CUDA wheel."""
    site.remove("mlx_cpu-*")
    site.wheel("mlx-cuda-13", MLX)
    assert site.refusal() == (
        f"mlx-cuda-13 {MLX} keeps every array in a GPU's memory and finds no NVIDIA GPU here; "
        f"to run on the CPU: pip uninstall -y mlx-cuda-13 && pip install --force-reinstall mlx-cpu=={MLX}"
    )


# --- mlxffi itself ---


def test_not_built(site):
    package = site.copy("mlxffi", "_build_info.py", "*.so", "lib")
    assert site.refusal() == (
        f"mlxffi in {package} has not been built; install it anew: pip install --force-reinstall --no-deps mlxffi"
    )


def test_not_built_in_a_checkout(site):
    site.copy("mlxffi", "_build_info.py", "*.so", "lib")
    (site.folder / "build_ffi.py").touch()
    assert site.refusal().endswith(f"has not been built; build it: pip install -e '{site.folder}[cpu]'")


def test_not_built_in_front_of_a_copy_that_is(site, tmp_path):
    """As in the checkout, where a copy is installed: the folder of the program comes first."""
    package = site.copy("mlxffi", "_build_info.py", "*.so", "lib")
    (site.folder / "build_ffi.py").touch()
    other = Site(tmp_path / "other")
    message = site.refusal(f"import sys; sys.path.append({str(other.folder)!r}); import mlxffi")
    assert message == (
        f"mlxffi in {package} has not been built and hides the one installed in {other.folder / 'mlxffi'}; "
        f"run from another folder, or build it: pip install -e '{site.folder}[cpu]'"
    )


def test_native_modules_are_gone(site):
    site.copy("mlxffi", "_mlxc*.so")
    message = site.refusal("import mlxffi; mlxffi.Array")
    assert message.startswith("the native modules of mlxffi do not load (")
    assert message.endswith("; install it anew: pip install --force-reinstall --no-deps mlxffi")


def test_libmlxc_is_gone(site):
    site.copy("mlxffi", "libmlxc.so")
    assert site.refusal().startswith("the native modules of mlxffi do not load (")


def test_cffi_is_not_installed(site):
    """It is needed with the first name of the flat layer, and not at all by the core."""
    site.remove("_cffi_backend*")
    message = site.refusal("import mlxffi; mlxffi.Array")
    assert message == "cffi, which mlxffi stands on, is not installed; pip install cffi"


SUBINTERPRETER = """
import importlib, sys
name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
interpreters = importlib.import_module(name)
code = '''
try:
    import mlxffi
except ImportError as error:
    print(error)
'''
failure = interpreters.run_string(interpreters.create(), code)
if failure:
    print(failure)
"""


def test_subinterpreter(site):
    expected = "mlxffi works in the main interpreter only; import it there, not in a subinterpreter"
    assert site.output(SUBINTERPRETER) == expected


def test_subinterpreter_after_the_main_one(site):
    code = f"import mlxffi\n{SUM}{SUBINTERPRETER}\nprint(total(mlxffi.lib, mlxffi.ffi))"
    printed = site.output(code).splitlines()  # in any order: each interpreter has its own buffer
    refusal = "mlxffi works in the main interpreter only; import it there, not in a subinterpreter"
    assert sorted(printed) == ["5.0", refusal]


# --- the BLAS ---


@linux
def test_products_go_through_openblas(site):
    code = f"import mlxffi\n{PRODUCT}\nprint(product(mlxffi.lib, mlxffi.ffi), bridge_calls())"
    assert site.output(code) == "64.0 1"


@linux
def test_mlx_core_imported_later_goes_through_openblas_too(site):
    product = "ones = mx.ones((64, 64))\nprint((ones @ ones)[0, 0].item())\n"
    code = f"import mlxffi\nimport mlx.core as mx\n{PRODUCT}\n{product}"
    assert site.output(code + "print(bridge_calls())").split() == ["64.0", "1"]


@linux
def test_reference_blas_on_request(site):
    site.environ["MLXFFI_BLAS"] = "reference"
    code = f"import mlxffi; from mlxffi import _loader\n{PRODUCT}\nprint(product(mlxffi.lib, mlxffi.ffi))\n"
    printed = site.output(code + "print(_loader.blas_reason, bridge_calls())")
    assert printed.split() == ["64.0", "MLXFFI_BLAS=reference", "0"]


def test_unknown_blas(site):
    site.environ["MLXFFI_BLAS"] = "mkl"
    assert site.refusal() == "MLXFFI_BLAS: expected 'openblas' or 'reference', got 'mkl'; set it to one of them"


def warning_of(site, code):
    """The one warning that a program prints, which must name the line that imports mlxffi."""
    result = site.python("-c", f"{code}\n{SUM}\nprint(total(mlxffi.lib, mlxffi.ffi))")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "5.0"
    (line,) = [line for line in result.stderr.splitlines() if "Warning: " in line]
    where, kind, text = line.split(": ", 2)
    assert kind == "RuntimeWarning"
    assert where == "<string>:2"
    return text


SLOW = "matrix products on the CPU run on MLX's reference BLAS, some 30 times slower: "


@linux
def test_openblas_is_not_installed(site):
    site.remove("scipy_openblas32")
    assert warning_of(site, "\nimport mlxffi") == (
        f"{SLOW}scipy-openblas32 is not installed; pip install scipy-openblas32 (MLXFFI_BLAS=reference silences this)"
    )


@linux
def test_openblas_that_does_not_load(site):
    """Only the first product notices."""
    site.remove("scipy_openblas32")
    library = site.folder / "scipy_openblas32/lib/libscipy_openblas.so"
    library.parent.mkdir(parents=True)
    (site.folder / "scipy_openblas32/__init__.py").touch()
    library.write_text("not a library")
    result = site.python("-c", f"import mlxffi\n{PRODUCT}\nprint(product(mlxffi.lib, mlxffi.ffi), bridge_calls())")
    assert result.stdout == "64.0 0\n"
    assert result.stderr.startswith(f"mlxffi: {SLOW}OpenBLAS cannot be loaded ({library}: ")
    assert "; pip install --force-reinstall scipy-openblas32 " in result.stderr
    assert "OpenBLAS cannot be loaded" in site.python("-m", "mlxffi", "doctor").stdout


@linux
def test_openblas_is_loaded_by_the_first_product(site):
    loaded = "'openblas' in open('/proc/self/maps').read()"
    code = f"import mlxffi.core\nprint({loaded})\na = mlxffi.core.ones((64, 64))\nprint((a @ a)[0, 0].item(), {loaded})"
    assert site.output(code).split() == ["False", "64.0", "True"]


@linux
def test_threads_that_make_the_first_products_together(site):
    code = """
import threading, mlxffi.core as mx
start, found = threading.Barrier(8), []
def work():
    with mx.stream(mx.new_stream(mx.cpu)):
        a = mx.full((64, 64), 2.0)
        start.wait()
        found.append((a @ a)[0, 0].item())
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(found == [256.0] * 8)
"""
    assert site.output(code) == "True"


@linux
def test_mlx_core_was_imported_first(site):
    assert warning_of(site, "import mlx.core\nimport mlxffi") == (
        f"{SLOW}mlx.core was imported first, and libmlx had bound its own BLAS by then; import mlxffi before mlx.core "
        "(MLXFFI_BLAS=reference silences this)"
    )


@linux
def test_no_warning_where_the_reference_blas_was_asked_for(site):
    site.remove("scipy_openblas32")
    site.environ["MLXFFI_BLAS"] = "reference"
    result = site.python("-c", "import mlxffi")
    assert (result.returncode, result.stderr) == (0, "")
