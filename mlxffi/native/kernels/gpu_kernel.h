// Kernels of layers: text that MLX compiles, and nodes' evaluations made of it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "gpu_layers.h"
#include "gpu_text.h"

namespace mlxffi::gpu {

using Options = std::vector<std::pair<std::string, mx::fast::TemplateArg>>;

constexpr int warp = 32, usual_threads = 256;

struct Output {
  mx::Shape shape;
  mx::Dtype dtype;
};

// Blocks along x, y and z, and the threads of each.
struct Grid {
  int64_t blocks;
  int parts = 1;
  int items = 1;
  int threads = usual_threads;
};

class Kernel {
 public:
  Kernel(const std::string& name, const Names& inputs, const Names& outputs, const char* source, const std::string& body);

  // T is the dtype of the first input.
  Node operator()(const Arrays& inputs, const std::vector<Output>& outputs, Grid grid, Options options, mx::Stream s) const;

 private:
  mx::fast::CustomKernelFunction function_;
};

int64_t rows_of(const mx::array& x);

// How many parts of a size make a whole.
int64_t parts_of(int64_t whole, int64_t part);

// How many numbers 16 bytes have.
int chunk(const mx::array& x);

// The bits of a number that is a template argument.
int bits(float number);

// All axes but the last.
mx::Shape batch(const mx::array& x);

} // namespace mlxffi::gpu
