"""Many small arrays one behind the other, on CUDA a few dozen of them a kernel.

There, MLX's concatenate is a kernel for each array, and what a kernel costs the host is more than what its few numbers
cost the GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Any

from ... import core as mx

# Arrays of a kernel: its arguments, eight bytes for each, have room in the 4 KiB that every CUDA grants.
TOGETHER = 64
THREADS = 256
# Blocks that share an array.
BLOCKS = 8

SOURCE = """
  const T* const parts[] = {%s};
  const T* from = parts[blockIdx.y];
  const int start = starts[blockIdx.y], size = starts[blockIdx.y + 1] - start;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < size; i += gridDim.x * blockDim.x) {
    joined[start + i] = from[i];
  }
"""


def joined(arrays: Sequence[mx.array]) -> mx.array:
    """The numbers of arrays of one dtype, one array behind the other: [n]; without a gradient where CUDA has it."""
    if mx.default_device() == mx.cpu or not mx.cuda.is_available():
        return mx.concatenate([array.reshape(-1) for array in arrays])
    runs = [_run(arrays[first : first + TOGETHER]) for first in range(0, len(arrays), TOGETHER)]
    return runs[0] if len(runs) == 1 else mx.concatenate(runs)


def _run(arrays: Sequence[mx.array]) -> mx.array:
    starts = [0, *accumulate(array.size for array in arrays)]
    found: mx.array = _kernel(len(arrays))(
        inputs=[*arrays, mx.array(starts, mx.int32)],
        template=[("T", arrays[0].dtype)],
        grid=(BLOCKS * THREADS, len(arrays), 1),
        threadgroup=(THREADS, 1, 1),
        output_shapes=[(starts[-1],)],
        output_dtypes=[arrays[0].dtype],
    )[0]
    return found


@cache
def _kernel(count: int) -> Any:
    names = [f"part{place}" for place in range(count)]
    source = SOURCE % ", ".join(names)
    return mx.fast.cuda_kernel(f"mlxffi_join_{count}", [*names, "starts"], ["joined"], source)
