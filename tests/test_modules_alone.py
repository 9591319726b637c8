"""Each module of the flat layer works when it is the first that a program imports."""

import pytest
from helpers import run_python

USES = {
    "fft": "m.fft([1.0, 2.0], 2, 0).tolist()",
    "linalg": "m.norm_l2([3.0, 4.0]).item()",
    "random": "m.key(0).shape",
    "fast": "m.rope",
    "fused": "m.swiglu([1.0], [2.0]).tolist()",
    "losses": "m.mse_loss([1.0], [2.0]).item()",
    "transforms": "m.vjp(lambda x: x, [1.0], [1.0])",
    "io": "m.save",
    "graphs": "m.print_graph",
    "export": "m.exporter",
    "kernels": "m.CUDAKernel",
    "memory": "m.live_handles()",
}


@pytest.mark.parametrize("name", USES)
def test_module_alone(name):
    status, _, errors = run_python(f"import mlxffi.{name} as m\n{USES[name]}")
    assert status == 0, errors


def test_a_collection_between_the_libraries_and_the_modules_unloads_nothing():
    code = "import gc; from mlxffi import _loader; _loader.load(); gc.collect(); gc.collect(); "
    assert run_python(code + "import mlxffi; print(mlxffi.Array(1).item())") == (0, "1\n", "")
