// Kernels of a GPU whose inputs are rows, through MLX's cuda_kernel (CUDA) or metal_kernel (Metal).
#pragma once

#include <string>
#include <tuple>
#include <utility>

#include <mlx/fast.h>

#include "fused.h"

namespace mlxffi::gpu {

using Names = std::vector<std::string>;

enum class Language { cuda, metal };

// That of the GPU; an error without one.
Language language();

// A function of MLX that launches a kernel with this body, which may use all of our source.
mx::fast::CustomKernelFunction compiled(const std::string& name, const Names& inputs, const Names& outputs, const std::string& body);

// How many threads a block has and blocks a row has, at most, and how many 16-byte chunks a thread loads before it uses
// the first. Measured on an H100 (docs/gpu.md). A forward pass sums over its row, which only one block can do: clusters
// of blocks, joined by __cluster_dims__, break MLX's cached CUDA graphs.
struct Tuning {
  int width;
  int unroll;
  int parts = 1;
};

// All axes but the last as one.
int rows_of(const mx::array& x);

// What a kernel makes: so many arrays of [n] in float32, then so many like the logits, then some with these axes in place of
// the logits' last, and sums in float32, of these shapes. option is for the kernel's body. Where there are `blocks`, so many
// share all rows. `threads` is how many a row has work for, if not one for every 16 bytes of it.
struct Call {
  int row_outputs;
  int outputs;
  bool option;
  std::vector<mx::Shape> tails{};
  bool has_settings = true;
  std::vector<mx::Shape> sums{};
  int blocks = 0;
  int threads = 0;
};

// One kernel: compiled by MLX for each dtype at its first use, then kept for the life of the process.
class Kernel {
 public:
  Kernel(const std::string& name, const Names& inputs, const Names& outputs, const std::string& body, Tuning tuning);

  // Inputs: one or two times logits [n, V], arrays of [n], and the settings where the call has them. Kernels that ask for
  // the number of axes take [..., V] for [n, V].
  Arrays operator()(Arrays inputs, Call call, mx::Stream s) const;

 private:
  using Size = std::tuple<int, int, int>;

  // The grid, in threads, and its blocks for so many rows, each of which so many threads have work on.
  std::pair<Size, Size> grid_of(int rows, int64_t threads) const;

  mx::fast::CustomKernelFunction function_;
  Tuning tuning_;
};

} // namespace mlxffi::gpu
