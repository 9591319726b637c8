// Kernel source of layers, shared by CUDA and Metal: where a thread stands, and chunks of rows (see gpu_common.h).
#pragma once

namespace mlxffi::gpu {

inline constexpr const char* chunks_source = R"gpu(
#define WARP 32

namespace mlxffi_losses {

struct Place {
  uint index; // of the thread in its block
  uint threads; // of the block
  uint lane;
  uint warp;
  uint warps; // of the block
  uint block; // along the grid's x
  uint part; // along its y
  uint parts;
  uint item; // along its z
};

FN Place make_place(uint index, uint threads, uint block, uint part, uint parts, uint item) {
  return Place{index, threads, index % WARP, index / WARP, threads / WARP, block, part, parts, item};
}

// How many rows an array has: all axes but the last.
template <typename Shape>
FN uint rows_of(Shape shape, int axes) {
  uint rows = 1;
  for (int i = 0; i + 1 < axes; ++i) {
    rows *= uint(shape[i]);
  }
  return rows;
}

// --- chunks: 16 bytes of a row, of which `left` numbers are there; the rest counts as 0 ---

template <typename T>
FN void load(const DEVICE T* from, uint left, LOCAL float (&x)[Format<T>::N]) {
  if (left >= uint(Format<T>::N) && misalignment(from) == 0) {
    Format<T>::unpack(load16(from), x);
    return;
  }
  UNROLLED for (int k = 0; k < Format<T>::N; ++k) {
    x[k] = uint(k) < left ? float(from[k]) : 0.0f;
  }
}

template <typename T>
FN void store(DEVICE T* to, uint left, LOCAL const float (&x)[Format<T>::N]) {
  if (left >= uint(Format<T>::N) && misalignment(to) == 0) {
    store16(to, Format<T>::pack(x));
    return;
  }
  UNROLLED for (int k = 0; k < Format<T>::N; ++k) {
    if (uint(k) < left) {
      to[k] = T(x[k]);
    }
  }
}

} // namespace mlxffi_losses
)gpu";

} // namespace mlxffi::gpu
