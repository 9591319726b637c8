// Elementwise computations in blocks that stay in the cache: each step goes over a block with a kernel, and what one step
// makes and another takes never gets to memory.
#pragma once

#include <optional>
#include <string_view>

#include <mlx/array.h>
#include <mlx/primitives.h>

#include "elementwise_rows.h"
#include "fused.h"

namespace mlxffi {

class Blocks {
 public:
  // The number of a value: what an input holds, or what an operation made of others.
  using Value = int;

  // Whether there are kernels for MLX's operation of that name, if not for numbers of every type.
  static bool has(std::string_view operation);

  // Inputs come before anything else.
  Value input(mx::Dtype dtype);
  // What MLX's operation of that name makes of values, each result rounded to its type; none where there is no kernel.
  std::optional<Value> apply(std::string_view operation, const std::vector<Value>& from, mx::Dtype to);
  void output(Value value);

  // Computes the outputs on the stream, in the memory of inputs that nobody needs any more where that is possible. The
  // shapes of inputs may be any that broadcast to that of the outputs.
  static void run(std::shared_ptr<const Blocks> blocks, const Arrays& inputs, Arrays& outputs, mx::Stream s);

 private:
  struct Task;

  // Registers hold a block of numbers each: those of an input, or what a step makes.
  struct Step {
    NumbersKernel kernel;
    std::vector<int> from;
    int to;
  };
  // Halves are computed with in float32: `stored` is the register with the halves, `wide` that with the same numbers.
  struct Known {
    mx::Dtype dtype;
    int stored, wide;
  };

  int add_register(int item);
  int add_step(NumbersKernel kernel, std::vector<int> from, int item);
  int wide(Value value);
  Value rounded(int wide, mx::Dtype dtype);
  std::optional<Value> converted(Value from, mx::Dtype to);
  bool reuse(const Arrays& inputs, const mx::array* pattern, size_t index, mx::array& out) const;
  void allocate_outputs(const Arrays& inputs, const mx::array* pattern, Arrays& outputs) const;

  // The bytes of a number of each register.
  std::vector<int> items_;
  std::vector<Known> values_;
  std::vector<Step> steps_;
  std::vector<int> outputs_;
  int inputs_ = 0;
  // What it takes for each number, in operations.
  int64_t work_ = 0;
};

} // namespace mlxffi
