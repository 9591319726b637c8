// What a handle points to.
//
// An operation in place puts another array under a handle that others may hold. With a GIL nobody reads it meanwhile. Where
// Python has none (MLXFFI_FREE_THREADS), reading gives an array of one's own, and one thread at a time reads or writes.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>
#include <utility>

#include "mlx/array.h"

namespace mlxc {

template <class Object>
struct Cell {
  Object& read() {
    return object;
  }
  void write(Object&& next) {
    object = std::move(next);
  }
  Object object;
};

#ifdef MLXFFI_FREE_THREADS

// Held for the copy of a pointer: to sleep would take longer.
class SpinLock {
 public:
  void lock() {
    while (held_.test_and_set(std::memory_order_acquire)) {
      std::this_thread::yield();
    }
  }
  void unlock() {
    held_.clear(std::memory_order_release);
  }

 private:
  std::atomic_flag held_;
};

template <>
struct Cell<mlx::core::array> {
  mlx::core::array read() {
    std::lock_guard<SpinLock> lock(turn);
    return object;
  }
  // The array of before dies with `next`, when the lock is free again.
  void write(mlx::core::array&& next) {
    std::lock_guard<SpinLock> lock(turn);
    std::swap(object, next);
  }
  mlx::core::array object;
  SpinLock turn{};
};

#endif

} // namespace mlxc
