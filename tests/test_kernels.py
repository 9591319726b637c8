"""Kernels: refused with a clear error where their backend is missing, computed where it is there."""

import re

import pytest
from helpers import error_of

import mlxffi as m
from mlxffi import fast, kernels
from mlxffi.device import device_count

gpu = device_count("gpu") > 0
metal = gpu and m.lib.mlx_metal_is_available(found := m.ffi.new("bool *")) == 0 and found[0]
cuda = gpu and m.lib.mlx_cuda_is_available(found := m.ffi.new("bool *")) == 0 and found[0]

SOURCES = {
    "metal_kernel": "uint i = thread_position_in_grid.x; out[i] = a[i] * T(scale);",
    "cuda_kernel": "auto i = cooperative_groups::this_grid().thread_rank(); out[i] = a[i] * T(scale);",
}
THERE = {"metal_kernel": metal, "cuda_kernel": cuda}
BACKENDS = {"metal_kernel": "a Mac's GPU", "cuda_kernel": "an NVIDIA GPU and mlx-cuda"}
NAMES = sorted(SOURCES)


def missing(name):
    return pytest.mark.skipif(bool(THERE[name]), reason=f"needs a machine without {BACKENDS[name]}")


def there(name):
    return pytest.mark.skipif(not THERE[name], reason=f"needs {BACKENDS[name]}")


def made(name):
    return getattr(fast, name)("scaled", ["a"], ["out"], SOURCES[name])


def launched(kernel, array, **options):
    settings = {"output_shapes": [array.shape], "output_dtypes": [array.dtype], "threadgroup": (8, 1, 1)} | options
    settings.setdefault("grid", (array.size, 1, 1))
    settings.setdefault("template", {"T": array.dtype, "scale": 3})
    return kernel([array], **settings)


# --- without the backend ---


@pytest.mark.parametrize("name", [pytest.param(name, marks=missing(name)) for name in NAMES])
def test_a_missing_backend_is_an_error_that_says_so(name):
    for _ in range(3):
        error = error_of(lambda: launched(made(name), m.Array([1.0, 2.0])))
        assert isinstance(error, RuntimeError)
        assert re.search(rf"\[{name}\] No (Metal|CUDA) back-end", str(error))


@pytest.mark.parametrize("name", NAMES)
def test_a_kernel_needs_an_output(name):
    with pytest.raises(ValueError, match=rf"\[{name}\] output_names: expected at least one name, got none"):
        getattr(fast, name)("scaled", ["a"], [], "")


@pytest.mark.parametrize("name", NAMES)
def test_names_must_be_strings(name):
    with pytest.raises(TypeError, match="input_names: expected a str, got int"):
        getattr(fast, name)("scaled", [1], ["out"], "")
    with pytest.raises(ValueError, match="source: expected a string without NUL characters"):
        getattr(fast, name)("scaled", ["a"], ["out"], "a\0b")


# --- what a launch checks before it reaches a backend ---


class Unlaunched(kernels.MetalKernel):
    """A kernel that is never launched: without Metal none can be made."""

    __slots__ = ()
    _free = staticmethod(lambda handle: None)  # there is nothing behind the handle

    def __init__(self, handle):
        self._kernel = handle
        self.name, self.input_names, self.output_names = "scaled", ("a", "b"), ("out",)


GOOD = {
    "inputs": [[1.0], [2.0]], "output_shapes": [(1,)], "output_dtypes": ["float32"], "grid": (1, 1, 1),
    "threadgroup": (1, 1, 1),
}  # fmt: skip
BAD = {
    "inputs": ([[1.0]], r"\[scaled\] inputs: expected 2 \(a, b\), got 1"),
    "output_shapes": ([], r"\[scaled\] output_shapes: expected 1 \(out\), got 0"),
    "output_dtypes": (["float32", "int8"], r"\[scaled\] output_dtypes: expected 1 \(out\), got 2"),
    "grid": ((1, 1), r"\[scaled\] grid: expected 3 sizes, got 2"),
    "threadgroup": ((1, 1, 1, 1), r"\[scaled\] threadgroup: expected 3 sizes, got 4"),
}


@pytest.mark.parametrize("argument", BAD)
def test_a_launch_checks_its_arguments(argument):
    value, message = BAD[argument]
    with pytest.raises(ValueError, match=message):
        Unlaunched(1)(**GOOD | {argument: value})


@pytest.mark.parametrize("template", [{"T": "float33"}, {"T": 1.5}, {3: 1}])
def test_a_template_takes_names_of_truth_values_integers_and_dtypes(template):
    with pytest.raises(TypeError):
        Unlaunched(1)(**GOOD, template=template)


# --- with it ---


@pytest.mark.parametrize("name", [pytest.param(name, marks=there(name)) for name in NAMES])
def test_a_kernel_is_made_once_and_called_often(name):
    kernel = made(name)
    for size in (1, 8, 17):
        array = m.arange(0, size, 1, "float32")
        assert launched(kernel, array)[0].tolist() == [3.0 * number for number in range(size)]


@pytest.mark.parametrize("name", [pytest.param(name, marks=there(name)) for name in NAMES])
def test_a_kernel_with_a_rule_of_its_own_is_differentiable(name):
    kernel = made(name)
    function = m.custom_vjp(
        lambda inputs: launched(kernel, inputs[0]), lambda primals, cotangents, _: launched(kernel, cotangents[0])
    )
    _, (gradient,) = m.value_and_grad(lambda inputs: [m.sum(function(inputs)[0])])(m.Array([1.0, 2.0]))
    assert gradient.tolist() == [3.0, 3.0]


@pytest.mark.parametrize("name", [pytest.param(name, marks=there(name)) for name in NAMES])
def test_outputs_are_filled_before_the_kernel_runs(name):
    array = m.Array([1.0, 2.0])
    (filled,) = launched(made(name), array, output_shapes=[(4,)], init_value=7.0, grid=(2, 1, 1))
    assert filled.tolist() == [3.0, 6.0, 7.0, 7.0]
