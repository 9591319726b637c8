// How deep a graph is, and walks over graphs of any depth: MLX walks some by recursion, and where the stack ends the
// process dies.
#include "graph_depth.h"

#include <pthread.h>

#include <algorithm>
#include <exception>
#include <system_error>

namespace mlxc {

namespace {

// What one level of a graph takes on the stack while MLX walks through it (bytes; twice what was measured on x86-64),
// and what else is there meanwhile.
constexpr size_t frame = 512, reserve = 512 * 1024;

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

// The stack for a walk over the longest chain of arrays from an output back to an input or a constant.
size_t stack_for(const Arrays& outputs) {
  Scheduling lock;
  Heights heights;
  size_t deepest = 0;
  for (auto& output : outputs) {
    if (heights.try_emplace(output.id(), 0).second) {
      deepest = std::max(deepest, height_of(output, heights));
    }
  }
  return deepest * frame + reserve;
}

// Makes the call on a thread with a stack of that size, and waits for it.
void with_stack(size_t size, const std::function<void()>& call) {
  struct Work {
    const std::function<void()>& call;
    std::exception_ptr failure;
  } work{call, nullptr};
  auto run = [](void* given) -> void* {
    auto& work = *static_cast<Work*>(given);
    try {
      work.call();
    } catch (...) {
      work.failure = std::current_exception();
    }
    return nullptr;
  };
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, (size + 0xffff) & ~size_t(0xffff));
  pthread_t thread;
  int failed = pthread_create(&thread, &attributes, run, &work);
  pthread_attr_destroy(&attributes);
  if (failed) {
    throw std::system_error(failed, std::generic_category(), "a thread with a stack of " + std::to_string(size) + " bytes for a deep graph");
  }
  pthread_join(thread, nullptr);
  if (work.failure) {
    std::rethrow_exception(work.failure);
  }
}

} // namespace

size_t stack_left() {
  thread_local char* end = stack_end();
  return static_cast<char*>(__builtin_frame_address(0)) - end;
}

Graph::Graph(const Arrays& inputs, const Arrays& outputs)
    : trace_(std::make_shared<const Trace>(inputs, outputs, false)), stack_(stack_for(outputs)) {}

bool Graph::is_deep(const Arrays& outputs) {
  return stack_for(outputs) > stack_left();
}

void Graph::walk(const std::function<void()>& call) const {
  stack_ > stack_left() ? with_stack(stack_, call) : call();
}

void walking(const Arrays& outputs, const std::function<void()>& walk) {
  size_t stack = stack_for(outputs);
  auto alone = [&] {
    Scheduling lock;
    walk();
  };
  stack > stack_left() ? with_stack(stack, alone) : alone();
}

} // namespace mlxc
