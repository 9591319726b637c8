"""Calls of the functions of linalg, fft, fast and random."""

import itertools

from specs import DTYPES, SHAPES, A, F, N, V, case

# Vectors that are right in any of several signs or orders, or sums in another order.
INEXACT: set = set()

CPU = {"stream": N("cpu")}

# --- linalg ---

SQUARE = (
    "linalg.inv linalg.pinv linalg.det linalg.slogdet linalg.eigvals linalg.eig linalg.lu linalg.lu_factor linalg.qr "
    "linalg.svd"
)
SYMMETRIC = "linalg.cholesky linalg.eigh linalg.eigvalsh linalg.cholesky_inv linalg.tri_inv"
POSITIVE = F("matmul", (A((3, 3)), F("transpose", (A((3, 3)),))))
for shape in ((2, 2), (3, 3), (2, 3, 3), (2, 3), (3,), (), (1, 1)):
    case(f"{SQUARE} {SYMMETRIC}", A(shape), **CPU)
for dtype in DTYPES:
    case(f"{SQUARE} {SYMMETRIC}", A((3, 3), dtype), **CPU)
for value in (1.0, None, "x", [[1.0]]):
    case(f"{SQUARE} {SYMMETRIC}", value, **CPU)
for upper in (False, True):
    case("linalg.cholesky linalg.cholesky_inv linalg.tri_inv", POSITIVE, upper, **CPU)
    case("linalg.solve_triangular", A((3, 3), low=1), A((3,)), upper=upper, **CPU)
for part in ("L", "U", "X", 1):
    case("linalg.eigh linalg.eigvalsh", POSITIVE, part, **CPU)
case("linalg.svd", A((2, 3)), False, **CPU)
case("linalg.svd", A((3, 2)), compute_uv=False, **CPU)
for first, second in (
    ((3, 3), (3,)),
    ((3, 3), (3, 2)),
    ((2, 3, 3), (2, 3, 1)),
    ((3, 3), (2,)),
    ((2, 3), (3,)),
    ((3,), (3,)),
):
    case("linalg.solve linalg.solve_triangular", A(first), A(second), **CPU)
case("linalg.solve", A((3, 3)), 1.0, **CPU)
for axis in (-1, 0, 1, 2, None):
    case("linalg.cross", A((3, 3)), A((3, 3), salt=1), axis, **CPU)
    case("linalg.cross", A((2, 3)), A((3,)), axis=axis, **CPU)
case("linalg.cross", A((4,)), A((4,)), **CPU)
case("linalg.cross", A((2,)), A((2,)), **CPU)
NORMS = (None, 1, 2, -1, 0, 0.5, float("inf"), -float("inf"), "fro", "nuc", "other", -2)
for order, axis in itertools.product(NORMS, (None, 0, -1, [0, 1], (1, 0), [0], 3, [0, 0], [0, 1, 2])):
    for shape in ((3,), (2, 3), (2, 3, 4)):
        case("linalg.norm", A(shape), order, axis, **CPU)
    case("linalg.norm", A((2, 3), "int32"), ord=order, axis=axis, keepdims=True, **CPU)
case("linalg.norm", A((2, 3), "complex64"), **CPU)
case("linalg.norm", A((0,)), **CPU)
case("linalg.norm", 3.0)
INEXACT |= {f"linalg.{name}" for name in ("eig", "eigvals", "svd", "pinv")} | {"fast.cross_entropy"}
# Kernels of our own (docs/fused.md), which sum in another order than MLX's operations and round half types once.
INEXACT |= {"fast.layer_norm", "fast.rms_norm", "fast.rope", "fast.scaled_dot_product_attention"}
# A filter's products are added one after the other, in one rounding where the CPU can.
INEXACT |= {"convolve"}
# Packed numbers are code * scale + bias in one rounding.
INEXACT |= {"dequantize", "gather_qmm", "quantized_matmul"}
# Sums of halves and of integers in wider types (docs/differences.md).
INEXACT |= {
    "cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "logaddexp", "logcumsumexp", "logsumexp", "mean",
    "softmax", "std", "var",
}  # fmt: skip
# Our kernels: functions to half a unit in the last place, halves rounded once, float32 numbers added in another order.
ARCS = "acos acosh arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan atan2 atanh"
FUNCTIONS = "cos cosh erf erfinv exp expm1 log log10 log1p log2 pow power rsqrt sigmoid sin sinh sqrt sum tan tanh"
INEXACT |= {*ARCS.split(), *FUNCTIONS.split(), "hanning", "fast.gated_delta_update"}
INEXACT |= {f"random.{name}" for name in ("laplace", "multivariate_normal", "normal", "truncated_normal")}

# --- fft ---

ONE = "fft.fft fft.ifft fft.rfft fft.irfft"
SEVERAL = "fft.fft2 fft.ifft2 fft.fftn fft.ifftn fft.rfft2 fft.irfft2 fft.rfftn fft.irfftn"
for shape in SHAPES:
    case(f"{ONE} {SEVERAL}", A(shape))
    case("fft.fftshift fft.ifftshift", A(shape))
for dtype in DTYPES:
    case(f"{ONE} {SEVERAL}", A((4, 6), dtype))
for n, axis in itertools.product((None, 4, 7, 0, -1, 1, 2.0), (-1, 0, 2, "x")):
    case(ONE, A((4, 6)), n, axis)
    case(ONE, A((4, 6), "complex64"), n=n, axis=axis)
for s, axes in itertools.product(
    (None, (4, 5), [2, 8], (3,), (0, 2), 4), (None, [-2, -1], (0, 1), (1, 0), [0], [0, 0], [3, 1], 1, [])
):
    case(SEVERAL, A((4, 6)), s, axes)
    case(SEVERAL, A((2, 4, 6), "complex64"), s=s, axes=axes)
for norm in ("backward", "ortho", "forward", "other", 1, None):
    case(f"{ONE} {SEVERAL}", A((4, 6)), norm=norm)
for value in (1.0, None, [1.0]):
    case(f"{ONE} {SEVERAL} fft.fftshift fft.ifftshift", value)
for axes in (0, -1, [0, 1], (1,), [0, 0], 3, None, [], "x"):
    case("fft.fftshift fft.ifftshift", A((4, 5)), axes)
for n in (1, 4, 5, 0, -1, 2.0):
    case("fft.fftfreq fft.rfftfreq", n)
    case("fft.fftfreq fft.rfftfreq", n, 0.5)
    case("fft.fftfreq fft.rfftfreq", n=n, d=0)
for options in (
    {},
    {"hop_length": 4},
    {"win_length": 8},
    {"center": False},
    {"pad_mode": "constant"},
    {"pad_mode": "edge"},
    {"norm": "ortho"},
    {"onesided": False},
    {"window": A((16,))},
    {"hop_length": 0},
    {"window": A((5,))},
    {"norm": "other"},
):
    case("fft.stft", A((64,)), 16, **options)
    case("fft.stft", A((2, 64)), n_fft=16, **options)
    back = {key: value for key, value in options.items() if key != "pad_mode"}
    spectrum = F(
        "fft.stft", (A((64,)), 16), tuple({"hop_length": 4, **back}.items()) if back.get("hop_length") != 0 else ()
    )
    case("fft.istft", spectrum, 16, **{"hop_length": 4, **back})
    case("fft.istft", spectrum, **{"hop_length": 4, **back}, length=50)
case("fft.stft fft.istft", 1.0)
case("fft.stft", A((64,), "complex64"), 16)
case("fft.stft", A((4,)), 16)

# --- fast ---

for dtype in ("float32", "float16", "bfloat16", "int32", "complex64"):
    for shape in ((4,), (2, 4), (2, 3, 4), (0, 4), ()):
        case("fast.rms_norm", A(shape, dtype), A((4,)), 1e-5)
        case("fast.rms_norm", A(shape, dtype), None, 1e-5)
        case("fast.layer_norm", A(shape, dtype), A((4,)), A((4,)), 1e-5)
        case("fast.layer_norm", A(shape, dtype), None, None, eps=1e-5)
        case("fast.layer_norm", A(shape, dtype), A((4,)), None, 1e-5)
        # mlx.core rounds half types in between (test_fused_losses.py), and refuses no rows.
        if dtype not in ("float16", "bfloat16") and 0 not in shape:
            case("fast.cross_entropy", A(shape, dtype), A(shape[:-1], "uint32", high=3))
    queries, keys = A((1, 4, 3, 8), dtype), A((1, 2, 5, 8), dtype)
    for mask in (None, "causal", "other", A((3, 5), "bool"), A((3, 5), dtype), 1.0, A((2, 2))):
        case("fast.scaled_dot_product_attention", queries, keys, keys, scale=0.5, mask=mask)
    case("fast.scaled_dot_product_attention", queries, keys, keys, scale=0.5, sinks=A((4,), dtype))
    for traditional, base, offset in itertools.product((True, False), (10000.0, None), (0, 3, V(2), V([2]), 1.5)):
        options = {"traditional": traditional, "base": base, "scale": 1.0, "offset": offset}
        case("fast.rope", A((1, 2, 3, 8), dtype), 8, **options)
        case("fast.rope", A((1, 2, 3, 8), dtype), 4, freqs=A((2,), low=1), **options)
case("fast.rms_norm", A((4,)), A((3,)), 1e-5)
case("fast.rms_norm", 1.0, None, 1e-5)
case("fast.rms_norm", A((4,)), 1.0, 1e-5)
case("fast.layer_norm", A((4,)), A((4,)), 1.0, 1e-5)
case("fast.cross_entropy", A((2, 4)), 1)
case("fast.cross_entropy", A((2, 4)), A((3,), "int32", low=0))
case("fast.scaled_dot_product_attention", A((4, 3, 8)), A((4, 3, 8)), A((4, 3, 8)), scale=1.0)
case("fast.scaled_dot_product_attention", A((1, 4, 3, 8)), A((1, 4, 3, 8)), A((1, 4, 3, 8)))
case(
    "fast.scaled_dot_product_attention", A((1, 4, 3, 8)), A((1, 4, 3, 8)), A((1, 4, 3, 8)), scale=1.0, force_fused=True
)
case("fast.rope", A((1, 2, 3, 8)), 8)
wide, gates = A((1, 5, 2, 32), low=-0.3, high=0.4), A((1, 5, 2), low=0, high=1)
case("fast.gated_delta_update", wide, wide, wide, gates, gates)
case("fast.gated_delta_update", wide, wide, wide, gates, gates, A((1, 2, 32, 32)))
case("fast.gated_delta_update", wide, wide, wide, gates, gates, None, A((1, 5), "bool"))
case("fast.gated_delta_update", wide, wide, wide, gates, 1.0)
case("fast.gated_delta_update", wide, wide, A((3,)), gates, gates)

# --- random ---

KEY = F("random.key", (7,))
SIZES = ((), [], (3,), [2, 3], (0,), (2, 0, 3), 3, None, (-1,), "x", (1.5,))
FLOATING = ("float32", "float16", "bfloat16", "float64", "int32", "bool", "complex64", "uint8")
for seed in (0, 7, 2**40, -1, 2**70, 1.5, True):
    case("random.key", seed)
    case("random.split", F("random.key", (seed,)))
for num in (2, 1, 5, 0, -1, 1.5, None):
    case("random.split", KEY, num)
case("random.split", 7)
case("random.split", A((2,)))
case("random.split", A((3,), "uint32"))
for shape in SIZES:
    case("random.uniform random.normal random.gumbel random.laplace", shape=shape, key=KEY)
    case("random.bernoulli", 0.3, shape, KEY)
    case("random.randint", 0, 10, shape, key=KEY)
    case("random.truncated_normal", -1, 2.0, shape, key=KEY)
    case("random.multivariate_normal", A((2,)), F("eye", (2,)), shape, key=KEY, stream=N("cpu"))
    case("random.categorical", A((2, 4)), shape=shape, key=KEY)
for dtype in FLOATING:
    case("random.uniform random.normal random.gumbel random.laplace", shape=(4,), dtype=N(dtype), key=KEY)
    case("random.uniform", 1, 3.5, (4,), N(dtype), KEY)
    case("random.normal", (4,), N(dtype), 2.0, 0.5, KEY)
    case("random.normal", (2, 3), N(dtype), A((3,)), A((2, 1), "int32"), KEY)
    case("random.laplace", (4,), N(dtype), 2.0, 0.5, KEY)
    case("random.randint", 0, 10, (4,), N(dtype), KEY)
    case("random.truncated_normal", A((3,)), 2.0, None, N(dtype), KEY)
    case("random.multivariate_normal", A((2,)), F("eye", (2,)), (3,), N(dtype), KEY, N("cpu"))
    case("random.bernoulli", A((3,), low=0, high=1), key=KEY)
case("random.uniform random.normal random.gumbel random.laplace", shape=(4,), dtype=None, key=KEY)
case("random.uniform random.normal", shape=(4,), dtype="float32", key=KEY)
case("random.uniform random.normal", shape=(4,), key=7)
case("random.uniform", A((3,)), A((2, 3)), [2, 3], key=KEY)
case("random.uniform", A((4,)), 1, [2, 3], key=KEY)
case("random.normal", (3,), loc="x", key=KEY)
case("random.randint", A((3,), "int32"), A((3,), "int32"), (3,), key=KEY)
case("random.randint", 0.5, 3.7, (3,), key=KEY)
case("random.bernoulli", key=KEY)
case("random.bernoulli", A((3,), "int32"), (2, 3), KEY)
for axis in (-1, 0, 1, 2, -3):
    case("random.categorical", A((2, 4)), axis, key=KEY)
    case("random.categorical", A((2, 4)), axis, num_samples=3, key=KEY)
    case("random.permutation", A((3, 4)), axis, KEY)
case("random.categorical", A((2, 4)), shape=(2,), num_samples=3, key=KEY)
case("random.categorical", 1.0, key=KEY)
for x in (5, 0, 1, -1, 2.5, A((4,)), A(()), A((0,)), True, None):
    case("random.permutation", x, key=KEY)
    case("random.permutation", x, 0, KEY, N("cpu"))
