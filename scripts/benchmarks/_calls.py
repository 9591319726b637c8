"""What `bench.py calls` times: one call a line, for each public function and array method of mlx.core.

`mx` is the library. A line may begin with statements that make what only this call needs, each closed by `;;`; they
run before every timing and are not timed. Lines in EVALUATED wait for values; the others only build a graph.
"""

from __future__ import annotations

# The names that all calls share.
NAMES = """
a = mx.array(np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)) ;;
b = mx.array(np.linspace(0.5, 2, 6, dtype=np.float32).reshape(2, 3)) ;;
m = mx.array(np.array([[4, 1, 0], [1, 5, 1], [0, 1, 6]], np.float32)) ;;
v = mx.array([1.0, 2.0, 3.0]) ;; w = mx.array([3.0, 1.0, 2.0]) ;; x = mx.array(0.5) ;; n = mx.array(3) ;;
i = mx.array([[1, 2, 3], [4, 5, 6]]) ;; j = mx.array([[1, 0, 2], [2, 1, 0]]) ;; at = mx.array([0, 1]) ;;
q = mx.array([[True, False, True], [False, True, True]]) ;; u = mx.array([[0, 1], [1, 2]], mx.uint32) ;;
c = mx.array([1 + 2j, 3 - 1j]) ;; h = a.astype(mx.float16) ;; bf = a.astype(mx.bfloat16) ;;
by = mx.array([1, 2], mx.uint8) ;;
t = mx.array(np.arange(24, dtype=np.float32).reshape(2, 3, 4)) ;; big = mx.array(np.ones((8, 64), np.float32)) ;;
image = mx.array(np.ones((1, 5, 5, 2), np.float32)) ;; volume = mx.array(np.ones((1, 4, 4, 4, 2), np.float32)) ;;
line = mx.array(np.ones((1, 6, 2), np.float32)) ;; kernel1 = mx.array(np.ones((2, 3, 2), np.float32)) ;;
kernel2 = mx.array(np.ones((2, 3, 3, 2), np.float32)) ;; kernel3 = mx.array(np.ones((2, 2, 2, 2, 2), np.float32)) ;;
packed, scales, biases = mx.quantize(big, 32, 4) ;; stack = mx.array(np.ones((2, 8, 64), np.float32)) ;;
packs, scaless, biasess = mx.quantize(stack, 32, 4) ;; fp_packs, fp_scales = mx.quantize(stack, mode='nvfp4') ;;
wave = mx.array(np.ones(64, np.float32)) ;; heads = mx.array(np.ones((1, 2, 4, 8), np.float32)) ;;
wide = mx.array(np.ones((1, 5, 2, 32), np.float32)) ;; gates = mx.array(np.full((1, 5, 2), 0.5, np.float32)) ;;
square = mx.array(np.ones((64, 64), np.float32)) ;; segments = mx.array([[0, 2], [2, 3]], mx.uint32) ;;
key = mx.random.key(7) ;; spectrum = mx.fft.stft(wave, 16, 4) ;; s = mx.default_stream(mx.cpu) ;;
ndarray = np.arange(6, dtype=np.float32).reshape(2, 3) ;; numbers = [1.0, 2.0, 3.0] ;; rows = [[1, 2], [3, 4]] ;;
thousand = [float(one) for one in range(1000)] ;; kilo = mx.array(thousand) ;; kilo2 = kilo.reshape(100, 10) ;;
point = mx.array(1.5) ;; count = mx.array(7) ;; tens = [mx.array(1.0) for _ in range(3)] ;; dtype = a.dtype ;;
mx.eval(packed, scales, biases, packs, scaless, biasess, fp_packs, fp_scales, spectrum, h, bf, key, kilo2, c, u)
"""

UNARY = """
abs sign positive negative trunc square sqrt rsqrt reciprocal logical_not exp expm1 erf erfinv sin cos tan arcsin
arccos arctan sinh cosh tanh arcsinh arccosh arctanh degrees radians log log2 log10 log1p stop_gradient sigmoid floor
ceil isnan isinf isfinite isposinf isneginf conj conjugate real imag nan_to_num round acos acosh asin asinh atan atanh
ones_like zeros_like empty_like matrix_transpose contiguous flatten transpose permute_dims squeeze sort argsort softmax
flip median atleast_1d atleast_2d atleast_3d
"""

BINARY = """
add subtract multiply divide divmod floor_divide remainder equal not_equal less less_equal greater greater_equal
array_equal logical_and logical_or logical_xor logaddexp arctan2 atan2 power pow minimum maximum allclose isclose inner
outer kron vecdot
"""

INTEGER_BINARY = """
bitwise_and bitwise_or bitwise_xor left_shift right_shift bitwise_left_shift bitwise_right_shift
"""

# Functions whose second operand may be a number.
WITH_NUMBERS = """
add subtract multiply divide floor_divide remainder equal less greater logaddexp power minimum maximum logical_and
"""

REDUCTIONS = "all any sum prod min max logsumexp mean var std"
FUNCTION_REDUCTIONS = "count_nonzero minmax argmin argmax median"
SCANS = "cumsum cumprod cummax cummin logcumsumexp"
METHODS = """
abs square sqrt rsqrt reciprocal exp log log2 log10 log1p sin cos conj round flatten squeeze transpose argmin argmax
"""

FUNCTIONS = """
mx.bitwise_invert(i)
mx.cumulative_sum(a)
mx.cumulative_prod(a)
mx.add(a, b, stream=s)
mx.exp(a, stream=mx.cpu)
mx.exp(a, stream=s)
mx.softmax(a, axis=-1)
mx.softmax(a, -1, precise=True)
mx.argmax(a, axis=-1, keepdims=True)
mx.topk(a, 2)
mx.topk(a, k=2, axis=0)
mx.partition(a, 1)
mx.argpartition(a, 1, axis=0)
mx.argpartition(a, kth=1)
mx.sort(a, axis=0)
mx.argsort(a, axis=None)
mx.searchsorted(v, a)
mx.searchsorted(v, a, side='right')
mx.unique(v, 3)
mx.unique(v, size=3, return_counts=True)
mx.diff(a)
mx.diff(a, 1, axis=0)
mx.var(a, axis=0, ddof=1)
mx.reshape(a, (3, 2))
mx.reshape(a, [-1])
mx.reshape(a, shape=(3, 2))
mx.broadcast_to(v, (2, 3))
mx.broadcast_arrays(a, v)
mx.broadcast_shapes((2, 3), (3,))
mx.unflatten(kilo2, 0, (10, 10))
mx.flatten(t, 0, 1)
mx.flatten(t, start_axis=1, end_axis=-1)
mx.transpose(a, (1, 0))
mx.transpose(t, [0, 2, 1])
mx.transpose(t, axes=(2, 1, 0))
mx.permute_dims(t, (0, 2, 1))
mx.swapaxes(a, 0, 1)
mx.swapaxes(t, axis1=1, axis2=2)
mx.moveaxis(a, 0, 1)
mx.moveaxis(t, source=0, destination=2)
mx.expand_dims(a, 0)
mx.expand_dims(a, axis=(0, 1))
mx.squeeze(line, axis=0)
mx.squeeze(line, (0,))
mx.flip(a, 0)
mx.flip(a, (0, 1))
mx.roll(a, 1)
mx.roll(a, 1, 0)
mx.roll(a, (1, 2), (0, 1))
mx.tile(a, 2)
mx.tile(a, (2, 1))
mx.repeat(a, 2)
mx.repeat(a, repeats=2, axis=0)
mx.pad(a, 1)
mx.pad(a, (1, 2))
mx.pad(a, [(0, 1), (1, 0)])
mx.pad(a, [(0, 1), (1, 0)], mode='edge')
mx.pad(a, 1, constant_values=2.0)
mx.split(a, 2)
mx.split(a, [1], axis=1)
mx.split(a, indices_or_sections=3, axis=-1)
mx.unstack(a)
mx.unstack(a, axis=1)
mx.stack([a, b])
mx.stack([a, b], axis=1)
mx.concatenate([a, b])
mx.concatenate([a, b], axis=1)
mx.concatenate((a, b, a, b), 0)
mx.concat([a, b], axis=0)
mx.meshgrid(v, w)
mx.meshgrid(v, w, indexing='ij')
mx.as_strided(wave, (3, 2), (2, 1), 0)
mx.as_strided(wave, shape=(4, 4))
mx.take(a, at)
mx.take(a, at, axis=1)
mx.take(a, 1, axis=0)
mx.take_along_axis(a, j, axis=1)
mx.take_along_axis(a, at, None)
mx.put_along_axis(a, j, b, axis=1)
mx.slice(a, at, (0, 1), (1, 2))
mx.slice(a, start_indices=at, axes=(0, 1), slice_size=(1, 2))
mx.slice_update(a, x.reshape(1, 1), at, (0, 1))
mx.where(q, a, b)
mx.where(q, a, 0.0)
mx.where(q, 1.0, 0.0)
mx.clip(a, -0.5, 0.5)
mx.clip(a, None, 0.5)
mx.clip(a, a_min=v, a_max=w)
mx.nan_to_num(a, nan=1.0)
mx.nan_to_num(a, 1.0, 2.0, -2.0)
mx.round(a, 1)
mx.round(a, decimals=1)
mx.contiguous(a, True)
mx.astype(a, mx.float16)
mx.view(a, mx.int32)
mx.exp(2.0)
mx.add(1.0, 2.0)
mx.array_equal(a, b, equal_nan=True)
mx.allclose(a, b, 1e-3, 1e-3)
mx.isclose(a, b, rtol=1e-3, atol=1e-3)
mx.vecdot(a, b, axis=0)
mx.zeros((2, 3))
mx.zeros(3)
mx.zeros([2, 3], mx.int32)
mx.zeros(shape=(2, 3), dtype=mx.float16)
mx.ones((2, 3))
mx.ones((2, 3), dtype=mx.int32)
mx.empty((2, 3))
mx.full((2, 3), 1.5)
mx.full((2, 3), 1, mx.float32)
mx.full((2, 3), v)
mx.full(3, vals=2.0)
mx.full_like(a, 2.0)
mx.full_like(a, 2, dtype=mx.int32)
mx.zeros_like(a, dtype=mx.int32)
mx.ones_like(a, mx.int32)
mx.eye(3)
mx.eye(3, 4, k=1)
mx.eye(3, dtype=mx.int32)
mx.identity(3)
mx.identity(3, mx.float16)
mx.tri(3)
mx.tri(3, 4, 1)
mx.tril(m)
mx.tril(m, 1)
mx.triu(m, k=1)
mx.diag(v)
mx.diag(m, k=1)
mx.diagonal(m)
mx.diagonal(t, 0, 1, 2)
mx.trace(m)
mx.trace(m, offset=1)
mx.arange(10)
mx.arange(2, 10)
mx.arange(0, 10, 2)
mx.arange(10.0)
mx.arange(0.0, 1.0, 0.25)
mx.arange(10, dtype=mx.float32)
mx.arange(1, 10, dtype=mx.int32)
mx.arange(0, 10, step=2)
mx.arange(start=1, stop=10)
mx.arange(0, 10, 2, mx.float32)
mx.linspace(0, 1)
mx.linspace(0, 1, 10)
mx.linspace(0.0, 1.0, num=10, dtype=mx.float32)
mx.bartlett(4)
mx.hanning(4)
mx.hamming(4)
mx.blackman(4)
mx.matmul(a, m)
mx.matmul(m, v, stream=s)
mx.addmm(v, a, m)
mx.addmm(v, a, m, alpha=0.5, beta=2.0)
mx.tensordot(a, b)
mx.tensordot(a, m, 1)
mx.tensordot(a, m, axes=[[1], [0]])
mx.einsum('ij,jk->ik', a, m)
mx.einsum('ij->ji', a)
mx.einsum_path('ij,jk->ik', a, m)
mx.block_masked_mm(square, square, 32)
mx.gather_mm(stack, stack.swapaxes(-1, -2), at, at)
mx.gather_mm(stack, mx.swapaxes(stack, -1, -2), rhs_indices=at)
mx.segmented_mm(m, m, segments)
mx.hadamard_transform(wave)
mx.hadamard_transform(wave, scale=0.5)
mx.quantize(big, 32, 4)
mx.quantize(big, group_size=32, bits=8)
mx.quantize(big, mode='mxfp4')
mx.dequantize(packed, scales, biases, 32, 4)
mx.dequantize(packed, scales, biases, group_size=32, bits=4)
mx.quantized_matmul(big, packed, scales, biases, True, 32, 4)
mx.quantized_matmul(big, packed, scales=scales, biases=biases, transpose=True, group_size=32, bits=4)
mx.gather_qmm(stack, packs, scaless, biasess, rhs_indices=at, transpose=True, group_size=32, bits=4)
mx.gather_qqmm(stack, fp_packs, fp_scales)
mx.qqmm(big, big)
mx.to_fp8(a)
mx.from_fp8(by)
mx.from_fp8(by, mx.float16)
mx.convolve(v, w)
mx.convolve(v, w, mode='same')
mx.conv1d(line, kernel1)
mx.conv1d(line, kernel1, 1, 1)
mx.conv1d(line, kernel1, stride=2, padding=1)
mx.conv2d(image, kernel2)
mx.conv2d(image, kernel2, stride=1, padding=1)
mx.conv2d(image, kernel2, (1, 1), (1, 1))
mx.conv3d(volume, kernel3)
mx.conv3d(volume, kernel3, 1, 1)
mx.conv_transpose1d(line, kernel1)
mx.conv_transpose1d(line, kernel1, stride=2)
mx.conv_transpose2d(image, kernel2)
mx.conv_transpose2d(image, kernel2, stride=2, padding=1)
mx.conv_transpose3d(volume, kernel3)
mx.conv_general(image, kernel2)
mx.conv_general(image, kernel2, stride=(1, 1), padding=(1, 1))
mx.depends(a, b)
mx.depends([a, b], [v])
mx.asarray(2.0)
mx.asarray(numbers)
mx.asarray(a)
mx.asarray(a, mx.float16)
mx.asarray(ndarray)
mx.asarray(a, copy=True)
mx.array(1.0)
mx.array(1)
mx.array(True)
mx.array(1j)
mx.array(1, mx.float32)
mx.array(1.5, dtype=mx.float16)
mx.array(7, mx.uint8)
mx.array(numbers)
mx.array([1, 2, 3])
mx.array((1, 2, 3))
mx.array([True, False])
mx.array([1.0, 2, 3])
mx.array([1j, 2.0])
mx.array(rows)
mx.array([[1.0, 2.0], [3.0, 4.0]])
mx.array([[[1.0]]])
mx.array([])
mx.array([1, 2, 3], mx.float32)
mx.array([1, 2, 3], dtype=mx.uint32)
mx.array(numbers, mx.float16)
mx.array(numbers, mx.bfloat16)
mx.array(numbers, mx.int32)
mx.array([1, 2, 3], mx.bool_)
mx.array([2**40, 1])
mx.array(thousand)
mx.array(tens)
mx.array([[x, x], [x, x]])
mx.array(a)
mx.array(a, mx.float16)
mx.array(ndarray)
mx.array(ndarray, mx.float16)
mx.array(np.float32(2))
mx.array(np.arange(3))
mx.array(b'abc')
mx.from_dlpack(ndarray)
mx.from_dlpack(a)
""".strip().splitlines()

EVALUATED = """
a.item() if a.size == 1 else x.item()
point.item()
count.item()
h[0, 0].item()
float(point)
int(count)
bool(count)
complex(point)
operator.index(count)
point.tolist()
v.tolist()
a.tolist()
i.tolist()
h.tolist()
bf.tolist()
q.tolist()
c.tolist()
kilo.tolist()
kilo2.tolist()
a.T.tolist()
np.array(a)
np.asarray(a)
np.array(h)
np.array(kilo2)
np.array(a, dtype=np.float64)
np.asarray(i)
memoryview(a)
bytes(a)
a.__array__()
a.__dlpack__()
np.from_dlpack(a)
a.__getstate__()
pickle.dumps(a)
one = pickle.dumps(a) ;; pickle.loads(one)
repr(a)
str(v)
repr(point)
f'{point}'
f'{point:.3f}'
mx.eval(a)
mx.eval(a, b)
mx.eval([a, {'b': b}])
mx.eval(a + b)
mx.async_eval(a)
for value in v: value.item()
(a + b).tolist()
(a.sum() + 1).item()
if count: pass
""".strip().splitlines()

# What is never called in a loop, or needs a file, a GPU or another process, and what transforms functions.
LEFT_OUT = """
ArrayAt ArrayIterator ArrayLike Dtype FunctionExporter PrintOptions Stream ThreadLocalStream Group checkpoint
compile custom_function export_function export_to_dot exporter grad import_function jvp load save save_gguf
save_safetensors savez savez_compressed value_and_grad vjp vmap clear_streams new_stream new_thread_local_stream
new_thread_unsafe_stream cuda_kernel metal_kernel precompiled_cuda_kernel start_capture stop_capture recv recv_like send
"""
