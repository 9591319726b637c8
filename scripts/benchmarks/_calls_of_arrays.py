"""The calls of `bench.py calls` that are operators, methods, keys and the library's smaller modules (see _calls.py)."""

from __future__ import annotations

OF_ARRAYS = """
a + b
a + 1.0
a + 1
1.0 + a
a - b
2 - a
a * b
a * 2.0
3.0 * a
a / b
a / 2
1 / a
a // b
a // 2
1 // a
a % b
a % 2
5 % i
a ** b
a ** 2
2.0 ** a
i & j
i & 3
i | j
i ^ j
i << 1
i >> j
a < b
a < 0.5
a <= b
a > b
a > 0
a >= b
a == b
a == 1.0
a != b
a == 'x'
a @ m
-a
+a
abs(a)
~q
~i
k = +a ;; k += b
k = +a ;; k += 1.0
k = +a ;; k -= b
k = +a ;; k *= 1.5
k = +a ;; k *= b
k = +a ;; k /= b
k = +a ;; k //= b
k = +a ;; k %= 2.0
k = +a ;; k **= 1.0
k = +m ;; k @= m
k = +i ;; k &= j
k = +i ;; k |= 3
k = +i ;; k ^= j
k = +i ;; k <<= 1
k = +i ;; k >>= j
a.shape
a.ndim
a.size
a.dtype
a.itemsize
a.nbytes
a.T
a.mT
c.real
c.imag
a.at
a.at[0].add(1.0)
a.at[at].add(1.0)
a.at[0].subtract(b[0])
a.at[0, 1].multiply(2.0)
a.at[:, 0].divide(2.0)
a.at[at].maximum(b)
a.at[at, at].minimum(0.0)
len(a)
for one in a: pass
hash(a)
a.astype(mx.float16)
a.astype(dtype=mx.int32)
a.view(mx.int32)
a.reshape(3, 2)
a.reshape((3, 2))
a.reshape([3, 2])
a.reshape(-1)
a.transpose(1, 0)
a.transpose((1, 0))
t.transpose([0, 2, 1])
t.transpose(0, 2, 1)
a.moveaxis(0, 1)
a.swapaxes(0, 1)
t.swapaxes(-1, -2)
a.split(2)
a.split(3, axis=1)
m.diagonal()
t.diagonal(0, 1, 2)
v.diag()
m.diag(k=1)
line.squeeze(0)
line.squeeze(axis=(0,))
t.flatten(0, 1)
t.flatten(start_axis=1)
a.round(1)
a.std(axis=0, ddof=1)
a.var(0, True)
a[0]
a[-1]
a[1, 2]
a[0, -1]
a[:]
a[0:1]
a[:, 1]
a[:, 1:]
a[::2]
a[::-1, ::2]
a[...]
a[..., 0]
a[..., None]
a[None]
a[None, :, None]
t[0, :, 1]
t[:, :, -1]
t[1:, 0:2, ::2]
a[at]
a[i[0] - 1]
a[[0, 1]]
a[[0, 1], [1, 2]]
a[:, at]
a[at, at]
a[at, 1]
a[0, at]
a[at[:, None], at]
a[..., at]
t[at, :, at]
t[:, at, 0]
t[:, at, None]
a[np.int64(1)]
k = +a ;; k[0] = 1.0
k = +a ;; k[0] = v
k = +a ;; k[0, 1] = 2
k = +a ;; k[:] = 0.0
k = +a ;; k[...] = b
k = +a ;; k[:, 0] = 1.0
k = +a ;; k[:, 1:] = b[:, 1:]
k = +a ;; k[::2] = 0
k = +a ;; k[None, 0] = 1.0
k = +a ;; k[at] = 0
k = +a ;; k[at] = b
k = +a ;; k[[0, 1]] = 0.0
k = +a ;; k[at, at] = 1.0
k = +a ;; k[:, at] = 0.0
k = +a ;; k[0, at] = 0.0
k = +a ;; k[at, 0] = 0.0
k = +a ;; k[at[:, None], at] = 1.0
k = +t ;; k[:, at, 0] = 1.0
k = +a ;; k[q] = 0.0
k = +a ;; k[q[:, 0]] = 0.0
copy.copy(a)
copy.deepcopy(a)
a.__array_namespace__()
a.__dlpack_device__()
mx.random.key(3)
mx.random.seed(3)
mx.random.split(key)
mx.random.split(key, 3)
mx.random.split(key, num=3)
mx.random.uniform()
mx.random.uniform(shape=(2, 3))
mx.random.uniform(-1, 1, (2, 3))
mx.random.uniform(0.0, 1.0, shape=(2, 3), dtype=mx.float16, key=key)
mx.random.uniform(key=key)
mx.random.normal()
mx.random.normal((2, 3))
mx.random.normal(shape=(2, 3), loc=1.0, scale=2.0)
mx.random.normal((2, 3), mx.float16, key=key)
mx.random.multivariate_normal(v, m, (2,), stream=mx.cpu)
mx.random.multivariate_normal(v, m, key=key, stream=mx.cpu)
mx.random.randint(0, 10)
mx.random.randint(0, 10, (2, 3))
mx.random.randint(low=0, high=10, shape=(2, 3), key=key)
mx.random.bernoulli()
mx.random.bernoulli(0.3, (2, 3))
mx.random.bernoulli(x, key=key)
mx.random.truncated_normal(-1.0, 1.0)
mx.random.truncated_normal(-1.0, 1.0, (2, 3), key=key)
mx.random.gumbel()
mx.random.gumbel((2, 3), key=key)
mx.random.categorical(a)
mx.random.categorical(a, num_samples=3)
mx.random.categorical(a, axis=0, key=key)
mx.random.categorical(a, shape=(4, 2), key=key)
mx.random.laplace()
mx.random.laplace((2, 3), loc=1.0, scale=2.0, key=key)
mx.random.permutation(5)
mx.random.permutation(a, axis=1)
mx.random.permutation(v, key=key)
mx.linalg.norm(a)
mx.linalg.norm(a, axis=1)
mx.linalg.norm(a, ord=1, axis=-1, keepdims=True)
mx.linalg.norm(a, 'fro')
mx.linalg.norm(a, 2, 0)
mx.matrix_norm(a) if hasattr(mx, 'matrix_norm') else mx.linalg.norm(a)
mx.linalg.qr(m, stream=mx.cpu)
mx.linalg.svd(m, stream=mx.cpu)
mx.linalg.svd(m, compute_uv=False, stream=mx.cpu)
mx.linalg.inv(m, stream=s)
mx.linalg.tri_inv(m, upper=True, stream=mx.cpu)
mx.linalg.cholesky(m, stream=mx.cpu)
mx.linalg.cholesky(m, upper=True, stream=s)
mx.linalg.cholesky_inv(m, stream=mx.cpu)
mx.linalg.pinv(m, stream=mx.cpu)
mx.linalg.lu(m, stream=mx.cpu)
mx.linalg.lu_factor(m, stream=mx.cpu)
mx.linalg.eig(m, stream=mx.cpu)
mx.linalg.eigvals(m, stream=mx.cpu)
mx.linalg.eigh(m, stream=mx.cpu)
mx.linalg.eigh(m, UPLO='U', stream=mx.cpu)
mx.linalg.eigvalsh(m, stream=mx.cpu)
mx.linalg.solve(m, v, stream=mx.cpu)
mx.linalg.solve_triangular(m, v, upper=True, stream=mx.cpu)
mx.linalg.det(m, stream=mx.cpu)
mx.linalg.slogdet(m, stream=mx.cpu)
mx.linalg.cross(v, w)
mx.linalg.cross(m, v, axis=-1)
mx.fft.fft(a)
mx.fft.fft(a, 4, axis=0)
mx.fft.ifft(a)
mx.fft.rfft(a)
mx.fft.rfft(a, n=4, axis=-1)
mx.fft.rfft(a, norm='ortho')
mx.fft.irfft(a)
mx.fft.fft2(a)
mx.fft.ifft2(a, (4, 4))
mx.fft.rfft2(a)
mx.fft.irfft2(a, s=(4, 4), axes=(0, 1))
mx.fft.fftn(a)
mx.fft.fftn(t, axes=(0, 1))
mx.fft.ifftn(a)
mx.fft.rfftn(a)
mx.fft.irfftn(a)
mx.fft.fftshift(a)
mx.fft.fftshift(a, axes=0)
mx.fft.ifftshift(a, (0, 1))
mx.fft.fftfreq(8)
mx.fft.rfftfreq(8, 0.5)
mx.fft.rfftfreq(n=8, d=0.5)
mx.fft.stft(wave, 16)
mx.fft.stft(wave, n_fft=16, hop_length=4)
mx.fft.istft(spectrum, 16, 4)
mx.fft.istft(spectrum, hop_length=4)
mx.fast.rms_norm(a, v, 1e-5)
mx.fast.rms_norm(a, None, eps=1e-5)
mx.fast.layer_norm(a, v, w, 1e-5)
mx.fast.layer_norm(a, None, None, eps=1e-5)
mx.fast.rope(heads, 8, traditional=False, base=10000.0, scale=1.0, offset=0)
mx.fast.rope(heads, 8, traditional=True, base=None, scale=1.0, offset=n, freqs=kernel1[0, 0:2, 0:2].reshape(-1))
mx.fast.scaled_dot_product_attention(heads, heads, heads, scale=0.5)
mx.fast.scaled_dot_product_attention(heads, heads, heads, scale=0.5, mask='causal')
mx.fast.scaled_dot_product_attention(heads, heads, heads, scale=0.5, mask=heads[0, 0, :, :4])
mx.fast.cross_entropy(a, at)
mx.fast.gated_delta_update(wide, wide, wide, gates, gates)
mx.can_cast(mx.int32, mx.float32)
mx.can_cast(a, mx.float16)
mx.result_type(mx.int32, mx.float16)
mx.result_type(a, i)
mx.issubdtype(mx.float32, mx.floating)
mx.issubdtype(mx.int32, mx.uint8)
mx.isdtype(mx.float32, 'real floating')
mx.isdtype(mx.float32, (mx.int32, 'numeric'))
mx.finfo(mx.float32)
mx.finfo(mx.float16).eps
mx.iinfo(mx.int32)
mx.iinfo(mx.uint8).max
mx.float32.size
mx.float32 == mx.int32
dtype == mx.float32
dtype != mx.float32
dtype in (mx.int32, mx.float32)
hash(mx.float32)
repr(mx.float32)
mx.DtypeCategory.floating
mx.array([1.0], dtype=dtype)
mx.Device(mx.cpu)
mx.Device(mx.cpu, 0)
mx.Device(mx.cpu).type
mx.Device(mx.cpu) == mx.cpu
repr(mx.Device(mx.cpu))
mx.cpu == mx.cpu
mx.DeviceType.cpu
mx.default_device()
mx.set_default_device(mx.cpu)
mx.is_available(mx.cpu)
mx.device_count(mx.cpu)
mx.device_info()
mx.default_stream(mx.cpu)
mx.set_default_stream(s)
mx.stream(mx.cpu)
mx.stream(s)
mx.StreamContext(s)
with mx.stream(mx.cpu): pass
with mx.stream(s): pass
s.device
repr(s)
s == s
mx.synchronize()
mx.synchronize(s)
mx.get_active_memory()
mx.get_peak_memory()
mx.get_cache_memory()
mx.get_memory_limit()
mx.reset_peak_memory()
mx.set_cache_limit(2**30)
mx.set_memory_limit(2**40)
mx.set_wired_limit(0)
mx.clear_cache()
mx.get_array_buffer_size(a)
mx.get_printoptions()
mx.set_printoptions(precision=4)
mx.printoptions(precision=3)
with mx.printoptions(precision=3): pass
mx.metal.is_available()
mx.cuda.is_available()
mx.distributed.is_available()
mx.distributed.init()
group = mx.distributed.init() ;; group.rank()
group = mx.distributed.init() ;; group.size()
mx.distributed.all_sum(a)
mx.distributed.all_gather(a)
mx.distributed.all_max(a)
mx.distributed.all_min(a)
mx.distributed.sum_scatter(a)
mx.disable_compile()
mx.enable_compile()
""".strip().splitlines()
