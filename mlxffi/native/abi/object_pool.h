// Where what handles point to lies: each kind of object in chunks of its own, which never go back.
//
// So anybody sees whether an address is that of a living object, without reading what may not be there. A handle that was
// freed, or a number that a program made up, is an error of the call that is given it.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>

#include "cell.h"

namespace mlxc {

inline constexpr int address_bits = 48, chunk_bits = 20;
inline constexpr uintptr_t chunk_size = uintptr_t{1} << chunk_bits;

// One bit for each place of a chunk in a process's memory.
inline std::atomic<uint64_t> chunks[(size_t{1} << (address_bits - chunk_bits)) / 64];

template <class Handle, class Object>
class Pool {
 public:
  template <class Value>
  static Cell<Object>* make(Value&& value) {
    Slot* slot = pools_[place].take();
    try {
      new (slot->cell) Cell<Object>{Object(std::forward<Value>(value))};
    } catch (...) {
      pools_[place].give(slot);
      throw;
    }
    slot->next.store(slot, std::memory_order_relaxed);
    return cell_of(slot);
  }

  static void destroy(Cell<Object>* cell) {
    Slot* slot = slot_of(cell);
    slot->next.store(nullptr, std::memory_order_relaxed);
    cell->~Cell<Object>();
    pools_[place].give(slot);
  }

  static bool holds(const void* cell) {
    Slot* slot = slot_of(cell);
    auto at = reinterpret_cast<uintptr_t>(slot);
    return is_in_chunk(at) && head_of(at)->pools == &pools_ && at % size == 0 &&
           at < head_of(at)->end.load(std::memory_order_relaxed) && slot->next.load(std::memory_order_relaxed) == slot;
  }

 private:
  // While its object lives, a slot refers to itself; then to the next free one. Calls that are given a handle that was freed
  // look at it while other threads use it anew.
  struct Slot {
    std::atomic<Slot*> next;
    alignas(Cell<Object>) std::byte cell[sizeof(Cell<Object>)];
  };

  // Stands before the first slot of a chunk. What is beyond the end has never been a slot.
  struct Head {
    const void* pools;
    std::atomic<uintptr_t> end;
    Head* before;
  };

  static constexpr uintptr_t size = std::bit_ceil(sizeof(Slot));

  static Cell<Object>* cell_of(Slot* slot) {
    return std::launder(reinterpret_cast<Cell<Object>*>(slot->cell));
  }

  static Slot* slot_of(const void* cell) {
    return reinterpret_cast<Slot*>(reinterpret_cast<uintptr_t>(cell) - offsetof(Slot, cell));
  }

  static Head* head_of(uintptr_t address) {
    return reinterpret_cast<Head*>(address & ~(chunk_size - 1));
  }

  static bool is_in_chunk(uintptr_t address) {
    auto chunk = address >> chunk_bits;
    return !(address >> address_bits) && (chunks[chunk / 64].load(std::memory_order_relaxed) >> chunk % 64 & 1);
  }

  Slot* take() {
    std::lock_guard<SpinLock> lock(turns[place].lock);
    if (free_) {
      return std::exchange(free_, free_->next.load(std::memory_order_relaxed));
    }
    if (!newest_ || newest_->end % chunk_size == 0) {
      add_chunk();
    }
    return reinterpret_cast<Slot*>(newest_->end.fetch_add(size, std::memory_order_relaxed));
  }

  void give(Slot* slot) {
    std::lock_guard<SpinLock> lock(turns[place].lock);
    slot->next.store(std::exchange(free_, slot), std::memory_order_relaxed);
  }

  void add_chunk() {
    void* memory = std::aligned_alloc(chunk_size, chunk_size);
    auto at = reinterpret_cast<uintptr_t>(memory);
    if (!memory || at >> address_bits) {
      throw std::bad_alloc();
    }
    newest_ = new (memory) Head{&pools_, at + std::max(size, std::bit_ceil(sizeof(Head))), newest_};
    chunks[at >> chunk_bits >> 6].fetch_or(uint64_t{1} << (at >> chunk_bits) % 64, std::memory_order_release);
  }

  static inline Pool pools_[places];
  Slot* free_ = nullptr;
  Head* newest_ = nullptr;
};

} // namespace mlxc
