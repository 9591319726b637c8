"""Rows: what is computed of arrays `x` and `y` of module `m`, as an expression of each library.

A line has a name, mlx.core's expression, numpy's and PyTorch's: one that lacks, or =, is mlx.core's; - leaves a library
out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from . import inputs

Work = Callable[[Any, Any, Any], Any]

# Named as mlx.core names them.
UNARY = """
exp expm1 log log2 log10 log1p sin cos tan sinh cosh tanh arcsin arccos arctan arcsinh arctanh sqrt square abs
negative floor ceil round sign trunc reciprocal degrees radians isnan isinf isfinite isposinf isneginf nan_to_num
"""
BINARY = """
add subtract multiply divide maximum minimum arctan2 logaddexp greater less greater_equal less_equal not_equal
floor_divide remainder
"""
# Of int32, and of truth values.
OF_INTS = """
add subtract multiply floor_divide remainder maximum minimum bitwise_and bitwise_or bitwise_xor left_shift right_shift
less equal
"""
OF_BOOLS = "logical_and logical_or logical_xor"
FOLDED = "sum mean max min prod var std argmax argmin"
TYPES = "bool_ uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 bfloat16 float32 complex64"
TORCH_NAMES = {
    "degrees": "rad2deg",
    "radians": "deg2rad",
    "equal": "eq",
    "not_equal": "ne",
    "left_shift": "bitwise_left_shift",
    "right_shift": "bitwise_right_shift",
    "max": "amax",
    "min": "amin",
}

ELEMENTWISE = """
rsqrt; m.rsqrt(x); 1 / m.sqrt(x)
arccosh; m.arccosh(x + 1)
sigmoid; m.sigmoid(x); 1 / (1 + m.exp(-x))
erf; m.erf(x); -
erfinv; m.erfinv(x); -
power; m.power(x, y); = ; m.pow(x, y)
square root of powers; m.power(x, 0.5); = ; m.pow(x, 0.5)
equal; m.equal(x, y); = ; m.eq(x, y)
divmod; m.divmod(x, y); = ; (m.floor_divide(x, y), m.remainder(x, y))
isclose; m.isclose(x, y)
allclose; m.allclose(x, x)
array_equal; m.array_equal(x, x); = ; m.equal(x, x)
clip; m.clip(x, 0.25, 0.75)
where; m.where(x > y, x, y)
where of a mask; m.where(bools(m, *x.shape), x, 0.0)
row + column; x + x[:, :1]
times a row; x * x[0]
transposed + 1; x.T + 1
three in turn; (x * y + x) * 0.5
conjugate; m.conjugate(complexes(m, *x.shape)); = ; m.conj(complexes(m, *x.shape)).resolve_conj()
real; m.real(complexes(m, *x.shape)) + 0
complex product; complexes(m, *x.shape) * complexes(m, *x.shape)
complex exp; m.exp(complexes(m, *x.shape))
complex abs; m.abs(complexes(m, *x.shape))
bitwise_invert; m.bitwise_invert(ints(m, *x.shape)); m.invert(ints(m, *x.shape)); m.bitwise_not(ints(m, *x.shape))
logical_not; m.logical_not(bools(m, *x.shape))
to float16; cast(x, m.float16)
to bfloat16; cast(x, m.bfloat16); -
to int32; cast(x, m.int32)
to uint8; cast(x, m.uint8)
to_fp8; m.to_fp8(x); - ; x.to(m.float8_e4m3fn)
"""

SOFTMAX = """
softmax; m.softmax(x, -1); numpy_softmax(x)
softmax of columns; m.softmax(x, 0); -
logsumexp; m.logsumexp(x, -1); m.log(m.exp(x - x.max(-1, keepdims=True)).sum(-1)); m.logsumexp(x, -1)
logsumexp of all; m.logsumexp(x); - ; m.logsumexp(x, (0, 1))
norm; m.linalg.norm(x); = ; m.linalg.vector_norm(x)
norms of rows; m.linalg.norm(x, axis=-1); = ; m.linalg.vector_norm(x, dim=-1)
layer_norm; m.fast.layer_norm(x, None, None, 1e-5); - ; m.nn.functional.layer_norm(x, x.shape[-1:])
rms_norm; m.fast.rms_norm(x, None, 1e-5); - ; m.nn.functional.rms_norm(x, x.shape[-1:], eps=1e-5)
"""

FOLDS = """
max of rows and columns; m.max(x, axis=(0, 1)); = ; m.amax(x, (0, 1))
sum of ints; m.sum(ints(m, *x.shape))
all; m.all(bools(m, *x.shape))
any of rows; m.any(bools(m, *x.shape), -1)
count_nonzero; m.count_nonzero(x)
vecdot; m.vecdot(x, y); = ; m.linalg.vecdot(x, y)
inner; m.inner(x.reshape(-1), y.reshape(-1))
trace; m.trace(x)
median; m.median(x, -1)
minmax; m.minmax(x); (m.min(x), m.max(x)); m.aminmax(x)
"""

SCANS = """
cumsum; m.cumsum(x, 1)
cumsum of columns; m.cumsum(x, 0)
cumsum of all; m.cumsum(x.reshape(-1), 0)
cumprod; m.cumprod(x, 1)
cummax; m.cummax(x, axis=1); m.maximum.accumulate(x, 1); m.cummax(x, 1)
cummin; m.cummin(x, axis=1); m.minimum.accumulate(x, 1); m.cummin(x, 1)
logcumsumexp; m.logcumsumexp(x, axis=1); m.logaddexp.accumulate(x, 1); m.logcumsumexp(x, 1)
diff; m.diff(x, axis=1); = ; m.diff(x, dim=1)
"""

SORTS = """
sort; m.sort(x, -1)
sort of columns; m.sort(x, 0)
sort of all; m.sort(x.reshape(-1))
argsort; m.argsort(x, -1)
argsort of columns; m.argsort(x, 0)
argsort of all; m.argsort(x.reshape(-1))
partition; m.partition(x, x.shape[-1] // 2, -1); = ; -
argpartition; m.argpartition(x, x.shape[-1] // 2, -1); = ; -
topk; m.topk(x, 8, -1); m.partition(x, -8, -1)[:, -8:]
sort of ints; m.sort(ints(m, *x.shape), -1)
searchsorted; m.searchsorted(sorted_row(m), x); = ; m.searchsorted(sorted_row(m), x)
unique; m.unique(ints(m, *x.shape), 1000); m.unique(ints(m, *x.shape)); m.unique(ints(m, *x.shape))
"""

LOOKUPS = """
take rows; m.take(x, indices(m, x.shape[0], x.shape[0]), 0); = ; x[indices(m, x.shape[0], x.shape[0])]
take columns; m.take(x, indices(m, x.shape[1], x.shape[1]), 1); = ; x[:, indices(m, x.shape[1], x.shape[1])]
take numbers; m.take(x.reshape(-1), indices(m, size(x), size(x))); = ; m.take(x, indices(m, size(x), size(x)))
take_along_axis; m.take_along_axis(x, along(m, x), 1); = ; m.take_along_dim(x, along(m, x), 1)
put_along_axis; m.put_along_axis(x, along(m, x), y, 1); put_along(x, along(m, x), y); m.scatter(x, 1, along(m, x), y)
rows by index; x[indices(m, x.shape[0], x.shape[0])]
numbers by two indices; x[indices(m, x.shape[0], x.shape[0]), indices(m, x.shape[1], x.shape[0])]
add to rows; added(m, x, indices(m, x.shape[0], x.shape[0]), y)
put a slice; with_slice(m, x, y)
every other column; x[:, ::2] + 0
"""

JOINS = """
concatenate rows; m.concatenate([x, y], 0)
concatenate columns; m.concatenate([x, y], 1)
stack; m.stack([x, y])
stack last; m.stack([x, y], -1)
tile; m.tile(x[:, :256], (1, 4))
repeat; m.repeat(x[:, :256], 4, 1); = ; m.repeat_interleave(x[:, :256], 4, 1)
repeat rows; m.repeat(x[: x.shape[0] // 4 or 1], 4, 0); = ; m.repeat_interleave(x[: x.shape[0] // 4 or 1], 4, 0)
pad; m.pad(x, ((1, 1), (1, 1))); = ; m.nn.functional.pad(x, (1, 1, 1, 1))
roll; m.roll(x, 3, 1)
roll rows; m.roll(x, 3, 0)
flip; m.flip(x, 1); = ; m.flip(x, (1,))
contiguous transpose; m.contiguous(x.T); m.ascontiguousarray(x.T); x.T.contiguous()
tril; m.tril(x)
triu; m.triu(x)
diag; m.diag(x[0]) + 0
kron; m.kron(x[:, :256], x[:1, :4])
outer; m.outer(x[0], y[0])
meshgrid; m.meshgrid(x[0], y[0])[0] + 0; = ; m.meshgrid(x[0], y[0], indexing="ij")[0] + 0
broadcast_to; m.broadcast_to(x[:1], x.shape) + 0
"""

MAKING = """
zeros; m.zeros(x.shape)
ones; m.ones(x.shape)
full; m.full(x.shape, 0.5)
arange; m.arange(size(x))
arange of floats; m.arange(0.0, float(size(x)), 1.0)
linspace; m.linspace(0, 1, size(x))
eye; m.eye(x.shape[1])
tri; m.tri(x.shape[1]); = ; -
hanning; m.hanning(size(x)); = ; m.hann_window(size(x), periodic=False)
"""

RANDOM = """
uniform; m.random.uniform(shape=x.shape); rng.random(x.shape, m.float32); m.rand(x.shape)
normal; m.random.normal(x.shape); rng.standard_normal(x.shape, m.float32); m.randn(x.shape)
randint; m.random.randint(0, 1000, x.shape); rng.integers(0, 1000, x.shape, m.int32); m.randint(1000, x.shape)
bernoulli; m.random.bernoulli(x); rng.random(x.shape, m.float32) < x; m.bernoulli(x)
categorical; m.random.categorical(x); - ; m.multinomial(x, 1)
gumbel; m.random.gumbel(x.shape); rng.gumbel(size=x.shape); -
laplace; m.random.laplace(x.shape); rng.laplace(size=x.shape); -
truncated_normal; m.random.truncated_normal(-1.0, 1.0, x.shape); - ; -
permutation; m.random.permutation(size(x)); rng.permutation(size(x)); m.randperm(size(x))
permutation of rows; m.random.permutation(x); rng.permutation(x); x[m.randperm(x.shape[0])]
"""

TRANSFORMED = """
fft; m.fft.fft(complexes(m, *x.shape))
ifft; m.fft.ifft(complexes(m, *x.shape))
fft of columns; m.fft.fft(complexes(m, *x.shape), axis=0); = ; m.fft.fft(complexes(m, *x.shape), dim=0)
rfft; m.fft.rfft(x)
irfft; m.fft.irfft(complexes(m, *x.shape))
fft2; m.fft.fft2(complexes(m, *x.shape))
fftshift; m.fft.fftshift(x)
hadamard_transform; m.hadamard_transform(x); - ; -
convolve; m.convolve(x.reshape(-1), y[0, :64]); = ; -
conv1d; m.conv1d(signal(m, x), filters(m, 5)); - ; m.conv1d(signal(m, x), filters(m, 5))
conv2d; m.conv2d(images(m, x), filters(m, 3, 3)); - ; m.conv2d(images(m, x), filters(m, 3, 3))
"""

PRODUCTS = """
matmul of many; m.matmul(matrices(m, size(x)), matrices(m, size(x)))
matmul; m.matmul(square(x), square(x))
matrix by vector; m.matmul(x, y[0])
vector by matrix; m.matmul(x[:, 0], y)
einsum; m.einsum("ij,kj->ik", square(x), square(y))
einsum of rows; m.einsum("ij,ij->i", x, y)
tensordot; m.tensordot(square(x), square(y), 1)
addmm; m.addmm(square(y), square(x), square(x)); square(y) + square(x) @ square(x)
"""

LINALG = """
cholesky; m.linalg.cholesky(matrices(m, size(x)))
inv; m.linalg.inv(matrices(m, size(x)))
solve; m.linalg.solve(matrices(m, size(x)), matrices(m, size(x)))
solve_triangular; m.linalg.solve_triangular(matrices(m, size(x)), matrices(m, size(x)), upper=True); - ; =
qr; m.linalg.qr(matrices(m, size(x)))
lu_factor; m.linalg.lu_factor(matrices(m, size(x))); - ; =
svd; m.linalg.svd(matrices(m, size(x)))
eigh; m.linalg.eigh(matrices(m, size(x)))
eigvalsh; m.linalg.eigvalsh(matrices(m, size(x)))
eig; m.linalg.eig(matrices(m, size(x)))
det; m.linalg.det(matrices(m, size(x)))
pinv; m.linalg.pinv(matrices(m, size(x)))
cross; m.linalg.cross(threes(x), threes(y))
"""

TABLES = {
    "elementwise": ELEMENTWISE,
    "softmax": SOFTMAX,
    "folds": FOLDS,
    "scans": SCANS,
    "sorts": SORTS,
    "lookups": LOOKUPS,
    "joins": JOINS,
    "making": MAKING,
    "random": RANDOM,
    "transformed": TRANSFORMED,
    "products": PRODUCTS,
    "linalg": LINALG,
}

# Those of which bfloat16 has rows of its own.
OF_HALVES = ("elementwise", "softmax", "folds", "scans", "sorts", "lookups", "joins")
# What takes long, up to these sizes only.
LARGEST = {"products": 1 << 18, "linalg": 1 << 18, "transformed": 1 << 22}
LIBRARIES = ("mlx", "numpy", "torch")


def _lines(group: str) -> list[str]:
    lines = TABLES[group].strip().splitlines()
    if group == "folds":
        axes = {"all": "", "rows": "-1", "columns": "0"}
        return [_fold(name, where, axis) for name in FOLDED.split() for where, axis in axes.items()] + lines
    return lines if group != "elementwise" else _named() + lines


def _fold(name: str, where: str, axis: str) -> str:
    torch = TORCH_NAMES.get(name, name)
    arguments = f"x, {axis}" if axis else "x"
    return f"{name} of {where}; m.{name}({arguments}); = ; m.{torch}({arguments})"


def _named() -> list[str]:
    kinds = ((UNARY, "x", ""), (BINARY, "x, y", ""), (OF_INTS, _two("ints"), " of ints"), (OF_BOOLS, _two("bools"), ""))
    return [
        f"{name}{kind}; m.{name}({arguments}); = ; m.{TORCH_NAMES.get(name, name)}({arguments})"
        for names, arguments, kind in kinds
        for name in names.split()
    ]


def _two(kind: str) -> str:
    shifts = ", below=31" if kind == "ints" else ""
    return f"{kind}(m, *x.shape), {kind}(m, *x.shape{shifts})"


def _work(expression: str) -> Work:
    found: Work = eval(f"lambda m, x, y: {expression}", dict(inputs.HELPERS))
    return found


def _row(line: str) -> tuple[str, dict[str, Work]]:
    name, mlx, *others = (part.strip() for part in line.split(";"))
    others += ["="] * (len(LIBRARIES) - 1 - len(others))
    expressions = zip(LIBRARIES, [mlx, *(mlx if other == "=" else other for other in others)], strict=True)
    return name, {library: _work(expression) for library, expression in expressions if expression != "-"}


def _cast(source: str, target: str) -> str:
    source_of_torch, target_of_torch = (name.removesuffix("_") for name in (source, target))
    theirs = f"cast(of_type(m, '{source_of_torch}', *x.shape), m.{target_of_torch})"
    return f"{source} to {target}; cast(of_type(m, '{source}', *x.shape), m.{target}); = ; {theirs}"


def casts(size: int, half: bool) -> dict[str, dict[str, Work]]:
    """The conversions of each type to each other."""
    del size, half
    pairs = itertools.permutations(TYPES.split(), 2)
    return dict(_row(_cast(source, target)) for source, target in pairs)


def works(size: int, half: bool) -> dict[str, dict[str, Work]]:
    """What each library computes, by the name of the row, for arrays of so many numbers."""
    groups = [group for group in TABLES if size <= LARGEST.get(group, size) and (not half or group in OF_HALVES)]
    return dict(_row(line) for group in groups for line in _lines(group))
