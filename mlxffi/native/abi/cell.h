// What a handle points to.
//
// An operation in place puts another array under a handle that others may hold. With a GIL nobody reads it meanwhile. Where
// Python has none (MLXFFI_FREE_THREADS), reading gives an array of one's own, and nobody writes meanwhile.
#pragma once

#include <atomic>
#include <cstddef>
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

// Held for the copy of a pointer or two: to sleep would take longer.
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

#ifdef MLXFFI_FREE_THREADS

// Each thread counts and locks in one of several places: in a single one it would wait for the others' cores.
inline constexpr size_t places = 16;
inline std::atomic<size_t> threads{0};
inline thread_local const size_t place = threads.fetch_add(1, std::memory_order_relaxed) % places;

#else

inline constexpr size_t places = 1, place = 0;

#endif

struct alignas(64) Turn {
  SpinLock lock;
};

// Each is held while a pool of its place changes or one of its threads copies an array, and all while the process forks.
inline Turn turns[places];

#ifdef MLXFFI_FREE_THREADS

// Threads often read the same array, and rarely write: who reads locks its own place, and who writes all of them.
class Writing {
 public:
  Writing() {
    for (auto& turn : turns) {
      turn.lock.lock();
    }
  }
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;
  ~Writing() {
    for (auto& turn : turns) {
      turn.lock.unlock();
    }
  }
};

template <>
struct Cell<mlx::core::array> {
  mlx::core::array read() {
    std::lock_guard<SpinLock> lock(turns[place].lock);
    return object;
  }
  // The array of before dies with `next`, when the locks are free again.
  void write(mlx::core::array&& next) {
    Writing writing;
    std::swap(object, next);
  }
  mlx::core::array object;
};

#endif

} // namespace mlxc
