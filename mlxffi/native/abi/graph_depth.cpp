// How deep a graph is, and how deep one may be: MLX walks graphs by recursion, and where the stack ends the process dies.
#include <pthread.h>

#include <algorithm>

#include "transforms.h"

namespace mlxc {

namespace {

// For what else is on the stack while MLX walks.
constexpr size_t reserve = 64 * 1024;

// The lowest address of this thread's stack.
char* stack_end() {
#ifdef __APPLE__
  return static_cast<char*>(pthread_get_stackaddr_np(pthread_self())) - pthread_get_stacksize_np(pthread_self());
#else
  pthread_attr_t attributes;
  void* end = nullptr;
  size_t size = 0;
  if (!pthread_getattr_np(pthread_self(), &attributes)) {
    pthread_attr_getstack(&attributes, &end, &size);
    pthread_attr_destroy(&attributes);
  }
  return static_cast<char*>(end);
#endif
}

size_t stack_left() {
  thread_local char* end = stack_end();
  size_t left = static_cast<char*>(__builtin_frame_address(0)) - end;
  return left > reserve ? left - reserve : 0;
}

// An array on the way down from the outputs: the next of its inputs to visit, and its height as far as it is known.
struct Step {
  const mx::array* node;
  size_t next = 0;
  size_t height = 1;
};

// The heights of the arrays that were visited; an array from which the walk has not come back yet has 0.
using Heights = std::unordered_map<std::uintptr_t, size_t>;

size_t height_of(const mx::array& output, Heights& heights) {
  std::vector<Step> path{{&output}};
  for (;;) {
    auto& step = path.back();
    if (step.next < step.node->inputs().size()) {
      auto& input = step.node->inputs()[step.next++];
      auto [visited, fresh] = heights.try_emplace(input.id(), 0);
      step.height = std::max(step.height, visited->second + 1);
      if (fresh) {
        path.push_back({&input});
      }
      continue;
    }
    size_t height = heights[step.node->id()] = step.height;
    path.pop_back();
    if (path.empty()) {
      return height;
    }
    path.back().height = std::max(path.back().height, height + 1);
  }
}

// The longest chain of arrays from an output back to an input or a constant.
size_t depth(const Arrays& outputs, const Arrays& inputs) {
  Heights heights;
  for (auto& input : inputs) {
    heights.emplace(input.id(), 0);
  }
  size_t deepest = 0;
  for (auto& output : outputs) {
    if (heights.try_emplace(output.id(), 0).second) {
      deepest = std::max(deepest, height_of(output, heights));
    }
  }
  return deepest;
}

// The steps of a graph that is walked without remembering what was visited, and beside how many inputs.
constexpr size_t few_steps = 256, few_inputs = 16;

bool is_among(const mx::array& node, const Arrays& arrays) {
  return std::any_of(arrays.begin(), arrays.end(), [&](auto& array) { return array.id() == node.id(); });
}

// Whether all ways from the outputs back to an input or a constant have so few steps together that none is too deep:
// most graphs of a function are that small, and heights would cost as much as the function.
bool is_small(const Arrays& outputs, const Arrays& inputs) {
  const mx::array* waiting[few_steps];
  size_t count = 0, steps = 0;
  if (inputs.size() > few_inputs) {
    return false;
  }
  auto add = [&](const Arrays& arrays) {
    for (auto& array : arrays) {
      if (++steps > few_steps) {
        return false;
      }
      if (!is_among(array, inputs)) {
        waiting[count++] = &array;
      }
    }
    return true;
  };
  bool small = add(outputs);
  while (small && count) {
    small = add(waiting[--count]->inputs());
  }
  return small;
}

} // namespace

Function shallow(Function fun, size_t frame) {
  return [fun = shared(std::move(fun)), frame](const Arrays& inputs) {
    auto outputs = (*fun)(inputs);
    size_t most = stack_left() / frame;
    if (most >= few_steps && is_small(outputs, inputs)) {
      return outputs;
    }
    size_t levels = depth(outputs, inputs);
    if (levels > most) {
      throw std::runtime_error(
          "the graph of the function is " + std::to_string(levels) + " operations deep, and this thread's stack has room for " +
          std::to_string(most) + ": evaluate parts of the computation on their own, or use a thread with a larger stack");
    }
    return outputs;
  };
}

} // namespace mlxc
