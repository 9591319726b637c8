"""float32 matrix products: mlxffi.lib with the BLAS bridge, numpy, and mlx.core with the BLAS that its wheel brings."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np

from mlxffi import ffi, lib

from ._timing import in_turns

SIZES = (256, 512, 1024, 2048)
ROUNDS = 21

# mlx.core must not find the bridge: it runs in a process of its own, once for each size.
WITHOUT_BRIDGE = """
import statistics, sys, time
import mlx.core as mx
n = int(sys.argv[1])
a, b = mx.random.normal((n, n)), mx.random.normal((n, n))
mx.eval(a, b)
times = []
for _ in range(4):
    start = time.perf_counter()
    mx.eval(a @ b)
    times.append(time.perf_counter() - start)
print(statistics.median(times[1:]))
"""


class Product:
    """One matrix product of n x n float32 values through the plain C functions."""

    def __init__(self, a: np.ndarray, b: np.ndarray):
        self.stream = lib.mlx_default_cpu_stream_new()
        self.a, self.b = self._array(a), self._array(b)

    @staticmethod
    def _array(values: np.ndarray) -> Any:
        shape = ffi.new("int[]", list(values.shape))
        return lib.mlx_array_new_data(ffi.from_buffer(values), shape, values.ndim, lib.MLX_FLOAT32)

    def run(self) -> None:
        result = ffi.new("mlx_array *")
        if lib.mlx_matmul(result, self.a, self.b, self.stream) or lib.mlx_array_eval(result[0]):
            raise RuntimeError(ffi.string(lib.mlxffi_last_error_text()).decode())
        lib.mlx_array_free(result[0])


def main() -> None:
    """Print GFLOP/s (medians) and the ratio to numpy for each size."""
    print(f"float32 n x n products, median of {ROUNDS} in turns, GFLOP/s")
    print(f"{'n':>6} {'mlxffi':>8} {'numpy':>8} {'mlx.core':>9}  mlxffi/numpy  mlxffi/mlx.core")
    for n in SIZES:
        rng = np.random.default_rng(n)
        a, b = (rng.standard_normal((n, n), dtype=np.float32) for _ in range(2))
        seconds = in_turns({"mlxffi": Product(a, b).run, "numpy": partial(np.matmul, a, b)}, ROUNDS)
        command = [sys.executable, "-c", WITHOUT_BRIDGE, str(n)]
        output = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds["mlx.core"] = float(output.stdout)
        mlxffi, numpy, core = (2 * n**3 / seconds[name] / 1e9 for name in ("mlxffi", "numpy", "mlx.core"))
        print(f"{n:>6} {mlxffi:8.1f} {numpy:8.1f} {core:9.1f} {mlxffi / numpy:13.2f} {mlxffi / core:16.1f}")
