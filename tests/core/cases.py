"""Calls of every operation function of the main module."""

import itertools

import numpy as np
from specs import DTYPES, SHAPES, A, N, V, case

UNARY = (
    "abs sign positive negative trunc square sqrt rsqrt reciprocal logical_not exp expm1 erf erfinv sin cos tan arcsin "
    "arccos arctan sinh cosh tanh arcsinh arccosh arctanh degrees radians log log2 log10 log1p stop_gradient sigmoid "
    "floor ceil isnan isinf isfinite isposinf isneginf conj conjugate real imag nan_to_num round bitwise_invert "
    "acos acosh asin asinh atan atanh ones_like zeros_like empty_like matrix_transpose contiguous"
)
# Their values come from vector code that may round otherwise in another build of the same sources: none does here.
BINARY = (
    "add subtract multiply divide divmod floor_divide remainder equal not_equal less less_equal greater greater_equal "
    "array_equal logical_and logical_or logical_xor logaddexp arctan2 atan2 power pow minimum maximum bitwise_and "
    "bitwise_or bitwise_xor left_shift right_shift bitwise_left_shift bitwise_right_shift "
    "allclose isclose inner outer kron"
)
REDUCTIONS = "all any sum count_nonzero prod min max minmax logsumexp mean median var std"
INDEX_REDUCTIONS = "argmin argmax"
SCANS = "cumsum cumprod cumulative_sum cumulative_prod cummax cummin logcumsumexp"
BAD = (None, "x", [1.0], (1, 2), object, 2**70)

for dtype, shape in itertools.product(DTYPES, SHAPES):
    case(UNARY, A(shape, dtype))
for how in ("transposed", "strided"):
    case(UNARY, A((3, 4), how=how))
    case(BINARY, A((3, 4), how=how), A((3, 4), "int32", low=1, how=how))
for value in (True, 3, -2.5, 1j, *BAD):
    case(UNARY, value)
    case(BINARY, A(), value)
    case(BINARY, value, A((3,), "int32", low=1))
    case(BINARY, value, value)
case(UNARY)
case(UNARY, A(), A(), A())
case(UNARY, A(), stream=N("cpu"))
case(UNARY, A(), stream="cpu")
case(BINARY, A(), A((3,)), stream=N("cpu"))
case(BINARY, A())
case(BINARY, a=A(), b=A())
for first, second in itertools.product(DTYPES, DTYPES):
    case(BINARY, A((2, 3), first), A((3,), second, low=1))
for first, second in itertools.product(SHAPES, SHAPES):
    case(BINARY, A(first), A(second, salt=1))
for dtype, value in itertools.product(DTYPES, (True, 2, 1.5, 1 + 2j)):
    case(BINARY, A((3,), dtype), value)
    case(BINARY, value, A((3,), dtype, low=1))

AXES = (None, 0, -1, 1, 2, -3, 3, [0], (0, 1), [1, -1], [], [-1, 0], 1.0, "0", True)
for shape, axis in itertools.product(SHAPES, AXES):
    case(f"{REDUCTIONS} {INDEX_REDUCTIONS}", A(shape), axis=axis)
    case(f"{REDUCTIONS} {INDEX_REDUCTIONS}", A(shape, "int32"), axis=axis, keepdims=True)
    case("softmax squeeze", A(shape), axis=axis)
    case("flip", A(shape, "int16"), axis=axis)
    case("expand_dims", A(shape), axis)
    case(f"{SCANS} sort argsort", A(shape), axis=axis)
    case(f"{SCANS}", A(shape, "int32"), axis=axis, reverse=True, inclusive=False)
for dtype in DTYPES:
    case(f"{REDUCTIONS} {INDEX_REDUCTIONS} softmax {SCANS}", A((2, 3), dtype))
    case(f"{REDUCTIONS} {INDEX_REDUCTIONS} {SCANS}", A((4, 3), dtype, how="transposed"), axis=0)
    case("sort argsort", A((3, 4), dtype))
    case("sort argsort", A((3, 4), dtype), axis=None)
    case("cumsum cumprod", A((2, 3), dtype), axis=1, dtype=N("float32"))
for name, value in itertools.product(f"{REDUCTIONS} {SCANS} sort argsort flip squeeze softmax".split(), (2, 1.5, *BAD)):
    case(name, value)
case("var std", A((2, 3)), ddof=1)
case("var std", A((2, 3)), axis=1, keepdims=True, ddof=2)
case("var std", A((2, 3)), 1, True, 2)
case("softmax", A((2, 3), "float16"), axis=-1, precise=True)
case(REDUCTIONS, A(), 0, True)
case("cumsum cumprod", A(), dtype="float32")

for shape in ([6], (3, 2), [-1], (2, -1), [4], [-1, -1], [], [2, 3, 1], 6, None, "x", [1.5], [2**40], (True, 6)):
    case("reshape", A((2, 3)), shape)
    case("broadcast_to", A((3,)), shape)
    case("zeros ones empty", shape)
    case("full", shape, 2.5)
    case("unflatten", A((4, 6)), 1, shape)
case("reshape", A((0, 3)), (3, 0))
case("reshape", A((0, 3)), (-1, 3))
case("reshape", A((2, 3)), shape=(3, 2), stream=N("cpu"))
case("reshape", 3.0, (1,))
case("broadcast_to", 3, (2, 2))
case("broadcast_to", A((2, 1, 3)), (2, 4, 3))
for dtype in (*DTYPES, "float64"):
    case("zeros ones empty", (2, 3), N(dtype))
    case("zeros ones empty", 3, dtype=N(dtype))
    case("full", (2,), 1, N(dtype))
    case("full", (2,), 2.5, dtype=N(dtype))
    case("full", (2,), A((2,), "int32"), dtype=N(dtype))
    case("zeros_like ones_like empty_like", A(), N(dtype))
    case("full_like", A(), 1.5, N(dtype))
    case("full_like", A((2,), dtype), 3)
    case("eye", 3, dtype=N(dtype))
    case("identity", 3, N(dtype))
    case("tri", 3, dtype=N(dtype))
    case("arange", 4, dtype=N(dtype))
    case("linspace", 0, 5, 7, dtype=N(dtype))
    case("astype", A(), N(dtype))
    case("astype", A((2,), "int32"), N(dtype))
    case("view", A((2, 4), "int32"), N(dtype))
    case("trace", A((3, 3)), dtype=N(dtype))
case("zeros ones empty", (2,), None)
case("zeros ones empty", (2,), "float32")
case("zeros ones empty", (2,), float)
case("zeros ones empty", 2, stream=N("cpu"))
for value in (1, True, 2.5, 1j, A((), "int16"), A((3,)), A((2,)), *BAD):
    case("full", (2, 3), value)
    case("full", 3, value)
    case("full_like", A((2, 3), "int32"), value)
    case("full_like", value, 2)
for arguments in ((3,), (3, 4), (3, None, 1), (3, 4, -1), (0,), (-1,), (2.5,), ("x",)):
    case("eye tri", *arguments)
case("tri", 3, 4, 1)
case("eye", n=2, m=3, k=1)
case("identity", 0)
for k in (0, 1, -1, 5, 1.5):
    case("tril triu", A((3, 4)), k)
    case("tril triu", A((2, 3, 4), "int32"), k=k)
    case("diag", A((3,)), k)
    case("diag", A((3, 4)), k=k)
    case("diagonal", A((3, 4)), k)
    case("trace", A((3, 4)), k)
case("diagonal", A((2, 3, 4)), 1, 0, 2)
case("diagonal trace", A((2, 3, 4)), axis1=-1, axis2=0)
case("diagonal trace", A((2, 3, 4)), axis1=1, axis2=1)
case("trace", A((3, 3), "bool"))
case("tril triu diagonal diag trace", A(()))
case("tril triu diagonal diag trace", 3.0)

NUMBERS = (0, 1, 5, -3, 2.5, True, None, "x", 1j)
for stop in NUMBERS:
    case("arange", stop)
for arguments in itertools.product((0, 2, 1.5, -1, True), (5, 7.5, -4, None), (None, 1, 2, -1, 0.5, 0)):
    case("arange", *arguments)
case("arange", 5, None, N("float16"))
case("arange", start=1, stop=4, step=2)
case("arange", stop=4)
case("arange", stop=6, step=2)
case("arange", 1, 4, dtype=N("uint8"))
case("arange", 1, 4, 1, N("int64"))
case("arange", 2**40)
case("arange", np.int64(4))
case("arange", np.float32(4), np.float32(8))
case("arange", float("inf"))
case("arange", float("nan"))
case("arange", A((), "int32"))
for M in (0, 1, 5, -1, 2.5, True, None):
    case("bartlett hanning hamming blackman", M)
case("bartlett hanning hamming blackman", M=4, stream=N("cpu"))
for arguments in ((0, 1), (0, 10, 5), (1.5, -2, 4), (0, 1, 1), (0, 1, 0), (0, 1, -1), (0, 1, None), (0, 5, 4, False)):
    case("linspace", *arguments)
case("linspace", 0, 1, 3, True, None)
case("linspace", start=0, stop=1, num=3, endpoint=False, dtype=N("float16"))
case("linspace", True, 2, 3)
case("linspace", "a", 2, 3)
case("linspace", 1j, 2, 3)
case("linspace", A(()), 2, 3)

for first, second in itertools.product(((2, 3), (3,), (), (3, 4), (2, 3, 4), (0, 3), (3, 0)), repeat=2):
    case("matmul tensordot", A(first), A(second))
    case("inner outer", A(first), A(second))
    case("vecdot", A(first), A(second))
    case("tensordot", A(first), A(second), 1)
    case("addmm", 1.0, A(first), A(second))
    case("addmm", A(()), A(first), A(second), 2.0, 0.5)
for dtype in DTYPES:
    case("matmul inner outer vecdot", A((3, 3), dtype), A((3, 3), dtype))
    case("addmm", A((3, 3), dtype), A((3, 3), dtype), A((3, 3), dtype), alpha=0.5)
case("matmul inner outer vecdot tensordot", A((2, 3)), 2.0)
case("tensordot", A((2, 3, 4)), A((3, 4, 2)), [[1, 2], [0, 1]])
case("tensordot", A((2, 3, 4)), A((3, 4, 2)), axes=([1], [0]))
case("tensordot", A((2, 3)), A((2, 3)), [[0, 1]])
case("tensordot", A((2, 3)), A((2, 3)), 0)
case("tensordot", A((2, 3)), A((2, 3)), -1)
case("vecdot", A((2, 3)), A((2, 3)), axis=0)
case("vecdot", A((2, 3), "complex64"), A((2, 3), "complex64"))
case("matmul", A((2, 3)), A((3, 2)), stream=N("cpu"))
case("matmul", a=A((2, 3)), b=A((3, 2)))

for index in (
    0,
    1,
    -1,
    5,
    True,
    1.0,
    None,
    V([0, 1]),
    V([[1], [0]]),
    V([0, -1]),
    A((0,), "int32"),
    A((2,)),
    [0, 1],
    np.int64(1),
):
    for axis in (None, 0, 1, -1, 2):
        case("take", A((2, 3)), index, axis)
    case("take", A((3,)), indices=index)
    # Beyond the one element there is memory of somebody else.
    if not isinstance(index, V):
        case("take", A(()), index)
for axis in (None, 0, 1, -1, 3, [0]):
    case("take_along_axis", A((2, 3)), V([[0, 1, 1]]), axis)
    case("take_along_axis", A((2, 3)), V([0, 1, 4]), axis)
    case("put_along_axis", A((2, 3)), V([[0, 1, 1]]), A((1, 3), "int32"), axis)
    case("put_along_axis", A((2, 3)), V([0, 4]), V([7.0, 8.0]), axis)
    case("concatenate concat stack", [A(), A((2, 3), "int32", salt=1)], axis)
    case("concatenate concat stack", (A((3,)), A((3,))), axis=axis)
    case("concatenate concat stack", [A((2, 3)), A((3, 3))], axis)
    case("repeat", A(), 2, axis)
    case("repeat", A((3,), "int32"), 0, axis=axis)
    case("split", A((4, 6)), 2, axis)
    case("split", A((4, 6)), [1, 3], axis=axis)
    case("unstack", A((2, 3)), axis=axis)
    case("topk", A((3, 4)), 2, axis)
    case("partition", A((4,)), 2, axis)
    case("argpartition", A((3,)), 1, axis=axis)
    case("diff", A((4, 5)), 1, axis)
case("concatenate concat stack", [])
case("concatenate concat stack", A())
case("concatenate concat stack", [A(), 1.0])
case("concatenate concat stack", [A(), None])
case("concatenate concat stack", 3)
case("split", A((4, 6)), 3)
case("split", A((4, 6)), 0)
case("split", A((4, 6)), -2)
case("split", A((4, 6)), (2, 2))
case("split", A((4, 6)), [5, 2])
case("split", A((4, 6)), [])
case("split", A((4, 6)), 2.0)
case("split", A((4, 6)), "x")
case("split", 3, 1)
case("repeat", A(), -1)
case("repeat", 3, 2)
case("repeat", A(), 2.0)
case("repeat", array=A(), repeats=2)
case("topk", A((3, 4)), 5)
case("topk", A((3, 4)), 0)
case("partition argpartition", A((3, 4)), 9)
case("diff", A((4,)), 2)
case("diff", A((4,), "bool"))
case("diff", A((4,)), 0)
case("diff", A((4,)), -1)
case("diff", A(()), 1)
for side in ("left", "right", "middle", 1):
    case("searchsorted", V([1, 3, 5, 7]), A((4,), "int32"), side)
    case("searchsorted", V([1.0, 3.0, 5.0]), A((2, 2)), side=side)
case("searchsorted", V([1, 3]), 2)
case("searchsorted", A((2, 2)), A((2,)))
for options in itertools.product((False, True), repeat=3):
    case("unique", V([3, 1, 2, 3, 1]), 4, *options)
    case("unique", V([3, 1, 2, 3, 1]), 2, *options)
case("unique", V([3.0, 1.0, 3.0]), 5, fill_value=7)
case("unique", V([3.0, 1.0, 3.0]), size=3, return_index=True, fill_value=A((), "int32"))
case("unique", A((2, 3), "int32"), 3)
case("unique", A((0,)), 3)
case("unique", V([1, 2]), 0)
case("unique", V([1, 2]), -1)
case("unique", 3, 1)

for shape in SHAPES:
    case("atleast_1d atleast_2d atleast_3d", A(shape))
    case("flatten transpose permute_dims matrix_transpose", A(shape))
    case("moveaxis swapaxes", A(shape), 0, -1)
    case("moveaxis swapaxes", A(shape), 1, 2)
    case("roll", A(shape), 1)
    case("tile", A(shape), 2)
    case("pad", A(shape), 1)
    case("clip", A(shape), -1, 1)
    case("as_strided", A(shape))
    case("view", A(shape, "int16"), N("int8"))
    case("view", A(shape, "int8"), N("int16"))
case("atleast_1d atleast_2d atleast_3d", A(), A((3,)), A(()))
case("atleast_1d atleast_2d atleast_3d", 3)
case("atleast_1d atleast_2d atleast_3d")
case("atleast_1d atleast_2d atleast_3d", [A()])
case("flatten", A((2, 3, 4)), 1)
case("flatten", A((2, 3, 4)), 0, 1)
case("flatten", A((2, 3, 4)), start_axis=-2, end_axis=-1)
case("flatten", A((2, 3, 4)), 2, 1)
case("flatten", A((2, 3, 4)), 5)
case("flatten", 2)
case("unflatten", A((4, 6)), -1, (2, -1))
case("unflatten", A((4, 6)), 3, (2, -1))
for axes in ([1, 0], (0, 1), [-1, 0], [0, 0], [0], [0, 1, 2], None, 1, [], "x"):
    case("transpose permute_dims", A((2, 3)), axes)
    case("transpose permute_dims", A((2, 3), "int8"), axes=axes)
case("swapaxes moveaxis", A(), 0, 5)
case("swapaxes moveaxis", A(), 0.0, 1)
for axis in (None, 0, 1, (0, 1), [0, 1], (1, 1), -1, 4):
    case("roll", A((2, 3)), 1, axis)
    case("roll", A((2, 3)), (1, 2), axis)
    case("roll", A((2, 3)), [-1, 1], axis)
case("roll", A(), 1.5)
case("roll", A(), shift=1)
for reps in (1, [2], (2, 1), [1, 2, 2], 0, -1, [], 2.0):
    case("tile", A((2, 3)), reps)
for width in (
    1,
    (1,),
    (1, 2),
    [(0, 1), (2, 0)],
    [1, 2],
    [(1, 1)],
    (1, 2, 3),
    0,
    -1,
    [(1,)],
    "x",
    1.5,
    [],
    [(1, 2, 3), (1, 2, 3)],
):
    for mode in ("constant", "edge", "reflect", "symmetric", "other"):
        case("pad", A((3, 4)), width, mode)
        case("pad", A((3,), "int32"), width, mode=mode, constant_values=2)
case("pad", A(), 1, constant_values=1.5)
case("pad", A((2,), "int32"), 1, constant_values=1.5)
case("pad", A(), 1, "constant", A(()))
for arguments in itertools.product((None, -1, 0.5, A((3,)), A((2, 1), "int32"), "x"), repeat=2):
    case("clip", A(), *arguments)
    case("clip", A((2, 3), "int32"), *arguments)
case("clip", 3, 1, 2)
case("clip", A(), a_min=1, a_max=2)
case("clip", A(), a_min=1)
case("as_strided", A((6,)), (2, 2), (1, 1), 1)
case("as_strided", A((6,)), [3], [2])
case("as_strided", A((6,)), shape=(2, 3))
case("as_strided", A((6,)), [2, 2], [1])
case("contiguous", A((2, 3), how="transposed"), True)
case("contiguous", A((2, 3)), allow_col_major=True)
case("round", A(), 1)
case("round", A((3,), "int32"), -1)
case("round", A(), decimals=2)
case("nan_to_num", V([1.0, float("nan"), float("inf"), -float("inf")]), 1.0, 2.0, -2.0)
case("nan_to_num", V([1.0, float("nan"), float("inf"), -float("inf")]), nan=5, posinf=None)
for name in ("broadcast_arrays", "meshgrid"):
    case(name)
    case(name, A((3,)))
    case(name, A((3,)), A((2, 1), "int32"))
    case(name, A((3,)), A((2,)))
    case(name, A((3,)), A((3,)), A(()))
    case(name, A((3,)), 2)
    case(name, [A((3,)), A((3,))])
for sparse, indexing in itertools.product((False, True, None), ("xy", "ij", "other", None)):
    case("meshgrid", A((3,)), A((2,), "int32"), sparse=sparse, indexing=indexing)
case("meshgrid", A((3,)), A((2,)), A((4,)), indexing="xy")
for shapes in (((2, 3), (3,)), ((2, 1), (1, 3), ()), ((2,), (3,)), (), ([2, 3],), (2,), ((2, 1.5),), ("x",)):
    case("broadcast_shapes", *shapes)

for condition in (True, 0, 2.5, A((2, 3), "bool"), A((3,), "int32"), A((4,)), None, "x"):
    for x, y in (
        (A(), A((3,), "int32")),
        (1, 2.5),
        (A((2, 3), "float16"), 2.5),
        (True, A((), "int8")),
        (A(), None),
        ("x", 1),
    ):
        case("where", condition, x, y)
case("where", A((2, 3), "bool"), A())
case("where", condition=A((2, 3), "bool"), x=1, y=2)
