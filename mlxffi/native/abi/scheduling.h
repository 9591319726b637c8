// What keeps threads from changing arrays that they share.
#pragma once

#include <mutex>

namespace mlxc {

// Held by whoever schedules arrays, or walks through graphs of which other threads may have a part: MLX takes an array that
// it schedules out of its graph, and lets go of the event of one that it has waited for. A program's destructors may run
// meanwhile, and come back here; nothing waits for another thread of the program.
class Scheduling {
 public:
  Scheduling();

 private:
  std::unique_lock<std::recursive_mutex> lock_;
};

} // namespace mlxc
