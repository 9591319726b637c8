#include "process.h"

#include <mlx/stream.h>
#include <pthread.h>

#include <cstdlib>
#include <stdexcept>

#include "object_pool.h"

namespace mlxc {

namespace {

// --- forks ---

bool has_streams = false, forked = false;

// No other thread is in the middle of changing a pool or copying an array, which the child would find so for ever.
void before() {
  has_streams = !mlx::core::get_streams().empty();
  for (auto& turn : turns) {
    turn.lock.lock();
  }
}

void in_parent() {
  for (auto& turn : turns) {
    turn.lock.unlock();
  }
}

void in_child() {
  in_parent();
  forked |= has_streams;
}

[[maybe_unused]] const int at_fork = pthread_atfork(before, in_parent, in_child);

// --- exits: what belongs to a thread goes before handlers of exit run ---

thread_local bool ends = false;

struct Thread {
  ~Thread() {
    ends = true;
  }
};

thread_local Thread thread;

// Of a thread that had not computed yet.
[[maybe_unused]] const int at_exit = std::atexit([] { ends = true; });

} // namespace

bool is_forked() {
  return forked;
}

void require_streams() {
  [[maybe_unused]] auto* made = &thread;
  if (forked) {
    throw std::runtime_error(
        "[fork] MLX cannot compute in a forked process; start the process with the 'spawn' method "
        "(in Python multiprocessing.get_context('spawn'), elsewhere exec)");
  }
  if (ends) {
    throw std::runtime_error("[exit] MLX cannot compute in handlers of exit: the streams of the thread are gone; compute before");
  }
}

} // namespace mlxc
