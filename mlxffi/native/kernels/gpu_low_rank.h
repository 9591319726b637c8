// Kernel source of low-rank additions, shared by CUDA and Metal (see gpu_chunks.h): what linear layers have besides their
// products, forward and backward. A factor is [features, RANK], or [RANK, features] where LAST is false; COUNT factors
// of one input are taken together. Rows of `low` have STRIDE numbers.
#pragma once

namespace mlxffi::gpu {

inline constexpr const char* low_rank_source = R"gpu(
// Numbers between rows of a tile: one more than a warp has, so that threads that fill it meet different banks, too.
#define PITCH (WARP + 1)

namespace mlxffi_losses {

template <typename F, int COUNT>
struct Inputs {
  const DEVICE F* at[COUNT];
};

// A factor's numbers for as many features as a warp has in its chunks, from `first` on, in an order in which its lanes
// read different banks of shared memory.
template <int RANK, int N, bool LAST, typename F>
FN void stage(const DEVICE F* factor, uint first, uint features, SHARED float* tile, Place place) {
  for (uint e = place.index; e < uint(RANK * N * WARP); e += place.threads) {
    uint feature = LAST ? e / RANK : e % (N * WARP), k = LAST ? e % RANK : e / (N * WARP);
    uint at = first + feature;
    float value = at < features ? float(factor[LAST ? at * RANK + k : k * features + at]) : 0.0f;
    tile[(k * N + feature % N) * PITCH + feature / N] = value;
  }
}

template <int COUNT, int RANK, int N, bool LAST, typename F>
FN void stage_all(LOCAL const Inputs<F, COUNT>& factors, uint first, uint features, SHARED float* tile, Place place) {
  UNROLLED for (int c = 0; c < COUNT; ++c) {
    stage<RANK, N, LAST>(factors.at[c], first, features, tile + c * RANK * N * PITCH, place);
  }
}

// A chunk of each of some rows; 0 where there is none.
template <typename T, int ROWS>
FN void load_rows(
    const DEVICE T* x, uint row, uint rows, uint i, uint features, LOCAL float (&v)[ROWS][Format<T>::N]) {
  UNROLLED for (int r = 0; r < ROWS; ++r) {
    const bool is_there = row + r < rows && i < features;
    load(x + (is_there ? size_t(row + r) * features + i : 0), is_there ? features - i : 0, v[r]);
  }
}

// low = SCALE x factor: a warp has ROWS rows.
template <typename T, int COUNT, int RANK, int STRIDE, int ROWS, bool LAST, typename F>
FN void low_rank_down(
    const DEVICE T* x, LOCAL const Inputs<F, COUNT>& factors, float scale, uint rows, uint features,
    SHARED float* tile, Place place, DEVICE float* low) {
  enum { N = Format<T>::N, ALL = COUNT * RANK };
  const uint row = (place.block * place.warps + place.warp) * ROWS;
  float sums[ROWS][ALL], v[ROWS][N];
  UNROLLED for (int r = 0; r < ROWS; ++r) {
    UNROLLED for (int k = 0; k < ALL; ++k) {
      sums[r][k] = 0.0f;
    }
  }
  load_rows<T, ROWS>(x, row, rows, place.lane * N, features, v);
  for (uint first = 0; first < features; first += N * WARP) {
    stage_all<COUNT, RANK, N, LAST>(factors, first, features, tile, place);
    block_barrier();
    float following[ROWS][N]; // on their way while these are worked on
    load_rows<T, ROWS>(x, row, rows, first + N * WARP + place.lane * N, features, following);
    UNROLLED for (int k = 0; k < ALL; ++k) {
      UNROLLED for (int j = 0; j < N; ++j) {
        const float f = tile[(k * N + j) * PITCH + place.lane];
        UNROLLED for (int r = 0; r < ROWS; ++r) {
          sums[r][k] = fused(v[r][j], f, sums[r][k]);
        }
      }
    }
    UNROLLED for (int r = 0; r < ROWS; ++r) {
      UNROLLED for (int j = 0; j < N; ++j) {
        v[r][j] = following[r][j];
      }
    }
    block_barrier();
  }
  UNROLLED for (int r = 0; r < ROWS; ++r) {
    UNROLLED for (int k = 0; k < ALL; ++k) {
      const float sum = scale * simd_sum(sums[r][k]);
      if (place.lane == 0 && row + r < rows) {
        low[size_t(row + r) * STRIDE + k] = sum;
      }
    }
  }
}

// out = y + low factor: a block has the columns of a warp's chunks, a warp ROWS rows at a time.
template <typename T, int COUNT, int RANK, int STRIDE, int ROWS, bool LAST, typename F>
FN void low_rank_up(
    const DEVICE T* y, const DEVICE float* low, LOCAL const Inputs<F, COUNT>& factors, uint rows, uint features,
    SHARED float* tile, Place place, DEVICE T* out) {
  enum { N = Format<T>::N, ALL = COUNT * RANK };
  const uint first = place.block * (N * WARP), i = first + place.lane * N;
  stage_all<COUNT, RANK, N, LAST>(factors, first, features, tile, place);
  block_barrier();
  if (i >= features) {
    return;
  }
  for (uint row = (place.part * place.warps + place.warp) * ROWS; row < rows; row += place.parts * place.warps * ROWS) {
    float sums[ROWS][N];
    UNROLLED for (int r = 0; r < ROWS; ++r) {
      const uint at = row + r < rows ? row + r : row;
      load(y + size_t(at) * features + i, features - i, sums[r]);
    }
    UNROLLED for (int k = 0; k < ALL; ++k) {
      float l[ROWS];
      UNROLLED for (int r = 0; r < ROWS; ++r) {
        l[r] = low[size_t(row + r < rows ? row + r : row) * STRIDE + k];
      }
      UNROLLED for (int j = 0; j < N; ++j) {
        const float f = tile[(k * N + j) * PITCH + place.lane];
        UNROLLED for (int r = 0; r < ROWS; ++r) {
          sums[r][j] = fused(l[r], f, sums[r][j]);
        }
      }
    }
    UNROLLED for (int r = 0; r < ROWS; ++r) {
      if (row + r < rows) {
        store(out + size_t(row + r) * features + i, features - i, sums[r]);
      }
    }
  }
}

// The sum over rows of x[row, feature] low[row, k], of one part of the rows: a block has 2 WARP features; its warps share
// the rows, and add up one after the other, so that the order is always the same.
template <typename T, int COUNT, int RANK, int STRIDE, int STAGED, bool LAST>
FN void low_rank_outer(
    const DEVICE T* x, const DEVICE float* low, uint rows, uint features, SHARED float* some, SHARED float* total,
    Place place, DEVICE float* to) {
  enum { ALL = COUNT * RANK };
  const uint first = place.block * (2 * WARP), i = first + place.lane;
  float sums[2][ALL];
  UNROLLED for (int k = 0; k < ALL; ++k) {
    sums[0][k] = sums[1][k] = 0.0f;
  }
  const uint share = (rows + place.parts - 1) / place.parts, start = place.part * share;
  const uint end = start + share < rows ? start + share : rows;
  for (uint begin = start; begin < end; begin += STAGED) {
    const uint count = end - begin < uint(STAGED) ? end - begin : STAGED;
    for (uint e = place.index; e < count * ALL; e += place.threads) {
      some[e] = low[size_t(begin + e / ALL) * STRIDE + e % ALL];
    }
    block_barrier();
    UNROLLED_SOME for (uint r = place.warp; r < count; r += place.warps) {
      const DEVICE T* from = x + size_t(begin + r) * features + i;
      const float a = i < features ? float(from[0]) : 0.0f, b = i + WARP < features ? float(from[WARP]) : 0.0f;
      UNROLLED for (int k = 0; k < ALL; ++k) {
        const float l = some[r * ALL + k];
        sums[0][k] = fused(a, l, sums[0][k]);
        sums[1][k] = fused(b, l, sums[1][k]);
      }
    }
    block_barrier();
  }
  for (uint turn = 0; turn < place.warps; ++turn) {
    if (place.warp == turn) {
      UNROLLED for (int k = 0; k < ALL; ++k) {
        const uint at = k * (2 * WARP) + place.lane;
        total[at] = turn == 0 ? sums[0][k] : total[at] + sums[0][k];
        total[at + WARP] = turn == 0 ? sums[1][k] : total[at + WARP] + sums[1][k];
      }
    }
    block_barrier();
  }
  UNROLLED for (int c = 0; c < COUNT; ++c) {
    for (uint e = place.index; e < uint(2 * WARP * RANK); e += place.threads) {
      const uint feature = LAST ? e / RANK : e % (2 * WARP), k = LAST ? e % RANK : e / (2 * WARP);
      if (first + feature < features) {
        to[c * RANK * features + (LAST ? (first + feature) * RANK + k : k * features + first + feature)] =
            total[(c * RANK + k) * (2 * WARP) + feature];
      }
    }
  }
}

} // namespace mlxffi_losses
)gpu";

// Bodies; SCALE is the bits of the scale. What stands before them says what x, y, low, factors and so on are.
inline constexpr const char* low_rank_down_body = R"gpu(
  SHARED_ARRAY(tile, COUNT * RANK * Format<T>::N * PITCH);
  low_rank_down<T, COUNT, RANK, STRIDE, ROWS, LAST>(
      x, factors, as_float(SCALE), rows_of(x_shape, x_ndim), x_shape[x_ndim - 1], tile, place, to);
)gpu";

inline constexpr const char* low_rank_up_body = R"gpu(
  SHARED_ARRAY(tile, COUNT * RANK * Format<T>::N * PITCH);
  low_rank_up<T, COUNT, RANK, STRIDE, ROWS, LAST>(
      x, from, factors, rows_of(x_shape, x_ndim), x_shape[x_ndim - 1], tile, place, out);
)gpu";

inline constexpr const char* low_rank_outer_body = R"gpu(
  SHARED_ARRAY(some, 4096);
  SHARED_ARRAY(total, 2 * WARP * COUNT * RANK);
  low_rank_outer<T, COUNT, RANK, STRIDE, 4096 / (COUNT * RANK), LAST>(
      x, from, rows_of(x_shape, x_ndim), x_shape[x_ndim - 1], some, total, place, to);
)gpu";

} // namespace mlxffi::gpu
