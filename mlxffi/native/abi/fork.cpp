#include "fork.h"

#include <mlx/stream.h>
#include <pthread.h>

#include <stdexcept>

namespace mlxc {

namespace {

bool has_streams = false, forked = false;

void before() {
  has_streams = !mlx::core::get_streams().empty();
}

void in_child() {
  forked |= has_streams;
}

[[maybe_unused]] const int registered = pthread_atfork(before, nullptr, in_child);

} // namespace

void require_no_fork() {
  if (forked) {
    throw std::runtime_error(
        "[fork] MLX cannot compute in a forked process; start the process with the 'spawn' method "
        "(in Python multiprocessing.get_context('spawn'), elsewhere exec)");
  }
}

} // namespace mlxc
