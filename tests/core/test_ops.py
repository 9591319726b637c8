"""The operation functions of mlxffi.core against those of mlx.core, over thousands of generated arguments."""

import cases  # noqa: F401 (adds to CASES)
import mlx.core as theirs
import more_cases  # noqa: F401 (adds to CASES)
import pytest
from both import alike, outcome
from module_cases import INEXACT
from specs import CASES, N, call

import mlxffi.core as ours

# This thread's key lives on after the test that first makes it.
ours.random.seed(0)


def is_complex(argument):
    return isinstance(argument, complex) or getattr(argument, "dtype", "") == "complex64"


# What is meant to differ, or follows the stub where mlx.core does not:
#   keywords   mlx.core refuses names that its stub has
#   strict     mlxffi refuses what mlx.core computes from memory that is not there
#   order      both arguments are wrong, and the other one is named
#   loose      an array of several elements where a number belongs
#   sides      the numbers on either side of a partition may be in any order
#   right      what mlx.core gets wrong: docs/differences.md
KNOWN = {
    "keywords": lambda case, named: named.keys() & {"a", "array"},
    "strict": lambda case, named: (
        case.name == "as_strided" and len(case.args) == 3 and len(case.args[1]) != len(case.args[2])
    ),
    "order": lambda case, named: case.name == "where" and case.args[:1] in (("x",), (None,)),
    "loose": lambda case, named: (
        case.name == "nan_to_num" and len(case.args) > 1 and not isinstance(case.args[1], float)
    ),
    "sides": lambda case, named: case.name == "partition" and case.args[1:2] == (2,),
    "right": lambda case, named: (
        case.name in ("linalg.eig", "linalg.cholesky", "qqmm", "gather_qqmm")
        or (case.name in ("power", "pow") and any(map(is_complex, case.args)))
        or (case.name == "take" and isinstance((*case.args, named.get("indices"))[1], int))
        or (case.name == "linalg.norm" and "int" in str(getattr(case.args[0], "dtype", "")))
    ),
}


def known(case):
    return any(rule(case, dict(case.kwargs)) for rule in KNOWN.values())


@pytest.mark.parametrize("name", CASES)
def test_same_as_mlx(name):
    wrong = []
    for case in CASES[name]:
        found, wanted = outcome(case, ours), outcome(case, theirs)
        if not alike(found, wanted, exact=name not in INEXACT) and not known(case):
            wrong.append(f"{case}\n  ours   {found!r}\n  theirs {wanted!r}")
    assert not wrong, f"{len(wrong)} of {len(CASES[name])} differ\n" + "\n".join(wrong[:3])


def test_every_function_has_cases():
    """All public functions of the operation modules, less those of other tests."""
    others = {"metal_kernel", "cuda_kernel", "precompiled_cuda_kernel", "seed"}
    modules = ours._creation, ours._numeric, ours.generated.ops
    public = [name for module in modules for name in module.__all__]
    for module in ("linalg", "fft", "fast", "random"):
        names = [name for name in vars(getattr(theirs, module)) if not name.startswith("_")]
        public += [f"{module}.{name}" for name in names if name not in others]
    assert not [name for name in public if not CASES.get(name)]


def test_thousands_of_cases():
    assert sum(map(len, CASES.values())) > 25000


@pytest.mark.parametrize("stream", [N("cpu"), None])
def test_stream_is_taken(stream):
    for name, args in {
        "add": (1, 2),
        "exp": (1.0,),
        "zeros": ((2,),),
        "random.uniform": (),
        "fft.fftfreq": (4,),
    }.items():
        assert not isinstance(outcome(call(name, *args, stream=stream), ours), type), name


def test_kernels_need_their_backend():
    arguments = {"name": "k", "input_names": ["x"], "output_names": ["y"], "source": ""}
    if not ours.cuda.is_available():
        assert issubclass(outcome(call("fast.cuda_kernel", **arguments), ours), RuntimeError)
    if not ours.metal.is_available():
        kernel = ours.fast.metal_kernel(**arguments)
        options = {
            "output_shapes": [(1,)],
            "output_dtypes": [ours.float32],
            "grid": (1, 1, 1),
            "threadgroup": (1, 1, 1),
        }
        with pytest.raises(RuntimeError):
            ours.eval(kernel(inputs=[ours.ones(1)], **options))
    with pytest.raises(ValueError, match="math_mode"):
        ours.fast.metal_kernel(**arguments, compile_options={"math_mode": "quick"})
