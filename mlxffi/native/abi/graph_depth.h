// Walks of MLX's over graphs of any depth: on a thread with a stack of the size needed, where this thread's is too small.
#pragma once

#include "trace.h"

namespace mlxc {

// How many bytes of its stack this thread has not used.
size_t stack_left();

// Makes the call, in which MLX walks the graph of `outputs` by recursion.
void walking(const Arrays& outputs, const std::function<void()>& walk);

// What a function made of its inputs, to make it again of others: for MLX to walk by recursion. Where a function is
// traced only to have its graph, this is thrown with it.
class Graph {
 public:
  Graph(const Arrays& inputs, const Arrays& outputs);

  // Whether MLX's walk needs more stack than this thread has left.
  static bool is_deep(const Arrays& outputs);

  Arrays operator()(const Arrays& inputs) const {
    return (*trace_)(inputs);
  }
  // Makes the call, in which MLX walks such a graph.
  void walk(const std::function<void()>& call) const;

 private:
  std::shared_ptr<const Trace> trace_;
  size_t stack_;
};

} // namespace mlxc
